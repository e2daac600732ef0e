"""Spans of a zone's clock against the zone database, over its history and some of its future.

An ordinary run takes 20 years of 20 zones, a nightly one (BUTLER_NIGHTLY=1 in the environment) 220 years of all.
"""

from __future__ import annotations

import os
import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest

from schedules.wall_clock import DAY, EPOCH, FIRST_INSTANT, LAST_INSTANT, ONE_SECOND, Span, span_at

NIGHTLY = os.environ.get("BUTLER_NIGHTLY") == "1"
ZONES = sorted(available_timezones())
HOUR = 3600


def instant_of(moment: str) -> int:
    return (datetime.fromisoformat(moment) - EPOCH) // ONE_SECOND


def offset_at(zone: ZoneInfo, instant: int) -> int:
    moment = EPOCH + timedelta(seconds=instant)
    return (moment.astimezone(zone).replace(tzinfo=UTC) - moment) // ONE_SECOND


def spans_between(zone: ZoneInfo, first: int, last: int) -> list[Span]:
    spans = [span_at(zone, first)]
    while spans[-1].end < last:
        spans.append(span_at(zone, spans[-1].end))
    return spans


@pytest.mark.timeout(3600 if NIGHTLY else 120)
def test_no_change_of_any_zone_hides_between_two_probes() -> None:
    for key in ZONES if NIGHTLY else random.sample(ZONES, 20):
        zone = ZoneInfo(key)
        first = instant_of("1840-01-01T00:00+00:00" if NIGHTLY else f"{random.randrange(1840, 2040)}-01-01T00:00+00:00")
        years = 220 if NIGHTLY else 20
        for span in spans_between(zone, first + random.randrange(DAY), first + years * 366 * DAY):
            for instant in (*range(span.start, span.end, DAY), span.end - 1):
                assert offset_at(zone, instant) == span.offset, f"{key} at {instant}"


def test_the_shortest_stay_at_another_offset_is_found() -> None:
    # Freetown in the database's fuller form: four days in September 1939. Elsewhere, a week: Recife in October 2000.
    zone = ZoneInfo("America/Recife")
    spans = spans_between(zone, instant_of("2000-10-01T00:00+00:00"), instant_of("2000-11-01T00:00+00:00"))
    changes = [span for before, span in pairwise(spans) if span.offset != before.offset]
    assert [(EPOCH + timedelta(seconds=span.start)).isoformat() for span in changes] == [
        *("2000-10-08T03:00:00+00:00", "2000-10-15T02:00:00+00:00"),
    ]


@pytest.mark.parametrize(
    ("key", "moment", "jump"),
    [
        ("Europe/Stockholm", "2026-03-29T01:00+00:00", HOUR),
        ("Europe/Stockholm", "2026-10-25T01:00+00:00", -HOUR),
        ("Australia/Lord_Howe", "2026-04-04T15:00+00:00", -HOUR // 2),
        ("Antarctica/Troll", "2026-03-29T01:00+00:00", 2 * HOUR),
        ("Pacific/Apia", "2011-12-30T10:00+00:00", DAY),
        ("Pacific/Kwajalein", "1969-09-30T13:00+00:00", -23 * HOUR),
        ("Africa/Monrovia", "1972-01-07T00:44:30+00:00", 44 * 60 + 30),
        ("Asia/Manila", "1844-12-31T15:56:08+00:00", DAY),
    ],
)
def test_a_span_knows_what_the_clock_had_reached_when_it_started(key: str, moment: str, jump: int) -> None:
    zone, change = ZoneInfo(key), instant_of(moment)
    before, span = span_at(zone, change - 1), span_at(zone, change)
    assert (before.end, span.start) == (change, change)
    assert span.offset - before.offset == jump
    assert span.reached == change + before.offset


def test_a_clock_set_back_in_the_block_before_is_remembered() -> None:
    zone, change = ZoneInfo("Pacific/Kwajalein"), instant_of("1969-09-30T13:00+00:00")
    reached = change + 11 * HOUR
    for instant in range(change, change + DAY, HOUR):
        span = span_at(zone, instant)
        assert max(span.reached, instant + span.offset) == max(reached, instant - 12 * HOUR)


@pytest.mark.parametrize("key", ["UTC", "Etc/GMT-14", "Etc/GMT+12", "Asia/Kathmandu", "America/New_York"])
def test_the_ends_of_the_calendar_have_spans(key: str) -> None:
    zone = ZoneInfo(key)
    assert span_at(zone, FIRST_INSTANT).offset == offset_at(zone, FIRST_INSTANT + DAY)
    assert span_at(zone, LAST_INSTANT).offset == offset_at(zone, LAST_INSTANT - DAY)
    assert span_at(zone, LAST_INSTANT).end == LAST_INSTANT + 1
    with pytest.raises(ValueError, match="is after the year 9999"):
        span_at(zone, LAST_INSTANT + 1)
