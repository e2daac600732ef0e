"""What became of the starts: how the reloads go, and whether calls without an answer began one.

Everything is read in two lists, of the runs that QRS has under way and of the attempts that ended, so that a thousand
open runs cost as many calls as one.
"""

from __future__ import annotations

import logging
import random
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db.models import Q

from qlik.client import QrsClient
from qlik.documents import ExecutionResult, ExecutionSession
from qlik.errors import OutcomeUnknownError, QrsError
from qlik.execution import ExecutionStatus
from qlik.filters import Filter, any_of, one_of, since
from schedules.bulk import change_runs
from schedules.lease import is_gone, name_this_process
from schedules.models import QrsSite, Run
from schedules.policies import OPEN_LIMIT
from schedules.qrs import longest_call
from schedules.schedule_rules import read_retry
from schedules.wakeup import wake_beat

logger = logging.getLogger(__name__)

#: How long one worker may follow before another takes over, where nobody sees that it is gone
TURN = timedelta(seconds=120)
#: How far QRS's clock may be from what it seems
CLOCK_MARGIN = timedelta(seconds=10)
#: A call that was sent has begun its run by then, or never will
SETTLE_AFTER = timedelta(seconds=15)
CLOCK_WAS_SET = (
    "A clock was set before QRS could be asked whether the task was started. Look in the Qlik Management Console."
)
#: A run that QRS has not known for so long is given up
FORGET_AFTER = timedelta(minutes=10)
#: Characters of what Sense says about an end
LONGEST_DETAILS = 4000
#: Runs that are asked for by the id of their session, so that one call does
_MOST_IDS = 50

_COLUMNS = (
    "called_at",
    "claimed_at",
    "answered_at",
    "pk",
    "state",
    "qlik_task_id",
    "qrs_session",
    "reload_status",
    "attempts",
    "message",
)


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run that is started, or may be. `called_at` is when QRS was asked to start it, or might have been."""

    id: UUID
    state: str
    task_id: UUID
    called_at: datetime
    answered_at: datetime | None
    session: UUID | None
    status: int | None
    attempts: int
    message: str

    @property
    def settled_message(self) -> str:
        """The message of a run that turns out to have been started."""
        return f"{self.message} QRS was asked: it was started.".strip() if self.is_unsure else self.message

    @property
    def is_unsure(self) -> bool:
        """Whether nobody knew, up to now, whether it was started."""
        return self.state == Run.State.UNSURE

    def may_have_begun_at(self, moment: datetime) -> bool:
        """Return whether its call may have begun a session at this moment, by this service's clock."""
        latest = self.answered_at or self.called_at + longest_call()
        return self.called_at - CLOCK_MARGIN <= moment <= latest + CLOCK_MARGIN


class Change(NamedTuple):
    """New values of a run's columns."""

    id: UUID
    state: str
    qrs_session: UUID | None = None
    reload_status: int | None = None
    reload_started_at: datetime | None = None
    ended_at: datetime | None = None
    reload_duration: timedelta | None = None
    reload_attempts: int = 0
    node: str = ""
    script_log: UUID | None = None
    reload_details: str = ""
    message: str = ""
    next_try_at: datetime | None = None
    closed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """What QRS says at one moment: the sessions that are open, and attempts by their session, the first one first.

    `begun` has the sessions of each task with the moments at which they began, by this service's clock. Of the
    sessions in `asked` everything is known, and nothing of what has begun and is over where it `is_partial`.
    """

    sessions: Mapping[UUID, ExecutionSession]
    attempts: Mapping[UUID, Sequence[ExecutionResult]]
    begun: Mapping[UUID, Sequence[tuple[datetime, UUID]]]
    asked: frozenset[UUID]
    is_partial: bool = False


def follow_runs(get_client: Callable[[], QrsClient], *, now: datetime) -> int:
    """Ask QRS about the open runs and write what is new; return how many changed.

    Two calls at most, and a third where the second's answer did not come. A QRS that is away is no error: the next
    time will do.
    """
    open_runs = _read_open(now=now)
    if not open_runs or not _take_turn(now=now):
        return 0
    try:
        client = get_client()
        picture = _look(client, open_runs, now=now)
    except QrsError as error:
        logger.warning("QRS cannot be asked how %d runs go: %s", len(open_runs), error)
        _end_turn()
        return _write(_give_up_unsure(open_runs, error=str(error), now=now), now=now)
    lost = _list_lost_moments(open_runs, offset=client.clock_offset)
    _end_turn(followed_at=now, clock_offset=client.clock_offset)
    attached = _attach([run for run in open_runs if run not in lost], picture)
    changes = [change for run in attached if (change := _judge(run, picture, now=now))]
    return _write([*changes, *(_close(run, Run.State.UNKNOWN, CLOCK_WAS_SET, now=now) for run in lost)], now=now)


