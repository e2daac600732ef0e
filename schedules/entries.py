"""What the planner holds of a started schedule, and the rows that its occurrences become."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, inf
from typing import Any
from uuid import UUID

from django.db import DatabaseError

from schedules.models import TIMETABLE_COLUMNS, Maintenance, Run, Schedule, from_epoch, make_timetable
from schedules.policies import MISFIRE_MARK, Misfire, maintenance_message, pause_message, settle_missed
from schedules.runs import OCCURRENCES, PlannedRun
from schedules.targets import Target, TaskIndex, explain_no_tasks
from schedules.timetable import Timetable
from schedules.validators import NO_TASK_ID

logger = logging.getLogger(__name__)

#: So many occurrences that are skipped together get a row each; one row stands for more
MOST_SKIPPED_ROWS = 100

_COLUMNS = (
    *TIMETABLE_COLUMNS,
    "pk",
    "qlik_task_id",
    "target_tag",
    "target_property",
    "armed_at",
    "misfire",
    "misfire_grace",
    "max_runs",
    "runs_planned",
    "paused_until",
    "pause_reason",
)
#: Rows in one query
_READ_SIZE = 500


@dataclass(slots=True)
class Entry:
    """A started schedule and its next due instant; instants are epoch seconds."""

    pk: int
    name: str
    qlik_task_id: str
    timetable: Timetable
    armed_at: float
    misfire: Misfire
    grace: float
    paused_until: float
    pause_reason: str
    # Of a schedule that aims at more than one task
    task_ids: tuple[str, ...] | None = None
    no_tasks: str = ""
    runs_left: float = field(default=inf, compare=False)
    due: int | None = field(default=None, compare=False)

    @classmethod
    def from_row(cls, row: Mapping[str, Any], tasks: TaskIndex) -> Entry:
        """Build the entry of a row that has _COLUMNS; raises ValueError and the like for a broken one."""
        qlik_task_id, task_ids, no_tasks = row["qlik_task_id"], None, ""
        if row["target_tag"] or row["target_property"]:
            target = Target(qlik_task_id, row["target_tag"], row["target_property"])
            task_ids = tasks.resolve(target)
            no_tasks = "" if task_ids else explain_no_tasks(target)
        if qlik_task_id != NO_TASK_ID or task_ids is None:
            UUID(qlik_task_id)
        return cls(
            pk=row["pk"],
            name=row["name"],
            qlik_task_id=qlik_task_id,
            task_ids=task_ids,
            no_tasks=no_tasks,
            timetable=make_timetable(row),
            armed_at=row["armed_at"].timestamp(),
            misfire=Misfire(row["misfire"]),
            grace=row["misfire_grace"].total_seconds(),
            paused_until=row["paused_until"].timestamp() if row["paused_until"] else -inf,
            pause_reason=row["pause_reason"],
            runs_left=inf if row["max_runs"] is None else row["max_runs"] - row["runs_planned"],
        )

    @property
    def size(self) -> int:
        """How many rows an occurrence makes."""
        return max(len(self.task_ids), 1) if self.task_ids else 1

    def advance(self, *, after: float) -> None:
        """Move on to the first due instant after `after`."""
        self.due = self.timetable.next_timestamp(after)

    def pop_due(self, *, until: float) -> list[int]:
        """Return the due instants up to `until` and move on to the one after them."""
        instants = []
        due = self.due
        while due is not None and due <= until:
            instants.append(due)
            due = self.timetable.next_timestamp(due)
        self.due = due
        return instants


@dataclass(frozen=True, slots=True)
class Window:
    """A maintenance of the site, from one epoch second up to, not including, another."""

    began: float
    ended: float
    reason: str


@dataclass(slots=True)
class Circumstances:
    """What decides about occurrences beside their schedules, and the runs that schedules were given meanwhile.

    After the clock was set back `clock_sets` times, instants after `repeats_after` and up to `repeats_until` (epoch
    seconds) come once more. Where `may_be_planned`, a leader that was killed may have written some of the rows.
    """

    windows: Sequence[Window] = ()
    clock_sets: int = 0
    repeats_after: float = -inf
    repeats_until: float = -inf
    may_be_planned: bool = True
    given: Counter[int] = field(default_factory=Counter)

    def plan(
        self, entry: Entry, *, on_time: Sequence[int] = (), missed: Sequence[int] = (), is_replaced: bool = False
    ) -> Iterator[PlannedRun]:
        """Yield the rows of an entry's occurrences, given as ascending epoch seconds.

        `is_replaced` says that an occurrence after these makes up for those that were missed.
        """
        if self.windows or entry.paused_until > -inf:
            closed = {instant: why for instant in (*missed, *on_time) if (why := self._closure(entry, instant))}
            for why in dict.fromkeys(closed.values()):
                yield from self._skip(entry, [instant for instant in closed if closed[instant] == why], why)
            missed = [instant for instant in missed if instant not in closed]
            on_time = [instant for instant in on_time if instant not in closed]
        if missed and missed[0] <= self.repeats_until:
            # The clock was set back, and forward again: what has come once is not made up for
            came = {instant for instant, _ in list_planned(entry.pk, missed)}
            missed = [instant for instant in missed if instant > self.repeats_until or instant not in came]
        if missed:
            settled = settle_missed(missed, misfire=entry.misfire, is_replaced=is_replaced or bool(on_time))
            yield from self._skip(entry, settled.skipped, f"{MISFIRE_MARK} beat was not planning when it was due.")
            yield from self._run(entry, settled.catch_up, Run.Reason.CATCH_UP)
        yield from self._run(entry, on_time, Run.Reason.SCHEDULED)

    def _run(self, entry: Entry, instants: Sequence[int], reason: Run.Reason) -> Iterator[PlannedRun]:
        is_limited = entry.runs_left < inf
        may_be_planned = self.may_be_planned or reason == Run.Reason.CATCH_UP
        known = list_planned(entry.pk, instants) if is_limited and instants and may_be_planned else ()
        for instant in instants:
            row = self._row(entry, instant, reason)
            if entry.no_tasks:
                yield row._replace(state=Run.State.REFUSED, message=entry.no_tasks)
                continue
            if is_limited and (instant, row.repeat) not in known:
                if entry.runs_left <= 0:
                    return
                entry.runs_left -= 1
                self.given[entry.pk] += 1
            if entry.task_ids is None:
                yield row
            else:
                yield from (_for_task(row, task_id) for task_id in entry.task_ids)

    def _skip(self, entry: Entry, instants: Sequence[int], message: str) -> Iterator[PlannedRun]:
        """Yield rows that say why these occurrences do not run: few, however many there are."""
        groups = [(instant, 1) for instant in instants]
        if len(instants) > MOST_SKIPPED_ROWS:
            # A leader that was killed may have planned some of them already
            known = {instant for instant, _ in list_planned(entry.pk, instants)}
            message += f" So were all up to {from_epoch(instants[-1]):%Y-%m-%d %H:%M:%S} UTC."
            instants = [instant for instant in instants if instant not in known]
            groups = [(instants[0], len(instants))] if instants else []
        for instant, occurrences in groups:
            row = self._row(entry, instant, Run.Reason.SCHEDULED)
            yield row._replace(state=Run.State.SKIPPED, message=message, occurrences=occurrences)

    def _row(self, entry: Entry, instant: int, reason: Run.Reason) -> PlannedRun:
        repeat = self._repeat_of(entry, instant)
        return PlannedRun(
            key=Run.occurrence_key(schedule_pk=entry.pk, due=instant, repeat=repeat),
            schedule_pk=entry.pk,
            schedule_name=entry.name,
            qlik_task_id=entry.qlik_task_id,
            due=instant,
            reason=Run.Reason.REPEATED if repeat else reason,
            repeat=repeat,
        )

    def next_open(self, entry: Entry, *, after: float, until: float) -> int | None:
        """Return the first due instant after `after`, and not after `until`, at which the entry may start."""
        due = entry.timetable.next_timestamp(after)
        while due is not None and due <= until:
            last_closed = self._closed_through(entry, due)
            if last_closed is None:
                return due
            # At once behind the closure, which may hold an occurrence for each second of some days
            due = entry.timetable.next_timestamp(last_closed) if last_closed < until else None
        return None

    def _closed_through(self, entry: Entry, instant: int) -> float | None:
        """Return the last whole second of what keeps the entry from starting at this one; None where nothing does."""
        if instant <= entry.paused_until:
            return entry.paused_until
        ends = (window.ended for window in self.windows if window.began <= instant < window.ended)
        end = max(ends, default=None)
        return end if end is None or end == inf else ceil(end) - 1

    def _closure(self, entry: Entry, instant: int) -> str:
        """Return why nothing may start at this instant; empty where it may."""
        if instant <= entry.paused_until:
            return pause_message(from_epoch(entry.paused_until), entry.pause_reason)
        reasons = (window.reason for window in self.windows if window.began <= instant < window.ended)
        return next(map(maintenance_message, reasons), "")

    def _repeat_of(self, entry: Entry, instant: int) -> int:
        """Return which repetition an occurrence is; 0 for the first, and for fixed-time ones, which have no others."""
        is_again = self.repeats_after < instant <= self.repeats_until
        return self.clock_sets if is_again and not entry.timetable.expression.is_fixed_time else 0


def _for_task(row: PlannedRun, task_id: str) -> PlannedRun:
    """Return the row of an occurrence for one of several tasks.

    The task is part of the key, even of a single one: which ones there are may have changed for a planner that makes
    these rows once more, and none may be taken for another one's.
    """
    return row._replace(key=Run.task_key(row.key, task_id), qlik_task_id=task_id)


def list_planned(schedule_pk: int, instants: Sequence[int]) -> set[tuple[int, int]]:
    """Return the instants from the first to the last of these that have rows, each with which repetition it is."""
    between = from_epoch(instants[0]), from_epoch(instants[-1])
    rows = Run.objects.filter(schedule_id=schedule_pk, due_at__range=between, reason__in=OCCURRENCES)
    return {(int(due_at.timestamp()), repeat) for due_at, repeat in rows.order_by().values_list("due_at", "repeat")}


def list_windows(*, since: float) -> list[Window]:
    """Return the maintenances of the site that were not over at `since`, in epoch seconds."""
    rows = Maintenance.objects.exclude(ended_at__lte=from_epoch(since))
    return [
        Window(row.began_at.timestamp(), row.ended_at.timestamp() if row.ended_at else inf, row.reason) for row in rows
    ]


def read_entries(pks: Sequence[int] | None = None) -> dict[int, Entry]:
    """Return the entries of started schedules, all or those of `pks`; one that a hand has broken is left out."""
    return {pk: entry for _, part in read_parts(pks) for pk, entry in part.items()}


def read_parts(pks: Sequence[int] | None = None) -> Iterator[tuple[int, dict[int, Entry]]]:
    """Do as read_entries does, part by part; each part is read when it is asked for.

    With it comes the key up to which all are read then. Between two parts is time for what must not wait.
    """
    started = Schedule.objects.filter(enabled=True).order_by("pk").values_list("pk", flat=True)
    keys = list(started) if pks is None else pks
    tasks = TaskIndex()
    for start in range(0, len(keys), _READ_SIZE):
        part = keys[start : start + _READ_SIZE]
        yield part[-1], {entry.pk: entry for entry in _read_sound(part, tasks, are_all=pks is None)}


def _read_sound(pks: Sequence[int], tasks: TaskIndex, *, are_all: bool) -> Iterator[Entry]:
    """Yield the entries of these rows; what cannot be read is looked for in ever smaller parts and set aside.

    Where `are_all` that are started between the first and the last, they are read as a range, which is quicker.
    """
    which = {"pk__gte": pks[0], "pk__lte": pks[-1]} if are_all else {"pk__in": pks}
    try:
        rows = list(Schedule.objects.filter(enabled=True, **which).order_by("pk").values(*_COLUMNS))
    except DatabaseError:
        raise
    except Exception as error:
        # SQLite keeps any text in any column, and the reading of it fails for the whole query
        if len(pks) == 1:
            logger.error("schedule with the key %s is set aside, its row cannot be read: %r", pks[0], error)
            return
        middle = len(pks) // 2
        yield from _read_sound(pks[:middle], tasks, are_all=are_all)
        yield from _read_sound(pks[middle:], tasks, are_all=are_all)
        return
    for row in rows:
        try:
            yield Entry.from_row(row, tasks)
        except Exception as error:
            logger.error("schedule %s is set aside, its times cannot be computed: %s", row["name"], error)
