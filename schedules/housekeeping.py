"""Housekeeping is done in time or left to the next one, however far the clocks of the hosts are apart.

Beat sends each of these tasks every few seconds. One that has waited for longer than that proves that the queue is
long, and does nothing: what the sweeper would take for lost is only waiting. How long it has waited is measured by the
clock of Redis, which both ends ask.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import redis

from schedules.redis_names import read_names
from schedules.wakeup import connect_redis

logger = logging.getLogger(__name__)

#: Whose clock decides when occurrences are due
_LEADER = "leader"
#: A host that has not done anything for so many seconds may have gone, or been set right
_CLOCK_KEPT = 300.0


@dataclass(frozen=True, slots=True)
class Health:
    """For how long a task was not done in time, None where all is; and how far hosts' clocks are ahead of beat's."""

    delay: timedelta | None = None
    clocks: Mapping[str, timedelta] = field(default_factory=dict)

    @property
    def leader_ahead(self) -> timedelta:
        """How far beat's clock is ahead of that of this host."""
        return -self.clocks.get(socket.gethostname(), timedelta(0))

    @property
    def spread(self) -> timedelta:
        """How far this host's clock is ahead of that of the host that is furthest behind."""
        return -self.leader_ahead - min([-self.leader_ahead, *self.clocks.values()])


def note_sent(task: str) -> float:
    """Return the moment at which a task is sent, by the clock of Redis; raises RedisError."""
    with connect_redis() as connection:
        now = _read_clock(connection)
        connection.hsetnx(read_names().housekeeping, task, now)
        _note_clock(connection, _LEADER, now)
    return now


def is_in_time(task: str, *, sent_at: float | None, period: float) -> bool:
    """Return whether a task is to be done that was sent at a moment by the clock of Redis; None is for one by hand.

    It is not when it has waited for longer than `period` seconds, or when nobody knows.
    """
    if sent_at is None:
        return True
    try:
        with connect_redis() as connection:
            now = _read_clock(connection)
            waited = now - sent_at
            _note_clock(connection, socket.gethostname(), now)
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


def read_health() -> Health:
    """Return what Redis knows; nothing where it does not answer."""
    try:
        with connect_redis() as connection:
            now = _read_clock(connection)
            undone = [float(moment) for moment in connection.hvals(read_names().housekeeping)]
            noted = {name.decode(): value.split() for name, value in connection.hgetall(read_names().clocks).items()}
    except (redis.RedisError, OSError, ValueError):
        return Health()
    ahead = {name: float(seconds) for name, (seconds, at) in noted.items() if now - float(at) <= _CLOCK_KEPT}
    leader = ahead.pop(_LEADER, None)
    return Health(
        delay=timedelta(seconds=now - min(undone)) if undone else None,
        # Without beat's there is nothing to compare with
        clocks={} if leader is None else {host: timedelta(seconds=ahead[host] - leader) for host in ahead},
    )


def _note_clock(connection: redis.Redis, name: str, now: float) -> None:
    connection.hset(read_names().clocks, name, f"{time.time() - now:.3f} {now:.3f}")


def _read_clock(connection: redis.Redis) -> float:
    seconds, microseconds = connection.time()
    return float(seconds) + float(microseconds) / 1e6
