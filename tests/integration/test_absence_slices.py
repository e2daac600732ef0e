"""What was missed in an absence, cut into slices of every size: each cut leaves the same ledger."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.db import DatabaseError
from django.utils import timezone

from schedules import absences, runs
from schedules.lease import LeaseLostError
from schedules.models import Absence, Lease, Maintenance, QlikTask, Run, Schedule, from_epoch
from tests.integration.test_planner import NOON, lead, loaded, plan

pytestmark = pytest.mark.django_db

HOUR = 3600
TASKS = [str(UUID(int=number)) for number in (1, 2, 3)]
#: Ten hours are missed, so that some cut comes right before, at and after the last
SIZES = range(1, 14)


@pytest.fixture
def absent_from_noon(make_schedule):
    """Return a function that makes an hourly schedule; nobody has planned since noon."""
    Lease.objects.update_or_create(pk=1, defaults={"planned_through": from_epoch(NOON)})

    def make(**values: object) -> Schedule:
        schedule = make_schedule(**{"cron_schedule": "0 * * * *", "timezone": "UTC"} | values)
        Schedule.objects.update(armed_at=from_epoch(NOON - 1))
        return schedule

    return make


@pytest.fixture
def three_tasks() -> dict[str, str]:
    for task_id in TASKS:
        QlikTask.objects.create(id=task_id, name=task_id, tags=["Finance"], seen_at=timezone.now())
    return {"qlik_task_id": "-", "target_tag": "Finance"}


def settle(monkeypatch, size: int, *, now: float, leaders: bool = False) -> None:
    """Plan what is due at `now`, and settle the absence in slices of this size: by one leader, or by one for each."""
    monkeypatch.setattr(absences, "SLICE_SIZE", size)
    planner = loaded(lead("back"), now=now)
    list(planner.plan_due(now=now))
    for number in range(1000):
        if not planner.settle_absence(now=now):
            break
        if leaders:
            planner = loaded(lead(f"leader {number}"), now=now)
            list(planner.plan_due(now=now))
    assert not Absence.objects.exists()


def hours(**filters: object) -> list[float]:
    rows = Run.objects.filter(**filters).order_by("due_at").values_list("due_at", flat=True)
    return [(due.timestamp() - NOON) / HOUR for due in rows]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("leaders", [False, True], ids=["one leader", "a leader for each slice"])
class TestEverySize:
    """Ten hours missed, back at half past ten hours later, so none is on time."""

    NOW = NOON + 10.5 * HOUR

    def test_once_runs_the_last_and_no_other(self, absent_from_noon, monkeypatch, size, leaders):
        first, second = absent_from_noon(), absent_from_noon()

        settle(monkeypatch, size, now=self.NOW, leaders=leaders)

        for schedule in (first, second):
            assert hours(schedule=schedule, state="planned", reason="catch-up") == [10]
            assert hours(schedule=schedule, state="skipped") == [*range(1, 10)]

    def test_all_run_once_each(self, absent_from_noon, monkeypatch, size, leaders):
        absent_from_noon(misfire="all")

        settle(monkeypatch, size, now=self.NOW, leaders=leaders)

        assert hours(state="planned", reason="catch-up") == [*range(1, 11)]
        assert Run.objects.count() == 10

    def test_those_of_several_tasks_too(self, absent_from_noon, three_tasks, monkeypatch, size, leaders):
        absent_from_noon(misfire="all", **three_tasks)
        other = absent_from_noon()

        settle(monkeypatch, size, now=self.NOW, leaders=leaders)

        for task_id in TASKS:
            assert hours(qlik_task_id=task_id, state="planned") == [*range(1, 11)]
        assert hours(schedule=other, state="planned") == [10]

    def test_a_limit_on_runs_counts_over_all_slices(self, absent_from_noon, three_tasks, monkeypatch, size, leaders):
        several = absent_from_noon(misfire="all", max_runs=4, **three_tasks)
        single = absent_from_noon(misfire="all", max_runs=7)

        settle(monkeypatch, size, now=self.NOW, leaders=leaders)

        assert hours(schedule=several) == sorted([*range(1, 5)] * 3)
        assert hours(schedule=single) == [*range(1, 8)]
        assert [*Schedule.objects.order_by("pk").values_list("runs_planned", flat=True)] == [4, 7]

    def test_what_is_on_time_replaces_what_was_missed(self, absent_from_noon, monkeypatch, size, leaders):
        absent_from_noon()

        settle(monkeypatch, size, now=NOON + 10 * HOUR + 30, leaders=leaders)

        assert hours(state="planned", reason="scheduled") == [10]
        assert hours(state="skipped") == [*range(1, 10)]

    @pytest.mark.parametrize("closed", ["maintenance", "pause"])
    def test_what_is_closed_at_the_end_replaces_nothing(self, absent_from_noon, monkeypatch, size, leaders, closed):
        """The last that was missed and may run is run, although occurrences follow that may not."""
        schedule = absent_from_noon()
        if closed == "maintenance":
            ended_at = from_epoch(NOON + 10.2 * HOUR)
            Maintenance.objects.create(began_at=from_epoch(NOON + 7.5 * HOUR), ended_at=ended_at, reason="upgrade")
        else:
            # Paused before the absence, so that its first hours are closed
            until = from_epoch(NOON + 7.5 * HOUR)
            Schedule.objects.filter(pk=schedule.pk).update(paused_until=until, pause_reason="budget")

        settle(monkeypatch, size, now=self.NOW, leaders=leaders)

        assert hours(state="planned", reason="catch-up") == [7 if closed == "maintenance" else 10]
        assert len(hours(state="skipped")) == 9
        assert Run.objects.filter(message__contains="upgrade" if closed == "maintenance" else "budget").count() == (
            3 if closed == "maintenance" else 7
        )


@pytest.mark.parametrize("size", [1, 4, 5, 100])
def test_an_occurrence_on_time_that_is_closed_replaces_nothing(absent_from_noon, monkeypatch, size):
    absent_from_noon()
    Maintenance.objects.create(
        began_at=from_epoch(NOON + 4.9 * HOUR), ended_at=from_epoch(NOON + 5 * HOUR + 20), reason="upgrade"
    )

    settle(monkeypatch, size, now=NOON + 5 * HOUR + 30)

    assert hours(state="planned") == [4]
    assert hours(state="skipped") == [1, 2, 3, 5]


@pytest.mark.parametrize("size", [1, 3, 100])
def test_an_occurrence_on_time_beyond_the_limit_on_runs_replaces_nothing(absent_from_noon, monkeypatch, size):
    schedule = absent_from_noon(max_runs=1)

    settle(monkeypatch, size, now=NOON + 3 * HOUR + 30)

    assert hours(state="planned") == [3], "what is on time comes first, and is all there may be"
    assert Schedule.objects.get(pk=schedule.pk).runs_planned == 1


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_of_two_clocks_set_forward_each_absence_is_settled_once(absent_from_noon, monkeypatch, size):
    """The second comes before anything of the first is settled."""
    absent_from_noon(misfire="all")
    monkeypatch.setattr(absences, "SLICE_SIZE", size)
    planner = loaded(lead("first"), now=NOON + 1)
    list(planner.plan_due(now=NOON + 3.5 * HOUR))
    list(planner.plan_due(now=NOON + 6.5 * HOUR))
    assert [(a.from_at, a.until_at) for a in Absence.objects.all()] == [
        (from_epoch(NOON + HOUR - 1), from_epoch(NOON + 3.5 * HOUR)),
        (from_epoch(NOON + 4 * HOUR - 1), from_epoch(NOON + 6.5 * HOUR)),
    ]

    settle(monkeypatch, size, now=NOON + 6.6 * HOUR, leaders=size < 3)

    assert hours(state="planned") == [1, 2, 3, 4, 5, 6]
    assert Run.objects.count() == 6


def test_of_two_absences_each_runs_its_last_missed(absent_from_noon, monkeypatch):
    absent_from_noon()
    planner = loaded(lead("first"), now=NOON + 1)
    list(planner.plan_due(now=NOON + 3.5 * HOUR))
    list(planner.plan_due(now=NOON + 6.5 * HOUR))

    settle(monkeypatch, 2, now=NOON + 6.6 * HOUR)

    assert hours(state="planned") == [3, 6]
    assert hours(state="skipped") == [1, 2, 4, 5]


@pytest.mark.parametrize("leaders", [False, True])
def test_a_clock_set_back_and_then_forward_makes_up_for_what_has_not_come(absent_from_noon, monkeypatch, leaders):
    wildcard, fixed = absent_from_noon(misfire="all"), absent_from_noon(misfire="all", cron_schedule="0 13 * * *")
    planner = loaded(lead("first"), now=NOON + 1)
    for hour in (1, 2, 3):
        plan(planner, NOON + hour * HOUR)
    Run.objects.update(state="succeeded")

    plan(planner, NOON + 0.5 * HOUR)
    settle(monkeypatch, 2, now=NOON + 5.5 * HOUR, leaders=leaders)

    assert hours(schedule=wildcard, state="planned") == [4, 5]
    assert hours(schedule=wildcard, state="succeeded") == [1, 2, 3]
    assert not hours(reason="repeated")
    assert hours(schedule=fixed) == [1]


class TestAKill:
    """A slice and the mark how far it came are one transaction, under the lease."""

    @pytest.fixture
    def planner(self, absent_from_noon, monkeypatch):
        monkeypatch.setattr(absences, "SLICE_SIZE", 2)
        absent_from_noon(misfire="all", max_runs=50)
        planner = loaded(lead("first"), now=NOON + 5.5 * HOUR)
        list(planner.plan_due(now=NOON + 5.5 * HOUR))
        return planner

    @pytest.mark.parametrize(
        "step", [(Absence, "save"), (Absence, "delete"), (runs, "count_runs")], ids=["mark", "end", "count"]
    )
    def test_at_any_step_leaves_the_slice_undone(self, planner, monkeypatch, step):
        if step == (Absence, "delete"):
            # With the last row in the same slice
            monkeypatch.setattr(absences, "SLICE_SIZE", 4)
            planner.settle_absence(now=NOON + 5.5 * HOUR)
        before = Run.objects.count()
        with monkeypatch.context() as patch:
            patch.setattr(*step, lambda *_, **__: (_ for _ in ()).throw(DatabaseError("killed")))
            with pytest.raises(DatabaseError):
                planner.settle_absence(now=NOON + 5.5 * HOUR)

        assert Run.objects.count() == before
        assert Schedule.objects.get().runs_planned == before
        settle(monkeypatch, 2, now=NOON + 5.5 * HOUR)
        assert hours() == [1, 2, 3, 4, 5]
        assert Schedule.objects.get().runs_planned == 5

    def test_a_leader_that_was_replaced_settles_no_more(self, planner):
        assert planner.settle_absence(now=NOON + 5.5 * HOUR)
        lead("second")

        with pytest.raises(LeaseLostError):
            planner.settle_absence(now=NOON + 5.5 * HOUR)

        assert hours() == [1, 2]
        assert Absence.objects.get().settled_through == from_epoch(NOON + 2 * HOUR)

    def test_a_slice_that_ends_with_the_last_of_a_schedule_leaves_the_next_one_whole(
        self, planner, absent_from_noon, monkeypatch
    ):
        second = absent_from_noon(misfire="all")
        settle(monkeypatch, 2, now=NOON + 5.5 * HOUR)

        assert hours(schedule=second) == [1, 2, 3, 4, 5]


def test_a_grace_of_its_own_says_what_of_an_absence_was_missed(absent_from_noon, monkeypatch):
    patient = absent_from_noon(misfire="skip", misfire_grace=timedelta(hours=2.5))
    strict = absent_from_noon(misfire="skip", misfire_grace=timedelta(0))

    settle(monkeypatch, 3, now=NOON + 5 * HOUR)

    assert hours(schedule=patient, state="planned") == [3, 4, 5]
    assert hours(schedule=patient, state="skipped") == [1, 2]
    assert hours(schedule=strict, state="planned") == [5]
    assert hours(schedule=strict, state="skipped") == [1, 2, 3, 4]
    assert datetime.fromtimestamp(NOON, UTC) < Run.objects.earliest("due_at").due_at
