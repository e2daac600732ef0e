"""The worker's hold on Redis."""

from __future__ import annotations

import time
from functools import partial
from typing import Any, cast

from celery.worker.consumer import Consumer

#: How often a worker tries to reach a Redis that is away
RECONNECT_SECONDS = 1


class PromptConsumer(Consumer):
    """Tries again each second: Celery's own waits up to half a minute, and runs that are due with it."""

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, however long it takes."""
        intervals = {"interval_start": RECONNECT_SECONDS, "interval_step": 0, "interval_max": RECONNECT_SECONDS}
        conn.ensure_connection = partial(conn.ensure_connection, **intervals)
        return super().ensure_connected(conn)

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """Wait where Redis can be reached but refuses what it is asked, being full or read-only."""
        super().on_connection_error_before_connected(exc)
        self._wait_after(exc)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Do as above."""
        super().on_connection_error_after_connected(exc)
        self._wait_after(exc)

    def _wait_after(self, exc: Exception) -> None:
        if isinstance(exc, cast("Any", self).channel_errors):
            time.sleep(RECONNECT_SECONDS)
