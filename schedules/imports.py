"""The import of a schedule file: what it would make of the schedules there are, and carrying that out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from django.core.exceptions import ValidationError
from django_celery_beat.models import PeriodicTask
from rest_framework.exceptions import ValidationError as InvalidValuesError

from schedules import services
from schedules.changes import Origin, edited_since, newest_change
from schedules.editing import editing
from schedules.models import Schedule
from schedules.serializers import LIMITS, PAUSE, TEXTS, FileSerializer, ScheduleSerializer, refusing_by_words
from schedules.services import UnknownScheduleError
from schedules.yaml_io import Entry, ScheduleFileError

#: What an import compares and changes. When a schedule was created is a fact about the one there is.
COMPARED = (*TEXTS, "tags", *LIMITS, "lastKnownState", *PAUSE)

#: So many schedules are named that somebody has changed meanwhile
_NAMES_SHOWN = 5
_CHANGED = "Somebody else has changed the schedules meanwhile:"
_AGAIN = "Import the file again."


@dataclass(frozen=True, slots=True)
class Change:
    """A schedule as it is and as the file has it; `values` has old and new value by Butler's words."""

    before: Schedule
    after: Schedule
    values: Mapping[str, tuple[Any, Any]]


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """What an import makes of the schedules: those it creates, changes and leaves alone, each in the file's order."""

    new: Sequence[Schedule]
    changed: Sequence[Change]
    unchanged: Sequence[Schedule]
    # The newest change of a schedule that was made before
    seen: int


def plan_import(entries: Sequence[Entry]) -> ImportPlan:
    """Compare the entries with the schedules there are, and write nothing.

    Raises ScheduleFileError with everything that is wrong with any of the entries.
    """
    wanted = _schedules_of(entries)
    seen = newest_change()
    there = Schedule.objects.in_bulk([schedule.name for schedule in wanted], field_name="name")
    compared = [_compare(there[schedule.name], schedule) for schedule in wanted if schedule.name in there]
    return ImportPlan(
        new=[schedule for schedule in wanted if schedule.name not in there],
        changed=[change for change in compared if change.values],
        unchanged=[change.before for change in compared if not change.values],
        seen=seen,
    )


def carry_out(plan: ImportPlan, *, origin: Origin) -> None:
    """Write what the plan says, all of it or nothing.

    Raises ScheduleFileError when the schedules have become others since the plan was made.
    """
    moved = [change.after for change in plan.changed if "lastKnownState" in change.values]
    try:
        # Beat waits for who has the lock, so all that can be is done before
        new = services.prepare_schedules(plan.new)
        edits = services.prepare_edits([_edited(change) for change in plan.changed])
        with editing() as now:
            _refuse_changed(plan)
            services.write_new(new, at=now, origin=origin)
            services.write_edits(edits, at=now, origin=origin)
            services.start_schedules([schedule.name for schedule in moved if schedule.enabled], origin=origin)
            services.stop_schedules([schedule.name for schedule in moved if not schedule.enabled], origin=origin)
            _pause_and_resume(plan.changed, now=now, origin=origin)
    except (ValidationError, UnknownScheduleError) as error:
        raise ScheduleFileError([f"{_CHANGED} {error} {_AGAIN}"]) from error


def _schedules_of(entries: Iterable[Entry]) -> list[Schedule]:
    serializer = FileSerializer()
    schedules: list[Schedule] = []
    problems: list[str] = []
    taken = set(PeriodicTask.objects.filter(qlik_schedule=None).values_list("name", flat=True))
    for entry in entries:
        values, found = _read_values(entry, serializer)
        if entry.values.get("id") in taken:
            found = {**found, "id": ["This is the name of a task of the service itself. Give another id."]}
        problems += [_sentence(entry, field, message) for field, messages in found.items() for message in messages]
        if not found:
            schedule = Schedule(**values)
            schedule.enabled = values.get("enabled", schedule.starts_with_service)
            schedules.append(schedule)
    if problems:
        raise ScheduleFileError(problems)
    return schedules


def _read_values(entry: Entry, serializer: FileSerializer) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Return the entry's values for the model, and what is wrong with them by Butler's words."""
    values: dict[str, Any] = {}
    problems: dict[str, list[str]] = {}
    if "" not in entry.problems:
        try:
            values = serializer.run_validation(entry.values)
            with refusing_by_words():
                Schedule(**values).clean()
        except InvalidValuesError as error:
            problems = cast("dict[str, list[str]]", error.detail)
    # What YAML has to say about a field is nearer to the mistake than that it is missing
    return values, {**problems, **{field: [problem] for field, problem in entry.problems.items()}}


def _sentence(entry: Entry, field: str, message: str) -> str:
    return f"{entry.place}: {field}: {message}" if field else f"{entry.place}: {message}"


def _compare(before: Schedule, after: Schedule) -> Change:
    words = ScheduleSerializer()
    old, new = words.to_representation(before), words.to_representation(after)
    differing = [word for word in COMPARED if old.get(word) != new.get(word)]
    return Change(before, after, {word: (old.get(word), new.get(word)) for word in differing})


def _edited(change: Change) -> Schedule:
    """Return the row of a schedule with the file's values in it."""
    for column in (*TEXTS.values(), "tags", *LIMITS.values()):
        setattr(change.before, column, getattr(change.after, column))
    return change.before


def _refuse_changed(plan: ImportPlan) -> None:
    """Raise ScheduleFileError where somebody has edited what the plan is to change, since it was made."""
    changed = edited_since(plan.seen) if plan.changed else set()
    names = [change.before.name for change in plan.changed if change.before.pk in changed]
    if names:
        more = f" and {len(names) - _NAMES_SHOWN:,} more" if len(names) > _NAMES_SHOWN else ""
        raise ScheduleFileError([f"{_CHANGED} {', '.join(map(repr, names[:_NAMES_SHOWN]))}{more}. {_AGAIN}"])


def _pause_and_resume(changes: Iterable[Change], *, now: datetime, origin: Origin) -> None:
    """Pause and resume where the file has it otherwise, all with the same pause in one step."""
    alike: dict[tuple[datetime | None, str], list[str]] = {}
    for change in changes:
        if change.values.keys() & PAUSE.keys():
            after = change.after
            pause = (after.paused_until, after.pause_reason) if after.is_paused(at=now) else (None, "")
            alike.setdefault(pause, []).append(after.name)
    for (until, reason), names in alike.items():
        if until is None:
            services.resume_schedules(names, origin=origin)
        else:
            services.pause_schedules(names, until=until, reason=reason, origin=origin)
