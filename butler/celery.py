"""The Celery application: `celery -A butler beat`, `celery -A butler worker`."""

from __future__ import annotations

import os

from celery import Celery
from celery.signals import setup_logging

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "butler.settings")

app = Celery("butler")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def leave_logging_alone(**_: object) -> None:
    """Keep Celery from setting up logging of its own: Django's settings have done it."""
