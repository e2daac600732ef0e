"""What becomes of occurrences that are overdue. Pure: instants in, decisions out, no clock and no database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from math import ceil

#: How the message of a run begins that was skipped because it was missed
MISFIRE_MARK = "Misfire:"
#: ... and of one that was postponed until a later run made it superfluous
OVERDUE_MARK = "Overdue by more than"


class Misfire(StrEnum):
    """What to do with occurrences that were missed by more than the grace."""

    ONCE = "once"
    ALL = "all"
    SKIP = "skip"


class Overlap(StrEnum):
    """What to do with a run whose Qlik task is still running."""

    ALLOW = "allow"
    SKIP = "skip"
    QUEUE = "queue"


#: The pause before the second attempt of a start; it doubles with each further one up to the longest
FIRST_PAUSE = timedelta(seconds=5)
LONGEST_PAUSE = timedelta(minutes=5)
#: No run waits for longer than this to be tried again, unless the clock was set back meanwhile
LONGEST_WAIT = timedelta(minutes=10)
#: When a run was ready for longer before a worker took it, the time that it waited does not count
TAKEN_WITHIN = timedelta(seconds=60)
#: How long a run may be open. What nobody has brought to its end by then is closed with the reason
OPEN_LIMIT = timedelta(days=7)
#: Reloads are followed when they were asked about within this time
FOLLOW_TOLERANCE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Retry:
    """How often, and until which instant, a start is tried again that surely did not happen."""

    until: datetime
    max_attempts: int | None = None

    def next_attempt_at(
        self, now: datetime, *, attempts: int, chance: float, retry_after: timedelta | None = None
    ) -> datetime | None:
        """Return when to try again after so many attempts; None when no more are allowed.

        `chance` from 0 to 1 spreads those that failed together over half of the pause. Before `retry_after` is over QRS
        does not want to be asked: it is not, for the longest pause at most, but once more before the time is over.
        """
        if self.max_attempts is not None and attempts >= self.max_attempts:
            return None
        doublings = min(max(attempts - 1, 0), 10)
        pause: timedelta = min(FIRST_PAUSE * 2**doublings, LONGEST_PAUSE) * (0.75 + chance / 2)
        if now + pause > self.until:
            return None
        asked = min(retry_after or timedelta(0), LONGEST_PAUSE) * (1 + chance / 10)
        return min(now + max(pause, asked), self.until)


def could_be_tried_from(
    *, due_at: datetime, planned_at: datetime, tried_from: datetime | None, now: datetime
) -> datetime:
    """Return from when on a run could be tried: its retry deadline counts from then.

    What was missed is planned long after it was due. `tried_from` is later still where no worker was there in time, or
    the run had to wait for its task. Later than now one of them only is where the clock was set back.
    """
    return min(max(due_at, planned_at, tried_from or planned_at), now)


@dataclass(frozen=True, slots=True)
class Missed:
    """Due instants in epoch seconds that were missed: those that run all the same, and those that do not."""

    catch_up: Sequence[int]
    skipped: Sequence[int]


def first_on_time(now: float, *, grace: float) -> int:
    """Return the first whole second that is at most `grace` seconds before `now`: what is due then is not missed."""
    return ceil(now - grace)


def settle_missed(missed: Sequence[int], *, misfire: Misfire, is_replaced: bool) -> Missed:
    """Decide about the instants of one schedule (epoch seconds, ascending) that were missed.

    Once: the latest of them runs, unless `is_replaced`, for then a later one runs anyway and its reload brings the
    same data.
    """
    if misfire is Misfire.ALL:
        return Missed(missed, [])
    if misfire is Misfire.SKIP or is_replaced or not missed:
        return Missed([], missed)
    return Missed(missed[-1:], missed[:-1])


def pause_message(until: datetime, reason: str) -> str:
    """Return why a run of a schedule that is paused until an instant, given in UTC, was skipped."""
    return f"Paused until {until:%Y-%m-%d %H:%M:%S} UTC{f': {reason}' if reason else ''}."


def maintenance_message(reason: str) -> str:
    """Return why a run was skipped while the site was in maintenance."""
    return f"Maintenance{f': {reason}' if reason else ''}."
