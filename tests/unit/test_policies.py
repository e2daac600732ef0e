"""What becomes of overdue occurrences."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedules.policies import Misfire, settle_overdue

NOW = 10_000.0


@pytest.mark.parametrize(
    ("misfire", "due", "on_time", "catch_up", "skipped"),
    [
        # Nothing was missed: the policy does not matter
        (Misfire.ONCE, [9990, 10000], [9990, 10000], [], []),
        (Misfire.SKIP, [9990, 10000], [9990, 10000], [], []),
        # As late as the grace is not missed, a second more is
        (Misfire.SKIP, [9939, 9940], [9940], [], [9939]),
        # Once: the latest of those missed, unless one that is on time brings the same data
        (Misfire.ONCE, [100, 200, 300], [], [300], [100, 200]),
        (Misfire.ONCE, [100, 200, 9990], [9990], [], [100, 200]),
        (Misfire.ONCE, [300], [], [300], []),
        (Misfire.ALL, [100, 200, 9990], [9990], [100, 200], []),
        (Misfire.SKIP, [100, 200, 300], [], [], [100, 200, 300]),
        (Misfire.ONCE, [], [], [], []),
    ],
)
def test_overdue_occurrences_are_settled_by_the_misfire_policy(misfire, due, on_time, catch_up, skipped):
    overdue = settle_overdue(due, now=NOW, misfire=misfire, grace=60)

    assert (list(overdue.on_time), list(overdue.catch_up), list(overdue.skipped)) == (on_time, catch_up, skipped)


@given(
    due=st.lists(st.integers(0, 10_000), unique=True).map(sorted),
    misfire=st.sampled_from(Misfire),
    grace=st.floats(0, 20_000),
)
def test_every_occurrence_is_settled_exactly_once(due, misfire, grace):
    overdue = settle_overdue(due, now=NOW, misfire=misfire, grace=grace)

    assert sorted([*overdue.on_time, *overdue.catch_up, *overdue.skipped]) == due
    assert all(NOW - instant <= grace for instant in overdue.on_time)
    assert all(NOW - instant > grace for instant in [*overdue.catch_up, *overdue.skipped])
