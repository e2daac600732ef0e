"""What becomes of occurrences that are overdue. Pure: instants in, decisions out, no clock and no database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Misfire(StrEnum):
    """What to do with occurrences that were missed by more than the grace."""

    ONCE = "once"
    ALL = "all"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Overdue:
    """Due instants of one schedule, in epoch seconds, sorted into what becomes of them.

    `on_time` is at most the grace late and runs; `catch_up` was missed and runs all the same; `skipped` was
    missed and does not run.
    """

    on_time: Sequence[int]
    catch_up: Sequence[int]
    skipped: Sequence[int]


def settle_overdue(due: Sequence[int], *, now: float, misfire: Misfire, grace: float) -> Overdue:
    """Sort the `due` instants (epoch seconds, ascending) by the misfire policy; `grace` is in seconds.

    Once: of those missed the latest runs, unless one that is on time runs anyway: the reload that it starts
    brings the same data.
    """
    on_time = [instant for instant in due if now - instant <= grace]
    missed = due[: len(due) - len(on_time)]
    if misfire is Misfire.ALL:
        return Overdue(on_time, missed, [])
    if misfire is Misfire.SKIP or on_time or not missed:
        return Overdue(on_time, [], missed)
    return Overdue([], missed[-1:], missed[:-1])
