"""Claims: one worker becomes the owner of a run, if it is to be started at all, and what becomes of its claims."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import DatabaseError, transaction
from django.db.models import Q

from schedules.models import Maintenance, Run, Schedule
from schedules.policies import Misfire, maintenance_message, pause_message
from schedules.runs import OCCURRENCES, move_runs

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ClaimedRun:
    """A run that a worker owns: what it has to know to start it."""

    id: uuid.UUID
    schedule_pk: int
    schedule_name: str
    qlik_task_id: str
    due_at: datetime
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class _Rule:
    """What of a schedule decides whether a run that has waited is still to be started."""

    enabled: bool
    misfire: str
    # None where a hand has broken it
    grace: timedelta | None
    paused_until: datetime | None
    pause_reason: str


# Plain values, for making the models of both tables costs a worker more than anything else here
_RUN_COLUMNS = ("pk", "schedule_id", "schedule_name", "qlik_task_id", "due_at", "reason", "message")
_RULE_COLUMNS = ("pk", "enabled", "misfire", "misfire_grace", "paused_until", "pause_reason")


def claim_runs(run_ids: Sequence[uuid.UUID], *, worker: str, now: datetime) -> list[ClaimedRun]:
    """Make `worker` the owner of those of the runs that are to be started, and return them, the longest due first.

    Left out are runs that were claimed before or skipped since, or are to be published again. One that must not start
    any more is skipped here: the site is in maintenance, its schedule was stopped, deleted or paused, or it has waited
    for a worker so long that its schedule's misfire policy drops it.
    """
    with transaction.atomic():
        rows = Run.objects.filter(pk__in=run_ids, state=Run.State.QUEUED).order_by("pk").select_for_update()
        waiting = sorted((ClaimedRun(*row) for row in rows.values_list(*_RUN_COLUMNS)), key=lambda run: run.due_at)
        dropped = _reasons_to_drop(waiting, now=now)
        for run_id, reason in dropped.items():
            Run.objects.filter(pk=run_id).update(state=Run.State.SKIPPED, message=reason)
        claimed = [run for run in waiting if run.id not in dropped]
        if claimed:
            Run.objects.filter(pk__in=[run.id for run in claimed]).update(
                state=Run.State.CLAIMED, claimed_at=now, worker=worker
            )
    return claimed


def release_claims(claimed: Sequence[ClaimedRun]) -> None:
    """Hand claimed runs back to beat for which QRS was not called."""
    if claimed:
        rows = Run.objects.filter(pk__in=[run.id for run in claimed], state=Run.State.CLAIMED)
        move_runs(rows, state=Run.State.PLANNED, worker="")


def close_lost_claims(*, now: datetime, limit: timedelta, lost_workers: Iterable[str] = ()) -> int:
    """Close rows whose worker claimed them more than `limit` ago, or is lost; return how many.

    Whether QRS was called is not known, so they end as unknown: a second call could start the task twice.
    """
    is_lost = Q(claimed_at__lt=now - limit) | Q(worker__in=list(lost_workers))
    return move_runs(
        Run.objects.filter(is_lost, state=Run.State.CLAIMED),
        state=Run.State.UNKNOWN,
        message="The worker was lost between claiming the run and recording its outcome. "
        "Look in the Qlik Management Console whether the task was started.",
    )


def list_claiming_workers() -> list[str]:
    """Return the workers that have runs in hand."""
    rows = Run.objects.filter(state=Run.State.CLAIMED).order_by().distinct()
    return list(rows.values_list("worker", flat=True))


def _reasons_to_drop(waiting: Sequence[ClaimedRun], *, now: datetime) -> dict[uuid.UUID, str]:
    """Return why some of the runs are not to be started any more, by their keys."""
    if waiting and (maintenance := Maintenance.current_at(now)):
        return {run.id: maintenance_message(maintenance.reason) for run in waiting}
    occurrences = [run for run in waiting if run.reason in OCCURRENCES]
    rules = _read_rules({run.schedule_pk for run in occurrences})
    return {
        run.id: reason for run in occurrences if (reason := _reason_to_drop(run, rules.get(run.schedule_pk), now=now))
    }


def _read_rules(schedule_pks: Collection[int]) -> Mapping[int, _Rule]:
    """Return the schedules' rules by their keys; one that a hand has broken is left out."""
    if not schedule_pks:
        return {}
    try:
        rows = Schedule.objects.filter(pk__in=schedule_pks).order_by().values_list(*_RULE_COLUMNS)
        return {pk: _Rule(*values) for pk, *values in rows}
    except DatabaseError:
        raise
    except Exception:
        # SQLite keeps any text in any column, and the reading of it fails for the whole query
        if len(schedule_pks) == 1:
            logger.exception("the row of schedule %s cannot be read; its runs are skipped", *schedule_pks)
            return {}
        return {pk: rule for alone in schedule_pks for pk, rule in _read_rules([alone]).items()}


def _reason_to_drop(run: ClaimedRun, rule: _Rule | None, *, now: datetime) -> str:
    if rule is None or rule.grace is None or not rule.enabled:
        return "The schedule was stopped or deleted before a worker took it, or its row cannot be read."
    if rule.paused_until and rule.paused_until > now:
        return pause_message(rule.paused_until, rule.pause_reason)
    if run.reason == Run.Reason.CATCH_UP or rule.misfire == Misfire.ALL or now - run.due_at <= rule.grace:
        return ""
    missed = f"Misfire: no worker took it within {rule.grace}"
    if rule.misfire == Misfire.SKIP:
        return f"{missed}."
    newer = Run.objects.filter(schedule_id=run.schedule_pk, due_at__gt=run.due_at, reason__in=OCCURRENCES)
    return f"{missed}, and a later run replaces it." if newer.exclude(state=Run.State.SKIPPED).exists() else ""
