"""How Redis is, for whoever looks after the service."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import redis
from django.conf import settings

from schedules.redis_names import RedisNames, read_names

# A health check has no time to wait for a Redis that hangs
_TIMEOUT = 0.5
#: For how long what is written to see whether that can be done stays there
_PROBE_SECONDS = 10


@dataclass(frozen=True, slots=True)
class RedisState:
    """What Redis says.

    `queue_length` counts the messages that no worker has taken; None when Redis does not answer. `refusal` is what it
    says to a read or a write that it refuses. `rivals` are two beats that lead with the same names.
    """

    queue_length: int | None
    refusal: str = ""
    rivals: str = ""

    @property
    def problems(self) -> Iterator[str]:
        """Yield what is wrong, in words, each with the next step."""
        if self.queue_length is None:
            why = f" ({self.refusal.rstrip('.')})" if self.refusal else ""
            yield f"Redis does not answer, so no run reaches a worker. Look whether it runs at REDIS_URL{why}."
        elif self.refusal:
            yield (
                f"Redis refuses what is written to it, so no run reaches a worker: {self.refusal.rstrip('.')}. Give it "
                "room, or have REDIS_URL name one that can be written to. Runs go on by themselves then."
            )
        if self.rivals:
            yield (
                f"Two services take each other's messages on Redis: {self.rivals} lead with the same installation id. "
                "One has a copy of the other's database. Stop one, or give it another database number in REDIS_URL."
            )


def read_redis() -> RedisState:
    """Ask Redis, and see whether it can be written to; nothing is raised for its sake. Raises DatabaseError."""
    names = read_names()
    client = redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=_TIMEOUT, socket_timeout=_TIMEOUT)
    try:
        with client:
            return _ask(client, names)
    except (redis.RedisError, OSError) as error:
        return RedisState(None, refusal=str(error))


def _ask(client: redis.Redis, names: RedisNames) -> RedisState:
    with client.pipeline(transaction=False) as asked:
        asked.llen(names.queue)
        asked.get(names.stranger)
        asked.set(names.probe, "", ex=_PROBE_SECONDS)
        length, rivals, written = asked.execute(raise_on_error=False)
    for answer in (length, rivals):
        if isinstance(answer, Exception):
            raise answer
    refusal = str(written) if isinstance(written, Exception) else ""
    return RedisState(int(length), refusal, str(rivals or b"", "utf-8", "replace"))
