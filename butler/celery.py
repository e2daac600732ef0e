"""The Celery application: `celery -A butler beat`, `celery -A butler worker`."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging, worker_ready

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "butler.settings")

app = Celery("butler")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def leave_logging_alone(**_: object) -> None:
    """Keep Celery from setting up logging of its own: Django's settings have done it."""


@worker_ready.connect
def read_tasks(sender: Any, **_: object) -> None:
    """Have the tasks of Qlik Sense read at once: beat asks for that only after its first five minutes."""
    sender.app.send_task("schedules.read_tasks", expires=60)
