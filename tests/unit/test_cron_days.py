"""Which days an expression fires on: L, LW, W, #, names, and either of two restricted day fields."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from schedules.cron import CronExpression
from tests.unit.cron_oracle import matches

ZONE = ZoneInfo("UTC")


def days(fields: str, *, start: date, count: int) -> list[str]:
    """Return the first days on which `fields`, the last three of an expression, fire."""
    expression = CronExpression.parse(f"0 12 {fields}")
    moment = datetime(start.year, start.month, start.day, tzinfo=UTC)
    found = []
    for _ in range(count):
        moment = expression.next_after(moment, ZONE) or pytest.fail(f"{fields} ends at {moment}")
        assert matches(expression.text, moment.replace(tzinfo=None))
        found.append(f"{moment:%m-%d}")
    return found


# 2026 starts on a Thursday and its February is four weeks long, from Sunday to Saturday.
@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ("L * *", ["01-31", "02-28", "03-31", "04-30"]),
        ("l * *", ["01-31", "02-28", "03-31", "04-30"]),
        ("L-1 * *", ["01-30", "02-27", "03-30", "04-29"]),
        ("L-3 * *", ["01-28", "02-25", "03-28", "04-27"]),
        ("L-28 * *", ["01-03", "03-03", "04-02", "05-03"]),
        ("L-30 * *", ["01-01", "03-01", "05-01", "07-01"]),
        ("LW * *", ["01-30", "02-27", "03-31", "04-30", "05-29"]),
        ("15W * *", ["01-15", "02-16", "03-16", "04-15", "05-15", "06-15", "07-15", "08-14"]),
        ("1W * *", ["01-01", "02-02", "03-02", "04-01", "05-01", "06-01", "07-01", "08-03"]),
        ("31W * *", ["01-30", "03-31", "05-29", "07-31"]),
        ("30W * *", ["01-30", "03-30", "04-30", "05-29"]),
        ("28W 2 *", ["02-27"]),
        ("1,L,15W 2-3 *", ["02-01", "02-16", "02-28", "03-01", "03-16", "03-31"]),
        ("* * 5L", ["01-30", "02-27", "03-27", "04-24"]),
        ("* * friL", ["01-30", "02-27", "03-27", "04-24"]),
        ("* * 0L", ["01-25", "02-22", "03-29"]),
        ("* * 7L", ["01-25", "02-22", "03-29"]),
        ("* * 5#2", ["01-09", "02-13", "03-13"]),
        ("* * Fri#2", ["01-09", "02-13", "03-13"]),
        ("* * 7#1", ["01-04", "02-01", "03-01"]),
        ("* * 4#5", ["01-29", "04-30", "07-30"]),
        ("* * 5#1,1#1,5L", ["01-02", "01-05", "01-30", "02-02"]),
        ("? * mon-wed", ["01-05", "01-06", "01-07", "01-12"]),
        ("? * fri-sun", ["01-02", "01-03", "01-04", "01-09"]),
        ("29 2 ?", ["02-29", "02-29"]),
    ],
)
def test_it_finds_the_days_of_2026(fields: str, found: list[str]) -> None:
    assert days(fields, start=date(2026, 1, 1), count=len(found)) == found


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ("13 * 5", ["01-02", "01-09", "01-13", "01-16"]),
        ("30 2 1", ["02-02", "02-09", "02-16", "02-23"]),
        ("L * 1#1", ["01-05", "01-31", "02-02", "02-28"]),
        ("*/10 1 sun", ["01-01", "01-04", "01-11", "01-18", "01-21", "01-25", "01-31"]),
        ("11-31 1 */3", ["01-03", "01-04", "01-07", "01-10", "01-11", "01-12"]),
    ],
)
def test_two_restricted_day_fields_fire_on_either(fields: str, found: list[str]) -> None:
    assert days(fields, start=date(2026, 1, 1), count=len(found)) == found


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ("1-31 * 5", ["01-02", "01-09", "01-16"]),
        ("13 * 0-6", ["01-13", "02-13", "03-13"]),
        ("13 * 1-7", ["01-13", "02-13", "03-13"]),
        ("13 * */1", ["01-13", "02-13", "03-13"]),
        ("*,L * 5", ["01-02", "01-09", "01-16"]),
        ("13 * *,1#1", ["01-13", "02-13", "03-13"]),
        ("1-15,16-31 * 5", ["01-02", "01-09", "01-16"]),
    ],
)
def test_a_day_field_with_every_value_restricts_nothing(fields: str, found: list[str]) -> None:
    assert days(fields, start=date(2026, 1, 1), count=len(found)) == found


def test_29_february_on_a_monday_comes_once_in_28_or_40_years() -> None:
    expression = CronExpression.parse("0 0 * 2 1#5")
    years = []
    moment = datetime(2016, 3, 1, tzinfo=UTC)
    while moment.year < 2150:
        moment = expression.next_after(moment, ZONE) or pytest.fail("there is always another")
        years.append(moment.year)
    assert years == [2044, 2072, 2112, 2140, 2168]


@pytest.mark.parametrize("fields", ["LW * *", "L-7 * *", "15W,1W,31W * *", "* * 1L,2#5,6#1", "L * 5#3", "29W 2 *"])
def test_it_agrees_with_the_oracle_on_every_day_of_twelve_years(fields: str) -> None:
    expression = CronExpression.parse(f"0 0 {fields}")
    midnight = datetime(2018, 1, 1, tzinfo=UTC)
    expected = expression.next_after(midnight - timedelta(seconds=1), ZONE)
    while midnight.year < 2030:
        if matches(expression.text, midnight.replace(tzinfo=None)):
            assert midnight == expected
            expected = expression.next_after(midnight, ZONE)
        midnight += timedelta(days=1)
    assert expected is not None
    assert expected >= midnight
