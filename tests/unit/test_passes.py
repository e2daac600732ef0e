"""A planning pass: which rows a part takes, when it ends, and what is left to another pass."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from schedules import passes
from schedules.passes import PART_SECONDS, PASS_SECONDS, Pass
from tests.clock import TurnedClock


@pytest.fixture
def clock(monkeypatch) -> TurnedClock:
    clock = TurnedClock()
    monkeypatch.setattr(passes, "time", clock)
    return clock


def make_pass(fresh: str, late: str = "", *, clock: TurnedClock, seconds: float = 0.0, rows: int = 1) -> Pass:
    """Return a pass of entries that are letters; the rows of each take so many seconds to make."""

    def plan(entry: str) -> Iterator[str]:
        clock.now += seconds
        yield from (f"{entry}{number}" for number in range(rows))

    return Pass(list(fresh), list(late), plan=plan)


def test_it_takes_fresh_ones_first_and_so_many_at_a_time(clock):
    made = make_pass("ab", "cd", clock=clock, rows=2)

    parts = []
    while not made.is_over:
        parts.append(made.take(3))

    assert parts == [["a0", "a1", "b0"], ["b1", "c0", "c1"], ["d0", "d1"]]
    assert (made.is_done, made.list_taken(), made.list_left()) == (True, [*"abcd"], [])


def test_a_part_that_is_full_at_the_end_of_all_is_not_known_to_be_the_last(clock):
    made = make_pass("ab", clock=clock)

    assert made.take(2) == ["a0", "b0"]
    assert not made.is_over
    assert made.take(2) == []
    assert (made.is_over, made.is_done) == (True, True)


def test_nothing_is_taken_of_nothing(clock):
    made = make_pass("", clock=clock)

    assert (made.take(5), made.is_done, made.is_over) == ([], True, True)


@pytest.mark.parametrize(("seconds", "count"), [(PART_SECONDS / 4, 5), (PART_SECONDS / 2, 3), (PART_SECONDS * 2, 1)])
def test_a_part_ends_when_its_time_is_over_however_few_rows_it_has(clock, seconds, count):
    made = make_pass("abcdefgh", clock=clock, seconds=seconds)

    assert len(made.take(100)) == count
    assert not made.is_over
    assert made.list_taken() == [*"abcdefgh"[:count]]
    assert made.list_left() == [*"abcdefgh"[count:]]


def test_what_is_fresh_is_never_left_to_another_pass(clock):
    made = make_pass("abcdefgh", clock=clock, seconds=PASS_SECONDS * 2)

    parts = []
    while not made.is_over:
        parts += made.take(100)

    assert len(parts) == 8
    assert made.is_done


def test_what_is_late_is_left_to_another_pass_when_this_one_has_lasted(clock):
    made = make_pass("ab", "cdefgh", clock=clock, seconds=PASS_SECONDS / 2 - 0.01)

    parts = []
    while not made.is_over:
        parts += made.take(100)

    assert (made.is_over, made.is_done) == (True, False)
    assert parts == ["a0", "b0", "c0", "d0", "e0"]
    assert (made.list_taken(), made.list_left()) == ([*"abcde"], [*"fgh"])


def test_an_entry_whose_rows_are_not_all_taken_is_not_among_the_taken(clock):
    made = make_pass("ab", clock=clock, rows=3)

    made.take(4)

    assert made.list_taken() == ["a"]
