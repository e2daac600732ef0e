"""`manage.py schedules show`: all about some schedules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from schedules import services
from schedules.known_tasks import describe_tasks
from schedules.management.terminal import wrap
from schedules.models import Run, Schedule
from schedules.serializers import LIMITS, PAUSE, ScheduleSerializer
from schedules.task_warnings import list_warnings

_LABEL_WIDTH = 16


def add_parser(actions: Any) -> None:
    """Declare the subcommand."""
    parser = actions.add_parser("show", help="show all about schedules: next start, task, last run, limits")
    parser.add_argument("ids", nargs="+", metavar="ID", help="as `list` shows it")


def run(command: BaseCommand, *, ids: Sequence[str], **_: Any) -> None:
    """Print what there is to know; raises UnknownScheduleError."""
    schedules = [services.get_schedule(public_id) for public_id in ids]
    warnings = list_warnings(schedules)
    for schedule in schedules:
        for name, value in _facts_of(schedule, now=timezone.now()):
            command.stdout.write(wrap(f"{name:{_LABEL_WIDTH}}{value}", indent=_LABEL_WIDTH))
        for warning in filter(None, (schedule.problem, warnings.get(schedule.pk, ""))):
            command.stdout.write(wrap(f"Warning: {warning}"))
        command.stdout.write("")


def _facts_of(schedule: Schedule, *, now: datetime) -> Iterator[tuple[str, str]]:
    yield "id", schedule.name
    yield "name", str(schedule.title)
    yield "state", "started" if schedule.enabled else "stopped"
    words = "" if schedule.problem else f": {schedule.expression.describe()}"
    yield "when", f"{schedule.cron_schedule} ({schedule.timezone}){words}"
    due_at = schedule.next_due_at(after=now)
    yield "next start", f"{due_at:%Y-%m-%d %H:%M:%S} UTC" if due_at else "none"
    yield "Qlik task", describe_tasks(schedule)
    last = Run.objects.filter(schedule_id=schedule.pk).first()
    yield "last run", f"{last.state}, due {last.due_at:%Y-%m-%d %H:%M:%S} UTC" if last else "none yet"
    if schedule.tags:
        yield "tags", ", ".join(map(str, schedule.tags))
    words_of_api = ScheduleSerializer().to_representation(schedule)
    for word in (*LIMITS, *PAUSE):
        if word in words_of_api:
            yield word, str(words_of_api[word])