def _list_lost_moments(open_runs: Sequence[OpenRun], *, offset: timedelta) -> list[OpenRun]:
    """Return the runs without an answer whose moments mean nothing any more, because a clock was set since.

    What QRS has begun cannot be told from what it has not, and a second start must not come of that.
    """
    before = QrsSite.objects.values_list("clock_offset", flat=True).get(pk=1)
    was_set = before is not None and abs(offset - before) > CLOCK_MARGIN
    return [run for run in open_runs if was_set and run.is_unsure]


def _read_open(*, now: datetime) -> list[OpenRun]:
    """Return the runs that are not over, the longest called first."""
    states = [Run.State.UNSURE, *([Run.State.STARTED] if settings.BUTLER_FOLLOW_RELOADS else [])]
    # Those that are longer open are closed by the sweeper. Not by the due instant: that of a backfill is long past
    is_young = Q(planned_at__gte=now - OPEN_LIMIT) | Q(claimed_at__gte=now - OPEN_LIMIT)
    rows = Run.objects.filter(is_young, state__in=states, closed_at=None)
    values = rows.order_by().values_list(*_COLUMNS)
    return sorted((_make_open_run(*row) for row in values), key=lambda run: (run.called_at, run.id))


def _make_open_run(
    called_at: datetime | None, claimed_at: datetime | None, answered_at: datetime | None, *rest: Any
) -> OpenRun:
    run_id, state, task_id, *others = rest
    if called_at is None or (claimed_at and claimed_at > called_at):
        # Its worker was lost: whether, and when, it called is not known, and an earlier attempt does not matter
        called_at, answered_at = claimed_at, None
    return OpenRun(run_id, state, UUID(task_id), called_at or datetime.min.replace(tzinfo=UTC), answered_at, *others)


def _take_turn(*, now: datetime) -> bool:
    """Return whether this worker is the one that follows now."""
    site, _ = QrsSite.objects.get_or_create(pk=1)
    me = name_this_process()
    # Further ahead than a turn it only is where the clock was set back
    free = Q(follower_until=None) | Q(follower_until__lte=now) | Q(follower_until__gt=now + TURN)
    if site.follower != me and is_gone(site.follower):
        free |= Q(follower=site.follower)
    return bool(QrsSite.objects.filter(free, pk=1).update(follower_until=now + TURN, follower=me))


def _end_turn(**values: object) -> None:
    QrsSite.objects.filter(pk=1).update(follower_until=None, **values)


def _look(client: QrsClient, open_runs: Sequence[OpenRun], *, now: datetime) -> Picture:
    """Ask QRS for all that is needed to judge the runs."""
    # The sessions first: a run that ends between the two calls is among the ended ones next time
    sessions = {session.id: session for session in client.list_sessions()}
    offset = client.clock_offset
    gone = [run for run in open_runs if run.session and run.session not in sessions]
    asked = frozenset(run.session for run in gone[:_MOST_IDS] if run.session)
    unsure = [run for run in open_runs if not run.session]
    by_id = [one_of("executionID", asked)] if asked else []
    # By their beginnings and not by their ends: of a run that Sense tried again, each attempt has an end of its own
    earliest = [run.called_at for run in (*gone[_MOST_IDS:][:1], *unsure[:1])]
    begun_since = [since("startTime", min(earliest) + offset - CLOCK_MARGIN)] if earliest else []
    results, is_partial = _list_results(client, by_id, begun_since)
    attempts: dict[UUID, list[ExecutionResult]] = defaultdict(list)
    for result in sorted(results, key=lambda result: (result.started_at or now, result.stopped_at or now)):
        if result.execution_id:
            attempts[result.execution_id].append(result)
    begun = _list_begun(sessions.values(), attempts, offset=offset)
    return Picture(sessions, attempts, begun, asked, is_partial)


