"""What QRS was asked for and has begun, by the simulator's journal: what counts, whatever the ledger says."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

from qlik.simulator.server import Simulator
from schedules.models import Run


def list_called(simulator: Simulator) -> list[UUID]:
    """Return the tasks that QRS was asked to start, in order, whatever came of it."""
    return [entry.task_id for entry in simulator.entries() if "start" in entry.call and entry.task_id]


def list_begun(simulator: Simulator) -> list[UUID]:
    """Return the sessions that QRS has begun for calls, in order."""
    return [entry.session_id for entry in simulator.entries() if "start" in entry.call and entry.session_id]


def count_side_by_side(simulator: Simulator, task_id: str) -> int:
    """Return how many sessions of the task are under way, whoever began them."""
    with simulator.site.settled():
        return len(simulator.site._sessions_by_task[UUID(task_id)])


def assert_books_agree(simulator: Simulator) -> None:
    """Check that each session that QRS has begun belongs to one run of the ledger, and each run's was begun."""
    known = Run.objects.exclude(qrs_session=None).values_list("qrs_session", flat=True)
    assert Counter(known) == Counter(list_begun(simulator))
