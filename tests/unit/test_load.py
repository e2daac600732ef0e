"""Starts counted by the second."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from schedules.load import SecondCounter, find_heights, sum_up
from schedules.progressions import Progression

START, END = 1_000, 1_200


@st.composite
def progressions(draw: st.DrawFn) -> tuple[Progression, int]:
    first, step = draw(st.integers(START, END - 1)), draw(st.integers(1, 70))
    length = draw(st.integers(1, (END - 1 - first) // step + 1))
    return Progression(first, step, length), draw(st.integers(1, 3))


@given(st.lists(progressions(), max_size=12))
def test_progressions_are_counted_as_if_one_by_one(parts):
    counter = SecondCounter(start=START, end=END)
    expected = [0] * (END - START)
    for part, weight in parts:
        counter.add(part, weight=weight)
        for number in part.numbers:
            expected[number - START] += weight

    assert counter.totals() == expected


def test_neighbours_are_summed_up():
    assert sum_up([1, 2, 3, 4, 5], size=2) == [3, 7, 5]


def test_a_column_of_a_chart_is_the_greatest_it_stands_for():
    assert find_heights([1, 9, 2, 0, 3], most=3) == (2, [9, 2, 3])
    assert find_heights([1, 2], most=3) == (1, [1, 2])
