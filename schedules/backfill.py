"""Runs made up for by hand: what a schedule would have run in a time gone by, and has not."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from math import ceil
from typing import NamedTuple, TypeAlias

from django.utils import timezone

from schedules import runs
from schedules.changes import Origin
from schedules.editing import editing
from schedules.maintenance import refuse_during_maintenance
from schedules.models import Run, Schedule, from_epoch
from schedules.periods import PeriodError, check_order, format_moment
from schedules.runs import PlannedRun
from schedules.services import UnknownScheduleError
from schedules.targets import TaskIndex, explain_no_tasks, has_target
from schedules.timetable import Timetable

#: Runs that one call can make
MOST_RUNS = 10_000
#: Occurrences that one call looks at, of all its schedules together
MOST_OCCURRENCES = 100_000

#: In these states a run has started its task, may have, or is on its way to it
#: The states of what was surely not started, and will not be; in any other it was, may have been, or is about to be
_NOT_RUN = (Run.State.SKIPPED, Run.State.REFUSED, Run.State.UNREACHABLE)
_STARTED = (Run.State.STARTED, Run.State.SUCCEEDED, Run.State.FAILED, Run.State.ABORTED)

_ADVICE = "Give a later from, an earlier until, or fewer schedules."
#: Rows of one transaction, during which beat plans nothing; schedules of one query
_PART_SIZE = 500


class _Found(NamedTuple):
    """What matters here of a run in the ledger."""

    reason: str
    state: str


_Ledger: TypeAlias = Mapping[tuple[int, datetime], Sequence[_Found]]  # by schedule and due instant


class BackfillError(ValueError):
    """A backfill that was asked for cannot be made."""


@dataclass(frozen=True, slots=True)
class Occurrence:
    """An instant at which a schedule was due by today's timetable, and what the ledger has for it.

    `state` and `reason` are those of the run that came furthest, empty where there is none. `is_backfilled` says
    that there is a backfill for it already, whatever came of it; there can be no second one.
    """

    due_at: datetime
    state: str = ""
    reason: str = ""
    is_backfilled: bool = False

    @property
    def has_run(self) -> bool:
        """Whether its task was started, may have been, or is about to be."""
        return bool(self.state) and self.state not in _NOT_RUN

    def is_wanted(self, *, again: bool) -> bool:
        """Return whether a backfill makes a run for it; `again` wants those that have run, too."""
        return not self.is_backfilled and (again or not self.has_run)


@dataclass(frozen=True, slots=True)
class Preview:
    """What a backfill of one schedule is about: its occurrences, in order."""

    schedule: Schedule
    occurrences: Sequence[Occurrence]

    def list_wanted(self, *, again: bool = False) -> list[Occurrence]:
        """Return the occurrences that a backfill makes a run for."""
        return [occurrence for occurrence in self.occurrences if occurrence.is_wanted(again=again)]

    def count_states(self) -> dict[str, int]:
        """Return how many there are of each state, `missing` standing for those without a run; the most first."""
        return dict(Counter(occurrence.state or "missing" for occurrence in self.occurrences).most_common())


def preview_backfill(public_ids: Iterable[str], *, from_at: datetime, until_at: datetime) -> list[Preview]:
    """Return what `backfill` is about: the occurrences from one instant to another, both included. Writes nothing.

    They are those of today's timetables; pauses, states and greatest numbers of runs do not matter. Raises
    UnknownScheduleError, PeriodError and BackfillError.
    """
    _check_period(from_at=from_at, until_at=until_at)
    schedules = _list_schedules(public_ids)
    due = _list_due(schedules, from_at=from_at, until_at=until_at)
    ledger = _read_ledger(due.keys(), from_at=from_at, until_at=until_at)
    return [
        Preview(schedule, [_mark(due_at, ledger.get((schedule.pk, due_at), [])) for due_at in due[schedule.pk]])
        for schedule in schedules
    ]


def backfill(
    public_ids: Iterable[str], *, from_at: datetime, until_at: datetime, origin: Origin, again: bool = False
) -> int:
    """Plan a run for each occurrence from one instant to another that has not run; return how many are new.

    What was skipped, refused or unreachable has not run; what waits for a worker, and what may have run, has. With
    `again` those that have run are run again. An occurrence is backfilled once: the same call again plans nothing,
    or the rest where the first was broken off. Raises what `preview_backfill` does, and MaintenanceError while the
    site is in maintenance; then it plans nothing.
    """
    previews = preview_backfill(public_ids, from_at=from_at, until_at=until_at)
    rows = list(_make_rows(previews, again=again, origin=origin))
    if len(rows) > MOST_RUNS:
        problem = f"That would be {len(rows):,} runs, and one call makes at most {MOST_RUNS:,}."
        raise BackfillError(f"{problem} {_ADVICE}")
    return sum(_plan(rows[start : start + _PART_SIZE], again=again) for start in range(0, len(rows), _PART_SIZE))


def _plan(rows: Sequence[PlannedRun], *, again: bool) -> int:
    """Insert those of the rows that are wanted still, and return how many; the planner waits meanwhile."""
    schedule_pks = {row.schedule_pk for row in rows}
    due = [row.due for row in rows]
    with editing() as now:
        refuse_during_maintenance(now)
        ledger = _read_ledger(schedule_pks, from_at=from_epoch(min(due)), until_at=from_epoch(max(due)))
        there = set(Schedule.objects.filter(pk__in=schedule_pks).values_list("pk", flat=True))
        wanted = [row for row in rows if row.schedule_pk in there and _is_wanted(row, ledger, again=again)]
        runs.plan_runs(wanted, now=now)
    return len(wanted)


def _is_wanted(row: PlannedRun, ledger: _Ledger, *, again: bool) -> bool:
    due_at = from_epoch(row.due)
    return _mark(due_at, ledger.get((row.schedule_pk, due_at), [])).is_wanted(again=again)


def _check_period(*, from_at: datetime, until_at: datetime) -> None:
    check_order(from_at=from_at, until_at=until_at)
    now = timezone.now()
    if until_at > now:
        raise PeriodError(
            f"until: {format_moment(until_at)} is in the future, and a backfill is for times gone by. Give a time not "
            f"later than now, {format_moment(now.replace(microsecond=0))}."
        )


def _list_schedules(public_ids: Iterable[str]) -> list[Schedule]:
    wanted = list(public_ids)
    # No id has a character that is not printable, and PostgreSQL refuses to look for some of them
    found = Schedule.objects.in_bulk([name for name in wanted if name.isprintable()], field_name="name")
    for public_id in wanted:
        if public_id not in found:
            raise UnknownScheduleError(public_id)
    return sorted(found.values(), key=lambda schedule: schedule.pk)


def _list_due(schedules: Iterable[Schedule], *, from_at: datetime, until_at: datetime) -> dict[int, Sequence[datetime]]:
    """Return the due instants of the schedules by their keys; raises BackfillError."""
    after, until = ceil(from_at.timestamp()) - 1, until_at.timestamp()
    known: dict[Timetable, Sequence[datetime]] = {}
    due = {}
    number = 0
    for schedule in schedules:
        timetable = _timetable_of(schedule)
        if timetable not in known:
            instants = islice(timetable.between(after, until), MOST_OCCURRENCES + 1)
            known[timetable] = [from_epoch(instant) for instant in instants]
        due[schedule.pk] = known[timetable]
        number += len(known[timetable])
        if number > MOST_OCCURRENCES:
            raise BackfillError(
                f"The schedules are due more than {MOST_OCCURRENCES:,} times from {format_moment(from_at)} until "
                f"{format_moment(until_at)}, and one call looks at no more. {_ADVICE}"
            )
    return due


def _timetable_of(schedule: Schedule) -> Timetable:
    try:
        return schedule.timetable
    except (LookupError, ValueError, TypeError, AttributeError, OSError) as error:
        problem = f"The schedule {schedule.name!r} is broken: {schedule.problem}"
        raise BackfillError(f"{problem} Correct it first, or leave it out.") from error


def _read_ledger(schedule_pks: Collection[int], *, from_at: datetime, until_at: datetime) -> _Ledger:
    """Return the runs that were due from one instant to another, by schedule and instant."""
    pks = sorted(schedule_pks)
    ledger: defaultdict[tuple[int, datetime], list[_Found]] = defaultdict(list)
    for start in range(0, len(pks), _PART_SIZE):
        part = pks[start : start + _PART_SIZE]
        rows = Run.objects.filter(schedule_id__in=part, due_at__range=(from_at, until_at)).order_by()
        for pk, due_at, reason, state in rows.values_list("schedule_id", "due_at", "reason", "state").iterator():
            ledger[pk, due_at].append(_Found(reason, state))
    return ledger


def _mark(due_at: datetime, found: Sequence[_Found]) -> Occurrence:
    """Return the occurrence with what came of it, of several runs the one that came furthest."""
    if not found:
        return Occurrence(due_at)
    furthest = max(found, key=lambda run: (run.state not in _NOT_RUN, run.state in _STARTED))
    is_backfilled = any(run.reason == Run.Reason.BACKFILL for run in found)
    return Occurrence(due_at, furthest.state, furthest.reason, is_backfilled)


def _make_rows(previews: Iterable[Preview], *, again: bool, origin: Origin) -> Iterator[PlannedRun]:
    message = f"Backfill, asked for by {origin.actor or 'somebody'}, {origin.source.label}."
    tasks = TaskIndex()
    for preview in previews:
        schedule = preview.schedule
        task_ids = _list_task_ids(schedule, tasks)
        for occurrence in preview.list_wanted(again=again):
            due = int(occurrence.due_at.timestamp())
            for task_id in task_ids:
                own = task_id if has_target(schedule) else ""
                yield PlannedRun(
                    key=Run.backfill_id(schedule_pk=schedule.pk, due=due, task_id=own).hex,
                    schedule_pk=schedule.pk,
                    schedule_name=schedule.name,
                    qlik_task_id=task_id,
                    due=due,
                    reason=Run.Reason.BACKFILL.value,
                    message=message,
                )


def _list_task_ids(schedule: Schedule, tasks: TaskIndex) -> Sequence[str]:
    """Return the tasks that a schedule starts; raises BackfillError where it aims at some and there are none."""
    if not has_target(schedule):
        return [schedule.qlik_task_id]
    if task_ids := tasks.resolve(schedule):
        return task_ids
    raise BackfillError(f"The schedule {schedule.name!r} would start nothing. {explain_no_tasks(schedule)}")
