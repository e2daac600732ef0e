"""The tasks of the simulated site and the life of their runs.

Nothing happens between calls: each call first carries out what has become due since the last, at the moment
it was due. So a site costs nothing while nobody asks, and a test can bring its own clock.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from qlik.execution import ExecutionStatus

# A node of Sense reloads this many apps at once, unless told otherwise, and queues the others.
SLOTS = 4
# How many finished attempts are remembered.
HISTORY_SIZE = 10_000

TRIGGER_TIME = timedelta(seconds=0.5)
QUEUE_LIMIT = timedelta(minutes=30)
RETRY_TIME = timedelta(seconds=10)
ABORT_TIME = timedelta(seconds=1)
ABORTS = {ExecutionStatus.ABORT_INITIATED, ExecutionStatus.ABORTING}

FAILED = "Message from ReloadProvider: Reload failed in Engine. Check engine or script logs."
DROPPED = "The task has been queued for too long and is removed from the queue."
TIMED_OUT = "The session of the task has timed out: the task is aborted."
LOST = "The service restarted while the task was running."


class UnknownTaskError(Exception):
    """The site has no such task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A reload task, and how its reloads go."""

    id: UUID
    name: str
    app: str
    tags: tuple[str, ...] = ()
    # A property may have several values.
    custom_properties: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    enabled: bool = True
    max_retries: int = 0
    # From the start, with queue and retries; what takes longer is aborted.
    session_timeout_minutes: float = 1440
    reload_seconds: float = 2.0
    fails: bool = False
    # How many attempts fail before one succeeds.
    fails_first: int = 0


@dataclass(slots=True, eq=False)
class Attempt:
    """One reload: QRS's execution result."""

    id: UUID
    session_id: UUID
    task: Task
    started_at: datetime
    stopped_at: datetime | None = None
    changes: list[tuple[datetime, ExecutionStatus]] = field(default_factory=list)
    # Why it came to no good end.
    remark: str = ""
    # How QRS tells it, kept once it is over: to make it anew for thousands in each list would take seconds.
    document: dict[str, Any] | None = None

    @property
    def status(self) -> ExecutionStatus:
        """The state it is in."""
        return self.changes[-1][1]

    @property
    def entered_at(self) -> datetime:
        """Since when it is in that state."""
        return self.changes[-1][0]

    @property
    def is_over(self) -> bool:
        """Whether it changes no more."""
        return self.stopped_at is not None and not self.status.is_running

    @property
    def has_script_log(self) -> bool:
        """The reload is over, and it began."""
        return self.stopped_at is not None and any(status is ExecutionStatus.STARTED for _, status in self.changes)

    def enter(self, status: ExecutionStatus, at: datetime) -> None:
        """Go over into a state."""
        self.changes.append((at, status))


@dataclass(slots=True, eq=False)
class Session:
    """One start with all its attempts: QRS's execution session, which is gone once the run is over."""

    id: UUID
    task: Task
    times_out_at: datetime
    attempts: list[Attempt] = field(default_factory=list)
    # Counts what was planned; only what was planned last still happens.
    step: int = 0
    # A restart has forgotten it, and maybe its last attempt.
    is_lost: bool = False

    @property
    def attempt(self) -> Attempt:
        """The attempt that is under way."""
        return self.attempts[-1]


