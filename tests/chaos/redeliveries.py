"""Counts the messages that Redis hands out once more, as they go by."""

from __future__ import annotations

import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

import redis

from tests.redis_server import RedisServer

#: What kombu notes in a message that nobody confirmed within the visibility timeout
MARK = "redelivered"


class Redeliveries:
    """Listens to a server's commands while it is entered."""

    def __init__(self, server: RedisServer) -> None:
        self.count = 0
        self._monitor = server.client().monitor()
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Self:
        self._monitor.__enter__()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._monitor.connection.disconnect()
        self._thread.join(5)

    def _listen(self) -> None:
        with suppress(redis.RedisError, OSError, ValueError, AttributeError):
            for entry in self._monitor.listen():
                command = str(entry["command"])
                self.count += command.startswith(("RPUSH", "LPUSH")) and f'"{MARK}": true' in command.replace("\\", "")
