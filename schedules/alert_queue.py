"""Messages of alerts on their way: claimed by one worker each, sent, tried again, given up."""

from __future__ import annotations

import logging
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from schedules.alert_channels import Channel, list_channels
from schedules.alert_models import AlertMessage
from schedules.alert_rules import AlertEvent, Kind, next_try_at
from schedules.alert_sender import AlertNotSentError, AlertUrlError, Level, send_alert
from schedules.lease import name_this_process

logger = logging.getLogger(__name__)

State = AlertMessage.State

#: After this a claim counts as lost: a message takes SEND_LIMIT at most
CLAIM_LIMIT = timedelta(seconds=60)
#: No further message is begun after this; the next pass goes on
PASS_SECONDS = 20.0
#: So long a message that was given up is told as a problem
FAILURE_SHOWN = timedelta(days=1)

_GONE = "The channel was deleted, disabled or taken out of the environment before the message was sent."
_WARNINGS = frozenset({AlertEvent.LATE, AlertEvent.SLOW, AlertEvent.CERTIFICATE})


@dataclass(frozen=True, slots=True)
class AlertTrouble:
    """A channel whose last messages could not be sent: how many, since when, and the last error."""

    channel: str
    messages: int
    since_at: datetime
    error: str


def send_due() -> int:
    """Send the messages that are due, and return how many were sent.

    One worker at a time does it, so that a service that hangs never holds more than one of all the workers' hands.
    """
    now = timezone.now()
    messages = list(AlertMessage.objects.filter(_claimable(now=now) | Q(state=State.SENDING)).order_by("pk"))
    if any(message.state == State.SENDING and not _is_lost(message, now=now) for message in messages):
        return 0
    waiting = _group(messages)
    channels = {channel.key: channel for channel in list_channels() if channel.is_enabled} if waiting else {}
    for key in waiting.keys() - channels.keys():
        _give_up(waiting.pop(key), now=now)
    until, sent = time.monotonic() + PASS_SECONDS, 0
    while waiting and time.monotonic() < until:
        sent += _send_round(waiting, channels)
    return sent


def try_again(messages: QuerySet[AlertMessage], *, now: datetime) -> int:
    """Have messages sent that wait or were given up, at once and for another day; return how many."""
    unsent = messages.filter(state__in=(State.PENDING, State.FAILED))
    return _change(unsent, state=State.PENDING, next_try_at=now, created_at=now, attempts=0)


def list_troubles(*, now: datetime) -> list[AlertTrouble]:
    """Return the channels that alerts do not get through to; one that took a message since is well again."""
    later = AlertMessage.objects.filter(channel_key=OuterRef("channel_key"), sent_at__gt=OuterRef("failed_at"))
    unsent = AlertMessage.objects.filter(
        Q(state__in=(State.PENDING, State.SENDING), failed_at__isnull=False)
        | Q(state=State.FAILED, failed_at__gt=now - FAILURE_SHOWN)
    )
    by_channel: defaultdict[str, list[AlertMessage]] = defaultdict(list)
    for message in unsent.exclude(Exists(later)).exclude(error=_GONE).order_by("pk"):
        by_channel[message.channel_name].append(message)
    return [_trouble_of(name, messages) for name, messages in by_channel.items()]


def _trouble_of(name: str, messages: Sequence[AlertMessage]) -> AlertTrouble:
    since_at = min(message.created_at for message in messages)
    return AlertTrouble(name, len(messages), since_at, messages[-1].error)


def list_sent(*, since: datetime) -> Mapping[str, Mapping[Kind, Sequence[datetime]]]:
    """Return when messages were written since an instant, by channel key and kind."""
    rows = AlertMessage.objects.filter(created_at__gt=since).order_by()
    written: defaultdict[str, defaultdict[Kind, list[datetime]]] = defaultdict(lambda: defaultdict(list))
    for key, event, is_recovery, at in rows.values_list("channel_key", "event", "is_recovery", "created_at"):
        written[key][AlertEvent(event), is_recovery].append(at)
    return written


def list_unsent() -> Mapping[str, frozenset[Kind]]:
    """Return the kinds of messages that wait to be sent, by channel key."""
    rows = AlertMessage.objects.filter(state__in=(State.PENDING, State.SENDING)).order_by()
    kinds: defaultdict[str, set[Kind]] = defaultdict(set)
    for key, event, is_recovery in rows.values_list("channel_key", "event", "is_recovery"):
        kinds[key].add((AlertEvent(event), is_recovery))
    return {key: frozenset(found) for key, found in kinds.items()}


