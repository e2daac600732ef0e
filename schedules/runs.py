"""The ledger: what was due, who took it, what came of it.

A step locks the rows that it moves, in the order of their keys so that no two steps wait for each other, and moves
those that are still in the state that it expects.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet

from schedules.models import Run, Schedule
from schedules.policies import Misfire

#: A message that no worker took for this long is published again; see docs/design.md.
QUEUE_LIMIT = timedelta(seconds=30)

_UNCLAIMED = (Run.State.PLANNED, Run.State.QUEUED)
_OCCURRENCES = (Run.Reason.SCHEDULED, Run.Reason.CATCH_UP)

_OUTCOME_COLUMNS = ("state", "called_at", "answered_at", "qrs_session", "message", "id")
# One prepared statement for many rows: a fifth of the time that the ORM takes to compose them
_RECORD_OUTCOME = f"""
    UPDATE {Run._meta.db_table}
    SET state = %s, called_at = %s, answered_at = %s, qrs_session = %s, message = %s, attempts = attempts + 1
    WHERE id = %s AND state = '{Run.State.CLAIMED}'
"""  # noqa: S608 -- all of it is constant
_FIELDS = {field.name: field for field in Run._meta.concrete_fields}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a claimed run: its final state, when QRS was called and answered, and its session."""

    id: uuid.UUID
    state: Run.State
    called_at: datetime
    answered_at: datetime
    qrs_session: uuid.UUID | None = None
    message: str = ""


def plan_runs(rows: Iterable[Run]) -> None:
    """Insert the rows; one whose occurrence is in the ledger already is left as it is."""
    Run.objects.bulk_create(rows, ignore_conflicts=True)


def plan_manual_runs(schedules: Iterable[Schedule], *, now: datetime, message: str) -> list[Run]:
    """Insert one run, due now, for each of the schedules and return them."""
    return Run.objects.bulk_create(
        [
            Run(
                schedule=schedule,
                schedule_name=schedule.name,
                qlik_task_id=schedule.qlik_task_id,
                due_at=now,
                planned_at=now,
                reason=Run.Reason.MANUAL,
                message=message,
            )
            for schedule in schedules
        ]
    )


def list_unpublished(*, limit: int) -> list[uuid.UUID]:
    """Return the keys of planned rows that no message was sent for, the longest due first."""
    rows = Run.objects.filter(state=Run.State.PLANNED).order_by("due_at")
    return list(rows.values_list("pk", flat=True)[:limit])


def mark_queued(run_ids: Sequence[uuid.UUID], *, now: datetime) -> None:
    """Note that messages for these rows are on Redis; rows that a worker has claimed meanwhile stay claimed."""
    for start in range(0, len(run_ids), 500):
        rows = Run.objects.filter(pk__in=run_ids[start : start + 500], state=Run.State.PLANNED)
        # A row that is locked is being claimed, and must not be waited for nor kept from its worker
        _move(rows, skip_locked=True, state=Run.State.QUEUED, queued_at=now)


def claim_runs(run_ids: Sequence[uuid.UUID], *, worker: str, now: datetime) -> list[Run]:
    """Make `worker` the owner of those of the runs that are to be started, and return them, the longest due first.

    Left out are runs that were claimed before or skipped since. An occurrence whose schedule was stopped or deleted,
    or that has waited for a worker so long that its schedule's misfire policy drops it, is skipped here.
    """
    with transaction.atomic():
        rows = Run.objects.filter(pk__in=run_ids, state__in=_UNCLAIMED).order_by("pk")
        waiting = sorted(rows.select_for_update(), key=lambda run: run.due_at)
        dropped = _drop(waiting, now=now)
        claimed = [run for run in waiting if run.pk not in dropped]
        Run.objects.filter(pk__in=[run.pk for run in claimed], state__in=_UNCLAIMED).update(
            state=Run.State.CLAIMED, claimed_at=now, worker=worker
        )
    for run in claimed:
        run.state, run.claimed_at, run.worker = Run.State.CLAIMED, now, worker
    return claimed


