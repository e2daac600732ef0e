"""Which occurrences are due, and their rows in the ledger.

The planner keeps the next due instant of every started schedule in a heap of plain numbers. A pass takes all
that is due and writes its runs, and the leader's progress with the last of them. What was missed in a long absence
is settled after that, slice by slice, so that it delays nothing that is due now.
"""

from __future__ import annotations

import heapq
import logging
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from math import inf
from operator import itemgetter

from django.db import transaction

from schedules import runs
from schedules.absences import find_border, plan_slice
from schedules.changes import SITE_PK, changes_since
from schedules.entries import Circumstances, Entry, list_windows, read_parts
from schedules.lease import PlannerLease, Pulse
from schedules.models import Absence, Lease, from_epoch
from schedules.passes import Pass
from schedules.policies import first_on_time
from schedules.runs import PlannedRun
from schedules.set_backs import follow_set_back

logger = logging.getLogger(__name__)

#: A clock that is set back further than this is followed at once; less is waited out
CLOCK_STEP_SECONDS = 60.0
#: Who has not planned for longer than this was absent
ABSENCE_SECONDS = 60.0
#: Rows in the first transaction of a pass, by how much the next ones grow, and rows in one at most: workers begin with
#: the first runs of a burst while the others are still being written
FIRST_PART_SIZE, PART_GROWTH, PART_SIZE = 100, 4, 5000
#: More changes than these are read before a pass, and not within it
FEW_CHANGES = 500


