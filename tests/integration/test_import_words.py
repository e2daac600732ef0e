"""An import changes what differs in the file, word by word, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from schedules import services
from schedules.imports import COMPARED, carry_out, plan_import
from schedules.models import Run, Schedule, ScheduleChange
from schedules.services import EDITABLE
from schedules.yaml_io import read_entries
from tests.conftest import ORIGIN
from tests.integration.api_calls import add
from tests.integration.test_schedules_command import schedules

pytestmark = pytest.mark.django_db

OTHER_TASK_ID = "c9e8b3d4-1f67-4a20-9c5b-d38a06e71f42"
#: Butler's word with a value for it, and what becomes of the row
WORDS: dict[str, tuple[str, str, object]] = {
    "name": ("Another", "title", "Another"),
    "cronSchedule": ("0 7 * * *", "cron_schedule", "0 7 * * *"),
    "timezone": ("Europe/Oslo", "timezone", "Europe/Oslo"),
    "qlikSenseTaskId": (OTHER_TASK_ID, "qlik_task_id", OTHER_TASK_ID),
    "startupState": ("stop", "startup_state", "stop"),
    "tags": ("[Sales]", "tags", ["Sales"]),
    "qlikSenseTaskTag": ("Finance", "target_tag", "Finance"),
    "qlikSenseTaskCustomProperty": ("'Layer=Extract'", "target_property", "Layer=Extract"),
    "misfire": ("all", "misfire", "all"),
    "misfireGrace": ("90", "misfire_grace", timedelta(seconds=90)),
    "startsAt": ("'2026-01-01T00:00:00.000Z'", "starts_at", datetime(2026, 1, 1, tzinfo=UTC)),
    "endsAt": ("'2099-01-01T00:00:00.000Z'", "ends_at", datetime(2099, 1, 1, tzinfo=UTC)),
    "maxRuns": ("7", "max_runs", 7),
    "jitter": ("30", "jitter", timedelta(seconds=30)),
    "excludedDates": ("['2026-12-24']", "excluded_dates", ["2026-12-24"]),
    "overlap": ("queue", "overlap", "queue"),
    "retryDeadline": ("60", "retry_deadline", timedelta(seconds=60)),
    "maxAttempts": ("3", "max_attempts", 3),
    "lastKnownState": ("stopped", "enabled", False),
    "pausedUntil": ("'2099-01-01T00:00:00.000Z'", "paused_until", datetime(2099, 1, 1, tzinfo=UTC)),
}
COLUMNS = (*EDITABLE, "enabled", "paused_until", "pause_reason", "runs_planned")


def values_of(name: str) -> dict[str, object]:
    return Schedule.objects.filter(name=name).values(*COLUMNS).get()


def export_with(word: str, value: str, *, public_id: str = "a") -> str:
    """Return the file of all schedules, with another value for a word of one of them."""
    head, *entries = schedules("export").out.split("\n  - ")
    changed = []
    for text in entries:
        lines = text.splitlines()
        if f"    id: {public_id}" in lines or lines[0] == f"id: {public_id}":
            lines = [line for line in lines if line.strip().split(":")[0] != word]
            lines.append(f"    {word}: {value}")
            lines[0] = lines[0].strip()
        changed.append("\n".join(lines))
    return "\n  - ".join([head, *changed]) + "\n"


def import_text(text: str) -> None:
    carry_out(plan_import(read_entries(text)), origin=ORIGIN)


@pytest.mark.parametrize("word", WORDS)
def test_a_word_that_differs_is_changed_and_all_else_stays(word):
    add("a", cron_schedule="0 6 * * *", enabled=True)
    add("b", cron_schedule="0 6 * * *", enabled=True)
    before, other, changes = values_of("a"), values_of("b"), ScheduleChange.objects.count()
    value, column, expected = WORDS[word]

    import_text(export_with(word, value))

    assert values_of("a") == before | {column: expected}
    assert values_of("b") == other
    assert ScheduleChange.objects.count() == changes + 1
    assert ScheduleChange.objects.latest("pk").schedule_name == "a"


def test_every_word_that_an_import_compares_is_known_here():
    assert {*WORDS, "pauseReason"} == {*COMPARED}


def test_the_same_file_again_changes_nothing():
    add("a", cron_schedule="0 6 * * *", enabled=True)
    changes = ScheduleChange.objects.count()

    plan = plan_import(read_entries(schedules("export").out))
    carry_out(plan, origin=ORIGIN)

    assert (list(plan.new), list(plan.changed)) == ([], [])
    assert ScheduleChange.objects.count() == changes


@pytest.mark.parametrize("state", ["started", "stopped"])
def test_a_state_that_the_file_has_otherwise_starts_and_stops(state):
    schedule = add("a", cron_schedule="0 6 * * *", enabled=state == "stopped")
    now = timezone.now()
    given = {"due_at": now, "planned_at": now, "reason": Run.Reason.SCHEDULED}
    Run.objects.create(schedule=schedule, schedule_name="a", qlik_task_id=schedule.qlik_task_id, **given)

    import_text(export_with("lastKnownState", state))

    stored = Schedule.objects.get()
    assert stored.enabled is (state == "started")
    assert Run.objects.get().state == ("planned" if state == "started" else "skipped")
    assert (stored.armed_at > schedule.armed_at) is (state == "started")


def test_a_pause_that_the_file_does_not_have_ends():
    add("a", cron_schedule="0 6 * * *", enabled=True)
    text = schedules("export").out
    until = datetime(2099, 1, 1, tzinfo=UTC)
    services.pause_schedules(["a"], until=until, reason="disks", origin=ORIGIN)

    import_text(text)

    stored = Schedule.objects.get()
    assert (stored.paused_until, stored.pause_reason) == (None, "")
    assert ScheduleChange.objects.latest("pk").action == "resume"
