"""Waiting for a condition with a limit: tests never sleep for luck."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(condition: Callable[[], T], *, seconds: float, what: str = "", pause: float = 0.02) -> T:
    """Return the first true value of `condition`; raises AssertionError when none came within `seconds`."""
    until = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > until:
            raise AssertionError(f"waited {seconds} s in vain for {what or getattr(condition, '__name__', 'it')}")
        time.sleep(pause)
    return value
