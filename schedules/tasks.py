"""The worker's end: one task that starts a Qlik task, and the housekeeping of the ledger."""

from __future__ import annotations

import logging
from datetime import timedelta
from uuid import UUID

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from qlik.errors import NotStartedError, OutcomeUnknownError, QrsError
from schedules import runs
from schedules.lease import name_this_process
from schedules.models import START_RUN_TASK, Run
from schedules.qrs import qrs_client

logger = logging.getLogger(__name__)


@shared_task(name=START_RUN_TASK)
def start_run(run_id: str) -> None:
    """Start the Qlik task of one run: claim it, call QRS, record what came of it."""
    run = runs.claim_run(UUID(run_id), worker=name_this_process(), now=timezone.now())
    if run is None:
        return
    outcome = _call_qrs(run)
    if not runs.record_outcome(run, outcome):
        logger.error("run %s was closed while QRS was called; this came of it: %s", run_id, outcome)
    _log(run, outcome)


@shared_task(name="schedules.sweep_runs")
def sweep_runs() -> None:
    """Bring stuck runs on: publish again what no worker took, close what its worker lost."""
    now = timezone.now()
    # A call may take as long as QRS_TIMEOUT allows; after twice that, nobody waits for its answer
    claim_limit = timedelta(seconds=2 * sum(settings.QRS_TIMEOUT) + 30)
    requeued = runs.requeue_lost_messages(now=now)
    closed = runs.close_lost_claims(now=now, limit=claim_limit)
    if requeued or closed:
        logger.warning("%d runs are published again, %d were lost with their worker", requeued, closed)


def _call_qrs(run: Run) -> runs.Outcome:
    called_at = timezone.now()
    state, session, message = Run.State.STARTED, None, ""
    try:
        session = qrs_client().start_task_synchronously(UUID(run.qlik_task_id))
    except QrsError as error:
        state, message = _final_state(error), str(error)
    return runs.Outcome(state, called_at, timezone.now(), session, message)


def _final_state(error: QrsError) -> Run.State:
    if isinstance(error, NotStartedError):
        return Run.State.UNREACHABLE
    return Run.State.UNKNOWN if isinstance(error, OutcomeUnknownError) else Run.State.REFUSED


def _log(run: Run, outcome: runs.Outcome) -> None:
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
        f" session={outcome.qrs_session}" if outcome.qrs_session else f" {outcome.message}",
    )
