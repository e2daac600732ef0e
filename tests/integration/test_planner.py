"""Which rows the planner writes, and from where it goes on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext
from django_celery_beat.models import PeriodicTask

from schedules import planner as planner_module
from schedules import runs, services
from schedules.lease import LeaseLostError, PlannerLease
from schedules.models import Lease, Run, Schedule
from schedules.planner import Planner
from schedules.timetable import Timetable
from tests.conftest import ORIGIN

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC).timestamp()


@pytest.fixture
def at_noon(make_schedule):
    """Return a function that makes a schedule which was armed just before noon."""

    def make(**values: object) -> Schedule:
        schedule = make_schedule(**values)
        Schedule.objects.update(armed_at=datetime.fromtimestamp(NOON - 1, UTC))
        return schedule

    return make


def lead(name: str = "first") -> PlannerLease:
    lease = PlannerLease(holder=name)
    Lease.objects.update_or_create(pk=1, defaults={"holder": ""})
    assert lease.keep()
    return lease


def loaded(lease: PlannerLease | None = None, *, now: float = NOON - 0.5) -> Planner:
    planner = Planner(lease or lead())
    planner.load(now=now)
    return planner


def plan(planner: Planner, now: float) -> list[Run]:
    """Plan what is due, and return the runs that this has put on their way."""
    before = set(Run.objects.values_list("pk", flat=True))
    for _ in planner.plan_due(now=now):
        pass
    while planner.settle_absence(now=now):
        pass
    return list(Run.objects.filter(state="planned").exclude(pk__in=before).order_by("due_at", "schedule_id"))


def seconds_until_due(planner: Planner, now: float) -> float | None:
    due = planner.next_due()
    return None if due is None else due - now


def due_instants(**filters: object) -> list[int]:
    rows = Run.objects.filter(**filters).order_by("due_at").values_list("due_at", flat=True)
    return [round(due.timestamp() - NOON) for due in rows]


def test_what_is_due_becomes_a_row_each(at_noon):
    first, second = at_noon(), at_noon(cron_schedule="0 0 12 * * *", timezone="UTC")
    at_noon(cron_schedule="1 0 12 * * *", timezone="UTC")
    at_noon(startup_state="stopped")
    planner = loaded()

    assert plan(planner, NOON - 0.1) == []
    planned = plan(planner, NOON)

    assert {row.schedule_name for row in planned} == {first.name, second.name}
    assert {(row.due_at.timestamp(), row.state, row.reason) for row in planned} == {(NOON, "planned", "scheduled")}
    assert seconds_until_due(planner, NOON) == 1


def test_an_occurrence_is_planned_once(at_noon):
    at_noon()
    planner = loaded()

    assert len(plan(planner, NOON)) == 1
    assert plan(planner, NOON + 0.5) == []
    assert len(plan(planner, NOON + 60)) == 1


def test_a_pass_that_comes_late_takes_every_occurrence(at_noon):
    at_noon(cron_schedule="*/5 * * * * *")
    planner = loaded()

    plan(planner, NOON + 22)

    assert due_instants(state="planned") == [0, 5, 10, 15, 20]


def test_the_next_leader_goes_on_where_the_last_one_ended(at_noon):
    at_noon(cron_schedule="*/5 * * * * *")
    plan(loaded(), NOON + 5)

    plan(loaded(lead("second"), now=NOON + 16), NOON + 16)

    assert due_instants() == [0, 5, 10, 15]


def test_time_down_beyond_the_grace_is_made_up_for_once(at_noon):
    at_noon(cron_schedule="0 * * * *")
    plan(loaded(), NOON)

    planned = plan(loaded(lead("second"), now=NOON + 4.5 * 3600), NOON + 4.5 * 3600)

    (catch_up,) = planned
    assert (catch_up.reason, catch_up.due_at.timestamp()) == ("catch-up", NOON + 4 * 3600)
    assert due_instants(state="skipped") == [3600, 7200, 10800]


def test_time_before_a_start_is_not_made_up_for(at_noon):
    schedule = at_noon(cron_schedule="*/5 * * * * *")
    plan(loaded(), NOON)
    services.stop_schedules([schedule.name], origin=ORIGIN)
    services.start_schedules([schedule.name], origin=ORIGIN)
    Schedule.objects.update(armed_at=datetime.fromtimestamp(NOON + 17, UTC))

    plan(loaded(lead("second"), now=NOON + 20), NOON + 20)

    assert due_instants() == [0, 20]


def test_a_stop_counts_in_the_very_pass_that_it_came_before(at_noon):
    schedule = at_noon()
    other = at_noon()
    planner = loaded()
    services.stop_schedules([schedule.name], origin=ORIGIN)

    planned = plan(planner, NOON)

    assert [run.schedule_name for run in planned] == [other.name]


def test_a_new_schedule_is_seen_with_the_next_changes(at_noon):
    planner = loaded()
    assert seconds_until_due(planner, NOON - 0.4) is None
    at_noon()

    planner.take_changes(planner._lease.renew(), now=NOON - 0.4)

    assert seconds_until_due(planner, NOON - 0.4) == pytest.approx(0.4)


def test_a_deleted_schedule_is_forgotten(at_noon):
    schedule = at_noon()
    planner = loaded()
    services.delete_schedules([schedule.name], origin=ORIGIN)

    assert plan(planner, NOON) == []
    assert seconds_until_due(planner, NOON) is None


def test_an_edit_moves_the_next_occurrence(at_noon):
    schedule = at_noon()
    planner = loaded()
    schedule.cron_schedule = "30 * * * * *"
    services.edit_schedule(schedule, origin=ORIGIN)
    Schedule.objects.update(armed_at=datetime.fromtimestamp(NOON - 0.1, UTC))

    assert plan(planner, NOON) == []
    assert len(plan(planner, NOON + 30)) == 1


@pytest.mark.parametrize("action", ["disable", "delete", "edit"])
def test_a_save_that_bypasses_the_services_is_seen_too(at_noon, action):
    schedule = at_noon()
    other = at_noon()
    planner = loaded()
    if action == "disable":
        task = PeriodicTask.objects.get(name=schedule.name)
        task.enabled = False
        task.save()
    elif action == "delete":
        schedule.delete()
    else:
        schedule.refresh_from_db()
        schedule.cron_schedule = "30 * * * * *"
        schedule.save()

    planner.take_changes(planner._lease.renew(), now=NOON - 0.2)

    planned = plan(planner, NOON)
    assert [run.schedule_name for run in planned] == [other.name]


def test_a_row_broken_by_hand_is_set_aside_alone(at_noon, caplog):
    broken, sound = at_noon(), at_noon()
    Schedule.objects.filter(pk=broken.pk).update(timezone="Europe/Atlantis")

    planned = plan(loaded(), NOON)

    assert [run.schedule_name for run in planned] == [sound.name]
    assert f"schedule {broken.name} is set aside" in caplog.text


def test_a_schedule_whose_next_time_cannot_be_computed_is_set_aside_alone(at_noon, monkeypatch, caplog):
    broken, sound = at_noon(timezone="Europe/Oslo"), at_noon()
    compute = Timetable.next_timestamp

    def fail_for_oslo(self: Timetable, after: float) -> int | None:
        if self.zone.key == "Europe/Oslo":
            raise OverflowError("beyond the calendar")
        return compute(self, after)

    monkeypatch.setattr(Timetable, "next_timestamp", fail_for_oslo)

    assert [run.schedule_name for run in plan(loaded(), NOON)] == [sound.name]
    assert f"schedule {broken.name} is set aside" in caplog.text


def test_a_leader_that_lost_its_lease_writes_nothing(at_noon):
    at_noon()
    planner = loaded()
    lead("second")

    with pytest.raises(LeaseLostError):
        plan(planner, NOON)

    assert not Run.objects.exists()


def test_a_pass_that_the_database_refuses_is_repeated_whole(at_noon, monkeypatch):
    at_noon()
    planner = loaded()
    with monkeypatch.context() as patch:
        patch.setattr(runs, "plan_runs", lambda *_, **__: (_ for _ in ()).throw(DatabaseError("disk full")))
        with pytest.raises(DatabaseError):
            plan(planner, NOON)

    assert Lease.objects.get().planned_through.timestamp() == NOON - 0.5
    planner.load(now=NOON + 0.2)
    assert len(plan(planner, NOON + 0.2)) == 1


def test_a_schedule_that_was_changed_while_the_clock_was_ahead_counts_from_now(at_noon):
    at_noon()
    Schedule.objects.update(armed_at=datetime.fromtimestamp(NOON + 365 * 86400, UTC))

    assert seconds_until_due(loaded(), NOON - 0.5) == pytest.approx(0.5)


def test_a_large_pass_is_written_in_parts_and_a_kill_between_them_loses_and_doubles_nothing(at_noon, monkeypatch):
    monkeypatch.setattr(planner_module, "PART_SIZE", 10)
    for _ in range(35):
        at_noon()
    parts = loaded().plan_due(now=NOON, is_queued=True)
    assert [len(next(parts)), len(next(parts))] == [10, 10]
    parts.close()

    assert Lease.objects.get().planned_through.timestamp() == NOON - 0.5
    parts = loaded(lead("second"), now=NOON + 1).plan_due(now=NOON + 1, is_queued=True)
    assert [len(keys) for keys in parts] == [10, 10, 10, 5]
    assert Run.objects.count() == 35
    assert Lease.objects.get().planned_through.timestamp() == NOON + 1


def test_only_what_is_to_run_is_queued(at_noon):
    at_noon()
    at_noon(paused_until=datetime.fromtimestamp(NOON + 60, UTC))

    keys = [key for part in loaded().plan_due(now=NOON, is_queued=True) for key in part]

    queued = Run.objects.get(state="queued")
    assert keys == [queued.pk.hex]
    assert queued.queued_at == queued.planned_at == datetime.fromtimestamp(NOON, UTC)
    assert Run.objects.get(state="skipped").queued_at is None


def test_a_pass_costs_the_same_queries_for_one_and_for_many(at_noon):
    def queries_of_a_pass(now: float) -> int:
        with CaptureQueriesContext(connection) as queries:
            for _ in planner.plan_due(now=now):
                pass
        return len(queries)

    at_noon()
    planner = loaded()
    of_one = queries_of_a_pass(NOON)
    for _ in range(30):
        at_noon()
    planner.take_changes(planner._lease.renew(), now=NOON + 1)

    # Savepoint and release, the lease before and after, the rows; PostgreSQL has to lock before it looks
    assert of_one == queries_of_a_pass(NOON + 60) == 5 + (connection.vendor == "postgresql")


def test_an_occurrence_before_the_first_pass_ever_survives_a_restart(at_noon):
    at_noon()
    loaded(now=NOON - 5)

    assert len(plan(loaded(lead("second"), now=NOON + 10), NOON + 10)) == 1


def test_a_long_absence_keeps_to_the_grace_of_each_schedule(at_noon):
    schedule = at_noon(cron_schedule="*/10 * * * * *", misfire="skip", misfire_grace=timedelta(seconds=25))
    plan(loaded(), NOON)

    plan(loaded(lead("second"), now=NOON + 65), NOON + 65)

    assert due_instants(state="planned", schedule=schedule) == [0, 40, 50, 60]
    assert due_instants(state="skipped", schedule=schedule) == [10, 20, 30]
