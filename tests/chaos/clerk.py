"""A process that does with schedules what people do, through the service's own functions.

`python -m tests.chaos.clerk` reads one JSON array a line, the name of a function below and its arguments, and
answers with one line of JSON. It is started once for a site, for Django takes a second to start.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import django

django.setup()

from django.contrib.auth import get_user_model  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402
from django.utils import timezone  # noqa: E402

from schedules import backfill as module  # noqa: E402
from schedules import services  # noqa: E402
from schedules.changes import Origin  # noqa: E402
from schedules.models import Schedule, ScheduleChange, from_epoch  # noqa: E402

ORIGIN = Origin(ScheduleChange.Source.COMMAND, "chaos")


def create(rows: Sequence[dict[str, Any]]) -> list[int]:
    """Create schedules; return their keys."""
    schedules = [Schedule(**read_values(row), timezone="UTC", created_at=timezone.now()) for row in rows]
    services.add_schedules(schedules, origin=ORIGIN)
    return [schedule.pk for schedule in schedules]


def read_values(row: dict[str, Any]) -> dict[str, Any]:
    """Return a schedule's values with durations and moments, which JSON has as seconds and seconds since 1970."""
    durations = {name: timedelta(seconds=row[name]) for name in row.keys() & {"misfire_grace", "retry_deadline"}}
    moments = {name: from_epoch(row[name]) for name in row.keys() & {"starts_at", "ends_at"}}
    return row | durations | moments


def edit(names: Sequence[str], values: dict[str, Any]) -> list[float]:
    """Give schedules other values; return from when on the new ones decide, in epoch seconds."""
    schedules = list(Schedule.objects.filter(name__in=names).order_by("pk"))
    for schedule in schedules:
        for name, value in values.items():
            setattr(schedule, name, value)
    services.edit_schedules(schedules, origin=ORIGIN)
    return [schedule.armed_at.timestamp() for schedule in schedules]


def stop(names: Sequence[str]) -> None:
    """Stop schedules."""
    services.stop_schedules(names, origin=ORIGIN)


def start(names: Sequence[str]) -> None:
    """Start schedules."""
    services.start_schedules(names, origin=ORIGIN)


def delete(names: Sequence[str]) -> None:
    """Delete schedules."""
    services.delete_schedules(names, origin=ORIGIN)


def backfill(names: Sequence[str], begin: float, end: float) -> int:
    """Have run what schedules have not run from one moment to another; return how many runs are planned."""
    return module.backfill(names, from_at=from_epoch(begin), until_at=from_epoch(end), origin=ORIGIN)


def problem(pk: int) -> str:
    """Return what the service says is wrong with a row."""
    return Schedule.objects.get(pk=pk).problem


def admin_list() -> tuple[int, str]:
    """Return the status and the text of the admin's list of schedules."""
    user, _ = get_user_model().objects.get_or_create(username="chaos", is_staff=True, is_superuser=True)
    browser = Client(SERVER_NAME="127.0.0.1")
    browser.force_login(user)
    answer = browser.get("/admin/schedules/schedule/")
    return answer.status_code, answer.content.decode()


def api_list() -> int:
    """Return the status of the API's list of schedules."""
    return Client(SERVER_NAME="127.0.0.1", raise_request_exception=False).get("/v4/schedules").status_code


FUNCTIONS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (create, edit, stop, start, delete, backfill, problem, admin_list, api_list)
}


def main() -> None:
    """Answer until the input ends."""
    print("clerk ready", flush=True)
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        try:
            answer = {"answer": FUNCTIONS[name](*arguments)}
        except Exception as error:
            traceback.print_exc()
            answer = {"error": repr(error)}
        # The next call may find another server
        connection.close()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
