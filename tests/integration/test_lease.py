"""Who leads."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, connections, transaction
from django.utils import timezone

from schedules import lease as lease_module
from schedules.lease import (
    LEASE_SECONDS,
    LeaseLostError,
    PlannerLease,
    is_gone,
    lives_here,
    lock_lease,
    name_this_process,
)
from schedules.models import Lease, Run, ScheduleChange, from_epoch
from schedules.policies import LONGEST_WAIT
from tests.clock import TurnedClock
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db


@pytest.fixture
def clock(monkeypatch) -> TurnedClock:
    clock = TurnedClock()
    monkeypatch.setattr(lease_module, "time", clock)
    return clock


def test_the_first_beat_leads_and_the_second_stands_by(clock):
    first, second = PlannerLease(holder="a/1"), PlannerLease(holder="b/1")

    assert first.keep()
    assert not second.keep()
    assert Lease.objects.get().holder == "a/1"


def test_a_leader_that_renews_keeps_the_lease(clock):
    first, second = PlannerLease(holder="a/1"), PlannerLease(holder="b/1")
    first.keep()

    for _ in range(20):
        clock.now += 1
        first.renew()
        assert not second.keep()


def test_a_leader_that_plans_each_second_keeps_the_lease(clock):
    first, second = PlannerLease(holder="a/1"), PlannerLease(holder="b/1")
    first.keep()

    for second_of_clock in range(20):
        clock.now += 0.9
        first.advance(planned_through=from_epoch(second_of_clock))
        assert not second.keep()
    assert first.keep()


def test_a_silent_leader_is_replaced_and_can_write_no_more(clock):
    first, second = PlannerLease(holder="a/1"), PlannerLease(holder="b/1")
    first.keep()
    second.keep()

    clock.now += LEASE_SECONDS - 0.1
    assert not second.keep()
    clock.now += 0.1
    assert second.keep()

    with pytest.raises(LeaseLostError):
        first.advance(planned_through=from_epoch(0))
    assert not first.keep()
    assert Lease.objects.get().planned_through is None


def test_two_that_wait_do_not_both_take_it(clock):
    leader, second, third = (PlannerLease(holder=f"{name}/1") for name in "abc")
    leader.keep()
    second.keep()
    third.keep()

    clock.now += LEASE_SECONDS

    assert second.keep()
    assert not third.keep()


def test_a_released_lease_is_free_at_once(clock):
    first, second = PlannerLease(holder="a/1"), PlannerLease(holder="b/1")
    first.keep()

    first.release()

    assert second.keep()


def test_a_release_does_not_take_the_lease_from_the_next(clock):
    first, second = PlannerLease(holder="a/1"), PlannerLease(holder="b/1")
    first.keep()
    second.keep()
    clock.now += LEASE_SECONDS
    second.keep()

    first.release()

    assert Lease.objects.get().holder == "b/1"


def test_the_lease_of_a_process_that_is_gone_is_free_at_once(clock):
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    dead = name_this_process().rpartition("/")[0] + f"/{process.pid}"
    PlannerLease(holder=dead).keep()

    assert PlannerLease(holder="b/1").keep()


def test_only_processes_of_this_system_are_known_to_be_gone():
    here = name_this_process().rpartition("/")[0]

    assert not is_gone(f"{here}/1")
    assert not is_gone("elsewhere/boot/999999999")
    assert not is_gone("")
    assert not is_gone(f"{here}/{os.getppid()}")


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite cannot end another process's transaction")
def test_who_freezes_within_a_transaction_does_not_hold_the_lease_for_ever():
    PlannerLease().keep()
    frozen = connections.create_connection("default")
    with frozen.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute(f"SELECT 1 FROM {Lease._meta.db_table} FOR UPDATE")  # noqa: S608 -- a constant

        with transaction.atomic(), connection.cursor() as other:
            other.execute("SET LOCAL lock_timeout = '10s'")
            lock_lease()

        with pytest.raises(DatabaseError):
            cursor.execute("SELECT 1")
    frozen.close()


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite locks before it reads")
def test_a_pass_that_waited_for_an_edit_sees_that_edit():
    lease = PlannerLease()
    lease.keep()
    has_lock, seen = threading.Event(), []

    def plan() -> None:
        has_lock.wait(5)
        with transaction.atomic():
            seen.append(lease.renew().change_id)
        connection.close()

    planner = threading.Thread(target=plan)
    planner.start()
    with transaction.atomic():
        lock_lease()
        has_lock.set()
        wait_for(lambda: count_waiting_for_locks() == 1, seconds=5)
        change = ScheduleChange.objects.create(schedule_pk=1, changed_at=from_epoch(0))
    planner.join(5)

    assert seen == [change.pk]


class TestPulse:
    """What a leader learns when it renews."""

    @pytest.fixture
    def make_run(self, make_schedule):
        schedule = make_schedule()

        def make(state: str, **values: object) -> None:
            now = timezone.now()
            given = {"due_at": now, "planned_at": now, "reason": Run.Reason.SCHEDULED} | values
            Run.objects.create(schedule=schedule, qlik_task_id=schedule.qlik_task_id, state=state, **given)

        return make

    @pytest.fixture
    def renew(self):
        lease = PlannerLease(holder="a/1")
        assert lease.keep()
        return lease.renew

    @pytest.mark.parametrize("state", Run.State)
    def test_runs_are_to_be_sent_where_some_are_planned(self, make_run, renew, state):
        make_run(state)

        assert renew().has_planned == (state == Run.State.PLANNED)

    @pytest.mark.parametrize("state", Run.State)
    @pytest.mark.parametrize(
        ("ahead", "is_due"),
        [
            (timedelta(seconds=-1), True),
            (timedelta(minutes=1), False),
            # Further ahead than any pause: the clock was set back
            (LONGEST_WAIT + timedelta(minutes=1), True),
        ],
    )
    def test_runs_are_to_be_tried_again_where_the_time_of_one_has_come(self, make_run, renew, state, ahead, is_due):
        make_run(state, next_try_at=timezone.now() + ahead)

        assert renew().has_postponed == (is_due and state in (Run.State.RETRYING, Run.State.WAITING))

    def test_it_is_shown_when_it_was_and_how_often(self, renew):
        before = Lease.objects.get()

        renew()

        after = Lease.objects.get()
        assert after.renewals == before.renewals + 1
        assert after.renewed_at > before.renewed_at

    def test_the_newest_change_is_named(self, renew, make_schedule):
        make_schedule()

        assert renew().change_id == ScheduleChange.objects.latest("pk").pk


def test_a_process_of_somebody_else_is_not_gone(monkeypatch):
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)

    assert not is_gone(f"{name_this_process().rpartition('/')[0]}/1")


def test_only_processes_of_this_system_are_known_to_live():
    here = name_this_process().rpartition("/")[0]
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()

    assert lives_here(name_this_process())
    assert lives_here(f"{here}/{os.getppid()}")
    assert not lives_here(f"{here}/{process.pid}")
    assert not lives_here("elsewhere/boot/1")
    assert not lives_here("")


def count_waiting_for_locks() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM pg_locks WHERE NOT granted")
        return cursor.fetchone()[0]
