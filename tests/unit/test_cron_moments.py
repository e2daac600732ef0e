"""The moments that `next_after` takes and returns, up to the ends of the calendar; and its laws."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedules.cron import CronExpression, CronSyntaxError
from tests.unit.cron_oracle import is_fixed_time, matches
from tests.unit.cron_texts import random_expression

STOCKHOLM = ZoneInfo("Europe/Stockholm")
NOON = datetime(2026, 5, 5, 12, tzinfo=UTC)

zones = st.sampled_from(
    [
        *("UTC", "Europe/Stockholm", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kathmandu"),
        *("America/Sao_Paulo", "Pacific/Apia", "Pacific/Kiritimati", "Etc/GMT+12", "America/St_Johns", "Asia/Gaza"),
    ]
).map(ZoneInfo)
moments = st.datetimes(min_value=datetime(1850, 1, 1), max_value=datetime(2400, 1, 1), timezones=zones)  # noqa: DTZ001


@st.composite
def expressions(draw: st.DrawFn) -> CronExpression:
    random = draw(st.randoms(use_true_random=False))
    near = datetime(2026, random.randint(1, 12), random.randint(1, 28), random.randrange(24))  # noqa: DTZ001
    try:
        return CronExpression.parse(random_expression(random, near=near, with_seconds=draw(st.booleans())))
    except CronSyntaxError:
        return CronExpression.parse("* * * * *")


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (NOON, NOON + timedelta(minutes=1)),
        (NOON - timedelta(microseconds=1), NOON),
        (NOON + timedelta(microseconds=1), NOON + timedelta(minutes=1)),
        (NOON - timedelta(seconds=1), NOON),
        (NOON.astimezone(timezone(timedelta(hours=5, minutes=45))), NOON + timedelta(minutes=1)),
        (NOON.astimezone(STOCKHOLM), NOON + timedelta(minutes=1)),
        (datetime(1969, 12, 31, 23, 59, 59, 500_000, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC)),
        (datetime(1960, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC), datetime(1960, 1, 1, 0, 1, tzinfo=UTC)),
    ],
)
def test_the_next_occurrence_is_strictly_later_and_in_utc(moment: datetime, expected: datetime) -> None:
    found = CronExpression.parse("* * * * *").next_after(moment, STOCKHOLM)
    assert found == expected
    assert found.tzinfo is UTC


class Undecided(tzinfo):
    def utcoffset(self, _: datetime | None) -> None:
        return None


@pytest.mark.parametrize("naive", [datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=Undecided())])  # noqa: DTZ001
def test_it_refuses_a_naive_moment(naive: datetime) -> None:
    with pytest.raises(ValueError, match=r"has no time zone\. Pass an aware datetime\."):
        CronExpression.parse("* * * * *").next_after(naive, STOCKHOLM)


def test_a_moment_in_a_repeated_hour_is_told_by_its_fold() -> None:
    expression = CronExpression.parse("*/30 * * * *")
    first = datetime(2026, 10, 25, 2, 30, tzinfo=STOCKHOLM)
    assert expression.next_after(first, STOCKHOLM) == datetime(2026, 10, 25, 1, 0, tzinfo=UTC)
    assert expression.next_after(first.replace(fold=1), STOCKHOLM) == datetime(2026, 10, 25, 2, 0, tzinfo=UTC)


def test_timestamps_go_in_and_out_with_fractions_in() -> None:
    expression = CronExpression.parse("* * * * * *")
    assert expression.next_timestamp(1_000_000, STOCKHOLM) == 1_000_001
    assert expression.next_timestamp(1_000_000.999, STOCKHOLM) == 1_000_001
    assert expression.next_timestamp(-0.5, STOCKHOLM) == 0
    assert expression.next_timestamp(-1.5, STOCKHOLM) == -1


@pytest.mark.parametrize("key", ["UTC", "Asia/Kathmandu", "America/New_York"])
def test_it_starts_with_the_first_minute_that_has_a_date(key: str) -> None:
    zone = ZoneInfo(key)
    found = CronExpression.parse("* * * * *").next_after(datetime.min.replace(tzinfo=UTC), zone)
    assert found is not None
    local = found.astimezone(zone)
    assert local.replace(tzinfo=None) - datetime.min < timedelta(hours=6)  # noqa: DTZ901
    assert local.second == 0


def test_a_moment_before_the_first_instant_of_utc_is_taken_for_it() -> None:
    moment = datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))
    found = CronExpression.parse("* * * * * *").next_after(moment, ZoneInfo("UTC"))
    assert found == datetime.min.replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("key", "last"),
    [
        ("UTC", "9999-12-31T23:59+00:00"),
        ("Asia/Kathmandu", "9999-12-31T18:14+00:00"),
        ("America/New_York", "9999-12-31T23:59+00:00"),
        ("Etc/GMT+12", "9999-12-31T23:59+00:00"),
        ("Pacific/Kiritimati", "9999-12-31T09:59+00:00"),
    ],
)
@pytest.mark.parametrize("text", ["* * * * *", "0-59 0-23 * * *"])
def test_nothing_comes_after_the_year_9999(text: str, key: str, last: str) -> None:
    expression = CronExpression.parse(text)
    moment = datetime.fromisoformat(last)
    assert expression.next_after(moment - timedelta(seconds=1), ZoneInfo(key)) == moment
    assert expression.next_after(moment, ZoneInfo(key)) is None
    assert expression.next_after(datetime.max.replace(tzinfo=UTC), ZoneInfo(key)) is None


def test_a_moment_after_the_last_instant_of_utc_has_nothing_after_it() -> None:
    moment = datetime.max.replace(tzinfo=timezone(timedelta(hours=-12)))
    assert CronExpression.parse("* * * * * *").next_after(moment, STOCKHOLM) is None


@pytest.mark.parametrize("text", ["0 0 29 2 *", "0 0 1 1 *", "0 0 * 2 1#5", "30 2 * 10 0L", "*/20 2 * 10 0L"])
def test_seldom_expressions_end_with_the_calendar(text: str) -> None:
    moment = datetime(9990, 1, 1, tzinfo=UTC)
    for _ in range(100):
        found = CronExpression.parse(text).next_after(moment, STOCKHOLM)
        if found is None:
            break
        assert found > moment
        moment = found
    assert found is None


def test_the_last_year_belongs_to_the_calendar() -> None:
    found = CronExpression.parse("0 0 1 1 *").next_after(datetime(9998, 6, 1, tzinfo=UTC), ZoneInfo("UTC"))
    assert found == datetime(9999, 1, 1, tzinfo=UTC)


class CountingZone(ZoneInfo):
    """A zone that counts how often it is asked for its local time."""

    questions = 0

    def fromutc(self, moment: datetime, /) -> datetime:
        CountingZone.questions += 1
        return super().fromutc(moment)


def test_the_years_before_a_seldom_occurrence_are_not_searched_for_changes() -> None:
    expression = CronExpression.parse("0 0 * 2 1#5")
    found = expression.next_after(datetime(2072, 3, 1, tzinfo=UTC), CountingZone.no_cache("Europe/Stockholm"))
    assert found == datetime(2112, 2, 28, 23, tzinfo=UTC)
    assert CountingZone.questions < 100


def test_the_second_pass_of_a_repeated_hour_counts_in_the_last_year_too() -> None:
    # 9999-10-31 is the last Sunday; nothing on the clock matches after the first 02:40 but the second 02:00.
    found = CronExpression.parse("*/20 2 * 10 0L").next_after(datetime(9999, 10, 31, 0, 45, tzinfo=UTC), STOCKHOLM)
    assert found == datetime(9999, 10, 31, 1, 0, tzinfo=UTC)


@given(expressions(), moments, zones)
def test_nothing_fires_between_a_moment_and_the_next_occurrence(
    expression: CronExpression, moment: datetime, zone: ZoneInfo
) -> None:
    found = expression.next_after(moment, zone)
    assert found is not None
    assert found > moment
    assert found.tzinfo is UTC
    assert found.microsecond == 0
    assert expression.next_after(found - timedelta(microseconds=1), zone) == found
    assert expression.next_after(moment.astimezone(UTC) + (found - moment) / 2, zone) == found


@given(expressions(), moments, moments, zones)
def test_a_later_moment_never_has_an_earlier_occurrence(
    expression: CronExpression, one: datetime, other: datetime, zone: ZoneInfo
) -> None:
    found = [expression.next_after(moment, zone) for moment in sorted([one, other], key=datetime.timestamp)]
    assert found[0] is not None
    assert found[1] is not None
    assert found[0] <= found[1]


@given(expressions(), moments, zones)
def test_every_occurrence_shows_a_matching_time_or_follows_a_gap(
    expression: CronExpression, moment: datetime, zone: ZoneInfo
) -> None:
    found = expression.next_after(moment, zone)
    assert found is not None
    wall = found.astimezone(zone).replace(tzinfo=None)
    before = (found - timedelta(seconds=1)).astimezone(zone).replace(tzinfo=None)
    follows_a_gap = wall - before > timedelta(seconds=1)
    assert matches(expression.text, wall) or (is_fixed_time(expression.text) and follows_a_gap)
