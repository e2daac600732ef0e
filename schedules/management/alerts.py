"""`manage.py schedules alerts`: who is told when something is the matter, and whether it gets there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from schedules.alert_channels import Channel, get_channel, list_channels, send_test
from schedules.alert_queue import AlertTrouble, list_troubles
from schedules.management.terminal import make_printable, refusal, wrap


def add_parser(actions: Any) -> None:
    """Declare the subcommand."""
    parser = actions.add_parser("alerts", help="show who is told when something is the matter, or send a test")
    parser.add_argument("--test", metavar="NAME", help="send a test to the channel of this name, now")


def run(command: BaseCommand, *, test: str | None, **_: Any) -> None:
    """Print the channels, or send a test to one; a test that is not sent ends the command with exit code 1."""
    if test is not None:
        _test(command, get_channel(test))
        return
    troubles = {trouble.channel: trouble for trouble in list_troubles(now=timezone.now())}
    lines = [line for channel in list_channels() for line in _lines_of(channel, troubles.get(channel.name))]
    nobody = "Nobody is told. Add a channel in the admin, under Alert channels, or set BUTLER_ALERT_URLS."
    command.stdout.write("\n".join(lines) if lines else wrap(nobody))


def _test(command: BaseCommand, channel: Channel) -> None:
    trial = send_test(channel)
    if not trial.is_sent:
        raise refusal(f"The test was not sent to {channel.name!r}. {trial.error}")
    told = f"The test was sent to {channel.name!r}: the service took it after {trial.seconds:.1f} s."
    command.stdout.write(wrap(f"{told} Look whether it has arrived."))


def _lines_of(channel: Channel, trouble: AlertTrouble | None) -> Iterator[str]:
    state = "enabled " if channel.is_enabled else "disabled"
    yield wrap(f"{state}  {channel.name}  {channel.masked_url}", indent=10)
    yield wrap(f"{'':10}{_describe(channel)}", indent=10)
    if trouble:
        yield wrap(f"{'':10}{trouble.messages:,} not sent: {make_printable(trouble.error)}", indent=10)


def _describe(channel: Channel) -> str:
    events = ", ".join(sorted(channel.events)) or "everything"
    tags = f"the tags {', '.join(sorted(channel.tags))}" if channel.tags else ""
    chosen = _count(len(channel.schedule_pks)) if channel.schedule_pks else ""
    of = " and ".join(filter(None, (tags, chosen)))
    return f"{events} of {of}" if of else events


def _count(schedules: int) -> str:
    return "1 schedule" if schedules == 1 else f"{schedules:,} schedules"
