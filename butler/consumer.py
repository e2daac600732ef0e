"""The worker's hold on Redis."""

from __future__ import annotations

from functools import partial
from typing import Any

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
