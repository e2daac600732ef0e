"""A wall clock that leaps is believed when the leap has lasted."""

from __future__ import annotations

import pytest

from schedules import doubted_clock
from schedules.doubted_clock import LONG_PATIENCE_SECONDS, PATIENCE_SECONDS, DoubtedClock

HOUR, DAY = 3600.0, 86_400.0


class Clocks:
    """Stands in for the module `time`: the wall clock, and the one that counts from the boot."""

    CLOCK_MONOTONIC = 1

    def __init__(self) -> None:
        self.wall, self.since_boot = 1_800_000_000.0, 500.0

    def time(self) -> float:
        return self.wall

    def clock_gettime(self, _clock: int) -> float:
        return self.since_boot

    def go_on(self, seconds: float) -> None:
        self.wall += seconds
        self.since_boot += seconds


@pytest.fixture
def clocks(monkeypatch) -> Clocks:
    clocks = Clocks()
    monkeypatch.setattr(doubted_clock, "time", clocks)
    return clocks


def test_time_that_has_passed_is_no_leap_however_long(clocks):
    clock = DoubtedClock()
    for seconds in (0.01, 1.5, HOUR, 30 * DAY):
        clocks.go_on(seconds)
        assert clock.read() == pytest.approx(clocks.wall)


@pytest.mark.parametrize("step", [59.0, -59.0, 0.5])
def test_a_small_step_is_believed_at_once(clocks, step):
    clock = DoubtedClock()
    for _ in range(5):
        clocks.wall += step
        assert clock.read() == pytest.approx(clocks.wall)


@pytest.mark.parametrize("leap", [61.0, HOUR, DAY, 3 * DAY, 3650 * DAY, -61.0, -HOUR, -3650 * DAY])
def test_a_leap_that_is_corrected_is_never_believed(clocks, leap):
    clock = DoubtedClock()
    for _ in range(3):
        clocks.wall += leap
        assert clock.read() is None
        clocks.go_on(PATIENCE_SECONDS - 0.1)
        assert clock.read() is None
        clocks.wall -= leap
        assert clock.read() == pytest.approx(clocks.wall)


@pytest.mark.parametrize(
    ("leap", "patience"),
    [
        (61.0, PATIENCE_SECONDS),
        (DAY, PATIENCE_SECONDS),
        (-HOUR, PATIENCE_SECONDS),
        (3 * DAY, LONG_PATIENCE_SECONDS),
        (-3 * DAY, LONG_PATIENCE_SECONDS),
    ],
)
def test_a_leap_that_lasts_is_believed_and_so_is_what_follows(clocks, leap, patience):
    clock = DoubtedClock()
    clocks.wall += leap
    assert clock.read() is None
    clocks.go_on(patience - 0.1)
    assert clock.read() is None
    clocks.go_on(0.2)
    assert clock.read() == pytest.approx(clocks.wall)
    clocks.go_on(1)
    assert clock.read() == pytest.approx(clocks.wall)


def test_a_process_that_was_blocked_looks_twice_all_the_same(clocks):
    clock = DoubtedClock()
    clocks.go_on(100)
    clocks.wall += HOUR

    assert clock.read() is None


def test_another_leap_is_looked_at_anew(clocks):
    clock = DoubtedClock()
    clocks.wall += HOUR
    assert clock.read() is None
    clocks.go_on(PATIENCE_SECONDS - 0.1)
    clocks.wall += HOUR

    assert clock.read() is None
    clocks.go_on(0.2)
    assert clock.read() is None
    clocks.go_on(PATIENCE_SECONDS)
    assert clock.read() == pytest.approx(clocks.wall)


def test_a_clock_that_comes_back_is_believed_sooner(clocks):
    clock = DoubtedClock()
    clocks.wall += 3 * DAY
    clock.read()
    clocks.go_on(LONG_PATIENCE_SECONDS)
    assert clock.read() is not None
    clocks.go_on(10)

    clocks.wall -= 3 * DAY + 0.5
    assert clock.read() is None
    clocks.go_on(PATIENCE_SECONDS)
    assert clock.read() == pytest.approx(clocks.wall)
    assert clock.leaps == 2
