"""Which edits make a schedule forget the time before them: those that change when it is due, and no others."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from schedules import services
from schedules.imports import carry_out, plan_import
from schedules.models import Absence, Lease, Run, Schedule, from_epoch
from schedules.yaml_io import read_entries
from tests.conftest import ORIGIN
from tests.integration.test_planner import NOON, lead, loaded, plan
from tests.integration.test_schedules_command import schedules

pytestmark = pytest.mark.django_db

HOUR = 3600
EDITED_AT = NOON + 2.5 * HOUR

#: Each with a value that leaves the hours from noon on as they are
FORGETTING = {
    "cron_schedule": "0 */1 * * *",
    "timezone": "Europe/London",
    "starts_at": datetime(2026, 1, 1, tzinfo=UTC),
    "ends_at": datetime(2027, 1, 1, tzinfo=UTC),
    "jitter": timedelta(milliseconds=900),
    "excluded_dates": ["2027-12-24"],
}
KEEPING = {
    "title": "Another",
    "qlik_task_id": "c9e8b3d4-1f67-4a20-9c5b-d38a06e71f42",
    "target_property": "",
    "startup_state": "stop",
    "tags": ["new"],
    "misfire": "skip",
    "misfire_grace": timedelta(seconds=30),
    "max_runs": 100,
    "overlap": "queue",
    "retry_deadline": timedelta(hours=2),
    "max_attempts": 3,
}


@pytest.fixture
def hourly(make_schedule) -> Schedule:
    """A schedule of each hour, planned up to noon and by nobody since."""
    Lease.objects.update_or_create(pk=1, defaults={"planned_through": from_epoch(NOON)})
    schedule = make_schedule(cron_schedule="0 * * * *", timezone="UTC", misfire="all")
    Schedule.objects.update(armed_at=from_epoch(NOON - 1))
    schedule.refresh_from_db()
    return schedule


def edit(schedule: Schedule, column: str, value: object) -> None:
    setattr(schedule, column, value)
    with time_machine.travel(from_epoch(EDITED_AT), tick=False):
        services.edit_schedule(schedule, origin=ORIGIN)


def hours_of_runs() -> list[float]:
    rows = Run.objects.order_by("due_at").values_list("due_at", flat=True)
    return [(due.timestamp() - NOON) / HOUR for due in rows]


@pytest.mark.parametrize("column", FORGETTING)
def test_an_edit_of_its_times_forgets_what_was_missed_before_it(hourly, column):
    edit(hourly, column, FORGETTING[column])

    plan(loaded(lead("back"), now=NOON + 4.5 * HOUR), NOON + 4.5 * HOUR)

    assert hours_of_runs() == [3, 4]
    assert Schedule.objects.get().armed_at == from_epoch(EDITED_AT)
    assert not Absence.objects.exists()


@pytest.mark.parametrize("column", KEEPING)
def test_any_other_edit_forgets_nothing(hourly, column):
    edit(hourly, column, KEEPING[column])

    plan(loaded(lead("back"), now=NOON + 4.5 * HOUR), NOON + 4.5 * HOUR)

    assert hours_of_runs() == [1, 2, 3, 4]


def test_each_column_that_an_edit_may_change_is_known_here():
    assert {*FORGETTING, *KEEPING, "target_tag"} == {*services.EDITABLE}


@pytest.mark.parametrize("action", ["start", "resume"])
def test_so_does_a_start_and_the_end_of_a_pause(hourly, action):
    with time_machine.travel(from_epoch(NOON + HOUR), tick=False):
        if action == "start":
            services.stop_schedules([hourly.name], origin=ORIGIN)
        else:
            until = from_epoch(NOON + 24 * HOUR)
            services.pause_schedules([hourly.name], until=until, reason="", origin=ORIGIN)
    with time_machine.travel(from_epoch(EDITED_AT), tick=False):
        (services.start_schedules if action == "start" else services.resume_schedules)([hourly.name], origin=ORIGIN)

    plan(loaded(lead("back"), now=NOON + 4.5 * HOUR), NOON + 4.5 * HOUR)

    assert hours_of_runs() == [3, 4]


def test_a_new_limit_on_runs_counts_from_its_edit(hourly):
    Schedule.objects.update(max_runs=5, runs_planned=5)
    edit(hourly, "max_runs", 2)

    plan(loaded(lead("back"), now=NOON + 4.5 * HOUR), NOON + 4.5 * HOUR)

    assert hours_of_runs() == [1, 2]


def test_an_import_that_changes_the_times_forgets_too(hourly):
    text = schedules("export").out.replace("0 * * * *", "0 */1 * * *")
    with time_machine.travel(from_epoch(EDITED_AT), tick=False):
        carry_out(plan_import(read_entries(text)), origin=ORIGIN)

    plan(loaded(lead("back"), now=NOON + 4.5 * HOUR), NOON + 4.5 * HOUR)

    assert hours_of_runs() == [3, 4]