Happening = Callable[[Session, datetime], None]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens to a session, unless something else was planned for it after that."""

    session: Session
    step: int
    happen: Happening


class Site:
    """Tasks, sessions and results, for any number of threads. Read attributes only inside `settled()`."""

    def __init__(
        self,
        tasks: Iterable[Task],
        *,
        speed: float = 1.0,
        slots: int = SLOTS,
        second_sessions: bool = True,
        note_end: Callable[[Session, datetime], None] | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Reloads, queues and retries take 1/`speed` of their time, and `slots` reloads go at once.

        Without `second_sessions` the start of a task that is running is ignored. `note_end` is told of each run that
        is over, with its attempts that QRS remembers.
        """
        self.tasks = {task.id: task for task in tasks}
        self.sessions: dict[UUID, Session] = {}
        self.latest: dict[UUID, Attempt] = {}
        self.history: deque[Attempt] = deque(maxlen=HISTORY_SIZE)
        self.speed = speed
        self._slots = slots
        self._second_sessions = second_sessions
        self._note_end = note_end
        self._clock = clock
        self._lock = threading.Lock()
        self._sessions_by_task: defaultdict[UUID, dict[UUID, Session]] = defaultdict(dict)
        self._working: set[Session] = set()
        self._queue: deque[Session] = deque()
        self._plan: list[tuple[datetime, int, Event]] = []
        self._numbers = itertools.count()

    @contextmanager
    def settled(self) -> Iterator[datetime]:
        """Bring the site up to date and hold it there; yields the moment."""
        with self._lock:
            now = self._clock()
            while self._plan and self._plan[0][0] <= now:
                at, _, event = heapq.heappop(self._plan)
                if event.step == event.session.step:
                    event.happen(event.session, at)
            yield now

    def start(
        self, task_ids: Iterable[UUID], *, begins: bool = True, after: timedelta = timedelta(0)
    ) -> list[UUID | None]:
        """Start tasks and return their sessions, None for one that did not begin; without `begins` none does.

        The sessions begin `after` that time, whatever becomes of the tasks meanwhile.
        Raises UnknownTaskError, and then starts nothing.
        """
        with self.settled() as now:
            tasks = [self._find(task_id) for task_id in task_ids]
            return [self._start(task, now, now + after) if begins else None for task in tasks]

    def stop(self, task_id: UUID) -> None:
        """Begin to abort every run of a task. Raises UnknownTaskError."""
        with self.settled() as now:
            self._find(task_id)
            for session in self._sessions_by_task[task_id].values():
                if session.attempt.status in ABORTS:
                    continue
                self._initiate_abort(session, now)

    def put_tasks(self, tasks: Iterable[Task], *, keep_others: bool) -> None:
        """Add tasks, or put them in the place of those with the same id, or of all."""
        with self.settled():
            self.tasks = (self.tasks if keep_others else {}) | {task.id: task for task in tasks}

    def remove_tasks(self, task_ids: Iterable[UUID]) -> None:
        """Delete tasks: their runs are aborted at once, their results stay. Raises UnknownTaskError."""
        with self.settled() as now:
            for task in [self._find(task_id) for task_id in task_ids]:
                for session in [*self._sessions_by_task[task.id].values()]:
                    self._aborted(session, now)
                del self.tasks[task.id]
                self.latest.pop(task.id, None)

    def change_task(self, task_id: UUID, **values: Any) -> None:
        """Give some values of a task anew; what runs goes on as it began. Raises UnknownTaskError."""
        with self.settled():
            self.tasks[task_id] = replace(self._find(task_id), **values)

    def lose_sessions(self, *, keep_results: bool) -> None:
        """Forget all runs, as a restart does; their results end as reset, or are forgotten too."""
        with self.settled() as now:
            for session in self.sessions.values():
                session.is_lost = True
                if keep_results:
                    session.attempt.remark = LOST
                    self._close(session.attempt, ExecutionStatus.RESET, now)
                else:
                    session.attempts.pop()
                self._tell_end(session, now)
            for forgotten in (self.sessions, self._sessions_by_task, self._working, self._queue, self._plan):
                forgotten.clear()
            self.latest = {attempt.task.id: attempt for attempt in self.history if attempt.task.id in self.tasks}

    def list_attempts(self) -> list[Attempt]:
        """Return the attempts that are over and remembered, and those under way."""
        with self.settled():
            return [*self.history, *(session.attempt for session in self.sessions.values())]

    def _start(self, task: Task, now: datetime, begins_at: datetime) -> UUID | None:
        if not task.enabled or (self._sessions_by_task[task.id] and not self._second_sessions):
            return None
        session = Session(uuid4(), task, begins_at + timedelta(minutes=task.session_timeout_minutes) / self.speed)
        if begins_at > now:
            heapq.heappush(self._plan, (begins_at, next(self._numbers), Event(session, session.step, self._trigger)))
        else:
            self._trigger(session, now)
        return session.id

    def _trigger(self, session: Session, at: datetime) -> None:
        self.sessions[session.id] = self._sessions_by_task[session.task.id][session.id] = session
        self._add_attempt(session, ExecutionStatus.TRIGGERED, at)
        self._later(session, at, TRIGGER_TIME, self._begin)

    def _find(self, task_id: UUID) -> Task:
        try:
            return self.tasks[task_id]
        except KeyError as error:
            raise UnknownTaskError from error

    def _add_attempt(self, session: Session, status: ExecutionStatus, at: datetime) -> None:
        attempt = Attempt(uuid4(), session.id, session.task, at)
        attempt.enter(status, at)
        session.attempts.append(attempt)
        self.latest[session.task.id] = attempt

    def _later(self, session: Session, at: datetime, wait: timedelta, happen: Happening) -> None:
        due_at = at + wait / self.speed
        if due_at > session.times_out_at and session.attempt.status not in ABORTS:
            due_at, happen = session.times_out_at, self._time_out
        session.step += 1
        heapq.heappush(self._plan, (due_at, next(self._numbers), Event(session, session.step, happen)))

    def _begin(self, session: Session, at: datetime) -> None:
        if len(self._working) < self._slots:
            self._work(session, at)
            return
        session.attempt.enter(ExecutionStatus.QUEUED, at)
        self._queue.append(session)
        self._later(session, at, QUEUE_LIMIT, self._drop)

    def _work(self, session: Session, at: datetime) -> None:
        self._working.add(session)
        session.attempt.enter(ExecutionStatus.STARTED, at)
        fails = session.task.fails or len(session.attempts) <= session.task.fails_first
        finish = self._fail_or_retry if fails else self._succeed
        self._later(session, at, timedelta(seconds=session.task.reload_seconds), finish)

    def _succeed(self, session: Session, at: datetime) -> None:
        self._end(session, ExecutionStatus.FINISHED_SUCCESS, at)

    def _drop(self, session: Session, at: datetime) -> None:
        session.attempt.remark = DROPPED
        self._end(session, ExecutionStatus.FINISHED_FAIL, at)

    def _fail_or_retry(self, session: Session, at: datetime) -> None:
        session.attempt.remark = FAILED
        if len(session.attempts) > session.task.max_retries:
            self._end(session, ExecutionStatus.FINISHED_FAIL, at)
            return
        self._end_attempt(session, ExecutionStatus.FINISHED_FAIL, at)
        self._add_attempt(session, ExecutionStatus.RETRY, at)
        self._later(session, at, RETRY_TIME, self._begin)

    def _time_out(self, session: Session, at: datetime) -> None:
        session.attempt.remark = TIMED_OUT
        self._initiate_abort(session, at)

    def _initiate_abort(self, session: Session, at: datetime) -> None:
        session.attempt.enter(ExecutionStatus.ABORT_INITIATED, at)
        self._later(session, at, ABORT_TIME, self._abort)

    def _abort(self, session: Session, at: datetime) -> None:
        session.attempt.enter(ExecutionStatus.ABORTING, at)
        self._later(session, at, ABORT_TIME, self._aborted)

    def _aborted(self, session: Session, at: datetime) -> None:
        self._end(session, ExecutionStatus.ABORTED, at)

    def _end(self, session: Session, status: ExecutionStatus, at: datetime) -> None:
        session.step += 1
        del self.sessions[session.id], self._sessions_by_task[session.task.id][session.id]
        self._end_attempt(session, status, at)
        self._tell_end(session, at)

    def _tell_end(self, session: Session, at: datetime) -> None:
        if self._note_end:
            self._note_end(session, at)

    def _end_attempt(self, session: Session, status: ExecutionStatus, at: datetime) -> None:
        self._close(session.attempt, status, at)
        self._working.discard(session)
        while self._queue and len(self._working) < self._slots:
            waiting = self._queue.popleft()
            if waiting.attempt.status is ExecutionStatus.QUEUED:
                self._work(waiting, at)

    def _close(self, attempt: Attempt, status: ExecutionStatus, at: datetime) -> None:
        attempt.stopped_at = at
        attempt.enter(status, at)
        self.history.append(attempt)
