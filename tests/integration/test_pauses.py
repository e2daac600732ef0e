"""Schedules that are paused until a moment, and limits that depend on one another."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from butler.preparation import prepare_service
from schedules import services
from schedules.models import Run, Schedule, ScheduleChange
from tests.conftest import ORIGIN
from tests.integration.test_services import last_change, make_run

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def clock():
    with time_machine.travel(NOW, tick=False) as clock:
        yield clock


def pause(*schedules: Schedule, until: datetime = NOON, reason: str = "New disks") -> list[Schedule]:
    return services.pause_schedules([s.name for s in schedules] or None, until=until, reason=reason, origin=ORIGIN)


def test_a_pause_is_kept_and_leaves_the_state_alone(make_schedule):
    started, stopped = make_schedule(), make_schedule(startup_state="stopped")

    assert [schedule.paused_until for schedule in pause()] == [NOON, NOON]

    assert [(s.paused_until, s.pause_reason) for s in Schedule.objects.all()] == [(NOON, "New disks")] * 2
    assert Schedule.objects.get(pk=started.pk).enabled
    assert not Schedule.objects.get(pk=stopped.pk).enabled


@pytest.mark.parametrize("state", [Run.State.PLANNED, Run.State.QUEUED])
def test_a_pause_skips_what_no_worker_has_taken_and_says_why(make_schedule, state):
    schedule, other = make_schedule(), make_schedule()
    waiting, elsewhere = make_run(schedule, state=state), make_run(other, state=state)
    in_hand = make_run(schedule, state=Run.State.CLAIMED, due_at=NOW - timedelta(minutes=1))

    pause(schedule)

    states = {run.pk: (run.state, run.message) for run in Run.objects.all()}
    assert states[waiting.pk] == (Run.State.SKIPPED, "Paused until 2026-11-24 12:00:00 UTC: New disks.")
    assert states[in_hand.pk] == (Run.State.CLAIMED, "")
    assert states[elsewhere.pk] == (state, "")


def test_the_message_is_in_utc_whatever_zone_the_moment_was_given_in(make_schedule):
    run = make_run(make_schedule())

    pause(until=datetime.fromisoformat("2026-11-24T13:00:00+01:00"), reason="")

    run.refresh_from_db()
    assert run.message == "Paused until 2026-11-24 12:00:00 UTC."


def test_a_pause_and_its_end_are_recorded_as_old_and_new_values(make_schedule):
    schedule = make_schedule()

    pause(schedule)
    paused = last_change()
    services.resume_schedules([schedule.name], origin=ORIGIN)
    resumed = last_change()

    assert (paused.action, paused.actor) == ("pause", "tests")
    assert paused.diff == {"paused_until": [None, str(NOON)], "pause_reason": ["", "New disks"]}
    assert (resumed.action, resumed.schedule_name) == ("resume", schedule.name)
    assert resumed.diff == {"paused_until": [str(NOON), None], "pause_reason": ["New disks", ""]}


def test_pausing_many_at_once_records_what_each_had_before(make_schedule):
    first, second, third = make_schedule(), make_schedule(), make_schedule()
    pause(second, until=NOON + timedelta(hours=1))

    pause(reason="All of it")

    changes = {
        change.schedule_pk: change.diff["paused_until"][0] for change in ScheduleChange.objects.order_by("pk")[4:]
    }
    assert changes == {first.pk: None, second.pk: str(NOON + timedelta(hours=1)), third.pk: None}


def test_the_same_pause_again_changes_nothing(make_schedule):
    schedule = make_schedule()
    pause(schedule)
    pause(schedule)

    assert ScheduleChange.objects.filter(action="pause").count() == 1


def test_the_next_start_is_the_first_one_after_the_pause(make_schedule):
    (schedule,) = pause(make_schedule(cron_schedule="0 * * * *", timezone="UTC"))

    assert schedule.next_due_at(after=NOW) == NOON + timedelta(hours=1), "the last moment belongs to the pause"
    assert schedule.is_paused(at=NOON)
    assert not schedule.is_paused(at=NOON + timedelta(seconds=1))


def test_after_a_resume_what_was_due_before_it_does_not_count(make_schedule, clock):
    schedule = make_schedule(cron_schedule="0 * * * *", timezone="UTC")
    pause(schedule)
    clock.move_to(NOW + timedelta(minutes=30))

    (resumed,) = services.resume_schedules([schedule.name], origin=ORIGIN)

    stored = Schedule.objects.get()
    assert (stored.paused_until, stored.pause_reason) == (None, "")
    assert resumed.armed_at == stored.armed_at == NOW + timedelta(minutes=30)
    assert resumed.next_due_at(after=timezone.now()) == NOW + timedelta(hours=1)


@pytest.mark.parametrize("until", [None, NOON])
def test_a_resume_leaves_what_is_not_paused_alone(make_schedule, clock, until):
    schedule = make_schedule()
    if until:
        pause(schedule, until=until)
        clock.move_to(until + timedelta(seconds=1))
    changes = ScheduleChange.objects.count()

    services.resume_schedules(None, origin=ORIGIN)

    assert Schedule.objects.get().armed_at == NOW
    assert ScheduleChange.objects.count() == changes


@pytest.mark.parametrize("until", [NOW, NOW - timedelta(days=1)])
def test_a_moment_that_has_passed_is_refused_with_value_and_rule(make_schedule, until):
    with pytest.raises(ValidationError) as refusal:
        pause(make_schedule(), until=until)

    (problem,) = refusal.value.message_dict["until"]
    assert problem.startswith(f"{until:%Y-%m-%d %H:%M:%S} UTC has passed, it is 2026-11-24 10:00:00 UTC now.")
    assert Schedule.objects.get().paused_until is None


@pytest.mark.parametrize("reason", ["x" * 201, "two\nlines", "a\0b", "\ud800"])
def test_a_reason_that_cannot_be_kept_is_refused(make_schedule, reason):
    with pytest.raises(ValidationError) as refusal:
        pause(make_schedule(), reason=reason)

    assert list(refusal.value.message_dict) == ["reason"]


def test_one_unknown_id_pauses_and_resumes_none(make_schedule):
    schedule = make_schedule()
    names = [schedule.name, "nobody"]

    with pytest.raises(services.UnknownScheduleError):
        services.pause_schedules(names, until=NOON, reason="", origin=ORIGIN)
    pause(schedule)
    with pytest.raises(services.UnknownScheduleError):
        services.resume_schedules(names, origin=ORIGIN)

    assert Schedule.objects.get().paused_until == NOON


def test_start_and_stop_leave_a_pause_alone(make_schedule):
    schedule = make_schedule()
    pause(schedule)

    services.stop_schedules(None, origin=ORIGIN)
    services.start_schedules(None, origin=ORIGIN)

    assert Schedule.objects.get().paused_until == NOON


@pytest.mark.parametrize("start_state", ["last", "startup"])
def test_a_restart_does_not_forget_a_pause(make_schedule, settings, tmp_path, start_state):
    settings.BUTLER_START_STATE, settings.BUTLER_DATA_DIR = start_state, tmp_path
    schedule = make_schedule(startup_state="started")
    pause(schedule)
    services.stop_schedules([schedule.name], origin=ORIGIN)

    prepare_service()

    stored = Schedule.objects.get()
    assert stored.enabled is (start_state == "startup")
    assert (stored.paused_until, stored.pause_reason) == (NOON, "New disks")


def test_a_pause_of_ten_schedules_costs_as_many_queries_as_of_two(make_schedule):
    names = [make_schedule().name for _ in range(10)]

    costs = []
    for count in (2, 10):
        with CaptureQueriesContext(connection) as queries:
            services.pause_schedules(names[:count], until=NOON, reason="", origin=ORIGIN)
        costs.append(len(queries))
        services.resume_schedules(None, origin=ORIGIN)

    assert costs[0] == costs[1]


@pytest.mark.parametrize(
    ("values", "field", "said"),
    [
        (
            {"starts_at": NOON, "ends_at": NOW},
            "ends_at",
            "The end, 2026-11-24 10:00:00 UTC, is not later than the beginning, 2026-11-24 12:00:00 UTC.",
        ),
        ({"starts_at": NOON, "ends_at": NOON}, "ends_at", "is not later than the beginning"),
        ({"max_runs": 0}, "max_runs", "0 cannot be the greatest number of runs. Use a whole number from 1"),
        ({"misfire_grace": timedelta(days=367)}, "misfire_grace", "Use 0 seconds to 366 days."),
        ({"misfire_grace": timedelta(seconds=-1)}, "misfire_grace", "Use 0 seconds to 366 days."),
        ({"jitter": timedelta(days=2)}, "jitter", "Use 0 to 24 hours."),
        ({"excluded_dates": ["24.12.2026"]}, "excluded_dates", "'24.12.2026' is not a date."),
    ],
)
def test_a_limit_that_breaks_a_rule_is_refused_with_value_and_rule(make_schedule, values, field, said):
    with pytest.raises(ValidationError) as refusal:
        make_schedule(**values)

    assert list(refusal.value.message_dict) == [field]
    assert any(said in message for message in refusal.value.message_dict[field])


def test_a_change_of_one_value_keeps_what_others_have_changed_meanwhile(make_schedule):
    schedule = make_schedule(tags=["old"])
    services.change_schedule(schedule.name, values={"tags": ["new"]}, origin=ORIGIN)

    changed = services.change_schedule(schedule.name, values={"max_runs": 3}, origin=ORIGIN)

    assert (changed.tags, changed.max_runs) == (["new"], 3)
    assert last_change().diff == {"max_runs": [None, 3]}
