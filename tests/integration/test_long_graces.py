"""A schedule that is due each second and whose grace is long holds nobody up after a long absence."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from django.db.models import Sum

from schedules import absences, passes
from schedules import planner as planner_module
from schedules.models import Absence, Lease, Run, Schedule, from_epoch
from schedules.timetable import Timetable
from tests.integration.test_planner import NOON, due_instants, lead, loaded, plan

pytestmark = pytest.mark.django_db

DAY = 86_400
LONG = timedelta(days=30)


@pytest.fixture
def away_since_noon(make_schedule):
    """Return a function that makes a schedule; nobody has planned since noon."""
    Lease.objects.update_or_create(pk=1, defaults={"planned_through": from_epoch(NOON)})

    def make(**values: object) -> Schedule:
        schedule = make_schedule(**{"timezone": "UTC", "misfire_grace": LONG} | values)
        Schedule.objects.update(armed_at=from_epoch(NOON - 1))
        return schedule

    return make


@pytest.fixture
def steps(monkeypatch) -> list[float]:
    """Return a list that grows with each step of a timetable."""
    counted: list[float] = []
    step = Timetable.next_timestamp

    def count(self: Timetable, after: float) -> int | None:
        counted.append(after)
        return step(self, after)

    monkeypatch.setattr(Timetable, "next_timestamp", count)
    return counted


def test_a_pass_looks_at_a_bounded_number_of_occurrences(away_since_noon, steps):
    for _ in range(3):
        away_since_noon(cron_schedule="* * * * * *")
    now = NOON + 10 * DAY
    planner = loaded(lead("back"), now=now)
    steps.clear()

    parts = [len(keys) for keys in planner.plan_due(now=now, is_queued=True)]

    assert sum(parts) == Run.objects.count() == 3 * 61
    assert len(steps) < 3 * (absences.MAX_ON_TIME + 100)
    assert planner.next_due() == now + 1


@pytest.mark.parametrize(("misfire", "state"), [("once", "skipped"), ("skip", "skipped"), ("all", "planned")])
def test_what_is_left_out_is_settled_by_the_misfire_policy(away_since_noon, misfire, state):
    away_since_noon(cron_schedule="* * * * * *", misfire=misfire)
    seconds = 3 * 3600

    plan(loaded(lead("back"), now=NOON + seconds), NOON + seconds)

    left = Run.objects.filter(due_at__lt=from_epoch(NOON + seconds - 60))
    assert set(left.values_list("state", flat=True)) == {state}
    assert left.aggregate(all=Sum("occurrences"))["all"] == seconds - 61
    assert due_instants(reason="scheduled", state="planned") == list(range(seconds - 60, seconds + 1))
    assert not Absence.objects.exists()


def test_few_that_are_on_time_by_a_long_grace_run_as_before(away_since_noon):
    away_since_noon(cron_schedule="0 * * * *")

    plan(loaded(lead("back"), now=NOON + DAY), NOON + DAY)

    assert due_instants(state="planned", reason="scheduled") == [hour * 3600 for hour in range(1, 25)]


def test_a_leader_that_is_killed_before_the_rest_is_settled_leaves_it_to_the_next(away_since_noon):
    away_since_noon(cron_schedule="* * * * * *", misfire="skip")
    now = NOON + 2 * 3600
    list(loaded(lead("killed"), now=now).plan_due(now=now))

    plan(loaded(lead("next"), now=now + 1), now + 1)

    assert Run.objects.aggregate(all=Sum("occurrences"))["all"] == 2 * 3600 + 1


def test_what_is_due_just_now_goes_before_what_is_late(away_since_noon, monkeypatch):
    monkeypatch.setattr(planner_module, "FIRST_PART_SIZE", 1)
    for _ in range(2):
        away_since_noon(cron_schedule="* * * * * *")
    fresh = away_since_noon(cron_schedule="0 12 * * *")
    now = NOON + DAY
    planner = loaded(lead("back"), now=now)

    next(planner.plan_due(now=now, is_queued=True))

    (first,) = Run.objects.all()
    assert first.schedule_id == fresh.pk


def test_slow_expressions_end_a_part_and_a_slice_by_time(away_since_noon, monkeypatch):
    for _ in range(6):
        away_since_noon(cron_schedule="0 * * * *", misfire="skip", misfire_grace=timedelta(seconds=60))
    now = NOON + 3.5 * 3600
    planner = loaded(lead("back"), now=now)
    step = Timetable.next_timestamp

    def step_slowly(self: Timetable, after: float) -> int | None:
        time.sleep(0.03)
        return step(self, after)

    monkeypatch.setattr(passes, "PART_SECONDS", 0.05)
    monkeypatch.setattr(absences, "SLICE_SECONDS", 0.05)
    with monkeypatch.context() as patch:
        patch.setattr(Timetable, "next_timestamp", step_slowly)
        assert len(list(planner.plan_due(now=now))) > 3
        slices = 1
        while planner.settle_absence(now=now):
            slices += 1

    assert slices > 3
    assert Run.objects.filter(state="skipped").count() == 6 * 3


def test_a_part_that_ends_early_loses_nothing_when_the_leader_is_killed(away_since_noon, monkeypatch):
    monkeypatch.setattr(passes, "PART_SECONDS", 0.0)
    for _ in range(5):
        away_since_noon(cron_schedule="*/20 * * * * *")
    parts = loaded(lead("killed"), now=NOON + 40).plan_due(now=NOON + 40, is_queued=True)
    next(parts)
    next(parts)
    parts.close()

    plan(loaded(lead("next"), now=NOON + 40), NOON + 40)

    assert Run.objects.count() == 10


def test_a_killed_pass_does_not_count_its_runs_twice(away_since_noon, monkeypatch):
    monkeypatch.setattr(planner_module, "PART_SIZE", 2)
    schedule = away_since_noon(cron_schedule="*/10 * * * * *", max_runs=5)
    parts = loaded(lead("killed"), now=NOON + 40).plan_due(now=NOON + 40)
    next(parts)
    parts.close()
    schedule.refresh_from_db()
    assert (schedule.runs_planned, Run.objects.count()) == (2, 2)

    plan(loaded(lead("next"), now=NOON + 90), NOON + 90)

    schedule.refresh_from_db()
    assert (schedule.runs_planned, Run.objects.filter(state="planned").count()) == (5, 5)


def test_a_pass_that_takes_long_lets_what_has_come_due_meanwhile_go_first(away_since_noon, monkeypatch):
    monkeypatch.setattr(passes, "PART_SECONDS", 0.0)
    monkeypatch.setattr(passes, "PASS_SECONDS", 0.0)
    late = [away_since_noon(cron_schedule="0 * * * *", misfire="once", max_runs=20) for _ in range(4)]
    now = NOON + 3.5 * 3600
    fresh = away_since_noon(cron_schedule="* * * * * *", ends_at=from_epoch(now + 2), starts_at=from_epoch(now))
    planner = loaded(lead("back"), now=now)

    for second in range(3):
        list(planner.plan_due(now=now + second))
        assert Run.objects.filter(schedule=fresh).count() == second + 1
    assert Lease.objects.get().planned_through == from_epoch(NOON)
    for second in range(3, 8):
        plan(planner, now + second)

    assert Lease.objects.get().planned_through >= from_epoch(now + 3)
    for schedule in late:
        assert due_instants(schedule=schedule, state="planned") == [3600, 7200, 10800]
        schedule.refresh_from_db()
        assert schedule.runs_planned == 3


def test_a_pass_that_was_left_undone_runs_nothing_twice_and_skips_nothing_that_ran(away_since_noon, monkeypatch):
    monkeypatch.setattr(passes, "PART_SECONDS", 0.0)
    monkeypatch.setattr(passes, "PASS_SECONDS", 0.0)
    grace = timedelta(seconds=50)
    for _ in range(4):
        away_since_noon(cron_schedule="* * * * *", misfire="once", misfire_grace=grace)
    now = NOON + 600
    planner = loaded(lead("killed"), now=now)
    list(planner.plan_due(now=now))
    list(planner.plan_due(now=now + 1))

    planner = loaded(lead("next"), now=now + 2)
    for second in range(2, 8):
        plan(planner, now + second)
    monkeypatch.undo()
    plan(loaded(lead("last"), now=now + 120), now + 120)

    assert due_instants(state="planned") == sorted([600, 720] * 4)
    assert due_instants(state="skipped") == sorted([*range(60, 600, 60), 660] * 4)
