"""Housekeeping is done in time or left to the next one, however far the clocks of the hosts are apart.

Beat sends each of these tasks every few seconds. One that has waited for longer than that proves that the queue is
long, and does nothing: what the sweeper would take for lost is only waiting. How long it has waited is measured by the
clock of Redis, which both ends ask.
"""

from __future__ import annotations

import logging

import redis

from schedules.redis_names import read_names
from schedules.wakeup import connect_redis

logger = logging.getLogger(__name__)


def note_sent(task: str) -> float:
    """Return the moment at which a task is sent, by the clock of Redis; raises RedisError."""
    with connect_redis() as connection:
        now = _read_clock(connection)
        connection.hsetnx(read_names().housekeeping, task, now)
    return now


def is_in_time(task: str, *, sent_at: float | None, period: float) -> bool:
    """Return whether a task is to be done that was sent at a moment by the clock of Redis; None is for one by hand.

    It is not when it has waited for longer than `period` seconds, or when nobody knows.
    """
    if sent_at is None:
        return True
    try:
        with connect_redis() as connection:
            waited = _read_clock(connection) - sent_at
            if waited <= period:
                connection.hdel(read_names().housekeeping, task)
    except (redis.RedisError, OSError) as error:
        logger.warning("%s is left out, for Redis does not say how long it has waited: %s", task, error)
        return False
    if waited > period:
        logger.warning(
            "%s is left out: it has waited %.0f s for a worker, at most %.0f s are sound", task, waited, period
        )
    return waited <= period


def read_delay() -> float | None:
    """Return for how many seconds a task was not done in time; None where none waits, or Redis does not answer."""
    try:
        with connect_redis() as connection:
            undone = [float(moment) for moment in connection.hvals(read_names().housekeeping)]
            return _read_clock(connection) - min(undone) if undone else None
    except (redis.RedisError, OSError, ValueError):
        return None


def _read_clock(connection: redis.Redis) -> float:
    seconds, microseconds = connection.time()
    return float(seconds) + float(microseconds) / 1e6
