"""Counting without stepping: progressions hold the very instants that a timetable yields."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schedules.cron import CronExpression, CronSyntaxError
from schedules.progressions import Progression, list_progressions
from schedules.timetable import Timetable
from tests.unit.cron_texts import random_expression

DAY = 86_400
#: Clocks set at night, at midnight, by half an hour, by a whole day, twice around Ramadan, and never
ZONES = {
    "UTC": "2026-07-01",
    "Europe/Stockholm": "2026-03-29",
    "Europe/London": "2026-10-25",
    "America/New_York": "2026-11-01",
    "America/Sao_Paulo": "2018-11-04",
    "America/Havana": "2026-11-01",
    "Asia/Beirut": "2026-03-29",
    "Asia/Kathmandu": "2026-01-01",
    "Africa/Casablanca": "2026-02-15",
    "Australia/Lord_Howe": "2026-04-05",
    "Pacific/Apia": "2011-12-30",
    "America/Santiago": "2026-04-05",
}
TEXTS = [
    *("* * * * *", "*/5 * * * *", "*/7 8-17 * * 1-5", "0-30/5 6-18 * * 1-5", "3,17,44 * * * *", "0,30 */2 * * *"),
    *("30 2 * * *", "0 0 * * *", "15 1-3 * * *", "0 6 L * *", "* 2 * * *", "59 23 * * *", "30 0 29 3 *"),
    *("*/30 * * * * *", "7,9 */20 1-3 * * *", "*/45 * 2 * * 0", "0 0 0 29,30 * *"),
]
NAMES = sorted(ZONES)


def epoch(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def assert_same(timetable: Timetable, *, start: int, end: int) -> None:
    found = [number for part in list_progressions(timetable, start=start, end=end) for number in part.numbers]

    assert sorted(found) == list(timetable.between(start - 1, end - 1))


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("zone", NAMES)
def test_the_days_around_a_change_of_the_clock_have_the_instants_of_the_timetable(zone, text):
    timetable = Timetable(expression=CronExpression.parse(text), zone=ZoneInfo(zone))
    around = epoch(ZONES[zone])

    assert_same(timetable, start=around - DAY - 7, end=around + 2 * DAY + 11)


@st.composite
def expressions(draw: st.DrawFn, *, near: datetime) -> CronExpression:
    random = Random(draw(st.integers(0, 10**6)))
    text = random_expression(random, near=near, with_seconds=draw(st.booleans()))
    try:
        return CronExpression.parse(draw(st.sampled_from([*TEXTS, "* * * * * *", *[text] * 20])))
    except CronSyntaxError:
        # Few can never fire
        return CronExpression.parse("* * * * *")


@st.composite
def timetables(draw: st.DrawFn) -> tuple[Timetable, int, int]:
    zone = draw(st.sampled_from(NAMES))
    start = epoch(ZONES[zone]) + draw(st.integers(-2 * DAY, 2 * DAY) | st.integers(-40 * DAY, 40 * DAY))
    expression = draw(expressions(near=datetime.fromtimestamp(start, UTC)))
    # To step through every second of a day takes long
    end = start + draw(st.integers(0, 3 * DAY if expression.seconds == 1 else 3 * 3600))
    first = datetime.fromtimestamp(start, UTC).date()
    excluded = [(first + timedelta(days=a), first + timedelta(days=a + b)) for a, b in draw(_RANGES)]
    limits = st.none() | st.floats(start - DAY, end + DAY) | st.integers(start - DAY, end + DAY)
    starts_at, ends_at = draw(limits), draw(limits)
    timetable = Timetable(
        expression=expression,
        zone=ZoneInfo(zone),
        offset=draw(st.sampled_from([0, 0, 1, 59, 1800, 40_000, DAY])),
        starts_at=float("-inf") if starts_at is None else starts_at,
        ends_at=float("inf") if ends_at is None else ends_at,
        excluded=tuple(sorted(excluded)),
    )
    return timetable, start, end


_RANGES = st.lists(st.tuples(st.integers(-2, 4), st.integers(0, 2)), max_size=2)


@given(timetables())
@settings(max_examples=300, deadline=None)
def test_any_timetable_has_the_same_instants_both_ways(case):
    timetable, start, end = case

    assert_same(timetable, start=start, end=end)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("*/5 * * * *", 1),
        ("*/5 8-17 * * *", 1),
        ("* * * * * *", 1),
        ("3,17,44 * * * *", 3),
        ("0 6 * * *", 1),
        ("*/7 * * * *", 24),
    ],
)
def test_a_quiet_day_takes_few_numbers(text, parts):
    timetable = Timetable(expression=CronExpression.parse(text), zone=ZoneInfo("Europe/Stockholm"))
    start = epoch("2026-06-30T22:00")

    assert len(list(list_progressions(timetable, start=start, end=start + DAY))) == parts


def test_an_excluded_day_has_none():
    timetable = Timetable(
        expression=CronExpression.parse("* * * * *"),
        zone=ZoneInfo("UTC"),
        excluded=((date(2026, 6, 30), date(2026, 6, 30)),),
    )

    assert not list(list_progressions(timetable, start=epoch("2026-06-30"), end=epoch("2026-07-01")))


@pytest.mark.parametrize(
    ("start", "end", "left"), [(0, 100, [10, 17, 24]), (10, 24, [10, 17]), (11, 18, [17]), (18, 24, []), (25, 99, [])]
)
def test_a_progression_is_clipped_to_what_lies_between(start, end, left):
    assert list(Progression(10, 7, 3).clip(start, end).numbers) == left