def _claimable(*, now: datetime) -> Q:
    lost = Q(state=State.SENDING, claimed_at__lte=now - CLAIM_LIMIT)
    return Q(state=State.PENDING, next_try_at__lte=now) | lost


def _is_lost(message: AlertMessage, *, now: datetime) -> bool:
    return message.claimed_at is None or message.claimed_at <= now - CLAIM_LIMIT


def _group(messages: Iterable[AlertMessage]) -> dict[str, deque[AlertMessage]]:
    """Return the messages by channel key, the oldest first."""
    by_channel: defaultdict[str, deque[AlertMessage]] = defaultdict(deque)
    for message in messages:
        by_channel[message.channel_key].append(message)
    return dict(by_channel)


def _send_round(waiting: dict[str, deque[AlertMessage]], channels: Mapping[str, Channel]) -> int:
    """Send one message of each channel, side by side; leave out of the next round a channel that did not take it."""
    now = timezone.now()
    claimed = [message for messages in waiting.values() if claim_message(message := messages.popleft(), now=now)]
    problems: Sequence[str] = []
    if claimed:
        with ThreadPoolExecutor(len(claimed), thread_name_prefix="alerts") as callers:
            problems = list(callers.map(_send, claimed, [channels[message.channel_key] for message in claimed]))
    for message, problem in zip(claimed, problems, strict=True):
        record_attempt(message, problem=problem)
        if problem:
            waiting[message.channel_key].clear()
    for key in [key for key, messages in waiting.items() if not messages]:
        del waiting[key]
    return problems.count("")


def claim_message(message: AlertMessage, *, now: datetime) -> bool:
    """Make this worker the one that sends the message; return whether it is now."""
    claim = {"state": State.SENDING, "claimed_at": now, "worker": name_this_process(), "attempts": F("attempts") + 1}
    if not AlertMessage.objects.filter(_claimable(now=now), pk=message.pk).update(**claim):
        return False
    message.refresh_from_db()
    return True


def record_attempt(message: AlertMessage, *, problem: str) -> None:
    """Note what came of sending a claimed message; nothing where the claim was lost to another worker meanwhile."""
    now = timezone.now()
    mine = AlertMessage.objects.filter(pk=message.pk, state=State.SENDING, claimed_at=message.claimed_at)
    if not problem:
        mine.update(state=State.SENT, sent_at=now, next_try_at=None, error="")
        return
    again_at = next_try_at(now, attempts=message.attempts, created_at=message.created_at)
    state = State.PENDING if again_at else State.FAILED
    mine.update(state=state, next_try_at=again_at, failed_at=now, error=problem)
    what = f"tried again at {again_at:%H:%M:%S} UTC" if again_at else "given up"
    logger.error("the alert %r to %s was not sent, %s: %s", message.title, message.channel_name, what, problem)


def _send(message: AlertMessage, channel: Channel) -> str:
    """Send a message; return what went wrong, nothing when the service took it."""
    try:
        send_alert(channel.url, title=message.title, body=message.body, level=_level_of(message))
    except (AlertUrlError, AlertNotSentError) as error:
        return str(error)
    except Exception as error:
        # A plugin's mistake must not keep the other channels waiting; its text, and a traceback's, may have the secret
        return f"The library apprise failed in a way that is not known: {type(error).__name__}."
    return ""


def _level_of(message: AlertMessage) -> Level:
    if message.is_recovery:
        return Level.SUCCESS
    return Level.WARNING if message.event in _WARNINGS else Level.FAILURE


def _give_up(messages: Iterable[AlertMessage], *, now: datetime) -> None:
    keys = [message.pk for message in messages]
    claimable = AlertMessage.objects.filter(_claimable(now=now), pk__in=keys)
    _change(claimable, state=State.FAILED, next_try_at=None, failed_at=now, error=_GONE)


def _change(messages: QuerySet[AlertMessage], **values: object) -> int:
    """Lock the messages in the order of their keys, so that no two steps wait for each other, and change them."""
    with transaction.atomic():
        keys = list(messages.order_by("pk").select_for_update().values_list("pk", flat=True))
        return AlertMessage.objects.filter(pk__in=keys).update(**values)
