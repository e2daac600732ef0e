"""Steps that are made again while the database is away."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, InterfaceError, InternalError, OperationalError

from schedules import patience
from schedules.patience import insist


class Clock:
    """Stands in for the module `time`; sleeping turns it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Connection:
    """Stands in for the database's connection."""

    def __init__(self) -> None:
        self.in_atomic_block = False
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(patience, "time", clock)
    return clock


@pytest.fixture(autouse=True)
def connection(monkeypatch) -> Connection:
    connection = Connection()
    monkeypatch.setattr(patience, "connection", connection)
    return connection


def fail(times: int, *, error: type[Exception] = OperationalError):
    """Return a step that fails so often, and then returns what it was made for the how manieth time."""
    made = iter(range(1, times + 2))

    def step() -> int:
        if (number := next(made)) <= times:
            raise error("away")
        return number

    return step


def test_a_step_that_succeeds_is_made_once(clock, connection):
    assert insist(fail(0), what="it waits") == 1
    assert (clock.slept, connection.closed) == ([], 0)


@pytest.mark.parametrize("error", [OperationalError, InterfaceError, InternalError])
def test_the_pauses_grow_up_to_the_last_and_it_has_a_new_connection_each_time(clock, connection, error):
    assert insist(fail(8, error=error), what="it waits") == 9
    assert clock.slept == [0, 0.5, 1, 2, 4, 8, 8, 8]
    assert connection.closed == 8


def test_the_connection_of_a_transaction_is_kept(clock, connection):
    connection.in_atomic_block = True

    insist(fail(2), what="it waits")

    assert connection.closed == 0


@pytest.mark.parametrize(("seconds", "slept"), [(0, [0]), (0.49, [0]), (0.5, [0, 0.5]), (3.5, [0, 0.5, 1, 2])])
def test_it_gives_up_before_a_pause_that_would_last_too_long(clock, seconds, slept):
    with pytest.raises(OperationalError):
        insist(fail(100), what="it waits", seconds=seconds)

    assert clock.slept == slept


@pytest.mark.parametrize("error", [DatabaseError, ValueError])
def test_any_other_error_is_raised_at_once(clock, error):
    with pytest.raises(error):
        insist(fail(1, error=error), what="it waits")

    assert clock.slept == []


def test_what_waits_is_told(clock, caplog):
    insist(fail(1), what="3 outcomes cannot be recorded")

    assert "3 outcomes cannot be recorded, trying again in 0 s: away" in caplog.text
