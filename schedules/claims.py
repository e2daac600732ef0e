"""Claims: one worker becomes the owner of a run, if it is to be started at all, and what becomes of its claims."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Q

from schedules.checkpoint import sync_log
from schedules.known_tasks import list_forbidden
from schedules.models import Maintenance, Run
from schedules.policies import (
    MISFIRE_MARK,
    OVERDUE_MARK,
    TAKEN_WITHIN,
    Misfire,
    Overlap,
    Retry,
    could_be_tried_from,
    maintenance_message,
    pause_message,
)
from schedules.runs import ASKED_FOR, NOT_STARTED, OCCURRENCES, change_rows, move_runs
from schedules.schedule_rules import Rule, find_closures, make_retry, may_go_on, read_rules
from schedules.turns import take_turn
from schedules.validators import is_task_id

logger = logging.getLogger(__name__)


#: How soon a run that waits for its task to end looks again, where nobody tells it sooner
WAIT_PAUSE = timedelta(seconds=30)
#: So long a claim of a process that lives is waited for, though it is not renewed: the process may be frozen
LIVING_LIMIT = timedelta(hours=6)


_CLOSED = "The schedule was stopped, paused or deleted before it could be started."


@dataclass(frozen=True, slots=True)
class ClaimedRun:
    """A run that a worker owns: what it has to know to start it. `attempts` were made before.

    `tried_from` is given where it was ready long before a worker took it: its retry deadline counts from there.
    """

    id: uuid.UUID
    schedule_pk: int | None
    schedule_name: str
    qlik_task_id: str
    due_at: datetime
    reason: str
    message: str
    attempts: int
    planned_at: datetime
    was_postponed: bool
    was_claimed: bool
    tried_from: datetime | None
    retry: Retry
    overlap: Overlap = Overlap.ALLOW
    # Tells this claim of the run from an earlier or a later one
    claimed_at: datetime | None = None
    # When it was called before, and QRS gave no answer; None where it was not
    in_doubt_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Fate:
    """What becomes of a run that is not to be started now."""

    state: Run.State
    message: str
    next_try_at: datetime | None = None
    tried_from: datetime | None = None


# Plain values, for making the models of both tables costs a worker more than anything else here
_RUN_COLUMNS = (
    "pk",
    "schedule_id",
    "schedule_name",
    "qlik_task_id",
    "due_at",
    "planned_at",
    "tried_from",
    "reason",
    "message",
    "attempts",
    "next_try_at",
    "claimed_at",
    "in_doubt_since",
)


def claim_runs(run_ids: Sequence[uuid.UUID], *, worker: str, now: datetime) -> list[ClaimedRun]:
    """Make `worker` the owner of those of the runs that are to be started, and return them, the longest due first.

    Left out are runs that were claimed before or skipped since, or are to be published again. One that must not start
    any more is skipped here: the site is in maintenance, its schedule was stopped, deleted or paused, it has waited
    for a worker so long that its schedule's misfire policy drops it, or another run of its task is not over. One
    whose task may not be started is refused.
    """
    with transaction.atomic():
        queued = Run.objects.filter(pk__in=run_ids, state=Run.State.QUEUED).order_by("pk").select_for_update()
        rows = queued.values_list(*_RUN_COLUMNS)
        rules = read_rules({row[1] for row in rows if row[1] is not None})
        waiting = sorted((_make_claim(row, rules.get(row[1]), now=now) for row in rows), key=lambda run: run.due_at)
        reasons = _reasons_to_drop(waiting, rules, now=now)
        for run_id, reason in reasons.items():
            _write_fate(run_id, _Fate(Run.State.SKIPPED, reason))
        claimed = _refuse_forbidden([run for run in waiting if run.id not in reasons])
        overlapping = _yield_turns([run for run in claimed if run.overlap is not Overlap.ALLOW], now=now)
        claimed = [run for run in claimed if run.id not in overlapping]
        for moment in {run.tried_from for run in claimed}:
            alike = Run.objects.filter(pk__in=[run.id for run in claimed if run.tried_from == moment])
            late = {"tried_from": moment} if moment else {}
            alike.update(state=Run.State.CLAIMED, claimed_at=now, worker=worker, **late)
        if claimed:
            # Before QRS is called: after a loss of power they would be started again
            transaction.on_commit(sync_log)
    return claimed


def claim_new_runs(
    task_ids: Sequence[str], *, message: str, worker: str, now: datetime, keys: Sequence[uuid.UUID] = ()
) -> list[ClaimedRun]:
    """Write a run for each of the tasks, asked for by the API and in the hands of `worker`, and return their claims.

    With `keys` for the runs it may be done twice: those that are written already stay as they are.
    """
    runs = [
        Run(
            pk=key,
            qlik_task_id=task_id,
            due_at=now,
            planned_at=now,
            claimed_at=now,
            reason=Run.Reason.API,
            state=Run.State.CLAIMED,
            message=message,
            worker=worker,
        )
        for key, task_id in zip(keys or [uuid.uuid4() for _ in task_ids], task_ids, strict=True)
    ]
    Run.objects.bulk_create(runs, ignore_conflicts=True)
    transaction.on_commit(sync_log)
    return [_make_claim([getattr(run, column) for column in _RUN_COLUMNS], None, now=now) for run in runs]


def forget_new_runs(keys: Sequence[uuid.UUID]) -> None:
    """Undo `claim_new_runs` for runs that were not called for."""
    Run.objects.filter(pk__in=keys, state=Run.State.CLAIMED).delete()


def give_way(claimed: Mapping[ClaimedRun, str], *, now: datetime) -> None:
    """Give up claims to runs whose task is running, for the reasons given: they are skipped, or one of them waits."""
    with transaction.atomic():
        for run, reason in sorted(claimed.items(), key=lambda pair: pair[0].qlik_task_id.lower()):
            # Its own; locked until what becomes of the run is written
            take_turn(run.id, task_id=run.qlik_task_id)
            _write_fate(run.id, _decide_overlap(run, reason, now=now))


def postpone(claimed: Sequence[ClaimedRun], *, until: datetime, message: str, now: datetime) -> None:
    """Give up claims without a call, for QRS cannot be reached: until then or the deadline, past which for good."""
    for run in claimed:
        fate = _Fate(Run.State.RETRYING, message, min(until, run.retry.until))
        if run.retry.until <= now:
            fate = _Fate(Run.State.UNREACHABLE, message)
        _write_fate(run.id, fate)


def list_unowned(sessions: Iterable[uuid.UUID]) -> set[uuid.UUID]:
    """Return those of QRS's sessions that no run has."""
    found = set(sessions)
    return found - {*Run.objects.filter(qrs_session__in=found).values_list("qrs_session", flat=True)}


