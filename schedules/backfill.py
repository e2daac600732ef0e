"""Runs made up for by hand: what a schedule would have run in a time gone by, and has not."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count, islice
from math import ceil
from typing import NamedTuple, TypeAlias
from uuid import UUID

from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from schedules import runs
from schedules.changes import Origin
from schedules.editing import editing
from schedules.maintenance import refuse_during_maintenance
from schedules.models import Run, Schedule, from_epoch
from schedules.periods import PeriodError, check_order, format_moment
from schedules.runs import PlannedRun
from schedules.schedule_rules import list_closures
from schedules.services import UnknownScheduleError
from schedules.targets import TaskIndex, explain_no_tasks, has_target
from schedules.timetable import Timetable

#: Runs that one call can make
MOST_RUNS = 10_000
#: Occurrences that one call looks at, of all its schedules together
MOST_OCCURRENCES = 100_000

#: The states of what was surely started
_STARTED = (Run.State.STARTED, Run.State.SUCCEEDED, Run.State.FAILED, Run.State.ABORTED)

#: In the order of _Found
_FOUND_COLUMNS = ("pk", "qlik_task_id", "reason", "state")
_ADVICE = "Give a later from, an earlier until, or fewer schedules."
#: Rows of one transaction, during which beat plans nothing; schedules of one query
_PART_SIZE = 500


class _Found(NamedTuple):
    """What matters here of a run in the ledger."""

    key: UUID
    task_id: str
    reason: str
    state: str

    @property
    def has_run(self) -> bool:
        """Whether its task was started, may have been, or is about to be."""
        return self.state not in runs.NOT_STARTED


_Ledger: TypeAlias = Mapping[tuple[int, datetime], Sequence[_Found]]  # by schedule and due instant


class _Wish(NamedTuple):
    """A run that is to be made: of one task of a schedule, for an instant at which the schedule was due."""

    schedule: Schedule
    due_at: datetime
    task_id: str

    @property
    def own_task_id(self) -> str:
        """The task, where its runs are told from those of other tasks of the schedule; else nothing."""
        return self.task_id if has_target(self.schedule) else ""


class BackfillError(ValueError):
    """A backfill that was asked for cannot be made."""


class Cancellation(NamedTuple):
    """A backfill that was cancelled: how many of its runs will not start, and how many have and are not over."""

    cancelled: int
    in_hand: int


@dataclass(frozen=True, slots=True)
class Occurrence:
    """An instant at which a schedule was due by today's timetable, and what the ledger has for it.

    `state` and `reason` are those of the run that came furthest, empty where there is none. `unmade` are the tasks that
    have not run, and `repeatable` those that a backfill may run once more: those that none has run or is about to.
    """

    due_at: datetime
    state: str = ""
    reason: str = ""
    unmade: Sequence[str] = ()
    repeatable: Sequence[str] = ()

    @property
    def has_run(self) -> bool:
        """Whether a task was started, may have been, or is about to be."""
        return bool(self.state) and self.state not in runs.NOT_STARTED

    def list_tasks(self, *, again: bool) -> Sequence[str]:
        """Return the tasks that a backfill makes a run of; `again` wants those that have run, too."""
        return self.repeatable if again else self.unmade

    def is_wanted(self, *, again: bool) -> bool:
        """Return whether a backfill makes a run for it."""
        return bool(self.list_tasks(again=again))


@dataclass(frozen=True, slots=True)
class Preview:
    """What a backfill of one schedule is about: its occurrences, in order, and the tasks that it starts today."""

    schedule: Schedule
    occurrences: Sequence[Occurrence]
    task_ids: Sequence[str] = ()

    def list_wanted(self, *, again: bool = False) -> list[Occurrence]:
        """Return the occurrences that a backfill makes a run for."""
        return [occurrence for occurrence in self.occurrences if occurrence.is_wanted(again=again)]

    def count_runs(self, *, again: bool = False) -> int:
        """Return how many runs a backfill makes: one for each task of each occurrence that it is wanted for."""
        return sum(len(occurrence.list_tasks(again=again)) for occurrence in self.occurrences)

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
    tasks = TaskIndex()
    return [_preview(schedule, due[schedule.pk], ledger, tasks=tasks) for schedule in schedules]


def backfill(
    public_ids: Iterable[str], *, from_at: datetime, until_at: datetime, origin: Origin, again: bool = False
) -> int:
    """Plan a run for each occurrence from one instant to another that has not run; return how many are new.

    What was skipped, refused or unreachable has not run, be it an occurrence or the backfill of one; what waits for a
    worker, and what may have run, has. With `again` those that have run are run again, but not by a second backfill.
    The same call again plans nothing, or what was not made by the first. Raises what `preview_backfill` does, and
    MaintenanceError while the site is in maintenance; then it plans nothing.
    """
    previews = preview_backfill(public_ids, from_at=from_at, until_at=until_at)
    wishes = list(_list_wishes(previews, again=again))
    if len(wishes) > MOST_RUNS:
        problem = f"That would be {len(wishes):,} runs, and one call makes at most {MOST_RUNS:,}."
        raise BackfillError(f"{problem} {_ADVICE}")
    parts = (wishes[start : start + _PART_SIZE] for start in range(0, len(wishes), _PART_SIZE))
    began_at = timezone.now()
    return sum(_plan(part, again=again, origin=origin, began_at=began_at) for part in parts)


def count_waiting(
    public_ids: Iterable[str], *, from_at: datetime | None = None, until_at: datetime | None = None
) -> int:
    """Return how many runs `cancel_backfill` would cancel now; raises UnknownScheduleError and PeriodError."""
    pks = [schedule.pk for schedule in _list_schedules(public_ids)]
    which = _which(from_at=from_at, until_at=until_at)
    return Run.objects.filter(which, state__in=runs.UNCLAIMED, schedule_id__in=pks).count()


def cancel_backfill(
    public_ids: Iterable[str], *, origin: Origin, from_at: datetime | None = None, until_at: datetime | None = None
) -> Cancellation:
    """Cancel the backfills of these schedules: skip the runs that no worker has claimed; a later one may make them.

    With instants only runs that were due from the one to the other, both included. Runs that a worker has claimed or
    Qlik Sense has begun go on. Raises UnknownScheduleError and PeriodError.
    """
    which = _which(from_at=from_at, until_at=until_at)
    message = f"The backfill was cancelled by {origin.actor or 'somebody'}, {origin.source.label}."
    with editing():
        pks = [schedule.pk for schedule in _list_schedules(public_ids)]
        cancelled = runs.skip_unclaimed(pks, message=message, which=which)
        left = Run.objects.filter(which, closed_at__isnull=True, claimed_at__isnull=False, schedule_id__in=pks)
        return Cancellation(cancelled, left.count())


def _which(*, from_at: datetime | None, until_at: datetime | None) -> Q:
    """Return what the runs of backfills are that were due in a time, each end of which may be open."""
    if from_at and until_at:
        check_order(from_at=from_at, until_at=until_at)
    is_late = Q(due_at__gte=from_at) if from_at else Q()
    is_early = Q(due_at__lte=until_at) if until_at else Q()
    return Q(reason=Run.Reason.BACKFILL) & is_late & is_early


def _plan(wishes: Sequence[_Wish], *, again: bool, origin: Origin, began_at: datetime) -> int:
    """Insert runs for those of the wishes that are wanted still, and return how many; the planner waits meanwhile.

    Of a schedule that was stopped or paused since the backfill began there are no more: what it had was skipped.
    """
    schedule_pks = {wish.schedule.pk for wish in wishes}
    due = [wish.due_at for wish in wishes]
    message = f"Backfill, asked for by {origin.actor or 'somebody'}, {origin.source.label}."
    with editing() as now:
        refuse_during_maintenance(now)
        ledger = _read_ledger(schedule_pks, from_at=min(due), until_at=max(due))
        closed = list_closures().filter(schedule_pk=OuterRef("pk"), changed_at__gt=began_at)
        there = set(Schedule.objects.filter(~Exists(closed), pk__in=schedule_pks).values_list("pk", flat=True))
        rows = [
            _make_row(wish, found, message=message)
            for wish in wishes
            if wish.schedule.pk in there
            and _is_wanted(found := ledger.get((wish.schedule.pk, wish.due_at), []), wish.own_task_id, again=again)
        ]
        runs.plan_runs(rows, now=now)
    return len(rows)


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
        columns = ("schedule_id", "due_at", *_FOUND_COLUMNS)
        for pk, due_at, *found in rows.values_list(*columns).iterator():
            ledger[pk, due_at].append(_Found(*found))
    return ledger


def _preview(schedule: Schedule, due: Iterable[datetime], ledger: _Ledger, *, tasks: TaskIndex) -> Preview:
    task_ids = tasks.resolve(schedule) if has_target(schedule) else (schedule.qlik_task_id,)
    occurrences = [_mark(schedule, due_at, ledger.get((schedule.pk, due_at), []), task_ids) for due_at in due]
    return Preview(schedule, occurrences, task_ids)


def _mark(schedule: Schedule, due_at: datetime, found: Sequence[_Found], task_ids: Sequence[str]) -> Occurrence:
    """Return the occurrence with what came of it, of several runs the one that came furthest."""
    if not found:
        return Occurrence(due_at, unmade=task_ids, repeatable=task_ids)
    furthest = max(found, key=lambda run: (run.has_run, run.state in _STARTED))
    unmade, repeatable = (
        [task_id for task_id in task_ids if _is_wanted(found, task_id if has_target(schedule) else "", again=again)]
        for again in (False, True)
    )
    return Occurrence(due_at, furthest.state, furthest.reason, unmade, repeatable)


def _is_wanted(found: Sequence[_Found], own_task_id: str, *, again: bool) -> bool:
    """Return whether a backfill makes a run, of a task of its own where there may be others, for what the ledger has.

    There is one backfill that ran, may have, or is about to; one that surely was not started is made again. A task of
    which there is nothing, though others have run, was not the schedule's at that time.
    """
    own = [run for run in found if run.task_id.lower() == own_task_id] if own_task_id else found
    if any(run.has_run and run.reason == Run.Reason.BACKFILL for run in own):
        return False
    return again or not any(run.has_run for run in own or found)


def _list_wishes(previews: Iterable[Preview], *, again: bool) -> Iterator[_Wish]:
    """Yield the runs that are to be made; raises BackfillError where a schedule aims at tasks and there are none."""
    for preview in previews:
        if not preview.task_ids:
            problem = f"The schedule {preview.schedule.name!r} would start nothing."
            raise BackfillError(f"{problem} {explain_no_tasks(preview.schedule)}")
        for occurrence in preview.occurrences:
            for task_id in occurrence.list_tasks(again=again):
                yield _Wish(preview.schedule, occurrence.due_at, task_id)


def _make_row(wish: _Wish, found: Sequence[_Found], *, message: str) -> PlannedRun:
    """Return the run of a wish, under the first key that no run of the occurrence has."""
    due, known = int(wish.due_at.timestamp()), {run.key for run in found}
    keys = (
        Run.backfill_id(schedule_pk=wish.schedule.pk, due=due, task_id=wish.own_task_id, number=number)
        for number in count()
    )
    return PlannedRun(
        key=next(key for key in keys if key not in known).hex,
        schedule_pk=wish.schedule.pk,
        schedule_name=wish.schedule.name,
        qlik_task_id=wish.task_id,
        due=due,
        reason=Run.Reason.BACKFILL.value,
        message=message,
    )
