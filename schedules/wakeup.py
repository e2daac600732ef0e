"""The wake-up call: whoever changes the database tells beat, over Redis, to look again at once.

It only saves time. A call that is lost costs nothing but the wait until beat's next look, a second at most.
"""

from __future__ import annotations

import logging
import time
from functools import cache

import redis
from django.conf import settings

logger = logging.getLogger(__name__)

CHANNEL = "butler:wake-up"


def wake_beat() -> None:
    """Tell beat that the database has changed; never fails."""
    try:
        _publisher().publish(CHANNEL, "")
    except redis.RedisError as error:
        logger.warning("beat could not be woken over Redis (%s); it looks by itself within a second", error)


@cache
def _publisher() -> redis.Redis:
    return _connect()


def _connect() -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=0.5, socket_timeout=0.5)


class WakeUpCall:
    """The listening end, for one thread."""

    def __init__(self) -> None:
        self._subscription: redis.client.PubSub | None = None

    def wait(self, seconds: float) -> bool:
        """Sleep for `seconds` or until a call comes; return whether one came.

        Without Redis it sleeps all the same.
        """
        until = time.monotonic() + seconds
        try:
            while (left := until - time.monotonic()) > 0:
                if self._next_message(left):
                    # Calls that came together are one
                    while self._next_message(0):
                        pass
                    return True
        except (redis.RedisError, OSError):
            self._subscription = None
            time.sleep(max(until - time.monotonic(), 0))
        return False

    def _next_message(self, timeout: float) -> bool:
        if self._subscription is None:
            self._subscription = _connect().pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
            self._subscription.subscribe(CHANNEL)
        return self._subscription.get_message(timeout=timeout) is not None
