"""How the admin puts instants and spans of time into words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from schedules.admin.moments import (
    format_distance,
    format_in_zone,
    format_milliseconds,
    format_offset,
    format_utc,
)

NOW = datetime(2026, 3, 28, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "zone", "words"),
    [
        (datetime(2026, 3, 29, 0, 59, 30, tzinfo=UTC), "Europe/Stockholm", "Sun 29 Mar, 01:59:30 CET"),
        (datetime(2026, 3, 29, 1, 0, tzinfo=UTC), "Europe/Stockholm", "Sun 29 Mar, 03:00 CEST"),
        (datetime(2026, 12, 31, 23, 0, tzinfo=UTC), "Europe/Stockholm", "Fri 1 Jan 2027, 00:00 CET"),
        (datetime(2026, 3, 29, 3, 0, tzinfo=UTC), "America/Sao_Paulo", "Sun 29 Mar, 00:00 UTC-03:00"),
        (datetime(2026, 3, 29, 0, 0, tzinfo=UTC), "Asia/Kathmandu", "Sun 29 Mar, 05:45 UTC+05:45"),
        # Their clocks are beyond the calendar then
        (datetime.max.replace(tzinfo=UTC), "Asia/Tokyo", "Fri 31 Dec 9999, 23:59:59 UTC"),
        (datetime.min.replace(tzinfo=UTC), "America/New_York", "Mon 1 Jan 1, 00:00 UTC"),
    ],
)
def test_an_instant_is_told_by_the_clock_of_a_zone(moment, zone, words):
    assert format_in_zone(moment, ZoneInfo(zone), now=NOW) == words


def test_an_offset_is_told_in_hours_and_minutes():
    assert format_offset(NOW, ZoneInfo("America/St_Johns")) == "UTC-02:30"
    assert format_offset(NOW, UTC) == "UTC+00:00"
    assert format_offset(datetime.max.replace(tzinfo=UTC), ZoneInfo("Asia/Tokyo")) == "UTC+00:00"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "now"),
        (0.4, "now"),
        (1, "in 1 s"),
        (59, "in 59 s"),
        (60, "in 1 min"),
        (61, "in 1 min 1 s"),
        (9 * 60 + 59, "in 9 min 59 s"),
        (10 * 60 + 59, "in 10 min"),
        (3 * 3600 + 12 * 60, "in 3 h 12 min"),
        (86_400, "in 1 day"),
        (86_400 + 59, "in 1 day"),
        (2 * 86_400 + 4 * 3600, "in 2 days 4 h"),
        (4000 * 86_400, "in 4,000 days"),
        (-12, "12 s ago"),
        (-3 * 3600, "3 h ago"),
    ],
)
def test_a_distance_is_told_roughly(seconds, words):
    assert format_distance(NOW + timedelta(seconds=seconds), now=NOW) == words


def test_an_instant_in_utc_is_told_to_the_millisecond():
    assert format_utc(NOW + timedelta(microseconds=12_999)) == "2026-03-28 12:00:00.012 UTC"


def test_a_span_is_told_in_milliseconds():
    assert format_milliseconds(timedelta(seconds=1, microseconds=250_600)) == "1,251 ms"
