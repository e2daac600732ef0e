"""When a schedule is due: its expression within dates, without excluded days, put off by jitter."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise
from math import inf
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedules.cron import CronExpression, CronSyntaxError
from schedules.timetable import DateRange, Timetable, jitter_offset, parse_dates
from tests.unit.cron_texts import random_expression

_START = datetime(2018, 10, 1, tzinfo=UTC).timestamp()
_YEAR = 366 * 86_400
_DAY_ZERO = date(2018, 10, 1)

zones = st.sampled_from(
    [
        *("UTC", "Europe/Stockholm", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Beirut"),
        *("Africa/Casablanca", "America/Havana", "Asia/Kathmandu", "Pacific/Kiritimati", "Etc/GMT+12"),
    ]
).map(ZoneInfo)
instants = st.floats(_START, _START + _YEAR) | st.integers(int(_START), int(_START) + _YEAR)


@st.composite
def expressions(draw: st.DrawFn) -> CronExpression:
    random = draw(st.randoms(use_true_random=False))
    near = datetime(2018, random.randint(1, 12), random.randint(1, 28), random.randrange(24))  # noqa: DTZ001
    try:
        return CronExpression.parse(random_expression(random, near=near, with_seconds=False))
    except CronSyntaxError:
        return CronExpression.parse("*/20 * * * *")


@st.composite
def date_ranges(draw: st.DrawFn) -> DateRange:
    first = _DAY_ZERO + timedelta(days=draw(st.integers(0, 400)))
    return first, first + timedelta(days=draw(st.sampled_from([0, 0, 1, 6, 40])))


timetables = st.builds(
    Timetable,
    expression=expressions(),
    zone=zones,
    offset=st.integers(0, 90_000),
    starts_at=st.just(-inf) | instants,
    ends_at=st.just(inf) | instants,
    excluded=st.lists(date_ranges(), max_size=4).map(tuple),
)


def utc(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def local(instant: int, zone: ZoneInfo) -> str:
    return f"{datetime.fromtimestamp(instant, zone):%m-%d %H:%M}"


def make(cron: str, zone: str = "UTC", *, dates: tuple[str, ...] = (), **values: float) -> Timetable:
    return Timetable(CronExpression.parse(cron), ZoneInfo(zone), excluded=parse_dates(dates), **values)


def is_excluded(timetable: Timetable, instant: int) -> bool:
    day = datetime.fromtimestamp(instant, timetable.zone).date()
    return any(first <= day <= last for first, last in timetable.excluded)


def plain_occurrences(timetable: Timetable, *, after: float, until: float) -> list[int]:
    """Ask the expression for each of its times, one after the other, and judge each by itself."""
    found: list[int] = []
    due = timetable.expression.next_timestamp(after - timetable.offset, timetable.zone)
    while due is not None and due + timetable.offset <= until:
        if timetable.starts_at <= due <= timetable.ends_at and not is_excluded(timetable, due):
            found.append(due + timetable.offset)
        due = timetable.expression.next_timestamp(due, timetable.zone)
    return found


@given(timetables, instants)
def test_the_next_instant_is_strictly_later_and_keeps_every_rule(timetable, after):
    due = timetable.next_timestamp(after)

    if due is not None:
        written = due - timetable.offset
        assert due > after
        assert timetable.starts_at <= written <= timetable.ends_at
        assert not is_excluded(timetable, written)
        assert timetable.expression.next_timestamp(written - 1, timetable.zone) == written


@given(timetables, instants, instants)
def test_later_asked_is_never_earlier_answered(timetable, one, other):
    earlier, later = (timetable.next_timestamp(after) for after in sorted([one, other]))

    assert (inf if earlier is None else earlier) <= (inf if later is None else later)


@given(timetables, instants, st.integers(0, 3 * 86_400))
def test_it_finds_what_asking_for_each_time_finds(timetable, after, seconds):
    until = after + seconds

    assert list(timetable.between(after, until)) == plain_occurrences(timetable, after=after, until=until)


@given(timetables, instants)
def test_between_is_the_next_one_again_and_again(timetable, after):
    found = list(islice(timetable.between(after, inf), 5))

    assert all(earlier < later for earlier, later in pairwise(found))
    again = []
    due = timetable.next_timestamp(after)
    while due is not None and len(again) < 5:
        again.append(due)
        due = timetable.next_timestamp(due)
    assert found == again


def test_between_takes_its_end_in_and_leaves_its_beginning_out():
    hourly = make("0 * * * *")

    found = list(hourly.between(utc("2026-11-24 06:00"), utc("2026-11-24 08:00")))

    assert found == [utc("2026-11-24 07:00"), utc("2026-11-24 08:00")]


@given(st.text(max_size=50), st.floats(0, 86_400) | st.integers(0, 86_400))
def test_jitter_is_a_constant_of_whole_seconds_and_at_most_what_is_given(seed, seconds):
    offset = jitter_offset(seed, seconds=seconds)

    assert isinstance(offset, int)
    assert 0 <= offset <= seconds
    assert jitter_offset(seed, seconds=seconds) == offset


def test_jitter_spreads_schedules_over_all_of_its_seconds():
    offsets = [jitter_offset(f"schedule {number}", seconds=9) for number in range(10_000)]

    assert set(offsets) == set(range(10))
    assert all(800 < offsets.count(offset) < 1_200 for offset in range(10))


def test_jitter_is_the_same_in_every_process_and_version():
    assert [jitter_offset(seed, seconds=3600) for seed in ("task-1", "task-2")] == [3399, 3119]


def test_jitter_puts_each_time_off_by_the_same():
    timetable = make("0 6 * * *", offset=90)

    found = list(islice(timetable.between(utc("2026-11-24 06:00"), inf), 2))

    assert found == [utc("2026-11-24 06:01:30"), utc("2026-11-25 06:01:30")]


def test_the_dates_are_both_included_and_asked_of_the_time_before_jitter():
    timetable = make("0 * * * *", offset=600, starts_at=utc("2026-11-24 06:00"), ends_at=utc("2026-11-24 08:00"))

    assert [local(due, timetable.zone) for due in timetable.between(0, inf)] == [
        "11-24 06:10",
        "11-24 07:10",
        "11-24 08:10",
    ]


def test_a_fraction_of_a_second_before_the_beginning_is_before_it():
    timetable = make("* * * * * *", starts_at=utc("2026-11-24 06:00") + 0.5)

    assert timetable.next_timestamp(0) == utc("2026-11-24 06:00:01")


def test_a_jitter_that_leads_into_an_excluded_day_is_kept():
    timetable = make("59 23 * * *", dates=("2026-12-24",), offset=120)

    found = list(islice(timetable.between(utc("2026-12-23 12:00"), inf), 2))

    assert [local(due, timetable.zone) for due in found] == ["12-24 00:01", "12-26 00:01"]


@pytest.mark.parametrize(
    ("zone", "dates", "after", "expected"),
    [
        # Days are those of the zone's calendar, not of UTC
        ("Asia/Tokyo", ("2026-12-24",), "2026-12-23 14:30", "12-25 00:00"),
        ("America/New_York", ("2026-12-24/2026-12-26",), "2026-12-24 04:59", "12-27 00:00"),
        # Ranges that overlap, touch, and lie within one another
        ("UTC", ("2026-12-24/2026-12-26", "2026-12-26/2026-12-28", "2026-12-29"), "2026-12-24 00:00", "12-30 00:00"),
        ("UTC", ("2026-12-20/2027-01-06", "2026-12-24"), "2026-12-24 00:00", "01-07 00:00"),
        # Midnight does not exist: the day begins at 01:00
        ("America/Sao_Paulo", ("2018-11-03",), "2018-11-03 12:00", "11-04 01:00"),
        ("America/Sao_Paulo", ("2018-11-04",), "2018-11-04 02:30", "11-05 00:00"),
        # The last hour of the day comes twice, and midnight once
        ("America/Sao_Paulo", ("2018-02-17",), "2018-02-17 12:00", "02-18 00:00"),
        # Midnight comes twice, on the day that is excluded and on the one after it
        ("America/Havana", ("2026-11-01",), "2026-11-01 03:30", "11-02 00:00"),
        ("America/Havana", ("2026-10-31",), "2026-10-31 12:00", "11-01 00:00"),
        # The day does not exist at all
        ("Pacific/Apia", ("2011-12-30",), "2011-12-30 09:59", "12-31 00:00"),
        ("Pacific/Apia", ("2011-12-29",), "2011-12-29 12:00", "12-31 00:00"),
        ("Pacific/Apia", ("2011-12-29/2011-12-31",), "2011-12-29 12:00", "01-01 00:00"),
    ],
)
def test_excluded_days_end_where_the_next_day_of_the_zone_begins(zone, dates, after, expected):
    timetable = make("*/30 * * * *", zone, dates=dates)

    due = timetable.next_timestamp(utc(after))

    assert due is not None
    assert local(due, timetable.zone) == expected


def test_a_day_that_comes_again_after_midnight_is_not_jumped_over():
    """St. John's set its clocks back from 00:01 on Sunday to 23:01 on Saturday."""
    timetable = make("*/20 * * * *", "America/St_Johns", dates=("2010-11-07",))

    found = list(islice(timetable.between(utc("2010-11-07 02:01"), inf), 4))

    assert [local(due, timetable.zone) for due in found] == ["11-06 23:40", "11-06 23:20", "11-06 23:40", "11-08 00:00"]


