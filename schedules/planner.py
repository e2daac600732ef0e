"""Which occurrences are due, and their rows in the ledger.

The planner keeps the next due instant of every started schedule in a heap of plain numbers. A pass takes all
that is due, writes its runs and the leader's progress in one transaction, and gives back the runs to publish.
"""

from __future__ import annotations

import heapq
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import transaction
from django_celery_beat.models import PeriodicTasks

from schedules import runs
from schedules.changes import changes_since, last_change_id
from schedules.cron import CronExpression
from schedules.lease import PlannerLease, lock_lease
from schedules.models import Run, Schedule, from_epoch
from schedules.policies import Misfire, settle_overdue

logger = logging.getLogger(__name__)

#: A clock that steps back further than this makes the planner start afresh from the new time
CLOCK_STEP_SECONDS = 2.0

#: Rows in one transaction at most
PART_SIZE = 5000

_COLUMNS = (
    "pk",
    "name",
    "qlik_task_id",
    "cron_schedule",
    "timezone",
    "armed_at",
    "misfire",
    "misfire_grace",
)


@dataclass(slots=True)
class Entry:
    """What the planner holds of one started schedule; instants are epoch seconds."""

    pk: int
    name: str
    qlik_task_id: str
    expression: CronExpression
    zone: ZoneInfo
    misfire: Misfire
    grace: float
    row: Mapping[str, Any]
    due: int | None = None

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Entry:
        """Build the entry of a row that has _COLUMNS; raises ValueError and the like for a broken one."""
        return cls(
            pk=row["pk"],
            name=row["name"],
            qlik_task_id=row["qlik_task_id"],
            expression=CronExpression.parse(row["cron_schedule"]),
            zone=ZoneInfo(row["timezone"]),
            misfire=Misfire(row["misfire"]),
            grace=row["misfire_grace"].total_seconds(),
            row=row,
        )

    def occurrences_up_to(self, now: float) -> Iterator[int]:
        """Yield the due instants from the next one to `now`."""
        due = self.due
        while due is not None and due <= now:
            yield due
            due = self.expression.next_timestamp(due, self.zone)


