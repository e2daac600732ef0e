"""The worker's end: one task that starts a Qlik task, and the housekeeping of the ledger."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import TypeAlias
from uuid import UUID

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from qlik.errors import QrsError
from schedules import breaker, claims, closing, following, runs, starting
from schedules.claims import ClaimedRun
from schedules.doubted_clock import DoubtedClock
from schedules.housekeeping import Health, is_in_time, read_health
from schedules.known_tasks import NoTasksError, refresh_old_tasks
from schedules.lease import is_gone, lives_here, name_this_process
from schedules.models import READ_TASKS_TASK, START_RUNS_TASK, Run
from schedules.patience import AWAY, insist
from schedules.qrs import longest_call, qrs_client
from schedules.recording import record
from schedules.runs import Outcome
from schedules.wakeup import wake_beat

logger = logging.getLogger(__name__)

#: A call of QRS that is made or waits for a thread; without an outcome when it has waited too long
Call: TypeAlias = Future[Outcome | None]

FOLLOW_TASK, SWEEP_TASK = "schedules.follow_runs", "schedules.sweep_runs"
#: How often beat sends these, in seconds; see CELERY_BEAT_SCHEDULE
FOLLOW_PERIOD, SWEEP_PERIOD, READ_PERIOD = 15.0, 10.0, 300.0
#: Runs of a message that are claimed at a time: what a worker that is killed had claimed ends as unknown
CLAIM_SIZE = 25
#: A run that waits longer than this for a thread of the worker that claimed it is handed back
PATIENCE_SECONDS = 0.5
#: How often the outcomes of calls are recorded
RECORD_SECONDS = 0.1
#: How often a worker shows that it still holds its claims
RENEW_SECONDS = 10.0
#: So long a worker tries to claim runs while the database is away; after that the sweeper has them published again
CLAIM_SECONDS = 60.0
#: So long it tries to learn whether QRS is to be called at all; then it calls
ADMIT_SECONDS = 2.0

#: Several workers that begin together ask for the tasks once
JUST_READ = timedelta(seconds=10)

_CLOCK = DoubtedClock()
# As many calls at once as the setting says; the threads begin with the first call, hence after a fork
_CALLERS = ThreadPoolExecutor(settings.BUTLER_WORKER_CONCURRENCY, thread_name_prefix="qrs")


@dataclass(frozen=True, slots=True)
class Held:
    """A claim of this process whose call is made, or waits until then, on the monotonic clock, for a thread."""

    run: ClaimedRun
    patient_until: float


@shared_task(name=START_RUNS_TASK)
def start_runs(run_ids: list[str]) -> None:
    """Start the Qlik tasks of some runs: claim a few, call QRS for each, record what came of it, and so on."""
    unclaimed = deque(UUID(run_id) for run_id in run_ids)
    calls: dict[Call, Held] = {}
    renew_at = time.monotonic() + RENEW_SECONDS
    while unclaimed or calls:
        if len(calls) <= CLAIM_SIZE // 2:
            # Before the threads of the calls run dry
            calls |= _call_all([unclaimed.popleft() for _ in range(min(CLAIM_SIZE, len(unclaimed)))])
        # Calls that end within a moment are recorded together; one that hangs does not keep the others waiting
        done, _ = wait(calls, timeout=RECORD_SECONDS)
        done |= {call for call, held in calls.items() if time.monotonic() > held.patient_until and call.cancel()}
        _settle({calls.pop(call).run: None if call.cancelled() else call.result() for call in done})
        if time.monotonic() > renew_at:
            renew_at = time.monotonic() + RENEW_SECONDS
            _renew([held.run for held in calls.values()])


@shared_task(name=FOLLOW_TASK)
def follow_runs(sent_at: float | None = None) -> None:
    """Learn from QRS how the reloads go that were started, and what came of calls without an answer.

    Of this and the other housekeeping `sent_at` tells when beat has sent it; see housekeeping.py.
    """
    if not is_in_time(FOLLOW_TASK, sent_at=sent_at, period=FOLLOW_PERIOD):
        return
    following.follow_runs(qrs_client, now=timezone.now())


@shared_task(name=SWEEP_TASK)
def sweep_runs(sent_at: float | None = None) -> None:
    """Bring stuck runs on: close what is past its limit, publish again what no worker took, ask about what its worker
    lost, look for QRS.
    """
    if not is_in_time(SWEEP_TASK, sent_at=sent_at, period=SWEEP_PERIOD):
        return
    now = timezone.now()
    if _CLOCK.read() is not None:
        # A clock that has leapt by days may be corrected in a moment, and an end is for good
        closing.close_overdue(now=now)
    # Beat notes by its clock when it sends a run, and each worker by its own when it claims one
    clocks = read_health() if sent_at is not None else Health()
    # After twice the time that a call may take, nobody waits for its answer
    claim_limit = 2 * longest_call() + timedelta(seconds=30) + clocks.spread
    workers = set(claims.list_claiming_workers())
    gone = [worker for worker in workers - {name_this_process()} if is_gone(worker)]
    living = [worker for worker in workers if lives_here(worker)]
    requeued = runs.requeue_lost_messages(now=now + clocks.leader_ahead)
    lost = claims.give_up_lost_claims(now=now, limit=claim_limit, lost_workers=gone, living_workers=living)
    if requeued or lost:
        logger.warning("%d runs are published again, %d were lost with their worker", requeued, lost)
    if breaker.take_probe(breaker.read_site(), now=now):
        starting.probe_qrs(now=now)


@shared_task(name=READ_TASKS_TASK)
def read_tasks(sent_at: float | None = None) -> None:
    """Read anew what tasks Qlik Sense has; without an answer, what is known stays."""
    if not is_in_time(READ_TASKS_TASK, sent_at=sent_at, period=READ_PERIOD):
        return
    try:
        found = refresh_old_tasks(older_than=JUST_READ)
    except (QrsError, NoTasksError) as error:
        logger.warning("the tasks of Qlik Sense cannot be read, what is known of them stays: %s", error)
        return
    if found and (found.new or found.gone):
        logger.info("Qlik Sense has %d tasks, %d of them new, and %d gone", found.total, found.new, found.gone)


def _call_all(run_ids: Sequence[UUID]) -> dict[Call, Held]:
    """Claim the runs and have QRS called for those that are this worker's now and may be started."""
    if not run_ids:
        return {}
    now = timezone.now()
    claimed = _claim(run_ids, now=now)
    try:
        ready = _admit(claimed, now=now)
    except Exception as error:
        logger.exception("%d runs that were claimed cannot be started now", len(claimed))
        starting.postpone(claimed, problem=repr(error), now=now)
        return {}
    patient_until = time.monotonic() + PATIENCE_SECONDS
    return {_CALLERS.submit(_start, run, patient_until): Held(run, patient_until) for run in ready}


