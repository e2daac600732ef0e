"""Many due instants in few numbers: what a timetable says, as arithmetic progressions. Pure: no clock, no database.

Whoever counts starts need not step from one to the next: on most days an expression such as */5 8-17 * * 1-5 is a
single progression. Where a clock is set, a day has two parts, each of them as regular as any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from functools import lru_cache
from math import floor
from typing import NamedTuple
from zoneinfo import ZoneInfo

from schedules.cron_fields import Bits, values_of
from schedules.timetable import Timetable
from schedules.wall_clock import DAY, EPOCH, Span, span_at

_EPOCH_DAY = EPOCH.toordinal()
#: Fewer neighbours than this in equal distance are kept one by one: each distance costs the counter a pass
_SHORTEST = 3


class Progression(NamedTuple):
    """Numbers in equal distance: the first, the distance, and how many there are."""

    start: int
    step: int
    length: int

    def shift(self, distance: int) -> Progression:
        """Return the same numbers, each greater by `distance`."""
        return Progression(self.start + distance, self.step, self.length)

    def clip(self, start: int, end: int) -> Progression:
        """Return the numbers from `start` up to, not including, `end`."""
        before = max(0, -((self.start - start) // self.step))
        kept = min(self.length, -((self.start - end) // self.step)) - before
        return Progression(self.start + before * self.step, self.step, max(0, kept))

    @property
    def numbers(self) -> range:
        """The numbers one by one."""
        return range(self.start, self.start + self.step * self.length, self.step)


class _Piece(NamedTuple):
    """Instants from `start` up to `end` that lie in one local `day`, counted from 1970-01-01, and in one `span`."""

    start: int
    end: int
    day: int
    span: Span

    @property
    def midnight(self) -> int:
        """When the day began, or would have if the clock had not been set since."""
        return self.day * DAY - self.span.offset


def list_progressions(timetable: Timetable, *, start: int, end: int) -> Iterator[Progression]:
    """Yield the due instants from `start` up to, not including, `end`, in epoch seconds: those of `between`.

    The progressions of a day may overlap in time; those of two days do not.
    """
    offset = timetable.offset
    if timetable.starts_at > start - offset:
        first_due = timetable.next_timestamp(start - 1)
        start = end if first_due is None else first_due
    if timetable.ends_at < end - offset:
        end = floor(timetable.ends_at) + 1 + offset
    for piece in _cut_into_days(timetable.zone, start=start - offset, end=end - offset):
        day = date.fromordinal(piece.day + _EPOCH_DAY)
        if not any(first <= day <= last for first, last in timetable.excluded):
            yield from _list_in_piece(timetable, piece, day)


def _list_in_piece(timetable: Timetable, piece: _Piece, day: date) -> Iterator[Progression]:
    """Yield the due instants in the piece by the rules for daylight saving in schedules/cron.py."""
    expression, offset, first = timetable.expression, timetable.offset, piece.start
    if expression.is_fixed_time:
        if first == piece.span.start and piece.span.reached < first + piece.span.offset:
            # The clock was set forward, and all that it leapt over comes here, as one occurrence
            if expression.next_timestamp(first - 1, timetable.zone) == first:
                yield Progression(first + offset, 1, 1)
            first += 1
        first = max(first, piece.span.reached - piece.span.offset)
    if expression.fires_on(day):
        midnight, start, end = piece.midnight + offset, first + offset, piece.end + offset
        for time, step, length in _times_of(expression.hours, expression.minutes, expression.seconds):
            part = Progression(midnight + time, step, length)
            if part.start < start or part.start + (length - 1) * step >= end:
                part = part.clip(start, end)
            if part.length:
                yield part


def _cut_into_days(zone: ZoneInfo, *, start: int, end: int) -> Iterator[_Piece]:
    """Yield what makes up the instants from `start` up to `end`, in order."""
    while start < end:
        span = span_at(zone, start)
        day = (start + span.offset) // DAY
        piece = _Piece(start, min(end, span.end, (day + 1) * DAY - span.offset), day, span)
        yield piece
        start = piece.end


@lru_cache(maxsize=2048)
def _times_of(hours: Bits, minutes: Bits, seconds: Bits) -> tuple[Progression, ...]:
    """Return the times of day that match, in seconds since midnight."""
    times: Sequence[Progression] = _group(seconds)
    times = _repeat(times, bits=minutes, unit=60)
    return tuple(_repeat(times, bits=hours, unit=3600))


@lru_cache(maxsize=2048)
def _group(bits: Bits) -> tuple[Progression, ...]:
    """Return the numbers in the set `bits`: those in equal distance together, others alone."""
    found: list[Progression] = []
    values = values_of(bits)
    place = 0
    while place < len(values):
        length = _count_equal_steps(values, place)
        if length >= _SHORTEST:
            found.append(Progression(values[place], values[place + 1] - values[place], length))
        else:
            length = 1
            found.append(Progression(values[place], 1, 1))
        place += length
    return tuple(found)


def _count_equal_steps(values: Sequence[int], place: int) -> int:
    """Return how many of the values from a place on lie in equal distance."""
    end = place + 1
    while end < len(values) and values[end] - values[end - 1] == values[place + 1] - values[place]:
        end += 1
    return end - place


def _repeat(times: Sequence[Progression], *, bits: Bits, unit: int) -> list[Progression]:
    """Return `times`, which lie within one `unit`, at each of the units in the set `bits`."""
    found: list[Progression] = []
    for time in times:
        if time.length == 1:
            found += [Progression(first * unit + time.start, step * unit, n) for first, step, n in _group(bits)]
        else:
            found += _join(time.shift(value * unit) for value in values_of(bits))
    return found


def _join(parts: Iterator[Progression]) -> list[Progression]:
    """Return the parts, which are in order and alike, with those that go on from one to the next made one."""
    joined: list[Progression] = []
    for part in parts:
        if joined and part.start == joined[-1].start + joined[-1].length * part.step:
            part = Progression(joined[-1].start, part.step, joined.pop().length + part.length)
        joined.append(part)
    return joined
