"""How far QRS's clock is from ours, read from the Date of its answers. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

#: Of a host that has told no Date nothing is known; its machine is taken to keep time as well as that
UNREAD = timedelta(seconds=10)
# RFC 9110, section 6.6.1: the moment at which the answer was made, in whole seconds
_DATE_STEP = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class ClockReading:
    """QRS's clock is ahead of ours by `offset`, give or take `uncertainty`."""

    offset: timedelta = timedelta(0)
    uncertainty: timedelta = UNREAD


def read_clock(date: str | None, *, arrived_at: datetime, elapsed: timedelta) -> ClockReading | None:
    """Return what the Date of an answer says; None where it says nothing.

    `arrived_at` is when the answer's headers had come, `elapsed` how long that took from the beginning of the call:
    the Date was made at some moment in between, so a slow answer says less.
    """
    try:
        moment = parsedate_to_datetime(date or "")
        earliest, latest = moment - arrived_at, moment + _DATE_STEP - arrived_at + elapsed
    except (ValueError, TypeError, OverflowError):
        # No date, one without a zone, or one at the end of time
        return None
    return ClockReading((earliest + latest) / 2, (latest - earliest) / 2)
