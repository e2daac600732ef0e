"""The wall clock, believed at the second look when it has leapt.

A time server may err for some seconds, and be corrected. What is planned by such a clock is planned at a wrong hour, so
nothing is until the leap has lasted. The clock that counts from the boot of the machine tells a leap from time that has
passed: it goes on while the machine is suspended, and nobody sets it.
"""

from __future__ import annotations

import logging
import time

logger = logging.getLogger(__name__)

#: What is no leap: as much is waited out, or made up for, without any harm
STEP_SECONDS = 60.0
#: How long a leap has to last, and one by more than LONG_LEAP_SECONDS, which is seldom true
PATIENCE_SECONDS, LONG_PATIENCE_SECONDS = 1.5, 15.0
LONG_LEAP_SECONDS = 25 * 3600.0

_SINCE_BOOT: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class DoubtedClock:
    """The wall clock of one process that looks at it again and again."""

    def __init__(self) -> None:
        # How far the wall clock is ahead of the one that counts from the boot: as it was believed, and as it is doubted
        self._believed = _offset()
        self._before = self._believed
        self._doubted: float | None = None
        self._doubted_since = 0.0
        #: How many leaps were believed
        self.leaps = 0

    def read(self) -> float | None:
        """Return the time in epoch seconds; None while the clock has leapt and may be corrected within seconds."""
        elapsed, offset = time.clock_gettime(_SINCE_BOOT), _offset()
        leap = offset - self._believed
        if abs(leap) > STEP_SECONDS and not self._has_lasted(offset, elapsed, leap):
            return None
        if self._doubted is not None:
            logger.warning("the clock has %s", f"leapt by {leap:,.0f} s" if abs(leap) > STEP_SECONDS else "come back")
        if abs(leap) > STEP_SECONDS:
            self.leaps += 1
            self._before = self._believed
        self._believed, self._doubted = offset, None
        return elapsed + offset

    def _has_lasted(self, offset: float, elapsed: float, leap: float) -> bool:
        if self._doubted is None or abs(offset - self._doubted) > STEP_SECONDS:
            logger.warning("the clock has leapt by %s s, nothing is planned until that has lasted", f"{leap:,.0f}")
            self._doubted, self._doubted_since = offset, elapsed
        # One that comes back to where it was is likely to be right now
        is_odd = abs(leap) > LONG_LEAP_SECONDS and abs(offset - self._before) > STEP_SECONDS
        patience = LONG_PATIENCE_SECONDS if is_odd else PATIENCE_SECONDS
        return elapsed - self._doubted_since >= patience


def _offset() -> float:
    return time.time() - time.clock_gettime(_SINCE_BOOT)
