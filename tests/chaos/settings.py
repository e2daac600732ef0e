"""The service's settings for processes under chaos, with what only a test would change."""

from __future__ import annotations

import os

from celery.schedules import schedule as every

from butler.settings import *  # noqa: F403

if _seconds := os.environ.get("CHAOS_VISIBILITY_SECONDS"):
    CELERY_BROKER_TRANSPORT_OPTIONS |= {"visibility_timeout": float(_seconds)}  # noqa: F405

if _pause := os.environ.get("CHAOS_HOUSEKEEPING_SECONDS"):
    for _name in ("butler: sweep runs", "butler: follow runs"):
        CELERY_BEAT_SCHEDULE[_name]["schedule"] = every(float(_pause))  # noqa: F405
