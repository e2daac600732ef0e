"""A planning pass: the rows of all that is due, taken part by part, and no longer than others can wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from schedules.entries import Entry
from schedules.runs import PlannedRun

#: The time after which a part ends, however few rows it has: everyone else waits for its lock
PART_SECONDS = 0.5
#: How long a pass is busy with what is late; what has come due meanwhile goes first in the next one
PASS_SECONDS = 1.0


class Pass:
    """What is due by its entries: first `fresh` ones, then `late` ones, which may be left to another pass."""

    def __init__(
        self, fresh: Sequence[Entry], late: Sequence[Entry], *, plan: Callable[[Entry], Iterator[PlannedRun]]
    ) -> None:
        self._fresh, self._late = fresh, late
        self._plan = plan
        self._rows = self._yield_rows()
        self._late_since: float | None = None
        self._count = 0
        #: Whether all is taken, and whether nothing more is to be taken in this pass
        self.is_done = self.is_over = False

    def take(self, size: int) -> list[PlannedRun]:
        """Return so many rows at most, or as many as there is time for."""
        part: list[PlannedRun] = []
        end = time.monotonic() + PART_SECONDS
        for row in self._rows:
            if row is not None:
                part.append(row)
            elif (now := time.monotonic()) > end or self._has_lasted(now):
                self.is_over = self._has_lasted(now)
                return part
            if len(part) == size:
                return part
        self.is_done = self.is_over = True
        return part

    def _has_lasted(self, now: float) -> bool:
        return self._late_since is not None and now > self._late_since + PASS_SECONDS

    def list_taken(self) -> list[Entry]:
        """Return the entries whose rows are all taken."""
        return [*self._fresh, *self._late][: self._count]

    def list_left(self) -> list[Entry]:
        """Return the entries that nothing was taken of."""
        return [*self._fresh, *self._late][self._count :]

    def _yield_rows(self) -> Iterator[PlannedRun | None]:
        """Yield the rows of the entries, and None after each entry."""
        for entries in (self._fresh, self._late):
            if entries is self._late:
                self._late_since = time.monotonic()
            for entry in entries:
                yield from self._plan(entry)
                self._count += 1
                yield None