def _claim(run_ids: Sequence[UUID], *, now: datetime) -> list[ClaimedRun]:
    """Claim the runs, also where a connection is cut; what cannot be claimed does not keep the others."""
    me, tries = name_this_process(), count()

    def claim() -> list[ClaimedRun]:
        if next(tries):
            # The claim before may have been committed although its answer was lost
            claims.take_back(run_ids, worker=me, claimed_at=now)
        return claims.claim_runs(run_ids, worker=me, now=now)

    try:
        return insist(claim, what=f"{len(run_ids)} runs cannot be claimed", seconds=CLAIM_SECONDS)
    except AWAY:
        logger.exception("%d runs are left to be published again", len(run_ids))
        _leave(run_ids, claimed_at=now)
        return []
    except Exception:
        if len(run_ids) == 1:
            logger.exception("run %s cannot be claimed", *run_ids)
            return []
        half = len(run_ids) // 2
        return [run for part in (run_ids[:half], run_ids[half:]) for run in _claim(part, now=now)]


def _leave(run_ids: Sequence[UUID], *, claimed_at: datetime) -> None:
    """Undo a claim that was carried out all the same: nobody else may take what a process that lives has claimed."""
    try:
        claims.take_back(run_ids, worker=name_this_process(), claimed_at=claimed_at)
    except AWAY as error:
        logger.error("whether %d runs are claimed is not known: %s", len(run_ids), error)


def _admit(claimed: Sequence[ClaimedRun], *, now: datetime) -> list[ClaimedRun]:
    """Return the runs for which QRS is to be called now, and let the others wait."""
    what = "what is known of QRS cannot be read"
    try:
        admitted = insist(lambda: breaker.count_admitted(len(claimed), now=now), what=what, seconds=ADMIT_SECONDS)
    except AWAY:
        # To be late for want of a doubt would be worse
        admitted = len(claimed)
    starting.postpone(claimed[admitted:], now=now)
    return starting.leave_out_running(starting.leave_out_begun(claimed[:admitted], now=now), now=now)


def _settle(done: Mapping[ClaimedRun, Outcome | None]) -> None:
    """Record what came of claimed runs, and hand those back for which QRS was not called."""
    answered = {run: outcome for run, outcome in done.items() if outcome}
    record(list(answered.values()))
    not_called = [run for run in done if run not in answered]
    insist(lambda: claims.release_claims(not_called), what=f"{len(not_called)} claims cannot be handed back")
    for run, outcome in answered.items():
        # Here and not in the threads of the calls, which would wait for each other's lines
        _log(run, outcome)
    if done and settings.BUTLER_MAX_CONCURRENT_STARTS:
        # Beat holds runs back until these are done
        wake_beat()


def _renew(held: Sequence[ClaimedRun]) -> None:
    """Show that the claims are still held, if the database takes it; the next time will do."""
    try:
        claims.renew_claims(held, now=timezone.now())
    except AWAY as error:
        logger.warning("%d claims cannot be renewed: %s", len(held), error)


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
