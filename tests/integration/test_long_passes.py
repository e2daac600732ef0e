"""A pass of many rows, written in parts: each under the lease, each whole, and the progress with the last."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, connection

from butler.celery import app
from schedules import lease as lease_module
from schedules import planner as planner_module
from schedules import runs, services
from schedules.beat import QlikScheduler
from schedules.lease import LeaseLostError, PlannerLease
from schedules.models import Lease, Run, Schedule, from_epoch
from schedules.planner import Planner
from tests.clock import TurnedClock
from tests.conftest import ORIGIN
from tests.integration.locks import waiting_thread
from tests.integration.test_planner import NOON, lead, loaded

pytestmark = pytest.mark.django_db


@pytest.fixture
def thirty_five(make_schedule, monkeypatch) -> list[Schedule]:
    """Schedules that are due together at noon, in parts of ten."""
    monkeypatch.setattr(planner_module, "PART_SIZE", 10)
    schedules = [make_schedule(timezone="UTC") for _ in range(35)]
    Schedule.objects.update(armed_at=from_epoch(NOON - 1))
    return schedules


def planned_through() -> float:
    return Lease.objects.get().planned_through.timestamp()


def test_a_leader_that_is_replaced_between_two_parts_writes_no_more(thirty_five):
    parts = loaded().plan_due(now=NOON)
    next(parts)
    lead("second")

    with pytest.raises(LeaseLostError):
        next(parts)

    assert Run.objects.count() == 10
    assert planned_through() == NOON - 0.5


def test_a_leader_in_the_middle_of_a_pass_is_not_taken_for_silent(thirty_five, monkeypatch):
    clock = TurnedClock()
    monkeypatch.setattr(lease_module, "time", clock)
    planner, standby = loaded(), PlannerLease(holder="elsewhere/boot/1")
    assert not standby.keep()

    for _ in planner.plan_due(now=NOON):
        clock.now += lease_module.LEASE_SECONDS - 1
        assert not standby.keep()

    assert Run.objects.count() == 35


@pytest.mark.parametrize("part", [1, 2, 4])
def test_a_part_that_fails_after_its_rows_were_written_leaves_none_of_them(thirty_five, monkeypatch, part):
    planner = loaded()
    parts = planner.plan_due(now=NOON)
    for _ in range(part - 1):
        next(parts)
    write = runs.plan_runs

    def write_and_fail(*args: object, **values: object) -> None:
        write(*args, **values)
        raise DatabaseError("cut off")

    with monkeypatch.context() as patch:
        patch.setattr(runs, "plan_runs", write_and_fail)
        with pytest.raises(DatabaseError):
            next(parts)

    assert Run.objects.count() == 10 * (part - 1)


def test_the_last_part_and_the_progress_are_written_together(thirty_five, monkeypatch):
    planner = loaded()
    parts = planner.plan_due(now=NOON)
    for _ in range(3):
        next(parts)
    with monkeypatch.context() as patch:
        patch.setattr(planner._lease, "advance", lambda **_: (_ for _ in ()).throw(DatabaseError("cut off")))
        with pytest.raises(DatabaseError):
            next(parts)

    assert Run.objects.count() == 30
    assert planned_through() == NOON - 0.5


def test_progress_is_noted_with_the_last_part_alone(thirty_five):
    seen = [planned_through() for _ in loaded().plan_due(now=NOON)]

    assert seen == [NOON - 0.5] * 3 + [NOON]


def test_a_part_is_as_large_as_the_last_allows(thirty_five, monkeypatch):
    monkeypatch.setattr(planner_module, "FIRST_PART_SIZE", 2)
    monkeypatch.setattr(planner_module, "PART_GROWTH", 3)

    assert [len(keys) for keys in loaded().plan_due(now=NOON, is_queued=True)] == [2, 6, 10, 10, 7]


@pytest.mark.parametrize("count", [9, 10, 11])
def test_a_pass_of_just_about_one_part_is_written_whole(thirty_five, count):
    services.delete_schedules([schedule.name for schedule in thirty_five[count:]], origin=ORIGIN)

    keys = [key for part in loaded().plan_due(now=NOON, is_queued=True) for key in part]

    assert len(set(keys)) == len(keys) == Run.objects.count() == count
    assert planned_through() == NOON


def test_a_pass_that_was_given_up_is_made_again_whole_and_once(thirty_five):
    parts = loaded().plan_due(now=NOON)
    next(parts)
    parts.close()

    planner = loaded(lead("second"), now=NOON + 1)
    list(planner.plan_due(now=NOON + 1))

    assert Run.objects.count() == 35
    assert planner.next_due() == NOON + 60


def test_what_a_pass_that_was_given_up_had_written_counts_once_towards_a_limit_on_runs(thirty_five):
    Schedule.objects.update(max_runs=2)
    parts = loaded().plan_due(now=NOON)
    next(parts)
    next(parts)
    parts.close()

    planner = loaded(lead("second"), now=NOON + 1)
    for minute in range(4):
        list(planner.plan_due(now=NOON + 1 + 60 * minute))

    assert set(Schedule.objects.values_list("runs_planned", flat=True)) == {2}
    assert Run.objects.count() == 70


@pytest.mark.django_db(transaction=True)
class TestInTheMiddle:
    def test_keys_are_given_out_when_their_rows_are_committed(self, thirty_five):
        for keys in loaded().plan_due(now=NOON, is_queued=True):
            assert not connection.in_atomic_block
            assert Run.objects.filter(pk__in=keys).count() == len(keys)

    def test_nobody_takes_the_lease_while_a_part_is_written(self, thirty_five, monkeypatch):
        planner, threads, taken = loaded(), [], []
        write = runs.plan_runs
        # As it is found by one that has seen no sign of life
        Lease.objects.update(holder="")

        def write_while_another_wants_to_lead(*args: object, **values: object) -> list[str]:
            threads.append(waiting_thread(lambda: taken.append(PlannerLease(holder="second").keep())))
            return write(*args, **values)

        with monkeypatch.context() as patch:
            patch.setattr(runs, "plan_runs", write_while_another_wants_to_lead)
            next(planner.plan_due(now=NOON))
        threads[0].join(30)

        assert taken == [False], "it finds that the leader has renewed"
        assert Run.objects.count() == 10

    def test_no_edit_comes_into_the_middle_of_a_part(self, thirty_five, monkeypatch):
        planner, threads = loaded(), []
        write = runs.plan_runs

        def write_while_somebody_stops_all(*args: object, **values: object) -> list[str]:
            if not threads:
                threads.append(waiting_thread(lambda: services.stop_schedules(None, origin=ORIGIN)))
            return write(*args, **values)

        with monkeypatch.context() as patch:
            patch.setattr(runs, "plan_runs", write_while_somebody_stops_all)
            next(planner.plan_due(now=NOON))
        threads[0].join(30)

        assert set(Run.objects.values_list("state", flat=True)) == {"skipped"}, "the stop has seen the rows"


@pytest.mark.django_db(transaction=True)
def test_a_beat_that_ends_gives_the_lease_back(redis_server):
    beat = QlikScheduler(app=app, max_interval=1)
    assert beat._lease.keep()

    beat.close()

    assert PlannerLease(holder="elsewhere/boot/1").keep()


def test_the_planner_that_comes_back_after_a_loss_holds_nothing_old(thirty_five):
    former = loaded()
    second = loaded(lead("second"))
    list(second.plan_due(now=NOON))
    with pytest.raises(LeaseLostError):
        list(former.plan_due(now=NOON))

    again = Planner(lead("again"))
    again.load(now=NOON + 1)

    assert list(again.plan_due(now=NOON + 1)) == []
    assert Run.objects.count() == 35
