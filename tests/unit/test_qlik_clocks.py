"""What the Date of an answer says about QRS's clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from qlik.clocks import read_clock

ARRIVED_AT = datetime(2026, 3, 1, 6, 0, 10, 500_000, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def test_a_quick_answer_is_right_within_half_a_second() -> None:
    reading = read_clock("Sun, 01 Mar 2026 06:00:10 GMT", arrived_at=ARRIVED_AT, elapsed=timedelta(0))
    assert reading
    assert (reading.offset, reading.uncertainty) == (timedelta(0), SECOND / 2)


def test_of_a_slow_answer_the_date_may_be_of_any_moment_since_the_call() -> None:
    reading = read_clock("Sun, 01 Mar 2026 05:59:58 GMT", arrived_at=ARRIVED_AT, elapsed=12 * SECOND)
    assert reading
    assert reading.uncertainty == 6.5 * SECOND
    assert abs(reading.offset) <= reading.uncertainty


@pytest.mark.parametrize("ahead", [-7200, -3, 3, 7200])
def test_a_clock_that_is_ahead_or_behind_is_told(ahead: int) -> None:
    date = (ARRIVED_AT + ahead * SECOND).strftime("%a, %d %b %Y %H:%M:%S GMT")
    reading = read_clock(date, arrived_at=ARRIVED_AT, elapsed=timedelta(milliseconds=40))
    assert reading
    assert abs(reading.offset - ahead * SECOND) <= reading.uncertainty <= 0.52 * SECOND


@pytest.mark.parametrize(
    "date", [None, "", "yesterday", "Sun, 01 Mar 2026 06:00:10", "Sun, 99 Mar 2026 06:00:10 GMT", "\0", "1772344810"]
)
def test_what_is_no_date_says_nothing(date: str | None) -> None:
    assert read_clock(date, arrived_at=ARRIVED_AT, elapsed=SECOND) is None


def test_the_end_of_time_says_nothing() -> None:
    assert read_clock("Fri, 31 Dec 9999 23:59:59 GMT", arrived_at=ARRIVED_AT, elapsed=SECOND) is None
