"""A clock for tests."""

from __future__ import annotations


class TurnedClock:
    """Stands in for the module `time` where only its monotonic clock is read; a test turns it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now
