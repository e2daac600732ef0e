"""The worker's end: one task that starts a Qlik task, and the housekeeping of the ledger."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import timedelta
from typing import TypeAlias
from uuid import UUID

from celery import shared_task
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.utils import timezone

from qlik.errors import QrsError
from schedules import breaker, claims, closing, following, runs, starting
from schedules.claims import ClaimedRun
from schedules.known_tasks import NoTasksError, refresh_old_tasks
from schedules.lease import is_gone, name_this_process
from schedules.models import READ_TASKS_TASK, START_RUNS_TASK, Run
from schedules.qrs import longest_call, qrs_client
from schedules.runs import Outcome
from schedules.wakeup import wake_beat

logger = logging.getLogger(__name__)

#: A call of QRS that is made or waits for a thread; without an outcome when it has waited too long
Call: TypeAlias = Future[Outcome | None]

#: Runs of a message that are claimed at a time: what a worker that is killed had claimed ends as unknown
CLAIM_SIZE = 25
#: A run that waits longer than this for a thread of the worker that claimed it is handed back
PATIENCE_SECONDS = 0.5
#: How often the outcomes of calls are recorded
RECORD_SECONDS = 0.1
#: How long to wait before the outcomes of calls are recorded again, in seconds
RECORD_PAUSES = (0.5, 1, 2, 4, 8, 8, 8)

#: Several workers that begin together ask for the tasks once
JUST_READ = timedelta(seconds=10)

# As many calls at once as the setting says; the threads begin with the first call, hence after a fork
_CALLERS = ThreadPoolExecutor(settings.BUTLER_WORKER_CONCURRENCY, thread_name_prefix="qrs")


@shared_task(name=START_RUNS_TASK)
def start_runs(run_ids: list[str]) -> None:
    """Start the Qlik tasks of some runs: claim a few, call QRS for each, record what came of it, and so on."""
    unclaimed = deque(UUID(run_id) for run_id in run_ids)
    calls: dict[Call, ClaimedRun] = {}
    while unclaimed or calls:
        if len(calls) <= CLAIM_SIZE // 2:
            # Before the threads of the calls run dry
            calls |= _call_all([unclaimed.popleft() for _ in range(min(CLAIM_SIZE, len(unclaimed)))])
        # Calls that end within a moment are recorded together; one that hangs does not keep the others waiting
        done, _ = wait(calls, timeout=RECORD_SECONDS)
        _settle({calls.pop(call): call.result() for call in done})


@shared_task(name="schedules.follow_runs")
def follow_runs() -> None:
    """Learn from QRS how the reloads go that were started, and what came of calls without an answer."""
    following.follow_runs(qrs_client, now=timezone.now())


@shared_task(name="schedules.sweep_runs")
def sweep_runs() -> None:
    """Bring stuck runs on: close what is past its limit, publish again what no worker took, ask about what its worker
    lost, look for QRS.
    """
    now = timezone.now()
    closing.close_overdue(now=now)
    # After twice the time that a call may take, nobody waits for its answer
    claim_limit = 2 * longest_call() + timedelta(seconds=30)
    others = set(claims.list_claiming_workers()) - {name_this_process()}
    gone = [worker for worker in others if is_gone(worker)]
    requeued = runs.requeue_lost_messages(now=now)
    lost = claims.give_up_lost_claims(now=now, limit=claim_limit, lost_workers=gone)
    if requeued or lost:
        logger.warning("%d runs are published again, %d were lost with their worker", requeued, lost)
    if breaker.take_probe(breaker.read_site(), now=now):
        starting.probe_qrs(now=now)


@shared_task(name=READ_TASKS_TASK)
def read_tasks() -> None:
    """Read anew what tasks Qlik Sense has; without an answer, what is known stays."""
    try:
        found = refresh_old_tasks(older_than=JUST_READ)
    except (QrsError, NoTasksError) as error:
        logger.warning("the tasks of Qlik Sense cannot be read, what is known of them stays: %s", error)
        return
    if found and (found.new or found.gone):
        logger.info("Qlik Sense has %d tasks, %d of them new, and %d gone", found.total, found.new, found.gone)


def _call_all(run_ids: Sequence[UUID]) -> dict[Call, ClaimedRun]:
    """Claim the runs and have QRS called for those that are this worker's now and may be started."""
    if not run_ids:
        return {}
    now = timezone.now()
    claimed = claims.claim_runs(run_ids, worker=name_this_process(), now=now)
    admitted = breaker.count_admitted(len(claimed), now=now)
    starting.postpone(claimed[admitted:], now=now)
    ready = starting.leave_out_running(claimed[:admitted], now=now)
    patient_until = time.monotonic() + PATIENCE_SECONDS
    return {_CALLERS.submit(_start, run, patient_until): run for run in ready}


def _settle(done: Mapping[ClaimedRun, Outcome | None]) -> None:
    """Record what came of claimed runs, and hand those back for which QRS was not called."""
    answered = {run: outcome for run, outcome in done.items() if outcome}
    _record(list(answered.values()))
    claims.release_claims([run for run in done if run not in answered])
    starting.note_outcomes(list(answered.values()))
    for run, outcome in answered.items():
        # Here and not in the threads of the calls, which would wait for each other's lines
        _log(run, outcome)
    if done and settings.BUTLER_MAX_CONCURRENT_STARTS:
        # Beat holds runs back until these are done
        wake_beat()


def _record(outcomes: Sequence[Outcome]) -> None:
    """Write the outcomes, with patience: what QRS has answered must not be lost to a database that is away."""
    for pause in RECORD_PAUSES:
        try:
            closed = runs.record_outcomes(outcomes)
            break
        except (DatabaseError, InterfaceError) as error:
            logger.error("%d outcomes cannot be recorded, trying again in %s s: %s", len(outcomes), pause, error)
            connection.close()
            time.sleep(pause)
    else:
        closed = runs.record_outcomes(outcomes)
    if closed:
        logger.error("%d of these runs were closed while QRS was called: %s", closed, outcomes)


def _start(run: ClaimedRun, patient_until: float) -> Outcome | None:
    """Call QRS for a claimed run; None when the calls before it took so long that its claim has grown old."""
    return None if time.monotonic() > patient_until else starting.start(run)


def _log(run: ClaimedRun, outcome: Outcome) -> None:
    level = logging.INFO if outcome.state == Run.State.STARTED else logging.ERROR
    lateness = round((outcome.called_at - run.due_at).total_seconds() * 1000)
    logger.log(
        level,
        "%s schedule=%s task=%s due=%s late=%d ms%s",
        outcome.state,
        run.schedule_name,
        run.qlik_task_id,
        run.due_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        lateness,
        f" session={outcome.session}" if outcome.session else f" {outcome.message}",
    )
