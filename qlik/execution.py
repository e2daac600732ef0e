"""How QRS numbers the states of a reload."""

from __future__ import annotations

from enum import IntEnum


class ExecutionStatus(IntEnum):
    """The `status` of an execution result, as `GET /qrs/about/api/enums` lists it.

    A number that is not listed here becomes UNKNOWN: a newer release of Sense may have more of them.
    """

    UNKNOWN = -1
    NEVER_STARTED = 0
    TRIGGERED = 1
    STARTED = 2
    QUEUED = 3
    ABORT_INITIATED = 4
    ABORTING = 5
    ABORTED = 6
    FINISHED_SUCCESS = 7
    FINISHED_FAIL = 8
    SKIPPED = 9
    RETRY = 10
    ERROR = 11
    RESET = 12
    DISTRIBUTION_QUEUE = 13
    DISTRIBUTION_RUNNING = 14

    @classmethod
    def _missing_(cls, value: object) -> ExecutionStatus | None:
        return cls.UNKNOWN if isinstance(value, int) else None

    @property
    def title(self) -> str:
        """The name in words."""
        return self.name.replace("_", " ").lower()

    @property
    def is_running(self) -> bool:
        """The run is not over: waiting, working, stopping or about to be tried again by Sense itself."""
        return self in RUNNING

    @property
    def is_success(self) -> bool:
        """The data is there."""
        return self is ExecutionStatus.FINISHED_SUCCESS

    @property
    def is_bad_end(self) -> bool:
        """The run is over and somebody should look at it."""
        return self in BAD_ENDS


RUNNING = frozenset(
    {
        ExecutionStatus.TRIGGERED,
        ExecutionStatus.STARTED,
        ExecutionStatus.QUEUED,
        ExecutionStatus.ABORT_INITIATED,
        ExecutionStatus.ABORTING,
        ExecutionStatus.RETRY,
        ExecutionStatus.DISTRIBUTION_QUEUE,
        ExecutionStatus.DISTRIBUTION_RUNNING,
    }
)
BAD_ENDS = frozenset({ExecutionStatus.ABORTED, ExecutionStatus.FINISHED_FAIL, ExecutionStatus.ERROR})
