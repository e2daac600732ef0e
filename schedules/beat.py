"""Celery beat's end: the loop that plans what is due, publishes it, and waits.

Each turn does the same few things: keep the lease, learn of changes, write the due runs into the ledger, send them to
the workers, and wait for the next due instant or a wake-up call. The rows come first; a message that did not reach
Redis is sent again from its row. What does not run on one leader's say-so, another can go on with at any point.
"""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from django.db import DatabaseError, InterfaceError, connections
from django.utils import timezone
from django_celery_beat.schedulers import DatabaseScheduler

from schedules import runs
from schedules.checkpoint import checkpoint, put_off_checkpoints
from schedules.doubted_clock import DoubtedClock
from schedules.housekeeping import note_sent
from schedules.lease import LeaseLostError, PlannerLease
from schedules.planner import Planner
from schedules.publisher import Publisher
from schedules.redis_names import use_names
from schedules.wakeup import WakeUpCall

logger = logging.getLogger(__name__)

#: The longest time between two looks at the database: with a wake-up call as the way to be quick, and without
PULSE_SECONDS = 1.5
DEAF_PULSE_SECONDS = 0.5
#: How long a beat that does not lead, or whose database is away, waits before it tries again
STANDBY_SECONDS = 1.0
#: Time enough for what is better not done when something is due
REST_SECONDS = 0.25
#: How long to wait before looking again at a clock that has leapt
DOUBT_SECONDS = 0.1

#: Columns of the library's tasks that options of the settings may fill
_OPTIONS = ("queue", "exchange", "routing_key", "priority", "expire_seconds")


