"""Pauses and maintenances in the plan: which second belongs to them, on time and after an absence."""

from __future__ import annotations

from datetime import timedelta
from math import ceil

import pytest

from schedules.models import Lease, Maintenance, Run, Schedule, from_epoch
from tests.integration.test_planner import NOON, lead, loaded, plan

pytestmark = pytest.mark.django_db

SECONDS = 40


@pytest.fixture
def each_second(make_schedule) -> Schedule:
    """A schedule of each second, planned up to the second before noon."""
    Lease.objects.update_or_create(pk=1, defaults={"planned_through": from_epoch(NOON - 1)})
    schedule = make_schedule(cron_schedule="* * * * * *", misfire="all")
    Schedule.objects.update(armed_at=from_epoch(NOON - 1))
    return schedule


def plan_at_once(*, is_late: bool) -> list[int]:
    """Plan the seconds from noon on, in their time or after an absence; return those that are to run."""
    Schedule.objects.update(misfire_grace=timedelta(seconds=0 if is_late else 60))
    planner = loaded(lead("first"), now=NOON - 0.5)
    if is_late:
        plan(planner, NOON + SECONDS + 120)
    else:
        for second in range(0, SECONDS + 1, 10):
            plan(planner, NOON + second)
    rows = Run.objects.filter(state="planned", due_at__lte=from_epoch(NOON + SECONDS))
    return sorted(round(run.due_at.timestamp() - NOON) for run in rows)


def others(closed: range) -> list[int]:
    return [second for second in range(SECONDS + 1) if second not in closed]


@pytest.mark.parametrize("is_late", [False, True])
@pytest.mark.parametrize("until", [4.5, 5.0, 5.5])
def test_a_pause_has_its_last_moment(each_second, until, is_late):
    Schedule.objects.update(paused_until=from_epoch(NOON + until))

    assert plan_at_once(is_late=is_late) == others(range(int(until) + 1))


@pytest.mark.parametrize("is_late", [False, True])
@pytest.mark.parametrize(("began", "ended"), [(10.0, 20.0), (9.5, 19.5), (10.5, 20.5), (0.0, 1.0)])
def test_a_maintenance_has_its_first_moment_and_not_its_end(each_second, began, ended, is_late):
    Maintenance.objects.create(began_at=from_epoch(NOON + began), ended_at=from_epoch(NOON + ended))

    assert plan_at_once(is_late=is_late) == others(range(ceil(began), ceil(ended)))


@pytest.mark.parametrize("is_late", [False, True])
def test_one_without_an_end_has_all_that_follows(each_second, is_late):
    Maintenance.objects.create(began_at=from_epoch(NOON + 10))

    assert plan_at_once(is_late=is_late) == [*range(10)]


@pytest.mark.parametrize("is_late", [False, True])
def test_a_pause_and_two_maintenances_that_overlap_close_what_any_of_them_closes(each_second, is_late):
    Schedule.objects.update(paused_until=from_epoch(NOON + 12))
    for began, ended in ((10, 20), (15, 25)):
        Maintenance.objects.create(began_at=from_epoch(NOON + began), ended_at=from_epoch(NOON + ended))

    assert plan_at_once(is_late=is_late) == [*range(25, SECONDS + 1)]


@pytest.mark.parametrize("misfire", ["once", "skip"])
@pytest.mark.parametrize("ended", [SECONDS + 60, SECONDS + 61])
def test_what_comes_right_after_a_maintenance_makes_up_for_what_was_missed_before_it(each_second, misfire, ended):
    """Back in the second 100: the last that was missed and is open runs, unless one on time does."""
    Schedule.objects.update(misfire=misfire, misfire_grace=timedelta(0))
    Maintenance.objects.create(began_at=from_epoch(NOON + 30), ended_at=from_epoch(NOON + ended))
    now = NOON + SECONDS + 60

    plan(loaded(lead("first"), now=now), now)

    planned = [round(run.due_at.timestamp() - NOON) for run in Run.objects.filter(state="planned")]
    is_open = ended == SECONDS + 60
    assert planned == ([100] if is_open else [29] if misfire == "once" else [])
