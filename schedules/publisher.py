"""The way of planned runs to Redis: how many at a time, how fast, and again where Redis may have lost them.

There is one publisher, the leading beat's. So the greatest number of concurrent starts and the rate are kept for all
workers here, by holding runs back, without any word between the workers.
"""

from __future__ import annotations

import json
import logging
import time
from collections import deque
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from kombu.exceptions import KombuError
from redis import RedisError

from schedules import runs
from schedules.lease import PlannerLease
from schedules.models import START_RUNS_TASK
from schedules.wakeup import RedisMark

logger = logging.getLogger(__name__)

#: Runs on their way to Redis at once
BATCH_SIZE = 5000
#: Runs in one message at most: they share the work of taking and confirming it
MESSAGE_SIZE = 50
#: How long to wait for a worker to end a run, or for Redis, before looking again
RETRY_SECONDS = 0.25


class Rate:
    """How many runs may go: at most `per_second` in any second, or any number for 0."""

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        # What a leader before this one sent in its last second is not known
        self._sent = deque([(time.monotonic(), per_second)])

    def room(self) -> int:
        """Return how many may go now."""
        while self._sent and self._sent[0][0] <= time.monotonic() - 1:
            self._sent.popleft()
        return self._per_second - sum(count for _, count in self._sent) if self._per_second else BATCH_SIZE

    def note(self, count: int) -> None:
        """Note that so many went."""
        if self._per_second and count:
            self._sent.append((time.monotonic(), count))


class Publisher:
    """Sends planned runs to the workers."""

    def __init__(self, lease: PlannerLease, *, app: Any, producer: Any) -> None:
        """Take Celery's application, and a kombu producer that fails at once while Redis is away."""
        self._lease = lease
        self._queue = app.conf.task_default_queue
        self._producer = producer
        self._mark = RedisMark(holder=lease.holder)
        self._rate = Rate(settings.BUTLER_MAX_STARTS_PER_SECOND)
        self._most_in_hand = settings.BUTLER_MAX_CONCURRENT_STARTS
        self._is_sure = False

    def doubt_redis(self) -> None:
        """Remember to send everything again that waits on Redis, because it may not be there any more."""
        self._is_sure = False

    def is_sure_of_redis(self) -> bool:
        """Return whether Redis answers and holds what the ledger says it holds, as far as one can tell."""
        try:
            self._is_sure = self._mark.is_there() and self._is_sure
        except (RedisError, OSError) as error:
            self._lose_redis(error)
        return self._is_sure

    @property
    def has_redis(self) -> bool:
        """Whether Redis answered the last time it was needed."""
        return self._is_sure

    def is_open(self) -> bool:
        """Return whether runs may go as soon as they are planned: no limit is set, and Redis is not in doubt."""
        return self._is_sure and not self._most_in_hand and not settings.BUTLER_MAX_STARTS_PER_SECOND

    def publish(self, keys: Sequence[str]) -> bool:
        """Put queued runs on Redis; return False, with the runs planned again, where it does not take them."""
        try:
            with self._producer.batch(max_size=BATCH_SIZE):
                for start in range(0, len(keys), MESSAGE_SIZE):
                    self._publish_one(keys[start : start + MESSAGE_SIZE])
        except (KombuError, RedisError, OSError) as error:
            self._lose_redis(error)
            runs.give_back(keys)
            return False
        return True

    def send(self) -> float | None:
        """Send what is planned and may go now; return the seconds until more may, None when nothing waits.

        Raises LeaseLostError.
        """
        try:
            self._make_sure_of_redis()
        except (RedisError, OSError) as error:
            self._lose_redis(error)
            return RETRY_SECONDS
        keys, room = self._take()
        if not self.publish(keys):
            return RETRY_SECONDS
        self._rate.note(len(keys))
        if len(keys) < room:
            return None
        return 0.0 if len(keys) == BATCH_SIZE else RETRY_SECONDS

    def _make_sure_of_redis(self) -> None:
        """Hand back all runs that Redis should hold when it may have lost them."""
        if self._mark.is_there() and self._is_sure:
            return
        self._is_sure = False
        if count := runs.requeue_all():
            logger.warning("%d runs are published again: Redis may have lost their messages", count)
        self._is_sure = True

    def _lose_redis(self, error: Exception) -> None:
        if self._is_sure:
            logger.error("Redis does not answer, runs wait for it: %s", error)
        self._is_sure = False

    def _take(self) -> tuple[list[str], int]:
        """Take the runs that may go now, and return their keys and how many might have gone."""
        with transaction.atomic():
            # A leader that was replaced, and does not know it yet, must not take or count at the same time
            self._lease.renew()
            room = min(BATCH_SIZE, self._rate.room())
            if self._most_in_hand:
                room = min(room, max(self._most_in_hand - runs.count_in_hand(), 0))
            return runs.take_planned(most=room, now=timezone.now()), room

    def _publish_one(self, keys: Sequence[str]) -> None:
        # What Task.apply_async would send, without the time that it takes to compose it
        message_id = str(uuid4())
        self._producer.publish(
            json.dumps([[keys], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]),
            routing_key=self._queue,
            headers={"lang": "py", "task": START_RUNS_TASK, "id": message_id, "root_id": message_id},
            content_type="application/json",
            content_encoding="utf-8",
            correlation_id=message_id,
        )
