"""The oracle: what is due, and what has to become of it."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from schedules.cron import CronExpression
from tests.chaos.oracle import Fate, due_instants, settle_missed

MONDAY = int(datetime(2026, 3, 2, tzinfo=UTC).timestamp())


def test_it_finds_each_instant_of_a_span_but_not_its_beginning():
    assert due_instants("* * * * * *", after=MONDAY, until=MONDAY + 3) == [MONDAY + 1, MONDAY + 2, MONDAY + 3]
    assert due_instants("*/2 * * * * *", after=MONDAY, until=MONDAY + 5) == [MONDAY + 2, MONDAY + 4]
    assert due_instants("0 * * * *", after=MONDAY - 1, until=MONDAY + 7200) == [MONDAY + n * 3600 for n in range(3)]


def test_it_takes_either_day_field_where_both_are_given():
    due = due_instants("0 0 10 * 1", after=MONDAY - 1, until=MONDAY + 9 * 86_400)

    assert due == [MONDAY, MONDAY + 7 * 86_400, MONDAY + 8 * 86_400]


@pytest.mark.parametrize(
    "text", ["*/7 */13 * * * *", "5-10,30 0 6 * * 1-5", "0 */6 * * *", "15 59 23 31 * *", "0 0 1 * 7", "1 2 3 4 *"]
)
def test_it_agrees_with_the_service_about_two_months(text):
    until = MONDAY + 60 * 86_400
    expression, instant, found = CronExpression.parse(text), float(MONDAY), []
    while (following := expression.next_timestamp(instant, ZoneInfo("UTC"))) is not None and following <= until:
        found.append(following)
        instant = following

    assert due_instants(text, after=MONDAY, until=until) == found


def test_once_runs_the_last_that_was_missed():
    assert settle_missed([0, 10, 20], now=100, misfire="once", grace=5, slack=1) == {
        0: Fate.SKIP,
        10: Fate.SKIP,
        20: Fate.START,
    }


def test_once_runs_nothing_that_was_missed_where_another_is_on_time():
    assert settle_missed([0, 10, 98], now=100, misfire="once", grace=5, slack=1) == {
        0: Fate.SKIP,
        10: Fate.SKIP,
        98: Fate.START,
    }


def test_all_runs_everything_and_skip_nothing():
    assert set(settle_missed([0, 10], now=100, misfire="all", grace=5, slack=1).values()) == {Fate.START}
    assert set(settle_missed([0, 10], now=100, misfire="skip", grace=5, slack=1).values()) == {Fate.SKIP}


def test_near_the_grace_it_takes_either():
    assert settle_missed([96], now=100, misfire="skip", grace=5, slack=2) == {96: Fate.EITHER}
