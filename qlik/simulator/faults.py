"""What can be made to go wrong, on which calls and how often."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from enum import StrEnum
from http import HTTPStatus
from uuid import UUID

from qlik.simulator.listener import Ending, Reply

SIGN_IN_PAGE = b"<!doctype html><html><head><title>Qlik Sense</title></head><body>Sign in</body></html>"


class FaultKind(StrEnum):
    """What the caller sees."""

    DELAY = "delay"  # the right answer, late
    LATE = "late"  # the right answer, late, and a start that begins no sooner than that, whether anybody still waits
    REFUSE = "refuse"  # an error status
    HANG = "hang"  # silence, and at last a reset
    RESET = "reset"  # a connection reset at once
    HTML = "html"  # 200 and a page for people
    TRUNCATED = "truncated"  # JSON that ends too early
    CUT = "cut"  # a body shorter than announced
    ZERO = "zero"  # a start that does not begin: the session of zeros
    DELETE = "delete"  # the task is deleted before the call is answered
    DISABLE = "disable"  # the task is disabled before the call is answered


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing to go wrong: on one task's calls or on all, a number of times or until it is cleared."""

    kind: FaultKind
    task_id: UUID | None = None
    # Names of calls as in the journal; none: all.
    calls: tuple[str, ...] = ()
    count: int | None = None
    # Which part of the calls goes wrong.
    rate: float = 1.0
    begins_in_seconds: float = 0.0
    lasts_seconds: float | None = None
    # For delay, late and hang.
    delay_ms: int = 0
    # For refuse.
    status: int = HTTPStatus.INTERNAL_SERVER_ERROR
    # Whether the call does its work although the caller cannot see it; None: yes, unless it is refused.
    takes_effect: bool | None = None

    @property
    def is_effective(self) -> bool:
        """Whether the call does its work before the fault shows."""
        return self.kind is not FaultKind.REFUSE if self.takes_effect is None else self.takes_effect

    def concerns(self, call: str, task_ids: Collection[UUID]) -> bool:
        """Whether it is about such a call."""
        return (self.task_id is None or self.task_id in task_ids) and (not self.calls or call in self.calls)

    def spoil(self, reply: Reply) -> Reply:
        """Return what the caller gets instead of the right reply."""
        match self.kind:
            case FaultKind.DELAY | FaultKind.LATE:
                return replace(reply, delay_seconds=self.delay_ms / 1000)
            case FaultKind.REFUSE:
                return Reply(self.status, b"The simulator was told to fail.", "text/plain")
            case FaultKind.HANG:
                return replace(reply, delay_seconds=self.delay_ms / 1000, ending=Ending.RESET)
            case FaultKind.RESET:
                return replace(reply, ending=Ending.RESET)
            case FaultKind.HTML:
                return Reply(HTTPStatus.OK, SIGN_IN_PAGE, "text/html")
            case FaultKind.TRUNCATED:
                return replace(reply, body=reply.body[: len(reply.body) // 2])
            case FaultKind.CUT:
                return replace(reply, ending=Ending.CUT)
            case FaultKind.ZERO | FaultKind.DELETE | FaultKind.DISABLE:
                return reply


@dataclass(slots=True)
class _Planned:
    fault: Fault
    begins_at: float
    ends_at: float | None

    def is_over(self, now: float) -> bool:
        return self.fault.count == 0 or (self.ends_at is not None and self.ends_at <= now)

    def describe(self, now: float) -> Fault:
        """Return the fault with what is left of its time."""
        return replace(
            self.fault,
            begins_in_seconds=max(self.begins_at - now, 0.0),
            lasts_seconds=None if self.ends_at is None else self.ends_at - max(self.begins_at, now),
        )


class FaultPlan:
    """The faults that are set. Of several that fit a call, the one set first strikes."""

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, draw: Callable[[], float] = random.random
    ) -> None:
        """A fault with a rate strikes when `draw` is below it."""
        self._lock = threading.Lock()
        self._planned: list[_Planned] = []
        self._clock = clock
        self._draw = draw

    def add(self, fault: Fault) -> None:
        """Set a fault; its time counts from now on."""
        begins_at = self._clock() + fault.begins_in_seconds
        ends_at = None if fault.lasts_seconds is None else begins_at + fault.lasts_seconds
        with self._lock:
            self._planned.append(_Planned(fault, begins_at, ends_at))

    def clear(self) -> None:
        """Let everything go right again."""
        with self._lock:
            self._planned = []

    def current(self) -> list[Fault]:
        """Return the faults that are set, with what is left of their counts and times."""
        now = self._clock()
        with self._lock:
            return [planned.describe(now) for planned in self._planned if not planned.is_over(now)]

    def take(self, task_ids: Collection[UUID], *, call: str = "") -> Fault | None:
        """Return the fault that strikes a call about these tasks, and use it up by one."""
        if not self._planned:
            return None
        now = self._clock()
        with self._lock:
            self._planned = [planned for planned in self._planned if not planned.is_over(now)]
            for planned in self._planned:
                if planned.fault.concerns(call, task_ids) and self._strikes(planned, now):
                    return _use_up(planned)
        return None

    def _strikes(self, planned: _Planned, now: float) -> bool:
        return planned.begins_at <= now and (planned.fault.rate >= 1 or self._draw() < planned.fault.rate)


def _use_up(planned: _Planned) -> Fault:
    fault = planned.fault
    if fault.count is not None:
        planned.fault = replace(fault, count=fault.count - 1)
    return fault
