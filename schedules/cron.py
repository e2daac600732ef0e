"""The cron dialect: expressions of five or six fields, and the instants at which they fire.

    [second] minute hour day-of-month month day-of-week

Five fields mean second 0. Where both day fields are restricted, which is where neither matches every value,
a day fires that matches either of them.

Daylight saving follows Debian's rule. An expression is *fixed-time* when neither its minute nor its hour
field starts with `*`; otherwise it is *wildcard*.

- A wildcard expression fires at every instant at which the wall clock shows a matching time. Times that a
  clock set forward leaves out do not exist; those that a clock set back shows twice count twice.
- A fixed-time expression fires for each matching time at the first instant at which the wall clock shows that
  time or a later one. So all matching times inside a gap, however many, make one occurrence, at the first
  instant after the gap, and a repeated time counts the first time only.

The module is pure: it reads no clock and keeps no state but caches.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import lru_cache
from math import floor
from zoneinfo import ZoneInfo

from schedules.cron_fields import (
    DAY_OF_MONTH,
    DAY_OF_WEEK,
    HOUR,
    MINUTE,
    MONTH,
    SECOND,
    Bits,
    CronSyntaxError,
    DaysOfMonth,
    DaysOfWeek,
    Field,
    bits_of,
    lowest,
    refusal,
    runs_of,
    values_of,
)
from schedules.cron_words import describe_days, describe_months, describe_times
from schedules.wall_clock import DAY, EPOCH, FIRST_INSTANT, LAST_INSTANT, ONE_SECOND, span_at

__all__ = ["MAX_LENGTH", "CronExpression", "CronSyntaxError"]

MAX_LENGTH = 600
"""The greatest length of an expression in characters; naming every value of every field takes 561."""

_ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_FORMAT = "[second] minute hour day-of-month month day-of-week"

_EPOCH_DAY = EPOCH.toordinal()
_FIRST_DAY = FIRST_INSTANT // DAY
_LAST_DAY = LAST_INSTANT // DAY
_NEVER = LAST_INSTANT + 2 * DAY

_MONTHS_BY_LENGTH = {
    28: bits_of([2]),
    29: bits_of([2]),
    30: bits_of([4, 6, 9, 11]),
    31: bits_of([1, 3, 5, 7, 8, 10, 12]),
}

# What Celery's crontab and django-celery-beat's validators read as this dialect does, and its column lengths.
_CELERY_ITEM = re.compile(r"\*(/[0-9]{1,2})?|[0-9]{1,2}(-[0-9]{1,2}(/[0-9]{1,2})?)?")
_CELERY_LENGTHS = {MINUTE: 240, HOUR: 96, DAY_OF_MONTH: 124, MONTH: 64, DAY_OF_WEEK: 64}


@dataclass(frozen=True, slots=True)
class CronExpression:
    """A parsed expression; make one with `parse`.

    Two are equal when they mean the same, however they are written. `text` is the expression as it was given,
    without white space around it. `seconds`, `minutes`, `hours` and `months` are sets of numbers as bits: bit
    n is set when n matches. `days` and `weekdays` hold such a set as `values`, beside what L, W and # say.
    """

    text: str = field(compare=False)
    seconds: Bits
    minutes: Bits
    hours: Bits
    days: DaysOfMonth
    months: Bits
    weekdays: DaysOfWeek
    is_fixed_time: bool

    @staticmethod
    def parse(text: str) -> CronExpression:
        """Return the expression that `text` stands for; results are cached.

        Raises CronSyntaxError, and nothing else, for any text that is not of the dialect or can never fire.
        """
        if len(text) > MAX_LENGTH:
            raise _expression_refusal(text, f"has {len(text):,} characters", f"Use at most {MAX_LENGTH}.")
        return _parse(text)

    def next_after(self, moment: datetime, zone: ZoneInfo) -> datetime | None:
        """Return the first occurrence strictly later than `moment`, in UTC, by the wall clocks of `zone`.

        `moment` may be in any zone but must be aware, else ValueError is raised. `None` means that nothing
        fires before the year 9999 is out, in `zone` or in UTC, whichever ends first.
        """
        try:
            after = (moment - EPOCH) // ONE_SECOND
        except TypeError as error:
            raise ValueError(f"{moment!r} has no time zone. Pass an aware datetime.") from error
        instant = self.next_timestamp(after, zone)
        return None if instant is None else datetime.fromtimestamp(instant, UTC)

    def next_timestamp(self, after: float, zone: ZoneInfo) -> int | None:
        """Do as `next_after` does, with seconds since 1970-01-01 00:00 UTC in and out."""
        instant = max(floor(after) + 1, FIRST_INSTANT)
        asked_from, match = 0, -1
        while instant <= LAST_INSTANT:
            start, end, offset, reached = span_at(zone, instant)
            wall = instant + offset
            if self.is_fixed_time:
                wall = reached if instant == start else max(wall, reached)
            if not asked_from <= wall <= match:
                asked_from, match = wall, self._next_match(wall)
            found = max(match - offset, instant)
            if found < end:
                return found
            # No wall time from `asked_from` up to `match` fires, and no clock is a whole day off UTC. So from
            # a day after the one to a day before the other there is nothing to find, whatever the zone does.
            instant = max(end, match - DAY) if end >= asked_from + DAY else end
        return None

    def fires_on(self, day: date) -> bool:
        """Return whether a day of the calendar matches; where the clock is set, nothing may fire on it all the same."""
        return bool(self._days_of(day.year, day.month) >> day.day & 1)

    def describe(self) -> str:
        """Return in plain words when this expression fires."""
        times = describe_times(seconds=self.seconds, minutes=self.minutes, hours=self.hours)
        every_day = "every day" if ":" in times else ""
        days = describe_days(days=self.days, weekdays=self.weekdays) or every_day
        return ", ".join(filter(None, (times, days, describe_months(self.months))))

    def five_field_projection(self) -> tuple[str, str, str, str, str]:
        """Return minute, hour, day of month, month and day of week as Celery's crontab can read them.

        A field keeps its text where Celery reads it as the same values, else it becomes numbers and ranges;
        L, W and # become all the days that they can fall on. Celery has no seconds, and it wants both day
        fields to match where this dialect wants either: the projection is to be shown, not to schedule by.
        """
        _, minute, hour, day, month, weekday = _split_fields(self.text)
        return (
            _project(MINUTE, minute, self.minutes),
            _project(HOUR, hour, self.hours),
            self._project_days(day),
            _project(MONTH, month, self.months),
            self._project_weekdays(weekday),
        )

    def _project_days(self, text: str) -> str:
        possible = 0
        for first_weekday, length in self._month_shapes():
            possible |= self.days.in_month(first_weekday, length)
        if not possible:
            # Celery refuses a day that the months do not have. Here the day of week decides alone.
            return "*"
        if self.days.is_plain:
            return _project(DAY_OF_MONTH, text, self.days.values)
        return _compress(possible)

    def _project_weekdays(self, text: str) -> str:
        bits = self.weekdays.values | bits_of(self.weekdays.last)
        bits |= bits_of(weekday for weekday, _ in self.weekdays.nth)
        # Celery's week ends with Saturday, 6.
        return _compress(bits) if "7" in text else _project(DAY_OF_WEEK, text, bits)

    def _month_shapes(self) -> Iterator[tuple[int, int]]:
        """Yield the first weekday and the length of every kind of month in which this expression can fire."""
        for length, months in _MONTHS_BY_LENGTH.items():
            if self.months & months:
                yield from ((first_weekday, length) for first_weekday in range(7))

    def _days_in(self, first_weekday: int, length: int) -> Bits:
        """Return the days that fire in a month of `length` days that starts on `first_weekday`."""
        if not self.weekdays.is_restricted:
            return self.days.in_month(first_weekday, length)
        if not self.days.is_restricted:
            return self.weekdays.in_month(first_weekday, length)
        return self.days.in_month(first_weekday, length) | self.weekdays.in_month(first_weekday, length)

    def _next_match(self, wall: int) -> int:
        """Return the first wall time from `wall` on that matches, `_NEVER` if the year 9999 has none."""
        day, second = divmod(wall, DAY)
        time = self._next_time(second)
        if time is None:
            day, time = day + 1, self._first_time
        found = self._next_day(day)
        if found is None:
            return _NEVER
        return found * DAY + (time if found == day else self._first_time)

    def _next_day(self, day: int) -> int | None:
        """Return the first day from `day` on that fires, both counted from 1970-01-01."""
        if day > _LAST_DAY:
            return None
        day = max(day, _FIRST_DAY)
        start = date.fromordinal(day + _EPOCH_DAY)
        year, month = start.year, start.month
        if left := self._days_of(year, month) >> start.day:
            return day + lowest(left)
        while True:
            year, month = (year, month + 1) if month < 12 else (year + 1, 1)
            if year > date.max.year:
                return None
            if days := self._days_of(year, month):
                return date(year, month, lowest(days)).toordinal() - _EPOCH_DAY

    def _days_of(self, year: int, month: int) -> Bits:
        return self._days_in(*_month_shape(year, month)) if self.months >> month & 1 else 0

    def _next_time(self, second_of_day: int) -> int | None:
        """Return the first time of day from `second_of_day` on that matches, in seconds."""
        minute_of_day, second = divmod(second_of_day, 60)
        hour, minute = divmod(minute_of_day, 60)
        if self.hours >> hour & 1:
            if self.minutes >> minute & 1 and (left := self.seconds >> second):
                return second_of_day + lowest(left)
            if left := self.minutes >> minute + 1:
                return hour * 3600 + (minute + 1 + lowest(left)) * 60 + lowest(self.seconds)
        if left := self.hours >> hour + 1:
            return (hour + 1 + lowest(left)) * 3600 + lowest(self.minutes) * 60 + lowest(self.seconds)
        return None

    @property
    def _first_time(self) -> int:
        return lowest(self.hours) * 3600 + lowest(self.minutes) * 60 + lowest(self.seconds)


@lru_cache(maxsize=4096)
def _parse(text: str) -> CronExpression:
    second, minute, hour, day, month, weekday = _split_fields(text)
    expression = CronExpression(
        text=text.strip(),
        seconds=SECOND.parse(second),
        minutes=MINUTE.parse(minute),
        hours=HOUR.parse(hour),
        days=DaysOfMonth.parse(day),
        months=MONTH.parse(month),
        weekdays=DaysOfWeek.parse(weekday),
        is_fixed_time=not minute.startswith("*") and not hour.startswith("*"),
    )
    shapes = list(expression._month_shapes())
    if not any(expression._days_in(*shape) for shape in shapes):
        raise refusal(
            field=DAY_OF_MONTH.name,
            value=day,
            problem=f"can never fire: no month of {month!r} has such a day",
            allowed=f"days up to {max(length for _, length in shapes)}",
            advice="Choose another day or another month.",
        )
    return expression


def _split_fields(text: str) -> list[str]:
    """Return the six fields of `text`, its alias replaced and its second added where they need to be."""
    text = text.strip()
    if text.startswith("@"):
        text = _expand_alias(text)
    fields = text.split()
    if len(fields) == 5:
        return ["0", *fields]
    if len(fields) != 6:
        problem = f"has {len(fields)} field{'s' if len(fields) != 1 else ''}"
        raise _expression_refusal(text, problem, "Write five fields, or six with the second first.")
    return fields


def _expand_alias(text: str) -> str:
    try:
        return _ALIASES[text.lower()]
    except KeyError:
        aliases = " ".join(_ALIASES)
        raise _expression_refusal(text, "is not a known alias", f"The aliases are {aliases}.") from None


def _expression_refusal(text: str, problem: str, advice: str) -> CronSyntaxError:
    return refusal(field="expression", value=text, problem=problem, allowed=_FORMAT, advice=advice)


@lru_cache(maxsize=1024)
def _month_shape(year: int, month: int) -> tuple[int, int]:
    """Return the weekday of the first of a month, Sunday being 0, and the number of its days."""
    first_weekday = date(year, month, 1).isoweekday() % 7
    return first_weekday, monthrange(year, month)[1]


def _project(field: Field, text: str, bits: Bits) -> str:
    text = text.replace("?", "*")
    read_alike = all(_reads_alike(field, item) for item in text.split(","))
    return text if read_alike and len(text) <= _CELERY_LENGTHS[field] else _compress(bits)


def _reads_alike(field: Field, item: str) -> bool:
    step = item.partition("/")[2]
    return bool(_CELERY_ITEM.fullmatch(item)) and int(step or 1) <= field.last


def _compress(bits: Bits) -> str:
    """Return the set `bits` as a list of numbers and ranges."""
    runs = runs_of(values_of(bits))
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
