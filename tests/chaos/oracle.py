"""What was due, and what had to become of it, worked out without any of the service's code.

Cron texts are matched second by second in UTC, by reading the rules of the dialect anew; only numbers, lists,
ranges, `*` and steps are known, which is all that the scenarios use. The misfire policies are written down anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

DAY = 86_400
_RANGES = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


class Fate(StrEnum):
    """What must have become of an occurrence."""

    START = "start"
    SKIP = "skip"
    #: Started or skipped, but in the ledger: the moment of planning is too near a limit to tell
    EITHER = "either"
    #: As EITHER, or not there at all
    MAYBE = "maybe"


@dataclass(frozen=True, slots=True)
class Cron:
    """The values that each of the six fields lets through."""

    fields: tuple[frozenset[int], ...]
    has_days: bool
    has_weekdays: bool

    def matches_day(self, day: int) -> bool:
        """Return whether the day, counted from 1970-01-01, lets occurrences through."""
        date = datetime.fromtimestamp(day * DAY, UTC)
        is_day, is_weekday = date.day in self.fields[3], date.isoweekday() % 7 in self.fields[5]
        # Where both are given, either will do
        right = is_day or is_weekday if self.has_days and self.has_weekdays else is_day and is_weekday
        return date.month in self.fields[4] and right

    def matches_time(self, second_of_day: int) -> bool:
        """Return whether the second of the day lets occurrences through."""
        minutes, second = divmod(second_of_day, 60)
        hour, minute = divmod(minutes, 60)
        return second in self.fields[0] and minute in self.fields[1] and hour in self.fields[2]


def read_cron(text: str) -> Cron:
    """Return the fields of a text of five or six fields; five mean second 0."""
    parts = text.split()
    parts = parts if len(parts) == len(_RANGES) else ["0", *parts]
    fields = [_read_field(part, *span) for part, span in zip(parts, _RANGES, strict=True)]
    fields[5] = frozenset(value % 7 for value in fields[5])
    return Cron(tuple(fields), parts[3] != "*", parts[5] != "*")


def due_instants(text: str, *, after: float, until: float) -> list[int]:
    """Return the instants in epoch seconds, later than `after` and up to `until`, at which the text is due in UTC."""
    cron = read_cron(text)
    days = [day for day in range(int(after) // DAY, int(until) // DAY + 1) if cron.matches_day(day)]
    seconds = [second for second in range(DAY) if cron.matches_time(second)]
    instants = (day * DAY + second for day in days for second in seconds)
    return [instant for instant in instants if after < instant <= until]


def settle_missed(due: Sequence[int], *, now: float, misfire: str, grace: float, slack: float) -> dict[int, Fate]:
    """Return the fate of each of the instants that a pass at `now` finds due.

    Those whose age is within `slack` of the grace may be taken either way: an absence is settled in parts, and a
    worker looks at the age again, a moment later.
    """
    fates = {}
    missed = [instant for instant in due if now - instant > grace]
    for instant in due:
        age = now - instant
        if misfire == "all" or age < grace - slack:
            fates[instant] = Fate.START
        else:
            fates[instant] = Fate.SKIP if age > grace + slack else Fate.EITHER
    if misfire == "once" and missed and len(missed) == len(due):
        fates[missed[-1]] = Fate.START
    return fates


def _read_field(text: str, first: int, last: int) -> frozenset[int]:
    values: set[int] = set()
    for item in text.split(","):
        span, _, step = item.partition("/")
        low, _, high = (f"{first}-{last}" if span == "*" else span).partition("-")
        values |= set(range(int(low), int(high or low) + 1, int(step or 1)))
    return frozenset(values)
