"""The workers' part in alerts."""

from __future__ import annotations

from celery import shared_task

from schedules import alert_queue, alerts
from schedules.housekeeping import is_in_time

WATCH_TASK = "schedules.watch"
#: How often beat sends it, in seconds; see CELERY_BEAT_SCHEDULE
WATCH_PERIOD = 10.0


@shared_task(name=WATCH_TASK)
def watch(sent_at: float | None = None) -> None:
    """Note what is the matter, write the messages about it, and send those that are due."""
    if not is_in_time(WATCH_TASK, sent_at=sent_at, period=WATCH_PERIOD):
        return
    try:
        alerts.look()
    finally:
        # What was written before is sent, whatever keeps us from looking
        alert_queue.send_due()
