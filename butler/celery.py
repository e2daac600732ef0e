"""The Celery application: `celery -A butler beat`, `celery -A butler worker`."""

from __future__ import annotations

import gc
import os
import time
from typing import Any

from celery import Celery
from celery.signals import celeryd_init, setup_logging, worker_ready
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from butler.celery_environment import ignore_celery_variables

# Before Celery's command line looks for its options in them
ignore_celery_variables()
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "butler.settings")

# What is imported stays: to look through it every seven hundred objects takes a tenth of the start
gc.set_threshold(50_000)

#: For how long a worker that starts waits for its database
DATABASE_PATIENCE_SECONDS = 30.0

#: The modules of an application that have tasks
TASK_MODULES = ("tasks", "alert_tasks")

app = Celery("butler")
app.config_from_object("django.conf:settings", namespace="CELERY")


@app.on_configure.connect
def end_with_a_sentence(**options: object) -> None:
    """End the process where a setting is wrong, with what is wrong and not where Celery was at the time."""
    try:
        _ = settings.INSTALLED_APPS
    except ImproperlyConfigured as error:
        raise SystemExit(f"butler: {error}") from error


@celeryd_init.connect
def find_tasks(**_: object) -> None:
    """Have a worker import the tasks; beat, which only sends their names, starts the sooner without them."""
    try:
        # At once: those that it would import by itself it has imported by now
        for name in TASK_MODULES:
            app.autodiscover_tasks(related_name=name, force=True)
    except Exception as error:
        # Celery would go on, and throw away the messages of tasks that it does not know
        raise SystemExit(f"The tasks cannot be imported: {error!r}") from error


@celeryd_init.connect
def name_queue(**_: object) -> None:
    """Have a worker take the messages of this installation; it waits for a database that does not answer yet."""
    from django.db import DatabaseError, connection

    from schedules.redis_names import use_names

    give_up_at = time.monotonic() + DATABASE_PATIENCE_SECONDS
    while True:
        try:
            use_names(app)
        except DatabaseError as error:
            if time.monotonic() > give_up_at:
                raise SystemExit(f"The database does not say which queue is ours: {error}") from error
            connection.close()
            time.sleep(1)
        else:
            return


@setup_logging.connect
def leave_logging_alone(**_: object) -> None:
    """Keep Celery from setting up logging of its own: Django's settings have done it."""


@worker_ready.connect
def read_tasks(sender: Any, **_: object) -> None:
    """Have the tasks of Qlik Sense read at once: beat asks for that only after its first five minutes."""
    sender.app.send_task("schedules.read_tasks")