def put_in_doubt(claimed: Sequence[ClaimedRun]) -> None:
    """Give up claims without a call, for an earlier one may have begun a session: QRS is asked once more."""
    if claimed:
        rows = Run.objects.filter(pk__in=[run.id for run in claimed], state=Run.State.CLAIMED)
        message = "QRS has begun a session of the task since it was asked, perhaps by the call before."
        move_runs(rows, state=Run.State.UNSURE, message=message, next_try_at=None)


def release_claims(claimed: Sequence[ClaimedRun]) -> None:
    """Hand claimed runs back to beat for which QRS was not called."""
    if claimed:
        rows = Run.objects.filter(pk__in=[run.id for run in claimed], state=Run.State.CLAIMED)
        move_runs(rows, state=Run.State.PLANNED, worker="")


def take_back(run_ids: Sequence[uuid.UUID], *, worker: str, claimed_at: datetime) -> None:
    """Undo a claim whose worker does not know whether it was carried out, and has called for none of its runs."""
    mine = Run.objects.filter(pk__in=run_ids, state=Run.State.CLAIMED, worker=worker, claimed_at=claimed_at)
    change_rows(mine, state=Run.State.QUEUED, worker="")


def renew_claims(claimed: Iterable[ClaimedRun], *, now: datetime) -> None:
    """Renew these claims, so that the sweeper takes them for lost the later."""
    rows = Run.objects.filter(pk__in=[run.id for run in claimed], state=Run.State.CLAIMED)
    change_rows(rows, claim_renewed_at=now)


