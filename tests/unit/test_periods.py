"""Times as people ask for them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from schedules.periods import PeriodError, check_order, format_moment, parse_moment

MOMENT = datetime(2026, 3, 29, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["2026-03-29T06:00:00Z", "2026-03-29T08:00+02:00", "2026-03-29 06:00", " 2026-03-29T06:00:00.000Z "]
)
def test_a_time_may_be_written_in_many_ways(text):
    assert parse_moment(text, name="from") == MOMENT
    assert parse_moment(text, name="from").tzinfo is UTC


@pytest.mark.parametrize("text", ["", "today", "2026-03-29T08:00 02:00", "0001-01-01T00:00+14:00", "x" * 500])
def test_what_is_no_time_is_refused_by_its_name(text):
    with pytest.raises(PeriodError, match=r"^from: .* is not a time. Write it as 2026-03-29T06:00:00Z") as caught:
        parse_moment(text, name="from")

    assert len(str(caught.value)) < 300


def test_a_time_is_written_as_it_is_read():
    assert format_moment(MOMENT) == "2026-03-29T06:00:00Z"
    assert format_moment(MOMENT.replace(microsecond=500_000)) == "2026-03-29T06:00:00.500000Z"


def test_from_comes_before_until():
    check_order(from_at=MOMENT, until_at=MOMENT)
    with pytest.raises(PeriodError, match="Give the earlier time as from"):
        check_order(from_at=MOMENT, until_at=MOMENT.replace(hour=5))
