"""Attempts to start a run's Qlik task: whether to call QRS, the call, and what its answer means for the run."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from qlik.documents import ExecutionSession
from qlik.errors import Availability, NotStartedError, OutcomeUnknownError, QrsError
from qlik.filters import one_of
from schedules import breaker, claims
from schedules.claims import ClaimedRun
from schedules.models import Run
from schedules.patience import AWAY, insist
from schedules.policies import FIRST_PAUSE, LONGEST_PAUSE, Overlap
from schedules.qrs import qrs_client
from schedules.runs import Outcome

logger = logging.getLogger(__name__)

#: How soon runs that wait for QRS look again by themselves
POSTPONE_PAUSE = timedelta(seconds=60)
#: How much earlier a session may seem to have begun than the call that began it
CLOCK_MARGIN = timedelta(seconds=1)
#: The property of a session that names its task
SESSION_TASK = "reloadTask.id"


def start(run: ClaimedRun) -> Outcome:
    """Call QRS for a claimed run, and return what came of it; never raises."""
    called_at = timezone.now()
    try:
        session = _call(UUID(run.qlik_task_id))
    except QrsError as error:
        return _judge_failure(run, error, called_at=called_at, now=timezone.now())
    except Exception as error:
        # Whatever it was, the other runs of the message have to go on, and nobody knows whether QRS was called
        logger.exception("the call for run %s failed in a way that is not known", run.id)
        return Outcome(
            id=run.id,
            state=Run.State.UNSURE,
            called_at=called_at,
            answered_at=timezone.now(),
            message=repr(error),
            claimed_at=run.claimed_at,
        )
    return Outcome(
        id=run.id,
        state=Run.State.STARTED,
        called_at=called_at,
        answered_at=timezone.now(),
        session=session,
        message=run.message,
        availability=Availability.WORKS,
        claimed_at=run.claimed_at,
    )


def note_outcomes(outcomes: Sequence[Outcome]) -> None:
    """Tell the circuit breaker what these attempts say about QRS itself; some say nothing."""
    said = [outcome.availability for outcome in outcomes]
    if Availability.WORKS in said:
        breaker.note_success(now=timezone.now())
    elif away := [outcome for outcome in outcomes if outcome.availability is Availability.AWAY]:
        breaker.note_failures(len(away), error=away[-1].message, now=timezone.now())


def probe_qrs(*, now: datetime) -> None:
    """Find out whether QRS can be reached again."""
    try:
        qrs_client().about()
    except QrsError as error:
        breaker.note_failures(1, error=str(error), now=now)
    else:
        breaker.note_success(now=timezone.now())


def postpone(
    claimed: Sequence[ClaimedRun],
    *,
    now: datetime,
    problem: str = "",
    pause: timedelta = POSTPONE_PAUSE,
    retry_after: timedelta | None = None,
) -> None:
    """Let claimed runs wait until QRS can be reached: it is looked for meanwhile, and they go on when it is found.

    `problem` says why they are not started now; without it, it is what was last heard of QRS. They wait for about the
    `pause`, or for as long as QRS has asked for with `retry_after`, up to the longest pause.
    """
    asked = min(retry_after or timedelta(0), LONGEST_PAUSE)
    until = now + max(pause * random.uniform(0.75, 1.25), asked)  # noqa: S311

    def write() -> None:
        message = f"Waits for QRS. {problem or breaker.read_site().last_error}"
        claims.postpone(claimed, until=until, message=message, now=now)

    if claimed:
        insist(write, what=f"{len(claimed)} runs cannot be postponed")


def leave_out_begun(claimed: Sequence[ClaimedRun], *, now: datetime) -> list[ClaimedRun]:
    """Return the runs that may be called: all but those whose earlier call may have begun a session by now.

    QRS was asked before, and knew of none, but that was some time ago. One call of QRS for all of them, and none where
    no earlier call is in doubt.
    """
    doubted = {run: UUID(run.qlik_task_id) for run in claimed if run.in_doubt_since}
    if not doubted:
        return list(claimed)
    try:
        sessions = qrs_client().list_sessions(where=one_of(SESSION_TASK, set(doubted.values())), may_skip=True)
    except QrsError as error:
        _wait_for_qrs(list(doubted), error, now=now)
        return [run for run in claimed if run not in doubted]
    foreign = claims.list_unowned(session.id for session in sessions)
    begun = [
        run
        for run, task_id in doubted.items()
        if any(session.id in foreign and _may_be_of(session, run, task_id) for session in sessions)
    ]
    insist(lambda: claims.put_in_doubt(begun), what=f"{len(begun)} runs cannot be put in doubt")
    return [run for run in claimed if run not in begun]


def _may_be_of(session: ExecutionSession, run: ClaimedRun, task_id: UUID) -> bool:
    """Return whether a session may be that of an earlier call for a run."""
    if session.task_id != task_id or run.in_doubt_since is None:
        return False
    clock = qrs_client().clock
    earliest = run.in_doubt_since - clock.uncertainty - CLOCK_MARGIN
    return session.created_at is None or session.created_at - clock.offset >= earliest


def leave_out_running(claimed: Sequence[ClaimedRun], *, now: datetime) -> list[ClaimedRun]:
    """Return the runs that may be started: all but those whose task must not and does run, whoever started it.

    One call of QRS for all of them, and none where no schedule asks for it.
    """
    asking = {UUID(run.qlik_task_id): run for run in claimed if run.overlap is not Overlap.ALLOW}
    if not asking:
        return list(claimed)
    try:
        sessions = qrs_client().list_sessions(where=one_of(SESSION_TASK, asking))
    except QrsError as error:
        _wait_for_qrs([run for run in claimed if run.overlap is not Overlap.ALLOW], error, now=now)
        return [run for run in claimed if run.overlap is Overlap.ALLOW]
    running = {
        asking[session.task_id]: f"the task runs already, in session {session.id}"
        for session in sessions
        if session.task_id in asking
    }
    insist(lambda: claims.give_way(running, now=now), what=f"{len(running)} runs cannot give way")
    return [run for run in claimed if run not in running]


def _wait_for_qrs(waiting: Sequence[ClaimedRun], error: QrsError, *, now: datetime) -> None:
    """Let runs wait before whose call QRS had to be asked, and could not be."""
    if error.availability is Availability.AWAY:
        _note_failure(error, now=now)
    # Once more soon. Where it turns out by then that QRS is away, the circuit breaker lets them wait
    postpone(waiting, problem=str(error), pause=FIRST_PAUSE, retry_after=error.retry_after, now=now)


def _note_failure(error: QrsError, *, now: datetime) -> None:
    try:
        breaker.note_failures(1, error=str(error), now=now)
    except AWAY:
        logger.exception("the circuit breaker cannot be told of a failure")


def _call(task_id: UUID) -> UUID | None:
    if settings.QRS_START_CALL == "plain":
        qrs_client().start_task(task_id)
        return None
    return qrs_client().start_task_synchronously(task_id)


def _judge_failure(run: ClaimedRun, error: QrsError, *, called_at: datetime, now: datetime) -> Outcome:
    next_try_at, chance = None, random.random()  # noqa: S311
    if isinstance(error, OutcomeUnknownError):
        state = Run.State.UNSURE
    elif isinstance(error, NotStartedError):
        next_try_at = run.retry.next_attempt_at(
            now, attempts=run.attempts + 1, chance=chance, retry_after=error.retry_after
        )
        state = Run.State.RETRYING if next_try_at else Run.State.UNREACHABLE
    else:
        state = Run.State.REFUSED
    return Outcome(
        id=run.id,
        state=state,
        called_at=called_at,
        answered_at=now,
        message=str(error),
        next_try_at=next_try_at,
        availability=error.availability,
        retry_after=error.retry_after,
        claimed_at=run.claimed_at,
    )
