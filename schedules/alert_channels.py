"""Who is told: the channels that people have set up, and those of the environment."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256

from django.conf import settings

from schedules.alert_models import AlertChannel
from schedules.alert_rules import AlertEvent, wants
from schedules.alert_sender import AlertNotSentError, AlertUrlError, Level, mask_url, send_alert
from schedules.alert_texts import Text, ToldMatter, compose, render

#: What channels of the environment are called, with a number where there are several
ENVIRONMENT = "environment"


class UnknownChannelError(LookupError):
    """There is no channel of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no alert channel {name!r}. `manage.py schedules alerts` lists them.")


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel, wherever it was set up; `events` empty for all, `tags` and `schedule_pks` empty for no filter."""

    key: str
    name: str
    url: str = field(repr=False)
    is_enabled: bool = True
    events: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    schedule_pks: frozenset[int] = frozenset()
    quiet: timedelta = timedelta(hours=1)
    tells_recovery: bool = True
    title_template: str = ""
    body_template: str = ""

    @property
    def masked_url(self) -> str:
        """What may be shown of the URL."""
        return mask_url(self.url)

    def wants(self, event: AlertEvent, *, schedule_pk: int | None, tags: Iterable[str]) -> bool:
        """Return whether it is to hear of an event of a schedule with these tags; None for what is no schedule's."""
        return wants(
            event,
            events=self.events,
            is_filtered=bool(self.tags or self.schedule_pks),
            fits=schedule_pk in self.schedule_pks or not self.tags.isdisjoint(tags),
        )

    def write(self, event: AlertEvent, matters: Sequence[ToldMatter], *, is_recovery: bool) -> Text:
        """Return the message about these matters in the words of the channel."""
        text = compose(event, matters, is_recovery=is_recovery)
        templates = {"title": self.title_template, "body": self.body_template}
        return render(text, event, matters, is_recovery=is_recovery, **templates)


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of a test: the words of the service, or of the mistake, where it was not sent."""

    is_sent: bool
    seconds: float
    error: str = ""


def list_channels() -> list[Channel]:
    """Return all channels, the disabled among them, by name; those of the environment are last."""
    rows = list(AlertChannel.objects.all())
    chosen = _read_chosen() if rows else {}
    return [*(_from_row(row, schedule_pks=chosen.get(row.pk, ())) for row in rows), *_from_environment()]


def get_channel(name: str) -> Channel:
    """Return the channel of this name; raises UnknownChannelError."""
    for channel in list_channels():
        if channel.name == name:
            return channel
    raise UnknownChannelError(name)


def send_test(channel: Channel) -> Trial:
    """Send a message that says that it is a test, enabled or not, and wait for what the service says."""
    text = Text(
        "Butler: this is a test",
        f"This is a test of the alert channel “{channel.name}”. If you can read it, alerts will reach you here.\n\n"
        "What to do: nothing.",
    )
    begun = time.monotonic()
    try:
        send_alert(channel.url, title=text.title, body=text.body, level=Level.INFO)
    except (AlertUrlError, AlertNotSentError) as error:
        return Trial(is_sent=False, seconds=time.monotonic() - begun, error=str(error))
    return Trial(is_sent=True, seconds=time.monotonic() - begun)


def _read_chosen() -> Mapping[int, set[int]]:
    """Return the keys of the schedules that channels are for; a schedule's row may be broken by hand."""
    chosen: defaultdict[int, set[int]] = defaultdict(set)
    pairs = AlertChannel.schedules.through.objects.values_list("alertchannel_id", "schedule_id")
    for channel_pk, schedule_pk in pairs:
        chosen[channel_pk].add(schedule_pk)
    return chosen


def _from_row(row: AlertChannel, *, schedule_pks: Iterable[int]) -> Channel:
    return Channel(
        key=f"db:{row.pk}",
        name=row.name,
        url=row.url,
        is_enabled=row.is_enabled,
        events=frozenset(row.events),
        tags=frozenset(row.tags),
        schedule_pks=frozenset(schedule_pks),
        quiet=row.quiet_time,
        tells_recovery=row.tells_recovery,
        title_template=row.title_template,
        body_template=row.body_template,
    )


def _from_environment() -> list[Channel]:
    urls: list[str] = settings.BUTLER_ALERT_URLS
    numbers = [""] if len(urls) == 1 else [f" {number}" for number in range(1, len(urls) + 1)]
    # By what it is and not by its place, so that another order does not mix them up
    return [
        Channel(key=f"env:{sha256(url.encode()).hexdigest()[:32]}", name=f"{ENVIRONMENT}{number}", url=url)
        for url, number in zip(urls, numbers, strict=True)
    ]
