"""How many starts each second has. Pure: progressions in, counts out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import accumulate
from operator import add

from schedules.progressions import Progression


class SecondCounter:
    """Counts progressions of instants by the second, from `start` up to `end` in epoch seconds.

    A long progression is kept as the two places where it begins and ends, so that it costs as much as a single
    instant; `totals` sums them up, in one pass for each distance that was seen.
    """

    def __init__(self, *, start: int, end: int) -> None:
        self._start = start
        self._size = end - start
        self._points = [0] * self._size
        self._changes: defaultdict[int, defaultdict[int, int]] = defaultdict(lambda: defaultdict(int))

    def add(self, progression: Progression, *, weight: int = 1) -> None:
        """Count each of the instants `weight` times; all of them must lie between start and end."""
        first, step, length = progression
        place = first - self._start
        if length == 1:
            self._points[place] += weight
            return
        changes = self._changes[step]
        changes[place] += weight
        changes[place + length * step] -= weight

    def totals(self) -> list[int]:
        """Return the number of starts of each second."""
        totals = self._points[:]
        for step, changes in self._changes.items():
            for first in {place % step for place in changes}:
                row = slice(first, self._size, step)
                steps = (changes.get(place, 0) for place in range(first, self._size, step))
                totals[row] = map(add, totals[row], accumulate(steps))
        return totals


def sum_up(counts: Sequence[int], *, size: int) -> list[int]:
    """Return the sums of each `size` neighbours; the last one may have fewer."""
    return [sum(counts[place : place + size]) for place in range(0, len(counts), size)]


def find_heights(counts: Sequence[int], *, most: int) -> tuple[int, list[int]]:
    """Make at most `most` columns of the counts, for a chart; return how many counts each stands for, and the greatest.

    The greatest of them, not their sum or mean: a chart of load must not level its peaks.
    """
    size = max(1, -(-len(counts) // most))
    return size, [max(counts[place : place + size]) for place in range(0, len(counts), size)]