def _list_results(
    client: QrsClient, by_id: Sequence[Filter], begun_since: Sequence[Filter]
) -> tuple[list[ExecutionResult], bool]:
    """Return the attempts that pass one of the filters, and whether they are those of the first filter alone."""
    if not (by_id or begun_since):
        return [], False
    try:
        return client.list_results(where=any_of(*by_id, *begun_since)), False
    except OutcomeUnknownError as error:
        if not (by_id and begun_since):
            raise
        # It may have been too long to come in time. The oldest alone, and the next one is shorter
        logger.warning("QRS could not list all that ended, only the oldest runs are looked at: %s", error)
        return client.list_results(where=by_id[0]), True


def _list_begun(
    sessions: Iterable[ExecutionSession], attempts: Mapping[UUID, Sequence[ExecutionResult]], *, offset: timedelta
) -> Mapping[UUID, Sequence[tuple[datetime, UUID]]]:
    firsts = {session: (parts[0].task_id, parts[0].started_at) for session, parts in attempts.items()}
    firsts |= {session.id: (session.task_id, session.created_at) for session in sessions}
    begun: dict[UUID, list[tuple[datetime, UUID]]] = defaultdict(list)
    for session_id, (task_id, moment) in firsts.items():
        if task_id and moment:
            begun[task_id].append((moment - offset, session_id))
    return {task_id: sorted(moments) for task_id, moments in begun.items()}


def _attach(open_runs: Sequence[OpenRun], picture: Picture) -> list[OpenRun]:
    """Return the runs, each without a session with the one that its call began, where there is one.

    Left out are runs whose session may be that of a call that is on its way, and all without one where it was not
    told what has begun: the next time will tell.
    """
    if picture.is_partial:
        return [run for run in open_runs if run.session]
    unsure = [run for run in open_runs if not run.session]
    found = [session for task_id in {run.task_id for run in unsure} for _, session in picture.begun.get(task_id, ())]
    if not found:
        return list(open_runs)
    # Before what is taken, or a call that is recorded between the two would be in neither
    calling = _list_calling(besides=open_runs)
    # A session belongs to one run. It may also be that of a start by somebody else, at the very moment
    taken = set(Run.objects.filter(qrs_session__in=found).values_list("qrs_session", flat=True))
    matched = _match_sessions(unsure, picture, taken=taken)
    return [
        replace(run, session=run.session or matched.get(run.id))
        for run in open_runs
        if run.id not in matched or str(run.task_id) not in calling
    ]


def _match_sessions(
    unsure: Sequence[OpenRun], picture: Picture, *, taken: Collection[UUID | None]
) -> Mapping[UUID, UUID]:
    """Return the sessions that calls have begun, by their runs: of several, the one that began nearest to the call."""
    pairs = sorted(
        (abs(moment - run.called_at), run.id, session)
        for run in unsure
        for moment, session in picture.begun.get(run.task_id, ())
        if session not in taken and run.may_have_begun_at(moment)
    )
    matched: dict[UUID, UUID] = {}
    for _, run_id, session in pairs:
        if run_id not in matched and session not in matched.values():
            matched[run_id] = session
    return matched


def _list_calling(*, besides: Sequence[OpenRun]) -> set[str]:
    """Return the tasks of calls that are on their way, or have become unsure since the open runs were read."""
    states = [Run.State.CLAIMED, Run.State.UNSURE]
    rows = Run.objects.filter(state__in=states).values_list("pk", "qlik_task_id")
    known = {run.id for run in besides}
    return {task_id.lower() for run_id, task_id in rows if run_id not in known}


def _judge(run: OpenRun, picture: Picture, *, now: datetime) -> Change | None:
    """Return what is new about a run; None when nothing is."""
    if run.session is None:
        return _judge_without_session(run, now=now)
    session = picture.sessions.get(run.session)
    attempts = picture.attempts.get(run.session, ())
    if session:
        return _judge_open(run, session)
    if attempts and not attempts[-1].status.is_running:
        return _judge_ended(run, attempts, now=now)
    known_at = max([run.answered_at or run.called_at, *(part.started_at for part in attempts if part.started_at)])
    if run.session in picture.asked and now - known_at > FORGET_AFTER:
        message = "Sense does not know this run any more, so how it ended cannot be told. It may have been restarted."
        return _close(run, Run.State.UNKNOWN, message, now=now)
    return Change(run.id, Run.State.STARTED, run.session, message=run.settled_message) if run.is_unsure else None


