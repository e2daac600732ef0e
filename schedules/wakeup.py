"""The wake-up call: whoever changes the database tells beat, over Redis, to look again at once.

It only saves time. A call that is lost costs nothing but the wait until beat's next look. And the mark, by which beat
sees that Redis has lost what it held.
"""

from __future__ import annotations

import logging
import time
from functools import cache

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

logger = logging.getLogger(__name__)

CHANNEL = "butler:wake-up"
MARK = "butler:mark"


def wake_beat() -> None:
    """Tell beat that the database has changed; never fails."""
    try:
        _publisher().publish(CHANNEL, "")
    except redis.RedisError as error:
        logger.warning("beat could not be woken over Redis (%s); it looks by itself within seconds", error)


@cache
def _publisher() -> redis.Redis:
    return connect_redis()


def connect_redis() -> redis.Redis:
    """Return a client that waits for Redis for half a second at most."""
    # One more try: a connection that was kept while Redis was restarted fails the first time
    retry = Retry(NoBackoff(), 1)
    return redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=0.5, socket_timeout=0.5, retry=retry)


class RedisMark:
    """A key that is there as long as Redis has not been wiped since the last look."""

    def __init__(self) -> None:
        self._redis = connect_redis()

    def is_there(self) -> bool:
        """Return whether the mark is there, and leave one; raises RedisError."""
        return not self._redis.set(MARK, "", nx=True)


class WakeUpCall:
    """The listening end, for one thread."""

    def __init__(self) -> None:
        self._subscription: redis.client.PubSub | None = None
        self._was_cut = False

    @property
    def is_listening(self) -> bool:
        """Whether a call would be heard, as far as one can tell."""
        return self._subscription is not None

    def was_cut(self) -> bool:
        """Return whether the connection was lost since this was last asked: Redis may have been restarted."""
        was_cut, self._was_cut = self._was_cut, False
        return was_cut

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
            self._was_cut |= self._subscription is not None
            self._subscription = None
            time.sleep(max(until - time.monotonic(), 0))
        return False

    def _next_message(self, timeout: float) -> bool:
        if self._subscription is None:
            subscription = connect_redis().pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
            subscription.subscribe(CHANNEL)
            self._subscription = subscription
        return self._subscription.get_message(timeout=timeout) is not None
