"""When a schedule is due: its expression on its zone's wall clock, within its dates. Pure: no clock, no database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from hashlib import blake2b
from math import inf
from typing import TypeAlias
from zoneinfo import ZoneInfo

from schedules.cron import CronExpression

#: The first and the last of some days, both included
DateRange: TypeAlias = tuple[date, date]

#: A date, or the first and the last date of some days with this between them
RANGE_MARK = "/"
_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Timetable:
    """The instants at which a schedule is due, in whole seconds since 1970-01-01 00:00 UTC.

    The expression says when; of its times those count that lie from `starts_at` to `ends_at` (epoch seconds, both
    included) and on none of the `excluded` days of the zone's calendar. Each is then put off by `offset` seconds.
    """

    expression: CronExpression
    zone: ZoneInfo
    offset: int = 0
    starts_at: float = -inf
    ends_at: float = inf
    excluded: tuple[DateRange, ...] = ()

    def next_timestamp(self, after: float) -> int | None:
        """Return the first due instant strictly after `after`, both in epoch seconds; None when there is none."""
        due = self.expression.next_timestamp(max(after - self.offset, self.starts_at - 1), self.zone)
        while due is not None and due <= self.ends_at:
            last_day = self._last_excluded_day(due) if self.excluded else None
            if last_day is None:
                return due + self.offset
            due = self.expression.next_timestamp(max(due, self._end_of(last_day)), self.zone)
        return None

    def between(self, after: float, until: float) -> Iterator[int]:
        """Yield the due instants after `after` and not after `until`, all in epoch seconds."""
        due = self.next_timestamp(after)
        while due is not None and due <= until:
            yield due
            due = self.next_timestamp(due)

    def _last_excluded_day(self, instant: int) -> date | None:
        """Return the last day of the excluded range that the instant's day lies in; None when it lies in none."""
        day = datetime.fromtimestamp(instant, self.zone).date()
        return next((last for first, last in self.excluded if first <= day <= last), None)

    def _end_of(self, day: date) -> float:
        """Return the last second of a day, give or take what a clock that is set at midnight moves."""
        if day == date.max:
            return inf
        return datetime.combine(day + _ONE_DAY, time(), self.zone).timestamp() - 1


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
        dates = date.fromisoformat(first), date.fromisoformat(last if mark else first)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a date. Write 2026-12-24, or 2026-12-24/2027-01-01 for a range.") from error
    if dates[0] > dates[1]:
        raise ValueError(f"{text!r} ends before it begins. Write the earlier date first.")
    return dates
