"""The Celery application: `celery -A butler beat`, `celery -A butler worker`."""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "butler.settings")

app = Celery("butler")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