class Planner:
    """The heap of next due instants. Only the leader's planner writes."""

    def __init__(self, lease: PlannerLease) -> None:
        self._lease = lease
        self._entries: dict[int, Entry] = {}
        self._heap: list[tuple[int, int]] = []
        self._change_id = 0
        self._library_change: object = None
        self._planned_through = 0.0

    def load(self, *, now: float) -> None:
        """Read every started schedule and go on from where the last leader's planning ended."""
        with transaction.atomic():
            lease = lock_lease()
            self._change_id = last_change_id()
            self._library_change = PeriodicTasks.last_change()
            rows = list(Schedule.objects.filter(enabled=True).values(*_COLUMNS))
        self._planned_through = lease.planned_through.timestamp() if lease.planned_through else now
        if self._planned_through > now:
            logger.warning("the clock stands before the last planned instant; planning from now")
            self._planned_through = now
        self._entries, self._heap = {}, []
        for row in rows:
            self._put(row, after=self._start_of(row, now=now))
        logger.info("%d schedules are started; planning from %s on", len(rows), from_epoch(self._planned_through))

    def take_changes(self, *, now: float) -> None:
        """Read again what was changed since the last look."""
        if (library_change := PeriodicTasks.last_change()) != self._library_change:
            self._reload_differing(now=now)
            self._library_change = library_change
        self._take_recorded_changes(now=now)

    def seconds_until_due(self, *, now: float) -> float | None:
        """Return the seconds to the next due instant, 0 when something is due; None for an empty heap."""
        self._drop_stale()
        return max(self._heap[0][0] - now, 0.0) if self._heap else None

    def plan_due(self, *, now: float) -> list[UUID]:
        """Write the runs of everything due up to `now` and return those to publish, the longest due first.

        Where the database fails or the lease is lost (LeaseLostError), the next pass does the same again: progress is
        noted last, and a row that is there already is left as it is. After a long absence there are many rows; they
        are written in parts, so that edits need not wait for them all.
        """
        if now < self._planned_through - CLOCK_STEP_SECONDS:
            self.load(now=now)
        planned: list[UUID] = []
        due = self._due_entries(now)
        rows: Iterator[Run] | None = None
        is_done = not due
        while not is_done:
            with transaction.atomic():
                self._lease.advance(planned_through=from_epoch(self._planned_through))
                if rows is None:
                    # An edit that was answered before this pass got the lock decides about this pass
                    self._take_recorded_changes(now=now)
                    due = self._due_entries(now)
                    rows = chain.from_iterable(self._plan_entry(entry, now) for entry in due)
                part = list(islice(rows, PART_SIZE))
                runs.plan_runs(part)
                if is_done := len(part) < PART_SIZE:
                    self._lease.advance(planned_through=from_epoch(now))
            planned += [row.pk for row in part if row.state == Run.State.PLANNED]
        if due:
            self._planned_through = now
        for entry in due:
            self._advance(entry, after=now)
        return planned

    def _due_entries(self, now: float) -> list[Entry]:
        """Return the entries due at `now` in the order of their instants; they stay in the heap."""
        taken = []
        while self._heap and self._heap[0][0] <= now:
            taken.append(heapq.heappop(self._heap))
        live = [item for item in dict.fromkeys(taken) if self._is_live(item)]
        for item in live:
            heapq.heappush(self._heap, item)
        return [self._entries[pk] for _, pk in live]

    def _plan_entry(self, entry: Entry, now: float) -> Iterator[Run]:
        """Yield the rows for all occurrences of `entry` up to `now`."""
        due = list(entry.occurrences_up_to(now))
        overdue = settle_overdue(due, now=now, misfire=entry.misfire, grace=entry.grace)
        missed = "Misfire: beat was not planning when it was due."
        for instant in overdue.skipped:
            yield _run(entry, instant, now, reason=Run.Reason.SCHEDULED, state=Run.State.SKIPPED, message=missed)
        for instant in overdue.catch_up:
            yield _run(entry, instant, now, reason=Run.Reason.CATCH_UP, message=missed)
        for instant in overdue.on_time:
            yield _run(entry, instant, now, reason=Run.Reason.SCHEDULED)

    def _take_recorded_changes(self, *, now: float) -> None:
        change_id, changed = changes_since(self._change_id)
        rows: list[Mapping[str, Any]] = []
        pks = sorted(changed)
        for start in range(0, len(pks), 500):
            rows += Schedule.objects.filter(enabled=True, pk__in=pks[start : start + 500]).values(*_COLUMNS)
        for pk in changed:
            self._entries.pop(pk, None)
        for row in rows:
            self._put(row, after=self._start_of(row, now=now))
        self._change_id = change_id

    def _reload_differing(self, *, now: float) -> None:
        """Compare every row with its entry: somebody has saved tasks without a record of the change.

        Such an edit leaves no trace of when it took effect, so it does from now on.
        """
        rows = {row["pk"]: row for row in Schedule.objects.filter(enabled=True).values(*_COLUMNS)}
        for pk in self._entries.keys() - rows.keys():
            del self._entries[pk]
        for pk, row in rows.items():
            if pk not in self._entries or self._entries[pk].row != row:
                self._entries.pop(pk, None)
                self._put(row, after=now)

    def _start_of(self, row: Mapping[str, Any], *, now: float) -> float:
        """Return from when on the row counts: from its last change, if the clock was right then."""
        armed_at: datetime = row["armed_at"]
        return max(self._planned_through, min(armed_at.timestamp(), now))

    def _put(self, row: Mapping[str, Any], *, after: float) -> None:
        """Take a schedule's row into the heap, or set it aside where it cannot be computed."""
        try:
            entry = Entry.from_row(row)
            self._entries[entry.pk] = entry
            self._advance(entry, after=after)
        except Exception:
            # One row that a hand has broken must not keep the others from running
            logger.exception("schedule %s is set aside: its next time cannot be computed", row["name"])

    def _advance(self, entry: Entry, *, after: float) -> None:
        entry.due = entry.expression.next_timestamp(after, entry.zone)
        if entry.due is not None:
            heapq.heappush(self._heap, (entry.due, entry.pk))

    def _drop_stale(self) -> None:
        while self._heap and not self._is_live(self._heap[0]):
            heapq.heappop(self._heap)

    def _is_live(self, item: tuple[int, int]) -> bool:
        due, pk = item
        return pk in self._entries and self._entries[pk].due == due


def _run(
    entry: Entry,
    due: int,
    now: float,
    *,
    reason: Run.Reason,
    state: Run.State = Run.State.PLANNED,
    message: str = "",
) -> Run:
    return Run(
        pk=Run.occurrence_id(schedule_pk=entry.pk, due=due),
        schedule_id=entry.pk,
        schedule_name=entry.name,
        qlik_task_id=entry.qlik_task_id,
        due_at=from_epoch(due),
        planned_at=from_epoch(now),
        reason=reason,
        state=state,
        message=message,
    )
