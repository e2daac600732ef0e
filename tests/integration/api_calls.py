"""Calls of the API, and schedules for it, in the tests of the API."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from django.test import Client

from schedules import services
from schedules.models import Schedule
from tests.conftest import ORIGIN, TASK_ID

BODY = {
    "name": "Every morning",
    "cronSchedule": "0 6 * * *",
    "timezone": "Asia/Tokyo",
    "qlikSenseTaskId": TASK_ID,
    "startupState": "started",
}


def post(client: Client, **values: object) -> Any:
    """Post a sound body with the given values in it."""
    return client.post("/v4/schedules", BODY | values, content_type="application/json")


def add(public_id: str, **values: object) -> Schedule:
    """Add a schedule with this id."""
    given = {"title": "Hourly", "cron_schedule": "@hourly", "timezone": "UTC", "qlik_task_id": TASK_ID} | values
    schedule = Schedule(name=public_id, **given)
    services.add_schedules([schedule], origin=ORIGIN)
    return schedule


def chunked(body: bytes) -> dict[str, Any]:
    """Return what a server puts into the environment for a body without a length."""
    return {
        "CONTENT_TYPE": "application/json",
        "HTTP_TRANSFER_ENCODING": "chunked",
        "wsgi.input": BytesIO(body),
        "wsgi.input_terminated": True,
    }
