"""Maintenance of the whole site: begun, ended, remembered, and what is refused meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.core.exceptions import ValidationError
from django.utils import timezone

from butler.preparation import prepare_service
from schedules import services
from schedules.maintenance import (
    MaintenanceError,
    begin_maintenance,
    describe_maintenance,
    end_maintenance,
)
from schedules.models import Maintenance, Run, Schedule, ScheduleChange
from schedules.redis_names import read_names
from tests.conftest import ORIGIN
from tests.integration.test_planner import loaded, plan
from tests.integration.test_services import last_change, make_run

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def clock():
    with time_machine.travel(NOW, tick=False) as clock:
        yield clock


def begin(*, until: datetime | None = None, reason: str = "New disks") -> Maintenance:
    return begin_maintenance(until=until, reason=reason, origin=ORIGIN)


def test_a_maintenance_without_an_end_lasts_until_somebody_ends_it(clock):
    assert Maintenance.current_at(NOW) is None
    begun = begin()
    clock.move_to(NOW + timedelta(days=300))

    assert Maintenance.current_at(timezone.now()) == begun
    assert end_maintenance(origin=ORIGIN) == begun
    assert Maintenance.current_at(timezone.now()) is None
    stored = Maintenance.objects.get()
    assert (stored.began_at, stored.ended_at, stored.actor) == (NOW, NOW + timedelta(days=300), "tests")


def test_a_maintenance_ends_by_itself_at_its_end(clock):
    begun = begin(until=NOON)

    assert Maintenance.current_at(NOON - timedelta(seconds=1)) == begun
    assert Maintenance.current_at(NOON) is None
    clock.move_to(NOON)
    assert end_maintenance(origin=ORIGIN) is None
    assert begin().pk != begun.pk


def test_a_second_one_is_refused_and_says_since_when_there_is_one():
    begin(until=NOON)

    with pytest.raises(MaintenanceError) as refusal:
        begin(reason="Another")

    assert str(refusal.value) == (
        "The site is in maintenance since 2026-11-24 10:00:00 UTC until 2026-11-24 12:00:00 UTC: New disks. "
        "End it before you begin another one."
    )
    assert Maintenance.objects.count() == 1


@pytest.mark.parametrize("values", [{"until": NOW}, {"until": NOW - timedelta(days=1)}, {"reason": "x" * 201}])
def test_what_breaks_a_rule_begins_nothing(make_schedule, values):
    run = make_run(make_schedule())

    with pytest.raises(ValidationError) as refusal:
        begin(**values)

    assert list(refusal.value.message_dict) == list(values)
    assert not Maintenance.objects.exists()
    assert Run.objects.get(pk=run.pk).state == Run.State.PLANNED


def test_whatever_waits_for_a_worker_is_skipped_at_once(make_schedule):
    schedule = make_schedule()
    (asked_for,) = services.run_now([schedule.name], origin=ORIGIN)
    planned = make_run(schedule)
    queued = make_run(make_schedule(), state=Run.State.QUEUED)
    in_hand = make_run(make_schedule(), state=Run.State.CLAIMED)

    begin()

    states = {run.pk: (run.state, run.message) for run in Run.objects.all()}
    for run in (asked_for, planned, queued):
        assert states[run.pk] == (Run.State.SKIPPED, "Maintenance: New disks.")
    assert states[in_hand.pk] == (Run.State.CLAIMED, "")


def test_everyone_keeps_the_state_that_they_had(make_schedule):
    make_schedule(), make_schedule(startup_state="stopped")

    begin()
    end_maintenance(origin=ORIGIN)

    assert list(Schedule.objects.values_list("enabled", flat=True)) == [True, False]


def test_beginning_and_end_are_recorded_for_the_whole_site(clock):
    begin(until=NOON)
    begun = last_change()
    clock.move_to(NOW + timedelta(hours=1))
    end_maintenance(origin=ORIGIN)
    ended = last_change()

    for change in (begun, ended):
        assert (change.schedule_pk, change.schedule_name, change.action) == (0, "", "maintenance")
        assert (change.source, change.actor) == ("command", "tests")
    assert begun.diff == {"began_at": [None, str(NOW)], "ended_at": [None, str(NOON)], "reason": [None, "New disks"]}
    assert ended.diff == {"ended_at": [str(NOON), str(NOW + timedelta(hours=1))]}


def test_ending_none_leaves_no_record():
    assert end_maintenance(origin=ORIGIN) is None
    assert not ScheduleChange.objects.exists()


def test_nothing_runs_now_during_a_maintenance(make_schedule):
    schedule = make_schedule()
    begin()

    with pytest.raises(MaintenanceError, match=r"since 2026-11-24 10:00:00 UTC: New disks. Nothing is started"):
        services.run_now([schedule.name], origin=ORIGIN)
    assert not Run.objects.exists()

    end_maintenance(origin=ORIGIN)
    assert services.run_now([schedule.name], origin=ORIGIN)


def test_schedules_may_be_started_stopped_and_edited_meanwhile(make_schedule):
    begin()
    schedule = make_schedule()

    services.stop_schedules([schedule.name], origin=ORIGIN)
    services.start_schedules([schedule.name], origin=ORIGIN)

    assert Schedule.objects.get().enabled


@pytest.mark.parametrize("start_state", ["last", "startup"])
def test_a_restart_does_not_forget_a_maintenance(make_schedule, settings, tmp_path, start_state):
    settings.BUTLER_START_STATE, settings.BUTLER_DATA_DIR = start_state, tmp_path
    make_schedule(startup_state="started")
    begun = begin()

    prepare_service()

    assert Maintenance.current_at(NOW) == begun


def test_one_without_a_reason_is_described_without_one():
    assert describe_maintenance(begin(reason="")) == "The site is in maintenance since 2026-11-24 10:00:00 UTC."


def test_beat_is_woken_by_beginning_and_end(redis_server, django_capture_on_commit_callbacks):
    with redis_server.client() as client:
        listener = client.pubsub(ignore_subscribe_messages=True)
        listener.subscribe(read_names().channel)
        for change in (begin, lambda: end_maintenance(origin=ORIGIN)):
            with django_capture_on_commit_callbacks(execute=True):
                change()
            assert any(listener.get_message(timeout=1) for _ in range(3))
        listener.close()


def test_the_planner_skips_what_falls_into_pause_and_maintenance_and_goes_on_after(make_schedule, clock):
    paused, other = (make_schedule(cron_schedule="0 * * * *", timezone="UTC") for _ in range(2))
    services.pause_schedules([paused.name], until=NOON, reason="New disks", origin=ORIGIN)
    planner = loaded(now=NOW.timestamp())

    for hour in range(11, 14):
        clock.move_to(NOW.replace(hour=hour))
        if hour == 12:
            begin(reason="Upgrade")
        if hour == 13:
            end_maintenance(origin=ORIGIN)
        plan(planner, timezone.now().timestamp())
        Run.objects.filter(state=Run.State.PLANNED).update(state=Run.State.STARTED)

    for schedule, messages in ((paused, ["Paused", "Paused", ""]), (other, ["", "Maintenance: Upgrade.", ""])):
        runs = Run.objects.filter(schedule=schedule).order_by("due_at")
        assert [(run.state == Run.State.SKIPPED, run.message.partition(" until")[0]) for run in runs] == [
            (bool(message), message) for message in messages
        ]
