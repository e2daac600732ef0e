"""What was missed in a long absence: settled slice by slice, behind what is due now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import DatabaseError
from django.db.models import Sum

from schedules import absences, entries, runs, services
from schedules.models import Absence, Lease, Maintenance, Run, Schedule, from_epoch
from tests.conftest import ORIGIN
from tests.integration.test_planner import NOON, lead, loaded, plan

pytestmark = pytest.mark.django_db

HOUR = 3600
DAY = 24 * HOUR


@pytest.fixture
def absent_from_noon(make_schedule):
    """Return a function that makes a schedule; nobody has planned since noon."""
    Lease.objects.update_or_create(pk=1, defaults={"planned_through": from_epoch(NOON)})

    def make(**values: object) -> Schedule:
        schedule = make_schedule(**{"timezone": "UTC"} | values)
        Schedule.objects.update(armed_at=from_epoch(NOON - 1))
        return schedule

    return make


def back_at(now: float) -> list[Run]:
    return plan(loaded(lead("back"), now=now), now)


def instants(**filters: object) -> list[int]:
    rows = Run.objects.filter(**filters).order_by("due_at")
    return [round(due.timestamp() - NOON) for due in rows.values_list("due_at", flat=True)]


def occurrences(**filters: object) -> int:
    return Run.objects.filter(**filters).aggregate(all=Sum("occurrences"))["all"] or 0


@pytest.mark.parametrize(
    ("misfire", "catch_up", "skipped"),
    [
        ("once", [3 * HOUR], [HOUR, 2 * HOUR]),
        ("all", [HOUR, 2 * HOUR, 3 * HOUR], []),
        ("skip", [], [HOUR, 2 * HOUR, 3 * HOUR]),
    ],
)
def test_each_policy_decides_about_hours_that_were_missed(absent_from_noon, misfire, catch_up, skipped):
    absent_from_noon(cron_schedule="0 * * * *", misfire=misfire)

    back_at(NOON + 3.5 * HOUR)

    assert instants(reason="catch-up", state="planned") == catch_up
    assert instants(state="skipped") == skipped
    assert not Absence.objects.exists()


def test_what_is_on_time_replaces_what_was_missed(absent_from_noon):
    absent_from_noon(cron_schedule="0 * * * *")

    back_at(NOON + 3 * HOUR + 30)

    assert instants(state="planned", reason="scheduled") == [3 * HOUR]
    assert instants(state="skipped") == [HOUR, 2 * HOUR]


def test_what_is_on_time_is_planned_before_anything_that_was_missed(absent_from_noon):
    absent_from_noon(cron_schedule="* * * * * *")
    planner = loaded(lead("back"), now=NOON + DAY)

    assert [len(keys) for keys in planner.plan_due(now=NOON + DAY, is_queued=True)] == [61]

    assert set(instants()) == set(range(DAY - 60, DAY + 1))
    assert planner.next_due() == NOON + DAY + 1
    assert Absence.objects.count() == 1


def test_three_days_of_every_second_become_few_rows_that_count_them_all(absent_from_noon):
    absent_from_noon(cron_schedule="* * * * * *")

    back_at(NOON + 3 * DAY)

    assert occurrences(state="skipped") == 3 * DAY - 61
    assert Run.objects.filter(state="skipped").count() < 100
    first = Run.objects.filter(state="skipped").order_by("due_at")[0]
    assert first.due_at == from_epoch(NOON + 1)
    assert first.message == "Misfire: beat was not planning when it was due. So were all up to 2026-11-23 13:06:40 UTC."


def test_a_leader_that_is_killed_between_slices_leaves_a_clean_cut(absent_from_noon, monkeypatch):
    monkeypatch.setattr(absences, "SLICE_SIZE", 150)
    for _ in range(3):
        absent_from_noon(cron_schedule="*/10 * * * * *")
    now = NOON + HOUR
    for number in range(40):
        planner = loaded(lead(f"leader {number}"), now=now + number)
        list(planner.plan_due(now=now + number))
        planner.settle_absence(now=now + number)
    plan(loaded(lead("last"), now=now + 40), now + 40)

    assert not Absence.objects.exists()
    per_schedule = Run.objects.values("schedule").annotate(all=Sum("occurrences")).values_list("all", flat=True)
    # Every ten seconds from noon on to 13:00:40
    assert list(per_schedule) == [364, 364, 364]
    assert not Run.objects.filter(reason="catch-up").exists()


def test_an_error_in_a_slice_repeats_it_whole(absent_from_noon, monkeypatch):
    absent_from_noon(cron_schedule="0 * * * *")
    planner = loaded(lead("back"), now=NOON + 3.5 * HOUR)
    list(planner.plan_due(now=NOON + 3.5 * HOUR))

    with monkeypatch.context() as patch:
        patch.setattr(runs, "plan_runs", lambda *_, **__: (_ for _ in ()).throw(DatabaseError("gone")))
        with pytest.raises(DatabaseError):
            planner.settle_absence(now=NOON + 3.5 * HOUR)
    back_at(NOON + 3.5 * HOUR + 1)

    assert instants(state="skipped") == [HOUR, 2 * HOUR]
    assert instants(reason="catch-up") == [3 * HOUR]


def test_what_a_killed_leader_had_planned_is_not_counted_again(absent_from_noon, monkeypatch):
    """A pass that was cut off leaves rows, but no progress; after that they are missed."""
    schedule = absent_from_noon(cron_schedule="* * * * * *")
    first = loaded(lead("killed"), now=NOON + 40)
    with monkeypatch.context() as patch:
        patch.setattr(first, "_note_progress", lambda now, absent_from: (_ for _ in ()).throw(DatabaseError("killed")))
        patch.setattr("schedules.planner.PART_SIZE", 10)
        with pytest.raises(DatabaseError):
            list(first.plan_due(now=NOON + 40))
    assert Run.objects.filter(schedule=schedule).count() == 40

    back_at(NOON + HOUR)

    assert occurrences() == HOUR


def test_a_schedule_that_was_stopped_or_edited_since_has_forgotten_the_time_before(absent_from_noon):
    stopped, edited = absent_from_noon(cron_schedule="0 * * * *"), absent_from_noon(cron_schedule="0 * * * *")
    planner = loaded(lead("back"), now=NOON + 3.5 * HOUR)
    list(planner.plan_due(now=NOON + 3.5 * HOUR))
    services.stop_schedules([stopped.name], origin=ORIGIN)
    Schedule.objects.filter(pk=edited.pk).update(armed_at=from_epoch(NOON + 3.6 * HOUR))
    list(loaded(lead("next"), now=NOON + 3.7 * HOUR).plan_due(now=NOON + 3.7 * HOUR))

    back_at(NOON + 3.8 * HOUR)

    assert not Run.objects.exists()
    assert not Absence.objects.exists()


def test_a_greatest_number_of_runs_counts_what_runs_and_nothing_else(absent_from_noon):
    schedule = absent_from_noon(cron_schedule="0 * * * *", misfire="all", max_runs=3)
    planner = loaded(lead("back"), now=NOON + 2.5 * HOUR)

    plan(planner, NOON + 2.5 * HOUR)
    for hour in (3, 4, 5):
        plan(planner, NOON + hour * HOUR)

    assert instants() == [HOUR, 2 * HOUR, 3 * HOUR]
    schedule.refresh_from_db()
    assert schedule.runs_planned == 3
    assert schedule.next_due_at(after=from_epoch(NOON)) is None
    assert planner.next_due() is None
    assert loaded(lead("next"), now=NOON + 6 * HOUR).next_due() is None


def test_pauses_and_maintenance_skip_with_the_reason_and_are_not_made_up_for(absent_from_noon):
    paused = absent_from_noon(cron_schedule="0 * * * *", misfire="all")
    open_one = absent_from_noon(cron_schedule="30 * * * *", misfire="all")
    Schedule.objects.filter(pk=paused.pk).update(paused_until=from_epoch(NOON + 2 * HOUR), pause_reason="budget")
    Maintenance.objects.create(
        began_at=from_epoch(NOON + HOUR), ended_at=from_epoch(NOON + 1.5 * HOUR), reason="upgrade"
    )
    planner = loaded(lead("back"), now=NOON + 2.9 * HOUR)
    plan(planner, NOON + 2.9 * HOUR)
    plan(planner, NOON + 3 * HOUR)

    assert instants(schedule=paused, state="skipped") == [HOUR, 2 * HOUR]
    assert instants(schedule=paused, state="planned") == [3 * HOUR]
    assert instants(schedule=open_one, state="skipped") == []
    assert instants(schedule=open_one, state="planned") == [HOUR // 2, 3 * HOUR // 2, 5 * HOUR // 2]
    assert set(Run.objects.filter(state="skipped").values_list("message", flat=True)) == {
        "Paused until 2026-11-23 14:00:00 UTC: budget."
    }


def test_a_maintenance_is_seen_by_the_next_pass(absent_from_noon):
    absent_from_noon(cron_schedule="* * * * *")
    planner = loaded(lead("leader"), now=NOON + 1)
    Maintenance.objects.create(began_at=from_epoch(NOON + 50), reason="upgrade")
    from schedules.models import ScheduleChange

    ScheduleChange.objects.create(
        schedule_pk=0, action="maintenance", source="command", changed_at=datetime.now(UTC), diff={}
    )

    plan(planner, NOON + 60)

    (run,) = Run.objects.all()
    assert (run.state, run.message) == ("skipped", "Maintenance: upgrade.")


def test_an_ordinary_delay_is_no_absence(absent_from_noon):
    absent_from_noon(cron_schedule="*/10 * * * * *", misfire="skip", misfire_grace=timedelta(seconds=25))

    back_at(NOON + 59)

    assert instants(state="planned") == [40, 50]
    assert instants(state="skipped") == [10, 20, 30]


def test_a_quiet_time_is_no_absence(absent_from_noon, caplog):
    absent_from_noon(cron_schedule="0 18 * * *")
    planner = loaded(lead("leader"), now=NOON + 1)

    planned = plan(planner, NOON + 6 * HOUR)

    assert [run.reason for run in planned] == ["scheduled"]
    assert "nobody planned" not in caplog.text


def test_a_schedule_that_nothing_can_be_read_of_is_set_aside_alone(absent_from_noon, caplog, monkeypatch):
    monkeypatch.setattr(entries, "_READ_SIZE", 4)
    names = [absent_from_noon(cron_schedule="* * * * *").name for _ in range(9)]
    broken = Schedule.objects.get(name=names[4])
    Schedule.objects.filter(pk=broken.pk).update(misfire="what")

    planned = back_at(NOON + 60)

    assert {run.schedule_name for run in planned} == {*names} - {broken.name}
    assert f"schedule {broken.name} is set aside" in caplog.text
    assert "what" in Schedule.objects.get(pk=broken.pk).problem