def give_up_lost_claims(
    *, now: datetime, limit: timedelta, lost_workers: Iterable[str] = (), living_workers: Iterable[str] = ()
) -> int:
    """Give up claims that nobody has renewed for longer than `limit`, or whose worker is lost; return how many.

    Of a worker that is known to live, a claim is given up only after LIVING_LIMIT. Whether QRS was called is not
    known, so QRS has to be asked: a second call could start the task twice.
    """
    is_silent = _is_silent_since(now - limit) & ~Q(worker__in=list(living_workers))
    is_lost = is_silent | _is_silent_since(now - max(limit, LIVING_LIMIT)) | Q(worker__in=list(lost_workers))
    return move_runs(
        Run.objects.filter(is_lost, state=Run.State.CLAIMED),
        state=Run.State.UNSURE,
        # From the earliest moment at which it can have called to that at which it surely waits no more
        called_at=F("claimed_at"),
        answered_at=now,
        message="The worker was lost between claiming the run and recording its outcome.",
    )


def _is_silent_since(moment: datetime) -> Q:
    return Q(claimed_at__lt=moment) & (Q(claim_renewed_at=None) | Q(claim_renewed_at__lt=moment))


def list_claiming_workers() -> list[str]:
    """Return the workers that have runs in hand."""
    rows = Run.objects.filter(state=Run.State.CLAIMED).order_by().distinct()
    return list(rows.values_list("worker", flat=True))


def _refuse_forbidden(waiting: Sequence[ClaimedRun]) -> list[ClaimedRun]:
    """Refuse the runs of tasks that the allow-list does not have, or whose id is none, and return the others."""
    task_ids = {run.qlik_task_id for run in waiting}
    broken = {task_id: f"{task_id!r} is not the id of a task. Correct the schedule." for task_id in task_ids}
    broken = {task_id: reason for task_id, reason in broken.items() if not is_task_id(task_id)}
    forbidden = {**list_forbidden(task_ids - broken.keys()), **broken}
    for task_id, reason in forbidden.items():
        refused = [run.id for run in waiting if run.qlik_task_id == task_id]
        move_runs(Run.objects.filter(pk__in=refused), state=Run.State.REFUSED, message=reason)
    return [run for run in waiting if run.qlik_task_id not in forbidden]


def _make_claim(row: Sequence[Any], rule: Rule | None, *, now: datetime) -> ClaimedRun:
    values = dict(zip(_RUN_COLUMNS, row, strict=True))
    moments = {name: values[name] for name in ("due_at", "planned_at", "tried_from")}
    tried_from = could_be_tried_from(**moments, now=now)
    waited = now - max(values["next_try_at"] or tried_from, tried_from)
    is_late = waited > TAKEN_WITHIN
    tried_from += waited if is_late else timedelta(0)
    return ClaimedRun(
        id=values["pk"],
        schedule_pk=values["schedule_id"],
        schedule_name=values["schedule_name"],
        qlik_task_id=values["qlik_task_id"],
        due_at=values["due_at"],
        reason=values["reason"],
        message=values["message"],
        attempts=values["attempts"],
        planned_at=values["planned_at"],
        was_postponed=values["next_try_at"] is not None,
        was_claimed=values["claimed_at"] is not None,
        tried_from=tried_from if is_late else None,
        retry=make_retry(rule, tried_from=tried_from),
        overlap=Overlap(rule.overlap) if rule and rule.overlap in set(Overlap) else Overlap.ALLOW,
        claimed_at=now,
        in_doubt_since=values["in_doubt_since"],
    )


