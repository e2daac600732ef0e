"""Whatever a person changes waits for the planning pass that is under way, and for the edit before it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from schedules import services
from schedules.backfill import backfill, cancel_backfill
from schedules.imports import carry_out, plan_import
from schedules.lease import lock_lease
from schedules.maintenance import begin_maintenance, end_maintenance
from schedules.models import Maintenance, Schedule
from schedules.yaml_io import read_entries
from tests.conftest import ORIGIN, TASK_ID
from tests.integration.locks import needs_row_locks, waiting_thread
from tests.integration.test_schedules_command import schedules

pytestmark = [pytest.mark.django_db(transaction=True), needs_row_locks]

HOUR = timedelta(hours=1)


def create(name: str) -> None:
    given = {"title": "new", "cron_schedule": "@daily", "timezone": "UTC", "qlik_task_id": TASK_ID}
    services.create_schedule(Schedule(**given), origin=ORIGIN)


def edit(name: str) -> None:
    schedule = services.get_schedule(name)
    schedule.cron_schedule = "@hourly"
    services.edit_schedule(schedule, origin=ORIGIN)


def import_file(name: str) -> None:
    text = schedules("export").out.replace("Every minute", "Another title")
    carry_out(plan_import(read_entries(text)), origin=ORIGIN)


def make_up(name: str) -> None:
    now = timezone.now()
    backfill([name], from_at=now - HOUR, until_at=now - timedelta(seconds=1), origin=ORIGIN)


EDITS: dict[str, Callable[[str], object]] = {
    "create": create,
    "edit": edit,
    "change": lambda name: services.change_schedule(name, values={"max_runs": 3}, origin=ORIGIN),
    "start": lambda name: services.start_schedules([name], origin=ORIGIN),
    "stop": lambda name: services.stop_schedules([name], origin=ORIGIN),
    "pause": lambda name: services.pause_schedules([name], until=timezone.now() + HOUR, reason="", origin=ORIGIN),
    "resume": lambda name: services.resume_schedules([name], origin=ORIGIN),
    "delete": lambda name: services.delete_schedules([name], origin=ORIGIN),
    "startup": lambda name: services.apply_startup_states(origin=ORIGIN),
    "run now": lambda name: services.run_now([name], origin=ORIGIN),
    "backfill": make_up,
    "cancel backfill": lambda name: cancel_backfill([name], origin=ORIGIN),
    "import": import_file,
    "begin maintenance": lambda name: begin_maintenance(until=None, reason="", origin=ORIGIN),
    "end maintenance": lambda name: end_maintenance(origin=ORIGIN),
}


@pytest.mark.parametrize("kind", EDITS)
def test_an_edit_waits_for_who_has_the_lease_and_is_made_then(make_schedule, kind):
    name = make_schedule().name
    if kind == "end maintenance":
        Maintenance.objects.create(began_at=timezone.now() - HOUR)
    failures: list[Exception] = []

    def work() -> None:
        try:
            EDITS[kind](name)
        except Exception as error:
            failures.append(error)

    with transaction.atomic():
        lock_lease()
        thread = waiting_thread(work)
    thread.join(30)

    assert (failures, thread.is_alive()) == ([], False)


def test_of_two_edits_of_a_schedule_neither_undoes_the_other(make_schedule):
    name = make_schedule().name

    with transaction.atomic():
        services.change_schedule(name, values={"title": "Renamed meanwhile"}, origin=ORIGIN)
        thread = waiting_thread(lambda: EDITS["change"](name))
    thread.join(30)

    schedule = Schedule.objects.get(name=name)
    assert (schedule.title, schedule.max_runs) == ("Renamed meanwhile", 3)
