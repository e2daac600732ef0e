"""What becomes of overdue occurrences."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedules.policies import Misfire, first_on_time, maintenance_message, pause_message, settle_missed


@pytest.mark.parametrize(
    ("misfire", "missed", "is_replaced", "catch_up", "skipped"),
    [
        # Once: the latest of those missed, unless a later one brings the same data
        (Misfire.ONCE, [100, 200, 300], False, [300], [100, 200]),
        (Misfire.ONCE, [100, 200], True, [], [100, 200]),
        (Misfire.ONCE, [300], False, [300], []),
        (Misfire.ONCE, [], False, [], []),
        # The others do not care whether there is a later one
        (Misfire.ALL, [100, 200], False, [100, 200], []),
        (Misfire.ALL, [100, 200], True, [100, 200], []),
        (Misfire.SKIP, [100, 200], False, [], [100, 200]),
        (Misfire.SKIP, [100, 200], True, [], [100, 200]),
    ],
)
def test_missed_occurrences_are_settled_by_the_misfire_policy(misfire, missed, is_replaced, catch_up, skipped):
    settled = settle_missed(missed, misfire=misfire, is_replaced=is_replaced)

    assert (list(settled.catch_up), list(settled.skipped)) == (catch_up, skipped)


@given(
    missed=st.lists(st.integers(0, 10_000), unique=True).map(sorted),
    misfire=st.sampled_from(Misfire),
    is_replaced=st.booleans(),
)
def test_every_occurrence_is_settled_exactly_once(missed, misfire, is_replaced):
    settled = settle_missed(missed, misfire=misfire, is_replaced=is_replaced)

    assert sorted([*settled.catch_up, *settled.skipped]) == missed


@given(now=st.floats(0, 1e10), grace=st.floats(0, 1e6))
def test_as_late_as_the_grace_is_on_time_and_a_second_more_is_not(now, grace):
    first = first_on_time(now, grace=grace)

    assert first >= now - grace
    assert first - 1 < now - grace


def test_a_message_names_the_end_and_the_reason_of_a_pause():
    until = datetime(2026, 12, 24, 18, 0, tzinfo=UTC)

    assert pause_message(until, "budget is closed") == "Paused until 2026-12-24 18:00:00 UTC: budget is closed."
    assert pause_message(until, "") == "Paused until 2026-12-24 18:00:00 UTC."
    assert maintenance_message("upgrade") == "Maintenance: upgrade."
    assert maintenance_message("") == "Maintenance."
