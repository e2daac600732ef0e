"""What becomes of overdue occurrences."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedules.policies import Misfire, Retry, first_on_time, maintenance_message, pause_message, settle_missed

NOW = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)


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


class TestRetry:
    @pytest.mark.parametrize(
        ("attempts", "seconds"),
        [(0, 5), (1, 5), (2, 10), (3, 20), (4, 40), (5, 80), (6, 160), (7, 300), (8, 300), (1000, 300)],
    )
    def test_the_pause_doubles_with_each_attempt_up_to_the_longest(self, attempts, seconds):
        retry = Retry(until=NOW + timedelta(hours=1))

        assert retry.next_attempt_at(NOW, attempts=attempts, chance=0.5) == NOW + timedelta(seconds=seconds)

    @pytest.mark.parametrize(("chance", "seconds"), [(0, 3.75), (0.5, 5), (1, 6.25)])
    def test_chance_spreads_it_over_half_of_the_pause(self, chance, seconds):
        retry = Retry(until=NOW + timedelta(hours=1))

        assert retry.next_attempt_at(NOW, attempts=1, chance=chance) == NOW + timedelta(seconds=seconds)

    def test_an_attempt_at_the_deadline_is_allowed_and_none_after_it(self):
        due_at = NOW + timedelta(seconds=5)

        assert Retry(until=due_at).next_attempt_at(NOW, attempts=1, chance=0.5) == due_at
        assert Retry(until=due_at - timedelta(microseconds=1)).next_attempt_at(NOW, attempts=1, chance=0.5) is None

    @pytest.mark.parametrize(("attempts", "is_allowed"), [(1, True), (2, True), (3, False), (4, False)])
    def test_no_more_are_made_than_the_greatest_number(self, attempts, is_allowed):
        retry = Retry(until=NOW + timedelta(hours=1), max_attempts=3)

        assert (retry.next_attempt_at(NOW, attempts=attempts, chance=0.5) is not None) is is_allowed
