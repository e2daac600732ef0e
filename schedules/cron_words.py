"""A cron expression in plain English words, made from what it means, however it was written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product, starmap

from schedules.cron_fields import Bits, DaysOfMonth, DaysOfWeek, runs_of, values_of

_MOST_TIMES_LISTED = 6
_SHORTEST_SERIES = 4
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_WEEKS = ("first", "second", "third", "fourth", "fifth")
_WEEKDAY = "weekday (Monday to Friday)"


def describe_times(*, seconds: Bits, minutes: Bits, hours: Bits) -> str:
    """Return times of day in words, such as `Every 5 minutes` or `At 06:00 and 18:00`."""
    second_values, minute_values, hour_values = values_of(seconds), values_of(minutes), values_of(hours)
    if len(second_values) == len(minute_values) == 1:
        return _describe_hours(second=second_values[0], minute=minute_values[0], hours=hour_values)
    if len(second_values) * len(minute_values) * len(hour_values) <= _MOST_TIMES_LISTED:
        return f"At {_join(starmap(_clock, product(hour_values, minute_values, second_values)))}"
    units = [_Unit("minute", 60, minute_values), _Unit("hour", 24, hour_values)]
    if second_values != [0]:
        units.insert(0, _Unit("second", 60, second_values))
    return _nest(units)


def describe_days(*, days: DaysOfMonth, weekdays: DaysOfWeek) -> str:
    """Return days in words, such as `on day 13 of the month or on Friday`; nothing for every day."""
    phrases = []
    if days.is_restricted:
        phrases.append(f"on {_join(_days_of_month(days))}")
    if weekdays.is_restricted:
        phrases.append(f"on {_join(_days_of_week(weekdays))}")
    return " or ".join(phrases)


def describe_months(months: Bits) -> str:
    """Return months in words, such as `in May and July`; nothing for every month."""
    numbers = [month - 1 for month in values_of(months)]
    return f"in {_join(_runs(numbers, _MONTHS))}" if len(numbers) < len(_MONTHS) else ""


@dataclass(frozen=True, slots=True)
class _Unit:
    """The values of the second, the minute or the hour."""

    name: str
    size: int
    values: list[int]

    @property
    def goes_round(self) -> bool:
        """Whether the values follow each other at one distance, across the end of the bigger unit too."""
        step = self.size // len(self.values)
        return len(self.values) > 1 and self.values == list(range(0, self.size, step))

    @property
    def is_full(self) -> bool:
        """Whether the values are all there are."""
        return len(self.values) == self.size

    def as_rhythm(self) -> str:
        """Return the values in words that start a description."""
        step = self.values[1] if self.goes_round else _step_of(self.values)
        if not step:
            return f"at {self._as_list()}"
        rhythm = f"every {self.name}" if step == 1 else f"every {step} {self.name}s"
        return rhythm if self.goes_round else f"{rhythm} from {self.name} {self._limits}"

    def as_frame(self) -> str:
        """Return the values in words that follow `of`."""
        step = _step_of(self.values)
        if not step:
            return self._as_list()
        frame = f"every {self.name}" if step == 1 else f"every {_ordinal(step)} {self.name}"
        return frame if self.goes_round else f"{frame} from {self._limits}"

    @property
    def _limits(self) -> str:
        return f"{self.values[0]} through {self.values[-1]}"

    def _as_list(self) -> str:
        return f"{self.name}{'s' if len(self.values) > 1 else ''} {_join(_runs(self.values))}"


def _describe_hours(*, second: int, minute: int, hours: list[int]) -> str:
    if len(hours) == 24:
        at_minute = f" at minute {minute}" if minute or second else ""
        return f"Every hour{at_minute}" + (f" and second {second}" if second else "")
    step = _step_of(hours)
    if not step:
        return f"At {_join(_clock(hour, minute, second) for hour in hours)}"
    rhythm = "Every hour" if step == 1 else f"Every {step} hours"
    if minute == second == 0 and _Unit("hour", 24, hours).goes_round:
        return rhythm
    return f"{rhythm} from {_clock(hours[0], minute, second)} through {_clock(hours[-1], minute, second)}"


def _nest(units: list[_Unit]) -> str:
    """Join the units, the finest first, without those at the end that say nothing."""
    while len(units) > 1 and units[-1].is_full and units[-2].goes_round:
        units.pop()
    sentence = " of ".join([units[0].as_rhythm(), *(unit.as_frame() for unit in units[1:])])
    return sentence[0].upper() + sentence[1:]


def _days_of_month(days: DaysOfMonth) -> list[str]:
    values = values_of(days.values)
    step = _step_of(values)
    words = []
    if step > 1:
        words.append(f"every {_ordinal(step)} day of the month from day {values[0]} through {values[-1]}")
    elif values:
        words.append(f"day{'s' if len(values) > 1 else ''} {_join(_runs(values))} of the month")
    words += [f"the {_WEEKDAY} nearest day {day} of the month" for day in days.nearest_weekday]
    words += [f"the {_before_last(distance)} of the month" for distance in reversed(days.before_last)]
    if days.last_weekday:
        words.append(f"the last {_WEEKDAY} of the month")
    return words


def _before_last(distance: int) -> str:
    if distance == 0:
        return "last day"
    return f"{_ordinal(distance)} day before the last" if distance > 1 else "day before the last"


def _days_of_week(weekdays: DaysOfWeek) -> list[str]:
    # Monday is the first day here, so that Friday to Sunday is one run.
    words = _runs(sorted((weekday - 1) % 7 for weekday in values_of(weekdays.values)), _DAYS)
    words += [f"the {_WEEKS[week - 1]} {_DAYS[weekday - 1]} of the month" for weekday, week in weekdays.nth]
    words += [f"the last {_DAYS[weekday - 1]} of the month" for weekday in weekdays.last]
    return words


def _step_of(values: list[int]) -> int:
    """Return the one distance between neighbours, 0 if there is no such or too few values for a series."""
    step = values[1] - values[0] if len(values) >= _SHORTEST_SERIES else 0
    return step if step and values == list(range(values[0], values[-1] + 1, step)) else 0


def _runs(values: Iterable[int], names: Sequence[str] | None = None) -> list[str]:
    """Return the values in words, three or more in a row as `a through b`."""
    words = []
    for run in runs_of(values):
        ends = [names[value] if names else str(value) for value in run]
        words += [f"{ends[0]} through {ends[-1]}"] if len(run) > 2 else ends
    return words


def _clock(hour: int, minute: int, second: int) -> str:
    return f"{hour:02}:{minute:02}" + (f":{second:02}" if second else "")


def _ordinal(number: int) -> str:
    endings = {1: "st", 2: "nd", 3: "rd"}
    return f"{number}{'th' if 10 < number < 20 else endings.get(number % 10, 'th')}"


def _join(words: Iterable[str]) -> str:
    *rest, last = words
    return f"{', '.join(rest)} and {last}" if rest else last
