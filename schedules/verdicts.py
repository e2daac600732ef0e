"""What an answer of QRS means for a run: still under way, ended, called again, or given up."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings

from qlik.documents import ExecutionResult, ExecutionSession
from qlik.execution import ExecutionStatus
from schedules.models import Run
from schedules.open_runs import Change, OpenRun
from schedules.qrs import settle_time
from schedules.qrs_picture import Begun, Picture
from schedules.runs import is_end
from schedules.schedule_rules import read_retry

#: Between the two times that QRS has to know of no session before its silence counts
ASK_AGAIN_AFTER = timedelta(seconds=10)
#: A run that QRS has not known for so long is given up
FORGET_AFTER = timedelta(minutes=10)
#: Characters of what Sense says about an end
LONGEST_DETAILS = 4000
#: Characters of a node's name, and the greatest small integer, as the ledger takes them
_LONGEST_NAME = 200
_MOST = 32_767

CLOCK_WAS_SET = (
    "A clock was set, here or at QRS, before QRS could be asked whether the task was started. "
    "Look in the Qlik Management Console."
)
#: How the message of a run begins to tell of a second session
FURTHER_MARK = "QRS has begun a further session of the task"


def judge(run: OpenRun, picture: Picture, *, now: datetime) -> Change | None:
    """Return what is new about a run; None when nothing is."""
    if run.session is None:
        return _judge_without_session(run, now=now)
    if run.closed_at and not run.is_found:
        # It is over, and only looked at for what an earlier call of it may have begun
        return None
    session = picture.sessions.get(run.session)
    attempts = picture.attempts.get(run.session, ())
    if session:
        return _judge_open(run, session, now=now)
    last = attempts[-1] if attempts else None
    if last and not last.status.is_running and (last.stopped_at or last.status is not ExecutionStatus.UNKNOWN):
        return _judge_ended(run, attempts, now=now)
    known_at = max([run.asked_until, *(part.started_at for part in attempts if part.started_at)])
    if run.session in picture.asked and now - known_at > FORGET_AFTER:
        message = "Sense does not know this run any more, so how it ended cannot be told. It may have been restarted."
        return close(run, Run.State.UNKNOWN, message, now=now)
    return _start(run, now=now) if run.state != Run.State.STARTED else None


def _judge_without_session(run: OpenRun, *, now: datetime) -> Change | None:
    """Decide about a run that QRS knows no session of, although it was asked to start it, or may have been."""
    if run.state == Run.State.STARTED and run.closed_at is None:
        if now - run.asked_until <= max(FORGET_AFTER, settle_time()):
            return None
        message = "QRS took the call, but no run of the task has begun since."
        return close(run, Run.State.UNKNOWN, message, now=now, in_doubt_since=run.sought_from)
    if not run.is_unsure:
        return None
    settled_at = run.asked_until + settle_time()
    if now <= settled_at:
        return None
    if run.silent_at is None or not settled_at < run.silent_at <= now:
        # Once may be chance, or a moment too early: the next silence counts
        return Change(run.id, Run.State.UNSURE, message=run.message, in_doubt_since=run.sought_from, silent_at=now)
    if now - run.silent_at < ASK_AGAIN_AFTER:
        return None
    return _judge_silence(run, now=now)


def _judge_silence(run: OpenRun, *, now: datetime) -> Change:
    """Decide about a run in doubt of which QRS has twice known nothing."""
    if settings.QRS_IN_DOUBT == "unknown":
        message = (
            f"{run.message} QRS was asked: no run of the task has begun since. It is not called again, for QRS_IN_DOUBT"
            " is unknown: look in the Qlik Management Console, and run it by hand where it has to."
        )
        return close(run, Run.State.UNKNOWN, message.strip(), now=now)
    retry = read_retry(run.id, now=now)
    # The attempt of a worker that was lost was not counted
    next_try_at = retry.next_attempt_at(now, attempts=max(run.attempts, 1), chance=random.random())  # noqa: S311
    message = f"{run.message} QRS was asked: no run of the task has begun since.".strip()
    if next_try_at is None:
        return close(run, Run.State.UNREACHABLE, message, now=now)
    return Change(
        run.id,
        Run.State.RETRYING,
        message=message,
        next_try_at=next_try_at,
        in_doubt_since=run.sought_from,
    )


def _judge_open(run: OpenRun, session: ExecutionSession, *, now: datetime) -> Change | None:
    result = session.result
    code = _to_small(result.status_code) if result else None
    if run.state == Run.State.STARTED and code == run.status and not run.is_found:
        return None
    return _start(
        run,
        now=now,
        reload_status=code,
        reload_started_at=result.started_at if result else None,
        node=result.node_name[:_LONGEST_NAME] if result else "",
    )


def _start(run: OpenRun, *, now: datetime, **values: object) -> Change:
    return Change(
        run.id,
        Run.State.STARTED,
        run.session,
        message=_settled_message(run),
        # Where reloads are not followed
        closed_at=now if is_end(Run.State.STARTED) else None,
        in_doubt_since=_remaining_doubt(run),
        **values,  # type: ignore[arg-type]
    )


def _settled_message(run: OpenRun) -> str:
    """Return the message of a run that turns out to have been started."""
    if run.state == Run.State.STARTED:
        return run.message
    if run.is_unsure:
        return f"{run.message} QRS was asked: it was started.".strip()
    late = f"QRS has begun session {run.session} late, or somebody else has: it is taken for the run's."
    return f"{run.message} {late}".strip()


def _remaining_doubt(run: OpenRun) -> datetime | None:
    """Return since when calls are in doubt of a run that has its session: None where that is of its one call."""
    return run.in_doubt_since if run.in_doubt_since and run.in_doubt_since < run.called_at else None


def _judge_ended(run: OpenRun, attempts: Sequence[ExecutionResult], *, now: datetime) -> Change:
    last = attempts[-1]
    details = "\n".join(detail.message for detail in last.details)
    message = _settled_message(run) if last.status.is_success else _tell_bad_end(run, last)
    return Change(
        run.id,
        _end_state(last.status),
        run.session,
        reload_status=_to_small(last.status_code),
        reload_started_at=attempts[0].started_at,
        ended_at=last.stopped_at,
        reload_duration=last.duration,
        reload_attempts=min(len(attempts), _MOST),
        node=last.node_name[:_LONGEST_NAME],
        script_log=last.file_reference_id,
        reload_details=details[:LONGEST_DETAILS],
        message=message,
        closed_at=now,
        in_doubt_since=_remaining_doubt(run),
    )


def _tell_bad_end(run: OpenRun, last: ExecutionResult) -> str:
    title = last.status.title
    if last.status is ExecutionStatus.UNKNOWN:
        title = f"status {last.status_code}, which this version of the service does not know"
    _, mark, further = run.message.partition(FURTHER_MARK)
    return f"The reload ended as {title}. {mark}{further}".strip()


def _end_state(status: ExecutionStatus) -> Run.State:
    if status.is_success:
        return Run.State.SUCCEEDED
    if status is ExecutionStatus.UNKNOWN:
        return Run.State.UNKNOWN
    return Run.State.ABORTED if status is ExecutionStatus.ABORTED else Run.State.FAILED


def _to_small(number: int) -> int | None:
    return number if 0 <= number <= _MOST else None


def close(
    run: OpenRun, state: Run.State, message: str, *, now: datetime, in_doubt_since: datetime | None = None
) -> Change:
    """Return the end of a run of which nothing more can be told."""
    return Change(
        run.id,
        state,
        run.session,
        reload_status=run.status,
        message=message,
        closed_at=now,
        in_doubt_since=in_doubt_since or run.in_doubt_since,
    )


def give_up_unsure(runs: Sequence[OpenRun], *, error: str, now: datetime) -> list[Change]:
    """Return the ends of runs of which nobody could say for too long whether they were started."""
    message = f"Whether the task was started could not be found out in time: {error}"
    return [
        close(run, Run.State.UNKNOWN, message, now=now, in_doubt_since=run.sought_from)
        for run in runs
        if run.is_unsure and now > max(read_retry(run.id, now=now).until, run.asked_until + FORGET_AFTER)
    ]


def tell_further(message: str, sessions: Sequence[Begun]) -> str:
    """Return a run's message with the sessions that it does not tell of yet."""
    new = [begun for begun in sessions if str(begun.session) not in message]
    told = [
        f"{FURTHER_MARK}, {begun.session} at {begun.at:%H:%M:%S} UTC: by an earlier call, or by somebody else."
        for begun in new
    ]
    return " ".join(filter(None, [message, *told]))
