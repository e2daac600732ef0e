"""Steps of the tests about runs that QRS is asked about."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.utils import timezone

from qlik.simulator.faults import Fault, FaultKind
from qlik.simulator.server import Simulator
from schedules import following, runs, tasks
from schedules.models import Run
from schedules.qrs import qrs_client
from tests.conftest import TASK_ID


def start(*planned: Run) -> None:
    """Bring runs to the worker, and read them again."""
    tasks.start_runs([str(run.pk) for run in planned])
    for run in planned:
        run.refresh_from_db()


def start_late(simulator: Simulator, run: Run, *, seconds: float) -> None:
    """Bring a run to the worker, and let QRS begin its session so many seconds later, when nobody waits any more."""
    calls = ("start", "start synchronous")
    simulator.add_fault(Fault(kind=FaultKind.LATE, delay_ms=round(seconds * 1000), count=1, calls=calls))
    start(run)
    assert (run.state, run.qrs_session) == ("unsure", None)


def late_session(simulator: Simulator) -> UUID:
    """Return the session that the first call began, or will begin."""
    session = next(entry.session_id for entry in simulator.entries() if "start" in entry.call)
    assert session
    return session


def try_again(*planned: Run) -> None:
    """Bring runs to the worker once more as beat does, as if their time had come."""
    Run.objects.filter(state__in=runs.POSTPONED).update(next_try_at=timezone.now())
    runs.resume_due(now=timezone.now())
    runs.take_planned(most=100, now=timezone.now())
    start(*planned)


def follow(*open_runs: Run, after: float = 0) -> int:
    """Follow as the worker does, so many seconds later, and read the runs again."""
    changed = following.follow_runs(qrs_client, now=timezone.now() + timedelta(seconds=after))
    for run in open_runs:
        run.refresh_from_db()
    return changed


def follow_in_silence(*open_runs: Run) -> None:
    """Follow often enough that what QRS does not know of a call counts."""
    follow(*open_runs, after=20)
    follow(*open_runs, after=35)


def pass_time(simulator: Simulator, seconds: float) -> None:
    """Let a time pass at the Sense site."""
    before = simulator.site._clock
    simulator.site._clock = lambda: before() + timedelta(seconds=seconds)


def begin_before(simulator: Simulator, seconds: float) -> UUID:
    """Start the task as somebody else did, so many seconds ago; return the session."""
    before = simulator.site._clock
    simulator.site._clock = lambda: before() - timedelta(seconds=seconds)
    (session,) = simulator.site.start([UUID(TASK_ID)])
    simulator.site._clock = before
    assert session
    return session


def count_starts(simulator: Simulator) -> int:
    """Return how often QRS was called to start something."""
    return sum("start" in entry.call for entry in simulator.entries())


def change_task(simulator: Simulator, **values: object) -> None:
    """Change the task that is started."""
    simulator.site.change_task(UUID(TASK_ID), **values)