def test_the_same_night_with_saturday_excluded_leaves_it_out_both_times():
    timetable = make("*/20 * * * *", "America/St_Johns", dates=("2010-11-06",))

    found = list(islice(timetable.between(utc("2010-11-07 02:01"), inf), 3))

    assert [local(due, timetable.zone) for due in found] == ["11-07 00:00", "11-07 00:00", "11-07 00:20"]


def test_a_fixed_time_in_the_hour_that_is_left_out_is_judged_by_the_day_on_which_it_is_due():
    """00:30 does not exist in São Paulo on 4 November 2018 and is due at 01:00."""
    kept = make("30 0 * * *", "America/Sao_Paulo", dates=("2018-11-03",))
    left_out = make("30 0 * * *", "America/Sao_Paulo", dates=("2018-11-04",))

    after = utc("2018-11-03 12:00")
    assert local(kept.next_timestamp(after) or 0, kept.zone) == "11-04 01:00"
    assert local(left_out.next_timestamp(after) or 0, left_out.zone) == "11-05 00:30"


@pytest.mark.parametrize(
    "timetable",
    [
        make("0 6 * * *", starts_at=utc("2026-11-24 07:00"), ends_at=utc("2026-11-25 05:00")),
        make("0 6 * * *", dates=("2026-01-01/9999-12-31",)),
        make("0 6 24 12 *", dates=("2026-12-24",), ends_at=utc("2027-12-24 05:59")),
        make("59 23 31 12 *", starts_at=utc("9999-12-31 00:00"), offset=3600),
    ],
)
def test_where_nothing_is_left_there_is_none(timetable):
    assert timetable.next_timestamp(utc("2026-06-01 00:00")) is None


