"""The calls of QRS that a start request makes: a few at a time, each with its row in the ledger.

A task's row is written just before its call, in the name of this process, so that one that is killed meanwhile ends as
the rows of a worker do, and a task that has not been called for has none. What came of a call is recorded when it has
ended, whatever the others do.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from threading import BoundedSemaphore

from django.conf import settings
from django.db import Error
from django.utils import timezone

from qlik.errors import Availability
from schedules import breaker, claims, starting
from schedules.claims import ClaimedRun
from schedules.lease import name_this_process
from schedules.models import Run
from schedules.patience import AWAY, insist
from schedules.recording import record_soon
from schedules.runs import Outcome
from schedules.task_lookup import NamedTask

logger = logging.getLogger(__name__)

#: Outcomes of calls that end within this time are recorded together
RECORD_SECONDS = 0.1
#: How often a request shows that it still holds its claims
RENEW_SECONDS = 10.0
#: How long a request waits for the ledger to take the rows of its next calls
CLAIM_SECONDS = 5.0

# The threads are shared by all requests, and begin with the first call, hence after a fork
_CALLERS = ThreadPoolExecutor(settings.BUTLER_WORKER_CONCURRENCY, thread_name_prefix="start")
# No row is claimed that would have to wait for a thread
_FREE = BoundedSemaphore(settings.BUTLER_WORKER_CONCURRENCY)


def make_starts(tasks: Sequence[NamedTask], *, message: str) -> dict[NamedTask, Outcome]:
    """Start the tasks and return what came of each, once it is in the ledger or on its way there.

    When QRS has not answered several calls in a row no more are made. Raises the database's error when it is away
    before the first call.
    """
    if len(tasks) == 1:
        # It need not wait for a thread that the starts of another request may have
        (run,) = _claim([task.id for task in tasks], message=message)
        outcome = starting.start(run)
        _record([outcome])
        return {tasks[0]: outcome}
    return _Starts(tasks, message=message).make()


class _Starts:
    """The starts that one request asks for."""

    def __init__(self, tasks: Sequence[NamedTask], *, message: str) -> None:
        self._tasks = tasks
        self._waiting = deque(tasks)
        self._message = message
        self._calls: dict[Future[Outcome], tuple[NamedTask, ClaimedRun]] = {}
        self._outcomes: dict[NamedTask, Outcome] = {}
        self._failures = 0
        self._renew_at = time.monotonic() + RENEW_SECONDS

    def make(self) -> dict[NamedTask, Outcome]:
        """Make the calls and return what came of each task."""
        while self._waiting or self._calls:
            self._call_next()
            done, _ = wait(self._calls, timeout=RECORD_SECONDS)
            self._settle(done)
            self._renew()
            if self._failures >= breaker.MOST_FAILURES:
                self._give_up(f"QRS gave no answer to {self._failures} calls in a row, so this start was not tried.")
        return {task: self._outcomes[task] for task in self._tasks}

    def _call_next(self) -> None:
        """Claim runs for as many tasks as there are free threads, and call QRS for them."""
        tasks = [self._waiting.popleft() for _ in range(_take_callers(len(self._waiting), wait=not self._calls))]
        try:
            claimed = _claim([task.id for task in tasks], message=self._message)
        except Error as error:
            _free_callers(len(tasks))
            if not (self._calls or self._outcomes):
                raise
            self._waiting.extendleft(reversed(tasks))
            self._give_up(f"The ledger could not be written, so this start was not tried: {error}")
            return
        self._calls |= {_CALLERS.submit(_call, run): (task, run) for task, run in zip(tasks, claimed, strict=True)}

    def _settle(self, done: set[Future[Outcome]]) -> None:
        """Record what came of calls."""
        outcomes = {self._calls.pop(call)[0]: call.result() for call in done}
        for outcome in outcomes.values():
            if outcome.availability is not Availability.UNCLEAR:
                self._failures = self._failures + 1 if outcome.availability is Availability.AWAY else 0
        self._outcomes |= outcomes
        _record(list(outcomes.values()))

    def _renew(self) -> None:
        """Show from time to time that the claims are still held, if the database takes it."""
        if time.monotonic() < self._renew_at:
            return
        self._renew_at = time.monotonic() + RENEW_SECONDS
        try:
            claims.renew_claims([run for _, run in self._calls.values()], now=timezone.now())
        except AWAY as error:
            logger.warning("%d claims cannot be renewed: %s", len(self._calls), error)

    def _give_up(self, problem: str) -> None:
        """Try none of the tasks any more that have not been called for."""
        tasks, ids = list(self._waiting), [task.id for task in self._waiting]
        self._waiting.clear()
        self._failures = 0
        try:
            outcomes = record_uncalled(ids, state=Run.State.UNREACHABLE, message=problem)
        except Error:
            logger.exception("%d starts that were not tried cannot be recorded", len(ids))
            outcomes = _make_uncalled([uuid.uuid4() for _ in ids], state=Run.State.UNREACHABLE, message=problem)
        self._outcomes |= dict(zip(tasks, outcomes, strict=True))


def record_uncalled(
    task_ids: Sequence[str], *, state: Run.State, message: str, availability: Availability = Availability.UNCLEAR
) -> list[Outcome]:
    """Write runs of starts that were asked for, and for which QRS was not called; return what is recorded of them."""
    claimed = _claim(task_ids, message="")
    uncalled = _make_uncalled([run.id for run in claimed], state=state, message=message)
    outcomes = [replace(outcome, availability=availability) for outcome in uncalled]
    _record(outcomes)
    return outcomes


def _make_uncalled(ids: Sequence[uuid.UUID], *, state: Run.State, message: str) -> list[Outcome]:
    now = timezone.now()
    return [Outcome(id=run_id, state=state, called_at=now, answered_at=now, message=message) for run_id in ids]


def _take_callers(wanted: int, *, wait: bool) -> int:
    """Take as many threads for calls as are free and wanted; with `wait` one comes free soon, or a moment passes."""
    taken = 0
    while taken < wanted and _FREE.acquire(timeout=RECORD_SECONDS if wait and not taken else 0):
        taken += 1
    return taken


def _free_callers(number: int) -> None:
    for _ in range(number):
        _FREE.release()


def _call(run: ClaimedRun) -> Outcome:
    try:
        return starting.start(run)
    finally:
        _FREE.release()


def _claim(task_ids: Sequence[str], *, message: str) -> list[ClaimedRun]:
    """Write the runs of these tasks as claimed by this process; raises the database's error."""
    if not task_ids:
        return []
    now, keys = timezone.now(), [uuid.uuid4() for _ in task_ids]

    def claim() -> list[ClaimedRun]:
        return claims.claim_new_runs(task_ids, message=message, worker=name_this_process(), now=now, keys=keys)

    try:
        return insist(claim, what=f"{len(keys)} starts cannot be noted", seconds=CLAIM_SECONDS)
    except AWAY:
        _forget(keys)
        raise


def _forget(keys: Sequence[uuid.UUID]) -> None:
    """Delete the rows that were written all the same: this process lives, so nobody else would close them for hours."""
    try:
        claims.forget_new_runs(keys)
    except AWAY as error:
        logger.error("whether %d starts are noted that will not be made is not known: %s", len(keys), error)


def _record(outcomes: Sequence[Outcome]) -> None:
    """Write the outcomes; who waits for the answer is told of them also when that takes longer."""
    record_soon(outcomes)
    for outcome in outcomes:
        level = logging.INFO if outcome.state == Run.State.STARTED else logging.ERROR
        logger.log(level, "%s run=%s by the API: %s", outcome.state, outcome.id, outcome.session or outcome.message)