class Planner:
    """The heap of next due instants. Only the leader's planner writes.

    After any error it has to be loaded again: what it holds may be ahead of what was written.
    """

    def __init__(self, lease: PlannerLease) -> None:
        self._lease = lease
        self._entries: dict[int, Entry] = {}
        self._heap: list[tuple[int, int]] = []
        self._absences: list[Absence] = []
        self._circumstances = Circumstances()
        self._change_id = 0
        self._library_mark: object = None
        # Where a comparison of all rows is under way, and the keys that it has not come to
        self._rereading: Iterator[tuple[int, dict[int, Entry]]] | None = None
        self._unread: list[int] = []
        self._has_to_reread = False
        self._planned_through = 0.0
        # Since when nobody has planned, where a pass has left something to the next one
        self._undone_from: float | None = None

    def load(self, *, now: float) -> None:
        """Read every started schedule and go on from where the last leader's planning ended.

        Only the lease is renewed under its lock: others write while the schedules are read. What is changed meanwhile
        is read again by the next pass. Raises LeaseLostError.
        """
        while not self._take_progress(now=now):
            pass
        self._entries, self._heap, self._rereading, self._undone_from = {}, [], None, None
        for _, part in read_parts():
            self._lease.stay()
            self._entries |= part
            for entry in part.values():
                self._arm(entry, after=self._start_of(entry, now=now))
        started, since = len(self._entries), from_epoch(self._planned_through)
        logger.info("%d schedules are started; planning from %s on", started, since)

    def take_changes(self, pulse: Pulse, *, now: float) -> bool:
        """Read again what was changed since the last look; return whether the library's tables were changed too.

        Then somebody has saved tasks without a record of the change, and every row is compared with its entry: a part
        now, and the others by `reread`.
        """
        self._take_recorded_changes(pulse, now=now)
        if pulse.library_mark == self._library_mark:
            return False
        self._library_mark = pulse.library_mark
        # Once more from the beginning when it has come to its end: whoever saves all the time must not keep it there
        self._has_to_reread = True
        self.reread(now=now)
        return True

    def reread(self, *, now: float) -> bool:
        """Compare a part of the rows with their entries where that is needed; return whether there is more to compare.

        Such an edit leaves no trace of when it took effect, so it does from now on.
        """
        if self._rereading is None:
            if not self._has_to_reread:
                return False
            self._rereading, self._has_to_reread = read_parts(), False
            self._unread = sorted(self._entries)
        through, fresh = next(self._rereading, (None, {}))
        count = len(self._unread) if through is None else bisect_right(self._unread, through)
        missing = [pk for pk in self._unread[:count] if pk not in fresh]
        self._unread = self._unread[count:]
        self._take_differing(missing, fresh, now=now)
        if through is None:
            self._rereading = None
        return self._rereading is not None or self._has_to_reread

    def next_due(self) -> int | None:
        """Return the next due instant in epoch seconds, which may have come already; None when there is none."""
        while self._heap and not self._is_live(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def plan_due(self, *, now: float, is_queued: bool = False) -> Iterator[list[str]]:
        """Write the runs of everything due up to `now`; yield after each transaction the keys of runs to publish now.

        There are such keys only with `is_queued`, by which the caller promises to publish or to give back. The passes
        of two leaders make the same rows, and one that is there already is left as it is.
        """
        if now < self._planned_through - CLOCK_STEP_SECONDS:
            self.load(now=now)
        if self._undone_from is None and ((next_due := self.next_due()) is None or next_due > now):
            return
        current: Pass | None = None
        absent_from = None
        size = min(FIRST_PART_SIZE, PART_SIZE)
        while current is None or not current.is_over:
            queued = None
            with transaction.atomic():
                pulse = self._lease.renew()
                if current is None and pulse.change_id <= self._change_id + FEW_CHANGES:
                    # An edit that was answered before this pass got the lock decides about this pass
                    self._take_recorded_changes(pulse, now=now)
                    absent_from = self._absent_from(now)
                    current = self._begin_pass(now, was_absent=absent_from is not None)
                if current is not None:
                    queued = runs.plan_runs(current.take(size), now=from_epoch(now), is_queued=is_queued)
                    self._count_given()
                    if current.is_done:
                        self._note_progress(now, absent_from=absent_from)
            if queued is None:
                self._take_recorded_changes(pulse, now=now)
                continue
            size = min(size * PART_GROWTH, PART_SIZE)
            yield queued
        self._undone_from = None if current.is_done else absent_from
        for entry in current.list_taken():
            if entry.due is not None and entry.due <= now:
                # What is due next is computed when what is due now is on its way
                entry.advance(after=entry.due)
        for entry in (*current.list_taken(), *current.list_left()):
            self._push(entry)

    def settle_absence(self, *, now: float) -> bool:
        """Settle a slice of what was missed in an absence; return whether there may be more to settle."""
        if not self._absences:
            return False
        absence = self._absences[0]
        with transaction.atomic():
            self._lease.renew()
            part = plan_slice(absence, self._entries, self._circumstances)
            runs.plan_runs(part.rows, now=from_epoch(now))
            self._count_given()
            if part.is_last:
                absence.delete()
            else:
                absence.save(update_fields=["settled_pk", "settled_through"])
        if part.is_last:
            logger.info("the %s is settled", self._absences.pop(0))
        return bool(self._absences)

    def _take_progress(self, *, now: float) -> bool:
        """Take up where the last leader ended; return False where there is more of it to do.

        A clock that was set back since is noticed here.
        """
        with transaction.atomic():
            pulse = self._lease.renew()
            lease = Lease.objects.get()
            if lease.planned_through is None:
                # The first leader ever: from here on nothing may be lost
                lease.planned_through = from_epoch(now)
                self._lease.advance(planned_through=lease.planned_through)
            if lease.planned_through.timestamp() > now + CLOCK_STEP_SECONDS and not follow_set_back(lease, now=now):
                return False
            self._planned_through = lease.planned_through.timestamp()
            self._absences = list(Absence.objects.all())
        self._change_id, self._library_mark = pulse.change_id, pulse.library_mark
        since = min([self._planned_through, *(absence.from_at.timestamp() for absence in self._absences)])
        self._circumstances = Circumstances(
            windows=list_windows(since=since),
            clock_sets=lease.clock_sets,
            repeats_after=_epoch_of(lease.repeats_after),
            repeats_until=_epoch_of(lease.repeats_until),
        )
        return True

    def _absent_from(self, now: float) -> float | None:
        """Return the moment after which nobody planned, when that is long ago; None in the ordinary case."""
        if self._undone_from is not None:
            return self._undone_from
        oldest = self.next_due()
        if oldest is None or now - oldest <= ABSENCE_SECONDS:
            return None
        return max(self._planned_through, oldest - 1)

    def _note_progress(self, now: float, *, absent_from: float | None) -> None:
        """Note that everything up to `now` is planned, but for what was missed in an absence."""
        if absent_from is not None:
            absence = Absence.objects.create(from_at=from_epoch(absent_from), until_at=from_epoch(now))
            self._absences.append(absence)
            logger.warning("nobody planned from %s to %s", absence.from_at, absence.until_at)
        self._lease.advance(planned_through=from_epoch(now))
        self._planned_through = now
        self._circumstances.may_be_planned = False

    def _count_given(self) -> None:
        runs.count_runs(self._circumstances.given)
        self._circumstances.given.clear()

    def _begin_pass(self, now: float, *, was_absent: bool) -> Pass:
        """Take the entries that are due at `now` out of the heap, in the order of their instants."""
        taken = []
        while self._heap and self._heap[0][0] <= now:
            taken.append(heapq.heappop(self._heap))
        items = [item for item in dict.fromkeys(taken) if self._is_live(item)]
        # What has come due just now is not to wait for what is late anyhow
        late = bisect_left(items, now - ABSENCE_SECONDS, key=itemgetter(0)) if was_absent else 0
        return Pass(
            [self._entries[pk] for _, pk in items[late:]],
            [self._entries[pk] for _, pk in items[:late]],
            plan=partial(self._plan_entry, now=now, was_absent=was_absent),
        )

    def _plan_entry(self, entry: Entry, *, now: float, was_absent: bool) -> Iterator[PlannedRun]:
        """Return the rows of a due entry's occurrences up to `now`, but for those missed in an absence."""
        border = first_on_time(now, grace=entry.grace)
        if entry.due is not None and entry.due >= border and entry.due > now - 1:
            # Due in this very second, so nothing else is
            return self._circumstances.plan(entry, on_time=[entry.due])
        if was_absent and entry.due is not None:
            border = find_border(entry, after=entry.due - 1, until=now)
            if entry.due < border:
                entry.advance(after=border - 1)
        instants = entry.pop_due(until=now)
        missed = bisect_left(instants, border)
        return self._circumstances.plan(entry, on_time=instants[missed:], missed=instants[:missed])

    def _take_recorded_changes(self, pulse: Pulse, *, now: float) -> None:
        if pulse.change_id == self._change_id:
            return
        changed = changes_since(self._change_id)
        if SITE_PK in changed:
            self._circumstances.windows = list_windows(since=self._planned_through)
        for pk in changed:
            self._entries.pop(pk, None)
        for _, fresh in read_parts(sorted(changed)):
            self._lease.stay()
            self._entries |= fresh
            for entry in fresh.values():
                self._arm(entry, after=self._start_of(entry, now=now))
        self._change_id = pulse.change_id

    def _take_differing(self, missing: Sequence[int], fresh: dict[int, Entry], *, now: float) -> None:
        """Take up the entries that differ, and of those that are missing the ones that there are after all."""
        for pk in missing:
            self._entries.pop(pk, None)
        for _, found in read_parts(missing):
            fresh = fresh | found
        for pk, entry in fresh.items():
            if self._entries.get(pk) != entry:
                self._entries[pk] = entry
                self._arm(entry, after=now)

    def _start_of(self, entry: Entry, *, now: float) -> float:
        """Return from when on the entry counts: from its last change, if the clock was right then."""
        return max(self._planned_through, min(entry.armed_at, now))

    def _arm(self, entry: Entry, *, after: float) -> None:
        """Put an entry into the heap with its first due instant after `after`; set aside one that cannot say it."""
        try:
            entry.advance(after=after)
        except Exception:
            # One row that a hand has broken must not keep the others from running
            logger.exception("schedule %s is set aside: its next time cannot be computed", entry.name)
        self._push(entry)

    def _push(self, entry: Entry) -> None:
        if entry.due is not None and entry.runs_left > 0:
            heapq.heappush(self._heap, (entry.due, entry.pk))

    def _is_live(self, item: tuple[int, int]) -> bool:
        due, pk = item
        return pk in self._entries and self._entries[pk].due == due


def _epoch_of(moment: datetime | None) -> float:
    return moment.timestamp() if moment else -inf
