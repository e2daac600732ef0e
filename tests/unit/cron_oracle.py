"""A second implementation of the cron dialect: slow, and simple enough to be trusted.

It never looks for the next occurrence. It walks through real instants, reads the wall clock of the zone at each
and asks the text of the expression whether it fires there. The one thing it shares with the implementation is the
zone database. `instants` count seconds since 1970-01-01 00:00 UTC; wall times are naive datetimes.
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property, lru_cache
from zoneinfo import ZoneInfo

DAY_NAMES = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
MONTH_NAMES = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
DAY = 86_400
DAYS_OF_MONTH = [{day} for day in range(1, 32)]
DAYS_OF_WEEK = [{0, 7}, *({day} for day in range(1, 7))]


@dataclass(frozen=True)
class Walk:
    """The instants from `start` to `end`, by steps of a minute or a second; `start` is on a full minute."""

    zone: ZoneInfo
    start: int
    end: int
    step: int

    @cached_property
    def clock(self) -> list[tuple[int, datetime]]:
        """Every instant with the wall time it shows."""
        return [(instant, wall_time(self.zone, instant)) for instant in range(self.start, self.end, self.step)]

    @cached_property
    def shown_before(self) -> datetime:
        """The latest wall time that the clock ever showed before the start.

        The end of each minute of the day before is enough, as clocks are set on full minutes since 1972 and by
        no more than a day.
        """
        minutes = range(self.start, self.start - DAY - 3600, -60)
        return max(wall_time(self.zone, minute - self.step) for minute in minutes)

    def firing(self, text: str) -> list[int]:
        """Return the instants at which the expression `text` fires."""
        fires = _fires_once_reached if is_fixed_time(text) else _fires_when_shown
        return fires(self, text)


def _fires_when_shown(walk: Walk, text: str) -> list[int]:
    return [instant for instant, wall in walk.clock if matches(text, wall)]


def _fires_once_reached(walk: Walk, text: str) -> list[int]:
    """Return the instants at which the clock reaches or passes a matching time for the first time."""
    fired = []
    step = timedelta(seconds=walk.step)
    shown = walk.shown_before
    for instant, wall in walk.clock:
        any_matched = False
        while shown < wall:
            shown += step
            any_matched = any_matched or matches(text, shown)
        if any_matched:
            fired.append(instant)
    return fired


def wall_time(zone: ZoneInfo, instant: int) -> datetime:
    """Return what a clock in `zone` shows at `instant`."""
    return datetime.fromtimestamp(instant, zone).replace(tzinfo=None)


@lru_cache(maxsize=4096)
def six_fields(text: str) -> list[str]:
    """Return the fields of `text`, with names as numbers."""
    fields = text.lower().split()
    for number, name in enumerate(MONTH_NAMES, 1):
        fields[-2] = fields[-2].replace(name, str(number))
    for number, name in enumerate(DAY_NAMES):
        fields[-1] = fields[-1].replace(name, str(number))
    return fields if len(fields) == 6 else ["0", *fields]


def is_fixed_time(text: str) -> bool:
    """Tell whether Debian's rule for jobs at fixed times holds for `text`."""
    return not any(field.startswith("*") for field in six_fields(text)[1:3])


def matches(text: str, wall: datetime) -> bool:
    """Tell whether the expression `text` names the wall time `wall`."""
    second, minute, hour, day, month, weekday = six_fields(text)
    return (
        matches_number(second, wall.second, 0, 59)
        and matches_number(minute, wall.minute, 0, 59)
        and matches_number(hour, wall.hour, 0, 23)
        and matches_number(month, wall.month, 1, 12)
        and matches_day(day, weekday, wall.date())
    )


@lru_cache(maxsize=65_536)
def matches_day(days: str, weekdays: str, today: date) -> bool:
    """Tell whether the two day fields together name `today`."""
    by_month = any(matches_day_of_month(item, today) for item in days.split(","))
    by_week = any(matches_day_of_week(item, today) for item in weekdays.split(","))
    either = is_restricted(days, DAYS_OF_MONTH) and is_restricted(weekdays, DAYS_OF_WEEK)
    return by_month or by_week if either else by_month and by_week


def is_restricted(field: str, days: list[set[int]]) -> bool:
    """Tell whether the plain items of a day field leave out some day; `days` has the numbers of each."""
    plain = [item for item in field.split(",") if not set(item) & set("lw#")]
    first, last = min(map(min, days)), max(map(max, days))
    named = {n for numbers in days for n in numbers if any(matches_item(item, n, first, last) for item in plain)}
    return not all(numbers & named for numbers in days)


def matches_day_of_month(item: str, today: date) -> bool:
    """Tell whether an item of the day-of-month field names `today`."""
    length = monthrange(today.year, today.month)[1]
    if item == "lw":
        return today.day == weekdays_of(today.replace(day=1))[-1]
    if item.startswith("l"):
        return today.day == length - int(item[2:] or 0)
    if item.endswith("w"):
        wanted = int(item[:-1])
        return wanted <= length and today.day == min(
            weekdays_of(today.replace(day=1)), key=lambda day: abs(day - wanted)
        )
    return matches_item(item, today.day, 1, 31)


@lru_cache
def weekdays_of(month: date) -> list[int]:
    """Return the days of a month that are neither Saturday nor Sunday."""
    days = range(1, monthrange(month.year, month.month)[1] + 1)
    return [day for day in days if month.replace(day=day).weekday() < 5]


def matches_day_of_week(item: str, today: date) -> bool:
    """Tell whether an item of the day-of-week field names `today`."""
    numbers = {today.isoweekday(), today.isoweekday() % 7}
    if item.endswith("l"):
        return int(item[:-1]) in numbers and (today + timedelta(days=7)).month != today.month
    if "#" in item:
        weekday, week = item.split("#")
        return int(weekday) in numbers and 7 * (int(week) - 1) < today.day <= 7 * int(week)
    return any(matches_item(item, number, 0, 7) for number in numbers)


@lru_cache(maxsize=65_536)
def matches_number(field: str, value: int, first: int, last: int) -> bool:
    """Tell whether a field without days names `value`."""
    return any(matches_item(item, value, first, last) for item in field.split(","))


def matches_item(item: str, value: int, first: int, last: int) -> bool:
    """Tell whether `*`, `a`, `a-b` or any of them with `/n` names `value`."""
    base, _, step = item.partition("/")
    if base in ("*", "?"):
        low, high = first, last
    elif "-" in base:
        low, high = map(int, base.split("-"))
        high = 7 if high < low else high  # fri-sun
    else:
        low = int(base)
        high = last if step else low
    return low <= value <= high and (value - low) % int(step or 1) == 0
