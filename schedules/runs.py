"""The ledger: what was due, who took it, what came of it. Each step is one conditional UPDATE."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import F

from schedules.models import Run, Schedule
from schedules.policies import Misfire

#: A message that no worker took for this long is published again; see docs/design.md.
QUEUE_LIMIT = timedelta(seconds=30)

_UNCLAIMED = (Run.State.PLANNED, Run.State.QUEUED)
_OCCURRENCES = (Run.Reason.SCHEDULED, Run.Reason.CATCH_UP)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a claimed run: its final state, when QRS was called and answered, and its session."""

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
        rows.update(state=Run.State.QUEUED, queued_at=now)


def claim_run(run_id: uuid.UUID, *, worker: str, now: datetime) -> Run | None:
    """Make `worker` the owner of the run and return it; None when it is not to be started.

    That is so when the run was claimed before, was skipped since, or has waited for a worker so long that its
    schedule's misfire policy drops it.
    """
    claimed = Run.objects.filter(pk=run_id, state__in=_UNCLAIMED).update(
        state=Run.State.CLAIMED, claimed_at=now, worker=worker, attempts=F("attempts") + 1
    )
    if not claimed:
        return None
    run = Run.objects.get(pk=run_id)
    if reason := _reason_to_drop(run, now=now):
        _close(run, state=Run.State.SKIPPED, message=reason)
        return None
    return run


def record_outcome(run: Run, outcome: Outcome) -> bool:
    """Write what came of a claimed run; return False when the run was closed by someone else meanwhile."""
    return bool(
        Run.objects.filter(pk=run.pk, state=Run.State.CLAIMED).update(
            state=outcome.state,
            called_at=outcome.called_at,
            answered_at=outcome.answered_at,
            qrs_session=outcome.qrs_session,
            message=outcome.message or run.message,
        )
    )


def skip_unclaimed(schedule_pks: Sequence[int], *, message: str) -> int:
    """Skip the occurrences of these schedules that no worker has claimed; return how many."""
    rows = Run.objects.filter(schedule_id__in=schedule_pks, state__in=_UNCLAIMED, reason__in=_OCCURRENCES)
    return rows.update(state=Run.State.SKIPPED, message=message)


def requeue_lost_messages(*, now: datetime) -> int:
    """Hand rows back to beat that were published but not claimed within QUEUE_LIMIT; return how many."""
    lost = Run.objects.filter(state=Run.State.QUEUED, queued_at__lt=now - QUEUE_LIMIT)
    return lost.update(state=Run.State.PLANNED)


def close_lost_claims(*, now: datetime, limit: timedelta) -> int:
    """Close rows whose worker claimed them more than `limit` ago and is silent since; return how many.

    Whether QRS was called is not known, so they end as unknown: a second call could start the task twice.
    """
    lost = Run.objects.filter(state=Run.State.CLAIMED, claimed_at__lt=now - limit)
    return lost.update(
        state=Run.State.UNKNOWN,
        message="The worker was lost between claiming the run and recording its outcome. "
        "Look in the Qlik Management Console whether the task was started.",
    )


def _reason_to_drop(run: Run, *, now: datetime) -> str:
    schedule = Schedule.objects.filter(pk=run.schedule_id).only("misfire", "misfire_grace").first()
    if run.reason not in _OCCURRENCES or schedule is None or schedule.misfire == Misfire.ALL:
        return ""
    if now - run.due_at <= schedule.misfire_grace or run.reason == Run.Reason.CATCH_UP:
        return ""
    if schedule.misfire == Misfire.SKIP:
        return f"Misfire: no worker took it within {schedule.misfire_grace}."
    newer = Run.objects.filter(schedule_id=run.schedule_id, due_at__gt=run.due_at, reason__in=_OCCURRENCES)
    if newer.exclude(state=Run.State.SKIPPED).exists():
        return f"Misfire: no worker took it within {schedule.misfire_grace}, and a later run replaces it."
    return ""


def _close(run: Run, *, state: Run.State, message: str) -> None:
    Run.objects.filter(pk=run.pk, state=Run.State.CLAIMED).update(state=state, message=message)
