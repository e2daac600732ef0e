"""How everything that a person changes is written: one after the other, and never in the middle of a planning pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from schedules.checkpoint import sync_log
from schedules.lease import lock_lease
from schedules.wakeup import wake_beat


@contextmanager
def editing() -> Iterator[datetime]:
    """Hold the planner's lease row while editing, so that no planning pass sees half of it; wake beat after.

    The instant that it gives is read under the lock, hence later than every planning pass before it. What was edited
    outlives a loss of power when this ends.
    """
    with transaction.atomic():
        lock_lease()
        yield timezone.now()
        transaction.on_commit(wake_beat)
        transaction.on_commit(sync_log)
