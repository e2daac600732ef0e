"""Celery beat's end: plan what is due, publish it, and run other periodic tasks the library's way.

Each turn of the loop does the same few things: keep the lease, learn of changes, write the due runs into the
ledger, put a message for each on Redis, then wait for the next due instant or a wake-up call. The rows come
first; a message that did not reach Redis is sent again from its row.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from functools import cached_property
from typing import Any
from uuid import UUID, uuid4

from django.db import DatabaseError, InterfaceError, connections
from django.utils import timezone
from django_celery_beat.schedulers import DatabaseScheduler
from kombu.exceptions import KombuError
from redis import RedisError

from schedules import runs
from schedules.lease import LeaseLostError, PlannerLease
from schedules.models import START_RUNS_TASK
from schedules.planner import Planner
from schedules.wakeup import WakeUpCall

logger = logging.getLogger(__name__)

#: The longest wait between two looks at the database
POLL_SECONDS = 1.0
#: Runs on their way to Redis at once
BATCH_SIZE = 5000
#: Runs in one message at most: they are claimed and recorded together, and called side by side
MESSAGE_SIZE = 50


class QlikScheduler(DatabaseScheduler):
    """Beat's scheduler: cron.py decides for schedules, django-celery-beat for every other periodic task."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._lease = PlannerLease()
        self._planner = Planner(self._lease)
        self._wake_up_call = WakeUpCall()
        self._is_loaded = False
        self._has_unpublished = True
        self._next_look = 0.0
        self._library_due = 0.0
        super().__init__(*args, **kwargs)

    @cached_property
    def producer(self) -> Any:
        """A producer that fails at once while Redis is away; the library's own would wait until it returns."""
        connection = self.app.connection_for_write(transport_options={"max_retries": 0})
        return self.Producer(connection, auto_declare=False)

    def setup_schedule(self) -> None:
        """Install the housekeeping; a task of the library that cannot be read must not keep beat from starting."""
        try:
            super().setup_schedule()
        except Exception:
            logger.exception("django-celery-beat cannot read its tasks; schedules go on without them")

    def enabled_models_qs(self) -> Any:
        """Leave to the library's own clock what is no schedule.

        The library would also look at every crontab's hour and zone, those of schedules included, to save some work.
        """
        return self.Model.objects.enabled().filter(qlik_schedule__isnull=True)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Do one turn, wait for the next, and return 0: the wait is over already."""
        seconds = POLL_SECONDS
        try:
            if self._lead():
                seconds = self._turn()
        except LeaseLostError as error:
            logger.warning("%s", error)
        except (DatabaseError, InterfaceError) as error:
            logger.error("the database does not answer, trying again in %s s: %s", seconds, error)
            self._drop_connection()
        if self._wake_up_call.wait(seconds):
            self._next_look = 0.0
        return 0.0

    def close(self) -> None:
        """Save what the library has to save and give the lease back."""
        super().close()
        self._lease.release()

    def _lead(self) -> bool:
        """Keep the lease; a new leader starts from what the database says."""
        if not self._lease.keep():
            self._is_loaded = False
            return False
        if not self._is_loaded:
            self._planner.load(now=time.time())
            self._lease.renew()
            self._is_loaded = self._has_unpublished = True
            self._next_look = self._library_due = 0.0
        return True

    def _turn(self) -> float:
        """Look, plan, publish; return the seconds until there is something to do again."""
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + POLL_SECONDS
            self._planner.take_changes(now=time.time())
            self._has_unpublished = True
        if planned := self._planner.plan_due(now=time.time()):
            self._has_unpublished |= not self._publish(planned)
        if self._has_unpublished and self._publish_waiting():
            return 0.0
        self._run_library()
        until_due = self._planner.seconds_until_due(now=time.time())
        until_look = max(self._next_look - time.monotonic(), 0.0)
        return until_look if until_due is None else min(until_due, until_look)

    def _publish_waiting(self) -> bool:
        """Publish rows that are planned and not published; return whether there are more to publish right now."""
        waiting = runs.list_unpublished(limit=BATCH_SIZE)
        is_sent = self._publish(waiting)
        self._has_unpublished = not is_sent or len(waiting) == BATCH_SIZE
        return is_sent and self._has_unpublished

    def _publish(self, run_ids: Sequence[UUID]) -> bool:
        """Put the runs on Redis and note it in the ledger; False when Redis is away, and then they stay planned."""
        try:
            with self.producer.batch(max_size=BATCH_SIZE):
                for start in range(0, len(run_ids), MESSAGE_SIZE):
                    self._publish_one([str(run_id) for run_id in run_ids[start : start + MESSAGE_SIZE]])
        except (KombuError, RedisError, OSError) as error:
            logger.error("Redis does not answer, %d runs wait for it: %s", len(run_ids), error)
            return False
        runs.mark_queued(run_ids, now=timezone.now())
        return True

    def _publish_one(self, run_ids: list[str]) -> None:
        # What Task.apply_async would send, without the time that it takes to compose it
        message_id = str(uuid4())
        self.producer.publish(
            json.dumps([[run_ids], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]),
            routing_key=self.app.conf.task_default_queue,
            headers={"lang": "py", "task": START_RUNS_TASK, "id": message_id, "root_id": message_id},
            content_type="application/json",
            content_encoding="utf-8",
            correlation_id=message_id,
        )

    def _run_library(self) -> None:
        """Let the library run its periodic tasks when one is due or it wants to look again."""
        if time.monotonic() < self._library_due:
            return
        self._library_due = time.monotonic() + POLL_SECONDS
        try:
            self._library_due = time.monotonic() + min(super().tick(), POLL_SECONDS)
            if self.should_sync():
                self._do_sync()
        except (DatabaseError, InterfaceError):
            raise
        except Exception:
            # Whatever is wrong with its tasks, schedules go on
            logger.exception("django-celery-beat's own tasks failed")

    def _drop_connection(self) -> None:
        for connection in connections.all(initialized_only=True):
            connection.close()
