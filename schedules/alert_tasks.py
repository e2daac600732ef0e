"""The workers' part in alerts."""

from __future__ import annotations

from celery import shared_task

from schedules import alert_queue, alerts


@shared_task(name="schedules.watch")
def watch() -> None:
    """Note what is the matter, write the messages about it, and send those that are due."""
    try:
        alerts.look()
    finally:
        # What was written before is sent, whatever keeps us from looking
        alert_queue.send_due()
