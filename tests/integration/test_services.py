"""What the services do to schedules, whichever door calls them."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule, PeriodicTask, PeriodicTasks

from schedules import services
from schedules.models import Run, Schedule, ScheduleChange
from tests.conftest import ORIGIN, TASK_ID

pytestmark = pytest.mark.django_db


def last_change() -> ScheduleChange:
    return ScheduleChange.objects.latest("pk")


def test_a_new_schedule_is_a_periodic_task_with_its_crontab(make_schedule):
    schedule = make_schedule(cron_schedule="30 0-30/5 6-18 * * mon-fri", timezone="Europe/Paris")

    task = PeriodicTask.objects.get(name=schedule.name)
    crontab = task.crontab
    assert task.qlik_schedule == schedule
    assert (crontab.minute, crontab.hour, crontab.day_of_week) == ("0-30/5", "6-18", "1-5")
    assert str(crontab.timezone) == "Europe/Paris"
    assert task.schedule is not None, "the library's own property must not be hidden by the reverse name"


def test_schedules_with_equal_times_share_a_crontab(make_schedule):
    make_schedule()
    make_schedule()

    assert CrontabSchedule.objects.count() == 1


@pytest.mark.parametrize(
    ("startup_state", "enabled"), [("start", True), ("started", True), ("stop", False), ("stopped", False)]
)
def test_the_startup_state_decides_whether_a_new_schedule_runs(make_schedule, startup_state, enabled):
    assert make_schedule(startup_state=startup_state).enabled is enabled


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("cron_schedule", "61 * * * *"),
        ("timezone", "Europe/Atlantis"),
        ("qlik_task_id", "42"),
        ("startup_state", "running"),
        ("title", ""),
        ("title", "x" * 1001),
        ("tags", "Sales"),
        ("tags", [1]),
        ("misfire", "twice"),
    ],
)
def test_a_rule_that_is_broken_names_the_field_and_saves_nothing(make_schedule, field, value):
    with pytest.raises(ValidationError) as refusal:
        make_schedule(**{field: value})

    assert list(refusal.value.message_dict) == [field]
    assert not PeriodicTask.objects.exists()
    assert not ScheduleChange.objects.exists()


@pytest.mark.parametrize("public_id", ["start", "status", " x", "a\nb", "x" * 201])
def test_an_id_that_the_paths_cannot_hold_is_refused(public_id):
    schedule = Schedule(name=public_id, title="x", cron_schedule="@daily", qlik_task_id=TASK_ID)

    with pytest.raises(ValidationError):
        services.add_schedules([schedule], origin=ORIGIN)


def test_adding_several_is_all_or_nothing():
    sound = Schedule(name="a", title="x", cron_schedule="@daily", qlik_task_id=TASK_ID)
    broken = Schedule(name="b", title="x", cron_schedule="@dayly", qlik_task_id=TASK_ID)

    with pytest.raises(ValidationError):
        services.add_schedules([sound, broken], origin=ORIGIN)

    assert not Schedule.objects.exists()


def test_an_id_is_used_once(make_schedule):
    taken = make_schedule()
    twin = Schedule(name=taken.name, title="x", cron_schedule="@daily", qlik_task_id=TASK_ID)

    with pytest.raises(ValidationError):
        services.add_schedules([twin], origin=ORIGIN)


def test_an_edit_is_recorded_as_old_and_new_value_and_moves_the_crontab(make_schedule):
    schedule = make_schedule(cron_schedule="0 6 * * *")
    armed_before = schedule.armed_at

    schedule.cron_schedule = "0 7 * * *"
    services.edit_schedule(schedule, origin=ORIGIN)

    stored = Schedule.objects.get()
    assert (stored.cron_schedule, stored.crontab.hour) == ("0 7 * * *", "7")
    assert stored.armed_at > armed_before
    change = last_change()
    assert (change.action, change.actor, change.diff) == (
        "edit",
        "tests",
        {"cron_schedule": ["0 6 * * *", "0 7 * * *"]},
    )


def test_an_edit_of_the_name_leaves_the_times_alone(make_schedule):
    schedule = make_schedule()
    armed_before = schedule.armed_at

    schedule.title = "Another"
    services.edit_schedule(schedule, origin=ORIGIN)

    assert Schedule.objects.get().armed_at == armed_before


def test_an_edit_that_changes_nothing_leaves_no_record(make_schedule):
    schedule = make_schedule()
    services.edit_schedule(schedule, origin=ORIGIN)

    assert last_change().action == "create"


def test_an_edit_that_breaks_a_rule_changes_nothing(make_schedule):
    schedule = make_schedule(cron_schedule="0 6 * * *")
    schedule.cron_schedule = "0 25 * * *"

    with pytest.raises(ValidationError):
        services.edit_schedule(schedule, origin=ORIGIN)

    assert Schedule.objects.get().cron_schedule == "0 6 * * *"


def test_stop_and_start_may_be_repeated_and_are_recorded_once(make_schedule):
    name = make_schedule().name

    for _ in range(2):
        assert [s.enabled for s in services.stop_schedules([name], origin=ORIGIN)] == [False]
    for _ in range(2):
        assert [s.enabled for s in services.start_schedules([name], origin=ORIGIN)] == [True]

    actions = list(ScheduleChange.objects.order_by("pk").values_list("action", flat=True))
    assert actions == ["create", "stop", "start"]


def test_a_start_forgets_the_time_before_it(make_schedule):
    schedule = make_schedule(startup_state="stopped")

    (started,) = services.start_schedules([schedule.name], origin=ORIGIN)

    assert started.armed_at > schedule.armed_at


def test_start_and_stop_of_all_answer_in_order_of_creation(make_schedule):
    names = [make_schedule().name for _ in range(3)]

    assert [s.name for s in services.stop_schedules(None, origin=ORIGIN)] == names
    assert not Schedule.objects.filter(enabled=True).exists()
    assert [s.name for s in services.start_schedules(None, origin=ORIGIN)] == names
    assert not Schedule.objects.filter(enabled=False).exists()


def test_one_unknown_id_changes_none(make_schedule):
    name = make_schedule().name

    with pytest.raises(services.UnknownScheduleError, match="'nobody'"):
        services.stop_schedules([name, "nobody"], origin=ORIGIN)

    assert Schedule.objects.get().enabled


def make_run(schedule: Schedule, **values: object) -> Run:
    now = timezone.now()
    given = {"due_at": now, "planned_at": now, "reason": Run.Reason.SCHEDULED} | values
    return Run.objects.create(
        schedule=schedule, schedule_name=schedule.name, qlik_task_id=schedule.qlik_task_id, **given
    )


@pytest.mark.parametrize("state", [Run.State.PLANNED, Run.State.QUEUED])
def test_a_stop_skips_what_no_worker_has_taken(make_schedule, state):
    schedule = make_schedule()
    run = make_run(schedule, state=state)

    services.stop_schedules([schedule.name], origin=ORIGIN)

    run.refresh_from_db()
    assert run.state == Run.State.SKIPPED
    assert "stopped" in run.message


def test_a_stop_leaves_started_and_manual_runs_alone(make_schedule):
    schedule = make_schedule()
    started = make_run(schedule, state=Run.State.STARTED)
    (manual,) = services.run_now([schedule.name], origin=ORIGIN)

    services.stop_schedules([schedule.name], origin=ORIGIN)

    assert Run.objects.get(pk=started.pk).state == Run.State.STARTED
    assert Run.objects.get(pk=manual.pk).state == Run.State.PLANNED


def test_the_ledger_outlives_a_deleted_schedule(make_schedule):
    schedule = make_schedule()
    started = make_run(schedule, state=Run.State.STARTED)
    waiting = make_run(schedule, state=Run.State.QUEUED, due_at=timezone.now())

    services.delete_schedules([schedule.name], origin=ORIGIN)

    assert not PeriodicTask.objects.exists()
    assert Run.objects.get(pk=started.pk).schedule_name == schedule.name
    assert Run.objects.get(pk=waiting.pk).state == Run.State.SKIPPED
    assert last_change().action == "delete"


def test_our_edits_are_no_alarm_for_the_library(make_schedule):
    before = PeriodicTasks.last_change()

    schedule = make_schedule()
    schedule.cron_schedule = "@hourly"
    services.edit_schedule(schedule, origin=ORIGIN)
    services.stop_schedules(None, origin=ORIGIN)
    services.delete_schedules([schedule.name], origin=ORIGIN)

    assert PeriodicTasks.last_change() == before


def test_a_save_that_bypasses_the_services_is_one(make_schedule):
    schedule = make_schedule()

    PeriodicTask.objects.get(name=schedule.name).save()

    assert PeriodicTasks.last_change() is not None


def test_startup_states_put_everyone_where_they_begin(make_schedule):
    runs = make_schedule(startup_state="start")
    rests = make_schedule(startup_state="stop")
    services.stop_schedules([runs.name], origin=ORIGIN)
    services.start_schedules([rests.name], origin=ORIGIN)

    assert services.apply_startup_states(origin=ORIGIN) == (1, 1)

    assert Schedule.objects.get(name=runs.name).enabled
    assert not Schedule.objects.get(name=rests.name).enabled


def test_run_now_plans_a_run_for_a_stopped_schedule_too(make_schedule):
    schedule = make_schedule(startup_state="stopped")

    (run,) = services.run_now([schedule.name], origin=ORIGIN)

    assert (run.state, run.reason) == (Run.State.PLANNED, Run.Reason.MANUAL)
    assert run.message == "Asked for by tests, command line."


def test_a_broken_row_says_what_is_wrong(make_schedule):
    make_schedule()
    Schedule.objects.update(cron_schedule="0 0 30 2 *")

    schedule = Schedule.objects.get()
    assert "can never fire" in schedule.problem
    assert schedule.next_due_at(after=timezone.now()) is None
