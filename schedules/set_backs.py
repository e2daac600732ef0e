"""What a clock that was ahead has decided: taken back when the clock is set right.

A clock may leap days ahead for some seconds: a time server errs, a machine resumes. What was planned then for moments
that have yet to come, and was not started, is deleted, so that it comes when its time has come; so is what was skipped
as missed. What was given up because its time seemed to be over goes on. What was started stays, and so does what had
come in its time by the clock as it was.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from django.db.models import F, Q, QuerySet
from django.db.models.functions import Greatest

from schedules.models import Absence, Lease, Run, Schedule, from_epoch
from schedules.policies import MISFIRE_MARK, OVERDUE_MARK
from schedules.runs import NOT_STARTED, OCCURRENCES, UNCLAIMED, change_rows, move_runs

logger = logging.getLogger(__name__)

#: Rows that are taken back in one transaction
PART_SIZE = 2000

#: Of these it is certain that QRS has begun nothing
_NOT_STARTED = (*UNCLAIMED, *NOT_STARTED)
_COLUMNS = ("pk", "schedule_id", "due_at", "repeat", "planned_at", "closed_at")
_ONE_SECOND = timedelta(seconds=1)
#: What was planned longer than this after its due instant, the clock had jumped over
_LATE = timedelta(minutes=1)


class _Row(NamedTuple):
    pk: UUID
    schedule_pk: int
    due_at: datetime
    repeat: int
    planned_at: datetime
    closed_at: datetime | None

    @property
    def was_counted(self) -> bool:
        """Whether it counts towards its schedule's greatest number of runs: what is planned as skipped does not."""
        return self.closed_at != self.planned_at


def follow_set_back(lease: Lease, *, now: float) -> bool:
    """Follow a clock that shows `now` (epoch seconds) again, from where the lease says that all is planned.

    What was decided by the clock that was ahead is taken back, the latest first, some thousand rows at a time: returns
    False where there is more of it. To be called within a transaction that has the lock of the lease. The last part has
    all that is due before `now`, so a leader that is killed before it leaves the next one enough to go by.
    """
    moment = from_epoch(now)
    plan_from = _take_back(now=moment)
    if plan_from is None:
        return False
    ahead_until = lease.planned_through or moment
    logger.warning("the clock was set back from %s; planning from %s on", ahead_until, plan_from)
    lease.clock_sets += 1
    lease.repeats_after = moment
    lease.repeats_until = max(ahead_until, lease.repeats_until or ahead_until)
    lease.planned_through = plan_from
    lease.save(update_fields=["clock_sets", "repeats_after", "repeats_until", "planned_through"])
    return True


def _take_back(*, now: datetime) -> datetime | None:
    """Take back a part; return after which moment is to be planned once more, None where this was not the last part."""
    was_late = Q(planned_at__gt=F("due_at") + _LATE)
    ahead = _lock(Run.objects.filter(was_late | _is_too_late(), due_at__gt=now, state__in=_NOT_STARTED))
    _delete(ahead)
    if len(ahead) == PART_SIZE:
        return None
    missed = _lock(_judged_later(now).filter(planned_at__gt=now, state=Run.State.SKIPPED))
    if len(missed) == PART_SIZE:
        # One stays, so that the last part tells from where to plan
        _delete(missed[:-1])
        return None
    _delete(missed)
    absences = list(Absence.objects.filter(until_at__gt=now))
    Absence.objects.filter(pk__in=[absence.pk for absence in absences]).delete()
    if reopened := _reopen(now=now):
        logger.warning("%d runs that were given up while the clock was ahead go on", reopened)
    _bring_moments_back(now=now)
    return min([now, *(row.due_at - _ONE_SECOND for row in missed), *(absence.from_at for absence in absences)])


def _judged_later(now: datetime) -> QuerySet[Run]:
    """Return the runs that were due before `now` and were closed after it, as too late."""
    return Run.objects.filter(_is_too_late(), closed_at__gt=now, due_at__lte=now)


def _is_too_late() -> Q:
    is_late = Q(message__startswith=MISFIRE_MARK) | Q(message__startswith=OVERDUE_MARK)
    return Q(state=Run.State.UNREACHABLE) | Q(is_late, state=Run.State.SKIPPED)


def _lock(rows: QuerySet[Run]) -> list[_Row]:
    """Return the rows that are due last, locked in the order of their keys."""
    latest = list(rows.filter(reason__in=OCCURRENCES).order_by("-due_at").values_list("pk", flat=True)[:PART_SIZE])
    # What a worker has claimed meanwhile is left out
    locked = rows.filter(pk__in=latest).order_by("pk").select_for_update().values_list(*_COLUMNS)
    return sorted((_Row(*row) for row in locked), key=lambda row: row.due_at, reverse=True)


def _delete(rows: Sequence[_Row]) -> None:
    Run.objects.filter(pk__in=[row.pk for row in rows]).delete()
    counted = defaultdict(set)
    for row in rows:
        if row.was_counted:
            counted[row.schedule_pk].add((row.due_at, row.repeat))
    limited = Schedule.objects.filter(pk__in=list(counted), max_runs__isnull=False).values_list("pk", flat=True)
    for pk in limited:
        _uncount(pk, counted[pk])


def _uncount(schedule_pk: int, occurrences: set[tuple[datetime, int]]) -> None:
    """Count these no longer towards the greatest number of runs, but for those that have other tasks' rows left."""
    instants = [due_at for due_at, _ in occurrences]
    left = Run.objects.filter(schedule_id=schedule_pk, due_at__in=instants, reason__in=OCCURRENCES)
    gone = len(occurrences - set(left.values_list("due_at", "repeat")))
    Schedule.objects.filter(pk=schedule_pk).update(runs_planned=Greatest(F("runs_planned") - gone, 0))


def _reopen(*, now: datetime) -> int:
    """Let the runs go on that were given up as too late; return how many."""
    has_attempts = Q(schedule__max_attempts=None) | Q(schedule__max_attempts__gt=F("attempts"))
    given_up = _judged_later(now).filter(has_attempts, planned_at__lte=now).exclude(schedule=None)
    rows = list(given_up.values_list("pk", "state", "message"))
    unseen = [pk for pk, state, message in rows if state == Run.State.SKIPPED and message.startswith(MISFIRE_MARK)]
    postponed = [pk for pk, *_ in rows if pk not in set(unseen)]
    closed = _judged_later(now)
    return move_runs(
        closed.filter(pk__in=unseen), state=Run.State.PLANNED, planned_at=now, message="", closed_at=None
    ) + move_runs(closed.filter(pk__in=postponed), state=Run.State.RETRYING, next_try_at=now, closed_at=None)


def _bring_moments_back(*, now: datetime) -> None:
    """Let what was noted by a clock that was ahead count from now on: limits would not pass for days."""
    change_rows(Run.objects.filter(state=Run.State.QUEUED, queued_at__gt=now), queued_at=now)
    change_rows(Run.objects.filter(state__in=UNCLAIMED, tried_from__gt=now), tried_from=now)
    claimed = Run.objects.filter(state=Run.State.CLAIMED)
    change_rows(claimed.filter(claimed_at__gt=now), claimed_at=now)
    change_rows(claimed.filter(claim_renewed_at__gt=now), claim_renewed_at=now)
    Schedule.objects.filter(armed_at__gt=now).update(armed_at=now)