def release_claims(claimed: Sequence[Run]) -> None:
    """Hand claimed runs back to beat for which QRS was not called."""
    if claimed:
        rows = Run.objects.filter(pk__in=[run.pk for run in claimed], state=Run.State.CLAIMED)
        _move(rows, state=Run.State.PLANNED, worker="")


def record_outcomes(outcomes: Sequence[Outcome]) -> int:
    """Write what came of claimed runs; return how many were closed by someone else meanwhile and stay so."""
    if not outcomes:
        return 0
    in_order = sorted(outcomes, key=lambda outcome: outcome.id)
    rows = [[_to_column(name, getattr(outcome, name)) for name in _OUTCOME_COLUMNS] for outcome in in_order]
    with connection.cursor() as cursor:
        cursor.executemany(_RECORD_OUTCOME, rows)
        return len(rows) - int(cursor.rowcount)


def skip_unclaimed(schedule_pks: Sequence[int], *, message: str) -> int:
    """Skip the occurrences of these schedules that no worker has claimed; return how many."""
    rows = Run.objects.filter(schedule_id__in=schedule_pks, state__in=_UNCLAIMED, reason__in=_OCCURRENCES)
    return _move(rows, state=Run.State.SKIPPED, message=message)


def requeue_lost_messages(*, now: datetime) -> int:
    """Hand rows back to beat that were published but not claimed within QUEUE_LIMIT; return how many.

    To be called only when the queue is known to be shorter than that.
    """
    lost = Run.objects.filter(state=Run.State.QUEUED, queued_at__lt=now - QUEUE_LIMIT)
    return _move(lost, state=Run.State.PLANNED)


def close_lost_claims(*, now: datetime, limit: timedelta) -> int:
    """Close rows whose worker claimed them more than `limit` ago and is silent since; return how many.

    Whether QRS was called is not known, so they end as unknown: a second call could start the task twice.
    """
    lost = Run.objects.filter(state=Run.State.CLAIMED, claimed_at__lt=now - limit)
    return _move(
        lost,
        state=Run.State.UNKNOWN,
        message="The worker was lost between claiming the run and recording its outcome. "
        "Look in the Qlik Management Console whether the task was started.",
    )


def _move(rows: QuerySet[Run], *, skip_locked: bool = False, **values: object) -> int:
    """Give the rows these values and return how many there were."""
    can_skip = connection.features.has_select_for_update_skip_locked
    with transaction.atomic():
        locked = rows.order_by("pk").select_for_update(skip_locked=skip_locked and can_skip)
        return Run.objects.filter(pk__in=list(locked.values_list("pk", flat=True))).update(**values)


def _drop(waiting: Sequence[Run], *, now: datetime) -> set[uuid.UUID]:
    """Skip the occurrences among the runs that are not to be started any more, and return their keys."""
    occurrences = [run for run in waiting if run.reason in _OCCURRENCES]
    columns = Schedule.objects.only("enabled", "misfire", "misfire_grace")
    schedules = columns.in_bulk({run.schedule_id for run in occurrences})
    reasons = {
        run.pk: reason
        for run in occurrences
        if (reason := _reason_to_drop(run, schedules.get(run.schedule_id), now=now))
    }
    for run_id, reason in reasons.items():
        Run.objects.filter(pk=run_id).update(state=Run.State.SKIPPED, message=reason)
    return set(reasons)


def _reason_to_drop(run: Run, schedule: Schedule | None, *, now: datetime) -> str:
    if schedule is None or not schedule.enabled:
        return "The schedule was stopped or deleted before a worker took it."
    if run.reason == Run.Reason.CATCH_UP or schedule.misfire == Misfire.ALL:
        return ""
    if now - run.due_at <= schedule.misfire_grace:
        return ""
    missed = f"Misfire: no worker took it within {schedule.misfire_grace}"
    if schedule.misfire == Misfire.SKIP:
        return f"{missed}."
    newer = Run.objects.filter(schedule_id=run.schedule_id, due_at__gt=run.due_at, reason__in=_OCCURRENCES)
    return f"{missed}, and a later run replaces it." if newer.exclude(state=Run.State.SKIPPED).exists() else ""


def _to_column(name: str, value: object) -> Any:
    return _FIELDS[name].get_db_prep_save(value, connection)
