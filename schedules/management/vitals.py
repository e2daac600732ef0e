"""`manage.py schedules status`: how the service is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand

from schedules.maintenance import describe_time
from schedules.management.terminal import refusal, wrap
from schedules.vitals import Vitals, read_vitals

_LABEL_WIDTH = 20


def add_parser(actions: Any) -> None:
    """Declare the subcommand."""
    actions.add_parser("status", help="show how the service is: its leader, its queue, what waits")


def run(command: BaseCommand, **_: Any) -> None:
    """Print the vitals; a service that is not well ends the command with exit code 1."""
    vitals = read_vitals()
    for name, value in _facts_of(vitals):
        command.stdout.write(wrap(f"{name:{_LABEL_WIDTH}}{value}", indent=_LABEL_WIDTH))
    for warning in vitals.warnings:
        command.stdout.write(wrap(f"Warning: {warning}"))
    if vitals.problems:
        raise refusal(" ".join(["The service is degraded.", *vitals.problems]))
    command.stdout.write("The service is well.")


def _facts_of(vitals: Vitals) -> Iterator[tuple[str, str]]:
    leader, waiting, through = vitals.leader, vitals.longest_waiting, vitals.planned_through
    renewed = "never renewed" if leader.age is None else f"renewed {_seconds(leader.age)} ago"
    yield "leader", f"{leader.holder or 'nobody'}, token {leader.token}, {renewed}"
    yield "time zones", str(vitals.zone_data)
    yield "planned through", "nothing yet" if through is None else f"{through:%Y-%m-%d %H:%M:%S} UTC"
    yield "started schedules", f"{vitals.started_schedules:,}"
    queue = vitals.queue_length
    yield "messages on Redis", "Redis does not answer" if queue is None else f"{queue:,}"
    yield "open runs", ", ".join(f"{number:,} {state}" for state, number in vitals.open_runs.items())
    if waiting is not None:
        yield "longest waiting", f"due {waiting.due_at:%Y-%m-%d %H:%M:%S} UTC, waits for {_seconds(waiting.wait)}"
    for absence in vitals.absences:
        yield "being settled", str(absence)
    if vitals.maintenance is not None:
        yield "maintenance", describe_time(vitals.maintenance)
    for certificate in vitals.certificates:
        yield certificate.file.name, f"expires {certificate.expires_at:%Y-%m-%d %H:%M:%S} UTC"


def _seconds(span: timedelta) -> str:
    return f"{span.total_seconds():,.1f} s"
