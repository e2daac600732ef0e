"""The wake-up call: whoever changes the database tells beat, over Redis, to look again at once.

It only saves time. A call that is lost costs nothing but the wait until beat's next look. And the mark, by which beat
sees that Redis has lost what it held.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from functools import cache
from typing import Any

import redis
from django.conf import settings
from django.db import DatabaseError
from redis.backoff import NoBackoff
from redis.retry import Retry

from schedules.redis_names import RedisNames, read_names

logger = logging.getLogger(__name__)

#: For how long a beat with another database and the same names is told of after it was last seen
STRANGER_SECONDS = 60
#: A leader finds the mark of the one before it once, and once more where that one was frozen and wakes up
FORGIVEN = 2


def wake_beat() -> None:
    """Tell beat that the database has changed; never fails."""
    try:
        _publisher().publish(read_names().channel, "")
    except (redis.RedisError, DatabaseError) as error:
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
    """A key that is there as long as Redis has not been wiped since the last look; it has the leader's name."""

    def __init__(self, *, holder: str) -> None:
        self._redis = connect_redis()
        self._holder = holder
        self._seen: Counter[str] = Counter()

    def is_there(self) -> bool:
        """Return whether a mark is there, and leave ours; raises RedisError.

        For the leader: with one database there is only one. Whoever replaces the mark again and again leads with a copy
        of it.
        """
        names = read_names()
        found: Any = self._redis.getset(names.mark, self._holder)
        if found is None:
            return False
        other = str(found, "utf-8", "replace")
        self._seen[other] += other != self._holder
        if self._seen[other] > FORGIVEN:
            self._tell_of(other, names)
        return True

    def _tell_of(self, stranger: str, names: RedisNames) -> None:
        if not self._redis.get(names.stranger):
            logger.error("%s leads, too, with the same installation id %s", stranger, names.installation)
        self._redis.set(names.stranger, f"{self._holder} and {stranger}", ex=STRANGER_SECONDS)


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
        except (redis.RedisError, OSError, DatabaseError):
            self._was_cut |= self._subscription is not None
            self._subscription = None
            time.sleep(max(until - time.monotonic(), 0))
        return False

    def _next_message(self, timeout: float) -> bool:
        if self._subscription is None:
            subscription = connect_redis().pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
            subscription.subscribe(read_names().channel)
            self._subscription = subscription
        return self._subscription.get_message(timeout=timeout) is not None
