"""The reading end of the queue: takes every message off Redis as soon as it is there, and notes when."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Self

import redis

#: Of the peers, and of the service when its database was filled here
QUEUES = ("butler", "butler:benchmark")
START_RUNS_TASK = "schedules.start_runs"
Check = Callable[[], AbstractContextManager[Callable[[bytes], bool]]]

#: Moments in nanoseconds since 1970, and the messages taken then
Arrivals = Sequence[tuple[int, list[bytes]]]

#: Messages taken at once at most
TAKEN_AT_ONCE = 500
#: A reader that got nothing for this long may be disturbed by decoding
PAUSE_SECONDS = 0.3


class QueueReader(threading.Thread):
    """Stands in for the workers. `arrivals` has the moment (nanoseconds since 1970) of each take and its messages.

    `check` gives a function that is called with one message of each take, in the reader's thread; `checked` and
    `missing` count its answers.
    """

    def __init__(self, url: str, *, check: Check | None = None) -> None:
        super().__init__(name="reader", daemon=True)
        self.arrivals: list[tuple[int, list[bytes]]] = []
        self.checked = self.missing = 0
        self._check = check
        self._client = redis.Redis.from_url(url, protocol=2)
        self._is_stopping = False

    def __enter__(self) -> Self:
        self._client.delete(*QUEUES)
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_stopping = True
        self.join()
        self._client.close()

    def run(self) -> None:
        """Take messages until told to stop."""
        with nullcontext() if self._check is None else self._check() as is_sound:
            while not self._is_stopping:
                taken = self._client.blmpop(0.2, len(QUEUES), *QUEUES, direction="RIGHT", count=TAKEN_AT_ONCE)
                if taken:
                    self.arrivals.append((time.time_ns(), taken[1]))
                    if is_sound is not None:
                        self.checked += 1
                        self.missing += not is_sound(taken[1][-1])

    def wait_for(self, number: int, *, count: Callable[[bytes], int], seconds: float) -> None:
        """Wait until messages for `number` runs have come; raises TimeoutError.

        `count` says for how many runs a message is. It is called in pauses only, so as not to slow the reader.
        """
        seen, have = 0, 0
        until = time.monotonic() + seconds
        while have < number:
            time.sleep(0.05)
            if self._is_pausing():
                new = self.arrivals[seen:]
                seen += len(new)
                have += sum(count(message) for _, messages in new for message in messages)
            if time.monotonic() > until:
                raise TimeoutError(f"{have} of {number} runs have come within {seconds:.0f} s")

    def _is_pausing(self) -> bool:
        return not self.arrivals or time.time_ns() - self.arrivals[-1][0] > PAUSE_SECONDS * 1e9


def list_moments(arrivals: Arrivals, *, count: Callable[[bytes], int]) -> list[float]:
    """Return when messages for runs have come, in seconds since 1970; `count` tells them from other messages."""
    return [at_ns / 1e9 for at_ns, messages in arrivals if any(map(count, messages))]


def read_run_ids(message: bytes) -> list[str]:
    """Return the run ids that a message of the service carries, as 32 hexadecimal digits each.

    There are none in messages for other tasks, such as the sweeper.
    """
    envelope = json.loads(message)
    if envelope["headers"]["task"] != START_RUNS_TASK:
        return []
    body = json.loads(base64.b64decode(envelope["body"]))
    return [run_id.replace("-", "") for run_id in body[0][0]]