def _yield_turns(waiting: Sequence[ClaimedRun], *, now: datetime) -> set[uuid.UUID]:
    """Give runs the turn to start their task; return those that do not get it, and decide what becomes of them."""
    yielding = set()
    # In one order for all workers, or two could wait for each other
    for run in sorted(waiting, key=lambda run: (run.qlik_task_id.lower(), run.due_at)):
        if holder := take_turn(run.id, task_id=run.qlik_task_id):
            reason = f"{holder} is not over"
            _write_fate(run.id, _decide_overlap(run, reason, now=now))
            yielding.add(run.id)
    return yielding


def _decide_overlap(run: ClaimedRun, reason: str, *, now: datetime) -> _Fate:
    if run.overlap is Overlap.SKIP:
        return _Fate(Run.State.SKIPPED, f"Overlap: {reason}.")
    others = Run.objects.filter(state=Run.State.WAITING, qlik_task_id__iexact=run.qlik_task_id).exclude(pk=run.id)
    if others.filter(schedule_name=run.schedule_name).exists():
        return _Fate(Run.State.SKIPPED, f"Overlap: {reason}, and one run waits for its end already.")
    looks_at = now + WAIT_PAUSE
    message = f"Overlap: {reason}. This run waits for its end."
    return _Fate(Run.State.WAITING, message, next_try_at=looks_at, tried_from=looks_at)


def _write_fate(run_id: uuid.UUID, fate: _Fate) -> None:
    still_ours = Run.objects.filter(pk=run_id, state__in=(Run.State.QUEUED, Run.State.CLAIMED))
    values = {"message": fate.message, "next_try_at": fate.next_try_at}
    move_runs(still_ours, state=fate.state, **(values | ({"tried_from": fate.tried_from} if fate.tried_from else {})))


def _reasons_to_drop(
    waiting: Sequence[ClaimedRun], rules: Mapping[int, Rule], *, now: datetime
) -> dict[uuid.UUID, str]:
    """Return why some of the runs are not to be started any more, by their keys."""
    if waiting and (maintenance := Maintenance.current_at(now)):
        return {run.id: maintenance_message(maintenance.reason) for run in waiting}
    pairs = [(run, rules.get(run.schedule_pk or 0)) for run in waiting]
    reasons = {run.id: _reason_to_drop(run, rule, now=now) for run, rule in pairs if run.reason in OCCURRENCES}
    # A run that a worker held when its schedule was stopped, paused or deleted; what waited was skipped then
    had = [run for run, rule in pairs if run.was_claimed and run.reason in ASKED_FOR and not may_go_on(rule, now=now)]
    closed_at = find_closures({run.schedule_pk for run in had if run.schedule_pk})
    late = (run for run in had if closed_at.get(run.schedule_pk or 0, run.planned_at) > run.planned_at)
    reasons |= dict.fromkeys((run.id for run in late), _CLOSED)
    return {run_id: reason for run_id, reason in reasons.items() if reason}


def _reason_to_drop(run: ClaimedRun, rule: Rule | None, *, now: datetime) -> str:
    if rule is None or rule.grace is None or not rule.enabled:
        return "The schedule was stopped or deleted before a worker took it, or its row cannot be read."
    if rule.paused_until and rule.paused_until > now:
        return pause_message(rule.paused_until, rule.pause_reason)
    if run.reason == Run.Reason.CATCH_UP or rule.misfire == Misfire.ALL or now - run.due_at <= rule.grace:
        return ""
    if run.was_postponed:
        return f"{OVERDUE_MARK} {rule.grace}, and a later run replaces it." if _is_replaced(run) else ""
    missed = f"{MISFIRE_MARK} no worker took it within {rule.grace}"
    if rule.misfire == Misfire.SKIP:
        return f"{missed}."
    return f"{missed}, and a later run replaces it." if _is_replaced(run) else ""


def _is_replaced(run: ClaimedRun) -> bool:
    """Return whether a later occurrence of its schedule has run, or is to run."""
    newer = Run.objects.filter(schedule_id=run.schedule_pk or 0, due_at__gt=run.due_at, reason__in=OCCURRENCES)
    return newer.exclude(state__in=NOT_STARTED).exists()