class QlikScheduler(DatabaseScheduler):
    """Beat's scheduler: cron.py decides for schedules, django-celery-beat for every other periodic task."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._lease = PlannerLease()
        self._planner = Planner(self._lease)
        self._clock = DoubtedClock()
        self._wake_up_call = WakeUpCall()
        self._is_loaded = False
        # When to look at the database, send what is planned, and let the library work: by the monotonic clock
        self._pulse_at = self._library_at = 0.0
        self._send_at: float | None = 0.0
        self._is_library_changed = False
        self._library_leaps = 0
        self._has_written = False
        super().__init__(*args, **kwargs)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Do one turn, wait for the next, and return 0: the wait is over already."""
        seconds = STANDBY_SECONDS
        try:
            if self._lease.keep():
                seconds = self._take_turn()
            else:
                self._is_loaded = False
                # So that it knows the clock when it comes to lead
                self._clock.read()
        except LeaseLostError as error:
            logger.warning("%s", error)
            self._is_loaded = False
        except (DatabaseError, InterfaceError) as error:
            logger.error("the database does not answer, trying again in %s s: %s", seconds, error)
            self._start_over()
        if self._wake_up_call.wait(seconds):
            self._pulse_at = 0.0
        return 0.0

    def _take_turn(self) -> float:
        """Look, plan, send, settle; return the seconds until there is something to do again."""
        now = self._clock.read()
        if now is None:
            self._lease.stay()
            return DOUBT_SECONDS
        if not self._is_loaded:
            self._load(now)
        if time.monotonic() >= self._pulse_at:
            self._look(now)
        for queued in self._planner.plan_due(now=now, is_queued=self._publisher.is_open()):
            if not (queued and self._publisher.publish(queued)):
                self._send()
            self._has_written = True
        if self._send_at is not None and time.monotonic() >= self._send_at:
            self._send()
        has_more = self._settle(now)
        self._run_library()
        if self._has_written and self._seconds_until_next() > REST_SECONDS:
            checkpoint()
            self._has_written = False
        return 0.0 if has_more else self._seconds_until_next()

    def _settle(self, now: float) -> bool:
        """Do a part of what takes long; return whether there is more of it."""
        is_settling = self._planner.settle_absence(now=now)
        if is_settling:
            self._send_at = 0.0
        return self._planner.reread(now=now) or is_settling

    def _load(self, now: float) -> None:
        """Start from what the database says, as every new leader does, and as after every error."""
        # What is loaded stays: the collector need not go through it, now or during a pass
        gc.disable()
        try:
            self._planner.load(now=now)
        finally:
            gc.enable()
        gc.freeze()
        put_off_checkpoints()
        self._publisher.doubt_redis()
        self._is_loaded = self._is_library_changed = True
        self._pulse_at = self._library_at = self._send_at = 0.0

    def _look(self, now: float) -> None:
        """Renew the lease and learn what is new, in the database and about Redis."""
        self._pulse_at = time.monotonic() + (PULSE_SECONDS if self._wake_up_call.is_listening else DEAF_PULSE_SECONDS)
        pulse = self._lease.renew()
        self._is_library_changed |= self._planner.take_changes(pulse, now=now)
        if self._wake_up_call.was_cut():
            self._publisher.doubt_redis()
        if pulse.has_postponed:
            runs.resume_due(now=timezone.now())
        if pulse.has_planned or pulse.has_postponed or not self._publisher.is_sure_of_redis():
            self._send_at = 0.0

    def _send(self) -> None:
        wait = self._publisher.send()
        self._send_at = None if wait is None else time.monotonic() + wait

    def _seconds_until_next(self) -> float:
        now = time.monotonic()
        next_due = self._planner.next_due()
        waits = [self._pulse_at - now]
        if next_due is not None:
            waits.append(next_due - time.time())
        if self._send_at is not None:
            waits.append(self._send_at - now)
        return max(min(waits), 0.0)

    def _start_over(self) -> None:
        """Forget what may be ahead of the database, and its connection."""
        self._is_loaded = False
        for connection in connections.all(initialized_only=True):
            connection.close()

    @cached_property
    def producer(self) -> Any:
        """What sends messages, of runs and of the library's tasks.

        The library's own would wait until Redis returns, and everything with it.
        """
        use_names(self.app)
        connection = self.app.connection_for_write(transport_options={"max_retries": 0})
        return self.Producer(connection, auto_declare=False)

    @cached_property
    def _publisher(self) -> Publisher:
        return Publisher(self._lease, app=self.app, producer=self.producer)

    # What follows keeps the library's half going for other periodic tasks, and away from schedules

    def close(self) -> None:
        """Save what the library has to save and give the lease back."""
        super().close()
        self._lease.release()

    def setup_schedule(self) -> None:
        """Install the housekeeping; a task of the library that cannot be read must not keep beat from starting."""
        try:
            super().setup_schedule()
        except Exception:
            logger.exception("django-celery-beat cannot read its tasks; schedules go on without them")

    def update_from_dict(self, mapping: Mapping[str, Mapping[str, Any]]) -> None:
        """Write the tasks of the settings that differ from their rows.

        The library would write them all, at each start of a standby too, and each time the leader would have to compare
        every schedule with its row.
        """
        rows = {row.name: row for row in self.Model.objects.filter(name__in=list(mapping)).select_related("interval")}
        differing = {name: entry for name, entry in mapping.items() if not _is_like(rows.get(name), entry)}
        super().update_from_dict(differing)

    def all_as_schedule(self) -> Any:
        """Read the library's tasks; one that ran last while the clock was ahead has run now, not at a time to come."""
        entries = super().all_as_schedule()
        for entry in entries.values():
            entry.last_run_at = min(entry.last_run_at, timezone.now())
        return entries

    def apply_async(self, entry: Any, *args: Any, **kwargs: Any) -> Any:
        """Send a task of the library's, housekeeping with the moment of its sending."""
        if entry.task in self._housekeeping:
            entry.kwargs = {**entry.kwargs, "sent_at": note_sent(entry.task)}
        return super().apply_async(entry, *args, **kwargs)

    @property
    def _housekeeping(self) -> set[str]:
        return {entry["task"] for entry in self.app.conf.beat_schedule.values()}

    def enabled_models_qs(self) -> Any:
        """Leave to the library's own clock what is no schedule.

        The library would also look at every crontab's hour and zone, those of schedules included, to save some work.
        """
        return self.Model.objects.enabled().filter(qlik_schedule__isnull=True)

    def schedule_changed(self) -> bool:
        """Tell the library whether its tables were changed; it would ask the database at every turn."""
        is_changed, self._is_library_changed = self._is_library_changed, False
        return is_changed

    def _run_library(self) -> None:
        """Let the library run its periodic tasks when one is due or it wants to look again; they wait for Redis."""
        if time.monotonic() < self._library_at or not self._publisher.has_redis:
            return
        self._library_at = time.monotonic() + PULSE_SECONDS
        if self._library_leaps != self._clock.leaps:
            # It goes by the wall clock, and would wait until that comes to the same moment again
            self._library_leaps = self._clock.leaps
            self._initial_read, self._heap = True, None
        try:
            self._library_at = time.monotonic() + min(super().tick(), PULSE_SECONDS)
            if self.should_sync():
                self._do_sync()
        except (DatabaseError, InterfaceError):
            raise
        except Exception:
            # Whatever is wrong with its tasks, schedules go on
            logger.exception("django-celery-beat's own tasks failed")


def _is_like(row: Any, entry: Mapping[str, Any]) -> bool:
    """Return whether the row of a task is what the library would write for an entry of the settings."""
    if row is None or row.interval is None:
        return False
    options = entry.get("options", {})
    wanted = {"headers": "{}", "args": "[]", "kwargs": "{}", "task": entry["task"]}
    return (
        row.interval.schedule == entry["schedule"]
        and all(getattr(row, column) == value for column, value in wanted.items())
        and all(getattr(row, column) == options.get(column) for column in _OPTIONS)
    )
