"""What can be made to go wrong, on which calls and how often."""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum
from http import HTTPStatus
from uuid import UUID

from qlik.simulator.listener import Ending, Reply

SIGN_IN_PAGE = b"<!doctype html><html><head><title>Qlik Sense</title></head><body>Sign in</body></html>"


class FaultKind(StrEnum):
    """What the caller sees."""

    DELAY = "delay"  # the right answer, late
    REFUSE = "refuse"  # an error status
    HANG = "hang"  # silence, and at last a reset
    RESET = "reset"  # a connection reset at once
    HTML = "html"  # 200 and a page for people
    TRUNCATED = "truncated"  # JSON that ends too early
    CUT = "cut"  # a body shorter than announced


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing to go wrong: on one task's calls or on all, a number of times or until it is cleared."""

    kind: FaultKind
    task_id: UUID | None = None
    count: int | None = None
    # For delay and hang.
    delay_ms: int = 0
    # For refuse.
    status: int = HTTPStatus.INTERNAL_SERVER_ERROR
    # Whether the call does its work although the caller cannot see it; None: yes, unless it is refused.
    takes_effect: bool | None = None

    @property
    def is_effective(self) -> bool:
        """Whether the call does its work before the fault shows."""
        return self.kind is not FaultKind.REFUSE if self.takes_effect is None else self.takes_effect

    def strikes(self, task_ids: Collection[UUID]) -> bool:
        """Whether a call about these tasks goes wrong."""
        return self.task_id is None or self.task_id in task_ids

    def spoil(self, reply: Reply) -> Reply:
        """Return what the caller gets instead of the right reply."""
        match self.kind:
            case FaultKind.DELAY:
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


class FaultPlan:
    """The faults that are set. Of several that fit a call, the one set first strikes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Set a fault."""
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """Let everything go right again."""
        with self._lock:
            self._faults = []

    def current(self) -> list[Fault]:
        """Return the faults that are set, with what is left of their counts."""
        return [*self._faults]

    def take(self, task_ids: Collection[UUID]) -> Fault | None:
        """Return the fault that strikes a call about these tasks, and use it up by one."""
        if not self._faults:
            return None
        with self._lock:
            for index, fault in enumerate(self._faults):
                if fault.strikes(task_ids):
                    self._use_up(index, fault)
                    return fault
        return None

    def _use_up(self, index: int, fault: Fault) -> None:
        if fault.count is None:
            return
        remaining = [replace(fault, count=fault.count - 1)] if fault.count > 1 else []
        self._faults[index : index + 1] = remaining
