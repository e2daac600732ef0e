"""When a schedule is due: its expression on its zone's wall clock, within its dates. Pure: no clock, no database."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from hashlib import blake2b
from math import ceil, inf
from typing import TypeAlias
from zoneinfo import ZoneInfo

from schedules.cron import CronExpression
from schedules.wall_clock import LAST_INSTANT, span_at

#: The first and the last of some days, both included
DateRange: TypeAlias = tuple[date, date]

#: A date, or the first and the last date of some days with this between them
RANGE_MARK = "/"
_ONE_DAY = timedelta(days=1)
# Python's own reader also takes 20261224 and 2026-W52-4, which people would not recognise in an answer
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# A clock that is set back over midnight is set back by less than these seconds
_LONGEST_SET_BACK = 3 * 3600


@dataclass(frozen=True, slots=True)
class Timetable:
    """The instants at which a schedule is due, in whole seconds since 1970-01-01 00:00 UTC.

    The expression says when; of its times those count that lie from `starts_at` to `ends_at` (epoch seconds, both
    included) and on none of the `excluded` days of the zone's calendar. Each is then put off by `offset` seconds,
    which may bring it past `ends_at` or into an excluded day.
    """

    expression: CronExpression
    zone: ZoneInfo
    offset: int = 0
    starts_at: float = -inf
    ends_at: float = inf
    excluded: tuple[DateRange, ...] = ()

    def next_timestamp(self, after: float) -> int | None:
        """Return the first due instant strictly after `after`, both in epoch seconds; None when there is none."""
        earliest = -inf if self.starts_at == -inf else ceil(self.starts_at) - 1
        due = self.expression.next_timestamp(max(after - self.offset, earliest), self.zone)
        while due is not None and due <= self.ends_at:
            days = self._excluded_days_at(due) if self.excluded else None
            if days is None:
                return due + self.offset if due + self.offset <= LAST_INSTANT else None
            due = self._next_outside(days, due)
        return None

    def between(self, after: float, until: float) -> Iterator[int]:
        """Yield the due instants after `after` and not after `until`, all in epoch seconds."""
        due = self.next_timestamp(after)
        while due is not None and due <= until:
            yield due
            due = self.next_timestamp(due)

    def _excluded_days_at(self, instant: int) -> DateRange | None:
        """Return the excluded range that the instant's day lies in; None when it lies in none."""
        day = self._day_at(instant)
        return next(((first, last) for first, last in self.excluded if first <= day <= last), None)

    def _next_outside(self, days: DateRange, instant: int) -> int | None:
        """Return the next time of the expression after `instant`, which lies in these days, that may be outside."""
        first, last = days
        if last == date.max:
            return None
        end = datetime.combine(last + _ONE_DAY, time(), self.zone).timestamp() - 1
        if self._day_at(instant) == first and self._is_set_back_after(instant):
            # The day before may come again for a while, so nothing must be jumped over
            end = instant
        return self.expression.next_timestamp(max(instant, end), self.zone)

    def _is_set_back_after(self, instant: int) -> bool:
        later = min(instant + _LONGEST_SET_BACK, LAST_INSTANT)
        return span_at(self.zone, later).offset < span_at(self.zone, instant).offset

    def _day_at(self, instant: int) -> date:
        return datetime.fromtimestamp(instant, self.zone).date()


def jitter_offset(seed: str, *, seconds: float) -> int:
    """Return a whole number from 0 to `seconds`: always the same for one seed, spread evenly over many."""
    digest = blake2b(seed.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) % (int(seconds) + 1)


def parse_dates(texts: Sequence[str]) -> tuple[DateRange, ...]:
    """Return the ranges that texts such as 2026-12-24 or 2026-12-24/2027-01-01 stand for, in order.

    Raises ValueError that names the first text which is neither.
    """
    return tuple(sorted(_parse_range(text) for text in texts))


def _parse_range(text: str) -> DateRange:
    first, mark, last = text.partition(RANGE_MARK)
    try:
        dates = _parse_date(first), _parse_date(last if mark else first)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a date. Write 2026-12-24, or 2026-12-24/2027-01-01 for a range.") from error
    if dates[0] > dates[1]:
        raise ValueError(f"{text!r} ends before it begins. Write the earlier date first.")
    return dates


def _parse_date(text: str) -> date:
    if not _DATE.fullmatch(text):
        raise ValueError(text)
    return date.fromisoformat(text)
