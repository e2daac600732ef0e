"""What the wall clocks of a time zone show, as whole seconds.

An *instant* counts the seconds since 1970-01-01 00:00 UTC. A *wall time* counts the seconds that a clock which
nobody sets would take from 1970-01-01 00:00 to what the wall clock shows: instant plus offset.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple, TypeAlias
from zoneinfo import ZoneInfo

DAY = 86_400
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ONE_SECOND = timedelta(seconds=1)
FIRST_INSTANT = (datetime.min.replace(tzinfo=UTC) - EPOCH) // ONE_SECOND
LAST_INSTANT = (datetime.max.replace(tzinfo=UTC) - EPOCH) // ONE_SECOND

_Change: TypeAlias = tuple[int, int]  # the first instant of an offset, and the offset

# 24 days: few schedules look further ahead, and a new block costs only 14 questions to the zone database.
_BLOCK_BITS = 21
# The shortest time that any zone ever kept an offset was four days (Freetown in September 1939), so two equal
# answers two days apart leave no room for changes in between.
_PROBE = 2 * DAY
# No offset reaches a day, so what a clock showed two days ago it does not show again.
_LOOK_BACK = 2 * DAY


class Span(NamedTuple):
    """A stretch of time during which a zone keeps one offset.

    It holds the instants from `start` up to, not including, `end`. When it started, all wall times before
    `reached` had been shown or jumped over. So `reached < start + offset` after a clock was set forward, and
    `reached > start + offset` after one was set back.
    """

    start: int
    end: int
    offset: int
    reached: int


def span_at(zone: ZoneInfo, instant: int) -> Span:
    """Return a span of `zone` that holds `instant`, which lies in the years 1 to 9999."""
    for span in _spans_of(zone, instant >> _BLOCK_BITS):
        if instant < span.end:
            return span
    raise ValueError(f"{instant} is after the year 9999.")


@lru_cache(maxsize=8192)
def _spans_of(zone: ZoneInfo, block: int) -> tuple[Span, ...]:
    """Return the spans of `zone` that hold the instants of `block`, in order."""
    block_start = block << _BLOCK_BITS
    block_end = min(block_start + (1 << _BLOCK_BITS), LAST_INSTANT + 1)
    start = block_start - _LOOK_BACK
    offset = _offset_at(zone, start)
    reached = start + offset
    spans = []
    for change, next_offset in (*_changes(zone, start, block_end), (block_end, 0)):
        spans.append(Span(start, change, offset, reached))
        start, reached, offset = change, change + offset, next_offset
    return tuple(span for span in spans if span.end > block_start)


def _changes(zone: ZoneInfo, first: int, last: int) -> Iterator[_Change]:
    """Yield the changes of the offset of `zone` after `first` and before `last`."""
    probes = [(instant, _offset_at(zone, instant)) for instant in (*range(first, last, _PROBE), last - 1)]
    for low, high in pairwise(probes):
        yield from _changes_between(zone, low, high)


def _changes_between(zone: ZoneInfo, low: _Change, high: _Change) -> Iterator[_Change]:
    if low[1] == high[1]:
        return
    if high[0] - low[0] == 1:
        yield high
        return
    middle = (low[0] + high[0]) // 2
    probe = (middle, _offset_at(zone, middle))
    yield from _changes_between(zone, low, probe)
    yield from _changes_between(zone, probe, high)


def _offset_at(zone: ZoneInfo, instant: int) -> int:
    # Within a day of the calendar's ends the local time may have no date; no offset changes there.
    covered = min(max(instant, FIRST_INSTANT + DAY), LAST_INSTANT - DAY)
    local = datetime.fromtimestamp(covered, zone).replace(tzinfo=UTC)
    return (local - EPOCH) // ONE_SECOND - covered