@pytest.mark.parametrize(("zone", "last"), [("Asia/Tokyo", 14), ("UTC", 23), ("America/New_York", 23)])
def test_the_end_of_the_calendar_is_an_end_and_no_failure(zone, last):
    """East of Greenwich the year 9999 ends earlier."""
    timetable = make("0 * * * *", zone, dates=("9999-12-29",))

    found = list(timetable.between(utc("9999-12-31 12:00"), inf))

    assert found == [utc(f"9999-12-31 {hour}:00") for hour in range(13, last + 1)]


def test_a_long_excluded_time_is_jumped_over_not_walked_through():
    timetable = make("* * * * * *", dates=("1970-01-01/2999-12-31",))

    assert timetable.next_timestamp(0) == datetime(3000, 1, 1, tzinfo=UTC).timestamp()


def test_dates_and_ranges_are_read_in_order():
    assert parse_dates(["2026-12-24/2027-01-01", "2026-05-01"]) == (
        (date(2026, 5, 1), date(2026, 5, 1)),
        (date(2026, 12, 24), date(2027, 1, 1)),
    )


@pytest.mark.parametrize(
    "text",
    [
        *("", "/", "24.12.2026", "2026-13-01", "2026-02-29", "2026-12-24/", "/2026-12-24", " 2026-12-24"),
        *("20261224", "2026-W52-4", "2026-12-24T06:00", "2026-12-24/2026-12-25/2026-12-26", "２０２６-12-24"),
    ],
)
def test_what_is_no_date_is_named(text):
    with pytest.raises(ValueError, match="is not a date") as refusal:
        parse_dates(["2026-05-01", text])

    assert repr(text) in str(refusal.value)


def test_a_range_that_ends_before_it_begins_is_named():
    with pytest.raises(ValueError, match="'2027-01-01/2026-12-24' ends before it begins"):
        parse_dates(["2027-01-01/2026-12-24"])
