"""The fields of a cron expression: which values each may have, and how its text is read.

Sets of small numbers are kept as bits of an integer: bit n is set when the set holds n. No form is more
compact, and the next value is found by a shift.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

Bits: TypeAlias = int

DAY_NAMES = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
SUNDAY, SATURDAY = 0, 6
EVERY_DAY_OF_MONTH: Bits = (1 << 32) - 2
EVERY_DAY_OF_WEEK: Bits = (1 << 7) - 1

_ONCE_A_WEEK: Bits = sum(1 << 7 * week for week in range(5))
_LONGEST_VALUE_SHOWN = 40
_BEFORE_LAST = re.compile(r"L(?:-([0-9]+))?", re.IGNORECASE | re.ASCII)
_NEAREST_WEEKDAY = re.compile(r"([0-9]+)W", re.IGNORECASE | re.ASCII)
_LAST_OF_MONTH = re.compile(r"([0-9]+|[a-z]{3})L", re.IGNORECASE | re.ASCII)
_NTH_OF_MONTH = re.compile(r"([0-9a-z]+)#([0-9]+)", re.IGNORECASE | re.ASCII)


def bits_of(values: Iterable[int]) -> Bits:
    """Return the set of `values` as bits."""
    bits = 0
    for value in values:
        bits |= 1 << value
    return bits


def values_of(bits: Bits) -> list[int]:
    """Return the numbers in the set `bits`, in ascending order."""
    return [value for value in range(bits.bit_length()) if bits >> value & 1]


def runs_of(values: Iterable[int]) -> list[list[int]]:
    """Return `values`, which ascend, cut into runs of neighbours."""
    runs: list[list[int]] = []
    for value in values:
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    return runs


def lowest(bits: Bits) -> int:
    """Return the smallest number in the set `bits`, which must not be empty."""
    return (bits & -bits).bit_length() - 1


class CronSyntaxError(ValueError):
    """A text is not a cron expression of this dialect.

    `field` is the name of the field at fault, or `expression`; `value` is the part of the text that was
    refused; `allowed` says in words what may stand there. The message has all three and the next step.
    """

    def __init__(self, message: str, *, field: str = "", value: str = "", allowed: str = "") -> None:
        super().__init__(message)
        self.field = field
        self.value = value
        self.allowed = allowed


def refusal(*, field: str, value: str, problem: str, allowed: str, advice: str = "") -> CronSyntaxError:
    """Return the error to raise when `field` cannot have `value`."""
    shown = value if len(value) <= _LONGEST_VALUE_SHOWN else value[:_LONGEST_VALUE_SHOWN] + "..."
    message = f"{field} {shown!r} {problem}. Allowed: {allowed}. {advice}".rstrip()
    return CronSyntaxError(message, field=field, value=value, allowed=allowed)


@dataclass(frozen=True, slots=True)
class Field:
    """A field that holds numbers; those of the days know more, see `DaysOfMonth` and `DaysOfWeek`."""

    name: str
    first: int
    last: int
    names: tuple[str, ...] = ()
    also: str = ""

    @property
    def allowed(self) -> str:
        """What the field may hold, in words."""
        return f"{self.first}-{self.last}{self.also}; lists a,b; ranges a-b; steps */n, a-b/n, a/n"

    def parse(self, text: str) -> Bits:
        """Return the values that `text` stands for."""
        bits = 0
        for item in self.split(text):
            bits |= self.parse_item(item)
        return bits

    def split(self, text: str) -> list[str]:
        """Return the items of the list that `text` is, each once, as a hostile text may repeat one endlessly."""
        items = list(dict.fromkeys(text.split(",")))
        if "" in items:
            raise self._refusal(text, "has an empty list item", "Remove the comma that is too many.")
        return items

    def parse_item(self, item: str) -> Bits:
        """Return the values of one item: `*`, a value or a range, each with or without a step."""
        base, slash, step_text = item.partition("/")
        step = self._parse_step(step_text, item) if slash else 1
        first_text, dash, last_text = base.partition("-")
        if base == "*":
            first, last = self.first, self.last
        elif dash:
            first = self.parse_value(first_text, item)
            last = self._parse_range_end(last_text, first, item)
            if last < first:
                raise self._refusal(item, "runs backwards", self._advise_forward(item, first, last, step))
        else:
            first = self.parse_value(first_text, item)
            last = self.last if slash else first
        return (2 << last) - (1 << first) if step == 1 else bits_of(range(first, last + 1, step))

    def parse_value(self, text: str, item: str) -> int:
        """Return the value that `text`, a part of `item`, stands for: a number or a name."""
        if text.isascii() and text.isdigit():
            value = int(text)
        elif text.lower() in self.names:
            return self.first + self.names.index(text.lower())
        else:
            raise self._refusal(item, *_why_no_value(text))
        if not self.first <= value <= self.last:
            raise self._refusal(item, "is out of range", f"Use a value from {self.first} to {self.last}.")
        return value

    def out_of_range(self, item: str, advice: str) -> CronSyntaxError:
        """Return the error to raise when a number of `item` is too small or too large."""
        return self._refusal(item, "is out of range", advice)

    def _parse_range_end(self, text: str, first: int, item: str) -> int:
        last = self.parse_value(text, item)
        ends_the_week = self is DAY_OF_WEEK and text.lower() == "sun" and first > SUNDAY
        return 7 if ends_the_week else last

    def _parse_step(self, text: str, item: str) -> int:
        if not (text.isascii() and text.isdigit()):
            raise self._refusal(item, "has a step that is not a number", "Use a step of 1 or more.")
        if not int(text):
            raise self._refusal(item, "has a step of 0", "Use a step of 1 or more.")
        if int(text) > self._size:
            # Only the first value would match: `*/90` in the minutes runs hourly, and nobody means that
            raise self._refusal(item, "has a step larger than the field's range", f"Use a step of 1 to {self._size}.")
        return int(text)

    @property
    def _size(self) -> int:
        """How many values there are; Sunday is one of them, though it has two numbers."""
        return 7 if self is DAY_OF_WEEK else self.last - self.first + 1

    def _advise_forward(self, item: str, first: int, last: int, step: int) -> str:
        def show(value: int) -> str:
            return self.names[value - self.first] if item[0].isalpha() else str(value)

        top = SATURDAY if self is DAY_OF_WEEK else self.last
        halves = [range(first, top + 1), range(self.first, last + 1)]
        if step > 1:
            values = [value for half in halves for value in half][::step]
            return f"Write {','.join(map(show, values))} instead."
        ranges = [_join_ends(show(half[0]), show(half[-1])) for half in halves if half]
        return f"Write {','.join(ranges)} instead."

    def _refusal(self, value: str, problem: str, advice: str = "") -> CronSyntaxError:
        return refusal(field=self.name, value=value, problem=problem, allowed=self.allowed, advice=advice)


def _join_ends(first: str, last: str) -> str:
    return first if first == last else f"{first}-{last}"


def _why_no_value(text: str) -> tuple[str, str]:
    name = text.lower()
    if name in MONTH_NAMES:
        return "has the name of a month", "Names of months belong in the month field."
    if name in DAY_NAMES:
        return "has the name of a day", "Names of days belong in the day-of-week field."
    if not text:
        return "lacks a value", "Write the number that is missing."
    return "is not understood", "Use only the forms that are allowed, with plain digits."


SECOND = Field("second", 0, 59)
MINUTE = Field("minute", 0, 59)
HOUR = Field("hour", 0, 23)
DAY_OF_MONTH = Field(
    "day-of-month",
    1,
    31,
    also=", ?, L (last day), L-3 (third before the last), LW (last weekday), 15W (weekday nearest the 15th)",
)
MONTH = Field("month", 1, 12, names=MONTH_NAMES, also=", jan-dec")
DAY_OF_WEEK = Field(
    "day-of-week",
    0,
    7,
    names=DAY_NAMES,
    also=" (0 and 7 are Sunday), sun-sat, ?, 5L (last Friday), 5#2 (second Friday)",
)


@dataclass(frozen=True, slots=True)
class DaysOfMonth:
    """What the day-of-month field says.

    `values` has the plain numbers, `before_last` the distances from the last day of the month (0 for `L`, 3
    for `L-3`), `nearest_weekday` the numbers before a `W`; `last_weekday` stands for `LW`.
    """

    values: Bits
    before_last: tuple[int, ...] = ()
    nearest_weekday: tuple[int, ...] = ()
    last_weekday: bool = False

    @classmethod
    def parse(cls, text: str) -> DaysOfMonth:
        """Return the days that the day-of-month field `text` stands for."""
        values, before_last, nearest_weekday, last_weekday = 0, 0, 0, False
        for item in DAY_OF_MONTH.split(text):
            if found := _BEFORE_LAST.fullmatch(item):
                before_last |= 1 << _parse_distance(found[1] or "", item)
            elif found := _NEAREST_WEEKDAY.fullmatch(item):
                nearest_weekday |= 1 << DAY_OF_MONTH.parse_value(found[1], item)
            elif item.upper() == "LW":
                last_weekday = True
            else:
                values |= DAY_OF_MONTH.parse_item("*" if item == "?" else item)
        return cls(values, tuple(values_of(before_last)), tuple(values_of(nearest_weekday)), last_weekday)

    @property
    def is_restricted(self) -> bool:
        """Whether the field names anything less than all of 1 to 31."""
        return self.values != EVERY_DAY_OF_MONTH

    @property
    def is_plain(self) -> bool:
        """Whether numbers alone say it, without `L` and `W`."""
        return not (self.before_last or self.nearest_weekday or self.last_weekday)

    def in_month(self, first_weekday: int, length: int) -> Bits:
        """Return the days that match in a month of `length` days that starts on `first_weekday`."""
        bits = self.values & ((2 << length) - 2)
        for distance in self.before_last:
            if distance < length:
                bits |= 1 << length - distance
        for day in self.nearest_weekday:
            if day <= length:
                bits |= 1 << _nearest_weekday(day, first_weekday, length)
        if self.last_weekday:
            bits |= 1 << _nearest_weekday(length, first_weekday, length)
        return bits


def _parse_distance(text: str, item: str) -> int:
    if not text:
        return 0
    distance = int(text)
    if not 1 <= distance <= 30:
        raise DAY_OF_MONTH.out_of_range(item, "Use L for the last day, L-1 to L-30 for the days before it.")
    return distance


def _nearest_weekday(day: int, first_weekday: int, length: int) -> int:
    weekday = (first_weekday + day - 1) % 7
    if weekday == SATURDAY:
        return day - 1 if day > 1 else 3
    if weekday == SUNDAY:
        return day + 1 if day < length else length - 2
    return day


@dataclass(frozen=True, slots=True)
class DaysOfWeek:
    """What the day-of-week field says, Sunday being 0.

    `values` has the plain days, `nth` pairs of day and week (`5#2` is (5, 2)), `last` the days before an `L`.
    """

    values: Bits
    nth: tuple[tuple[int, int], ...] = ()
    last: tuple[int, ...] = ()

    @classmethod
    def parse(cls, text: str) -> DaysOfWeek:
        """Return the days that the day-of-week field `text` stands for."""
        values, last, nth = 0, 0, set()
        for item in DAY_OF_WEEK.split(text):
            if found := _LAST_OF_MONTH.fullmatch(item):
                last |= 1 << DAY_OF_WEEK.parse_value(found[1], item) % 7
            elif found := _NTH_OF_MONTH.fullmatch(item):
                nth.add((DAY_OF_WEEK.parse_value(found[1], item) % 7, _parse_week(found[2], item)))
            else:
                values |= DAY_OF_WEEK.parse_item("*" if item == "?" else item)
        return cls((values | values >> 7) & EVERY_DAY_OF_WEEK, tuple(sorted(nth)), tuple(values_of(last)))

    @property
    def is_restricted(self) -> bool:
        """Whether the field names anything less than all seven days."""
        return self.values != EVERY_DAY_OF_WEEK

    @property
    def is_plain(self) -> bool:
        """Whether numbers alone say it, without `L` and `#`."""
        return not (self.nth or self.last)

    def in_month(self, first_weekday: int, length: int) -> Bits:
        """Return the days that match in a month of `length` days that starts on `first_weekday`."""
        first_week = (self.values | self.values << 7) >> first_weekday & EVERY_DAY_OF_WEEK
        bits = first_week * _ONCE_A_WEEK << 1
        for weekday, week in self.nth:
            bits |= 1 << 7 * week - 6 + (weekday - first_weekday) % 7
        for weekday in self.last:
            bits |= 1 << length - (first_weekday + length - 1 - weekday) % 7
        return bits & ((2 << length) - 2)


def _parse_week(text: str, item: str) -> int:
    if not 1 <= int(text) <= 5:
        raise DAY_OF_WEEK.out_of_range(item, "A month has a first to a fifth of each day: use #1 to #5.")
    return int(text)