def _judge_without_session(run: OpenRun, *, now: datetime) -> Change | None:
    """Decide about a run that QRS knows no session of, although it was asked to start it, or may have been."""
    asked_at = run.answered_at or run.called_at
    if run.state == Run.State.STARTED:
        if now - asked_at <= FORGET_AFTER:
            return None
        return _close(run, Run.State.UNKNOWN, "QRS took the call, but no run of the task has begun since.", now=now)
    if now - asked_at <= SETTLE_AFTER:
        return None
    retry = read_retry(run.id, now=now)
    # The attempt of a worker that was lost was not counted
    next_try_at = retry.next_attempt_at(now, attempts=max(run.attempts, 1), chance=random.random())  # noqa: S311
    message = f"{run.message} QRS was asked: no run of the task has begun since."
    if next_try_at is None:
        return _close(run, Run.State.UNREACHABLE, message, now=now)
    return Change(run.id, Run.State.RETRYING, message=message, next_try_at=next_try_at)


def _judge_open(run: OpenRun, session: ExecutionSession) -> Change | None:
    result = session.result
    code = result.status_code if result else None
    if run.state == Run.State.STARTED and code == run.status:
        return None
    return Change(
        run.id,
        Run.State.STARTED,
        session.id,
        reload_status=code,
        reload_started_at=result.started_at if result else None,
        node=result.node_name if result else "",
        message=run.settled_message,
    )


def _judge_ended(run: OpenRun, attempts: Sequence[ExecutionResult], *, now: datetime) -> Change:
    last = attempts[-1]
    details = "\n".join(detail.message for detail in last.details)
    message = run.settled_message if last.status.is_success else f"The reload ended as {last.status.title}."
    return Change(
        run.id,
        _end_state(last.status),
        run.session,
        reload_status=last.status_code,
        reload_started_at=attempts[0].started_at,
        ended_at=last.stopped_at,
        reload_duration=last.duration,
        reload_attempts=len(attempts),
        node=last.node_name,
        script_log=last.file_reference_id,
        reload_details=details[:LONGEST_DETAILS],
        message=message,
        closed_at=now,
    )


def _end_state(status: ExecutionStatus) -> Run.State:
    if status.is_success:
        return Run.State.SUCCEEDED
    return Run.State.ABORTED if status is ExecutionStatus.ABORTED else Run.State.FAILED


def _close(run: OpenRun, state: Run.State, message: str, *, now: datetime) -> Change:
    return Change(run.id, state, run.session, reload_status=run.status, message=message, closed_at=now)


def _give_up_unsure(open_runs: Sequence[OpenRun], *, error: str, now: datetime) -> list[Change]:
    """Return the ends of runs of which nobody could say for too long whether they were started."""
    message = f"Whether the task was started could not be found out in time: {error}"
    return [
        _close(run, Run.State.UNKNOWN, message, now=now)
        for run in open_runs
        if run.is_unsure and now > max(read_retry(run.id, now=now).until, run.called_at + FORGET_AFTER)
    ]


def _write(changes: Sequence[Change], *, now: datetime) -> int:
    """Write what is new, and let runs go on that waited for a task that has ended."""
    if not changes:
        return 0
    changed = change_runs(Change._fields, changes, states=[Run.State.STARTED, Run.State.UNSURE])
    resumed = _resume_waiting([change.id for change in changes if change.closed_at], now=now)
    if resumed or any(change.next_try_at for change in changes):
        wake_beat()
    return changed


def _resume_waiting(closed: Sequence[UUID], *, now: datetime) -> int:
    """Let the runs go on that wait for the tasks of these closed runs to end; return how many."""
    waiting = dict(Run.objects.filter(state=Run.State.WAITING).values_list("pk", "qlik_task_id"))
    if not (closed and waiting):
        return 0
    ended = {task_id.lower() for task_id in Run.objects.filter(pk__in=closed).values_list("qlik_task_id", flat=True)}
    due = [run_id for run_id, task_id in waiting.items() if task_id.lower() in ended]
    return Run.objects.filter(pk__in=due, state=Run.State.WAITING).update(next_try_at=now)
