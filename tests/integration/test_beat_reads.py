"""What beat reads beside its work: a clock that has leapt, and many rows, part by part."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django_celery_beat.models import IntervalSchedule, PeriodicTask, PeriodicTasks

from butler.celery import app
from schedules import beat as beat_module
from schedules import doubted_clock, entries, services
from schedules import lease as lease_module
from schedules import planner as planner_module
from schedules.beat import QlikScheduler
from schedules.lease import PlannerLease
from schedules.models import Lease, Run, Schedule, from_epoch
from schedules.planner import Planner
from tests.clock import TurnedClock
from tests.conftest import ORIGIN
from tests.integration.test_beat import beat, tick_until  # noqa: F401 -- a fixture among them
from tests.integration.test_planner import NOON, at_noon, lead, plan  # noqa: F401 -- a fixture among them

pytestmark = pytest.mark.django_db(transaction=True)


class LeapingTime:
    """Stands in for the module `time`; its wall clock can be turned."""

    CLOCK_MONOTONIC = time.CLOCK_MONOTONIC
    monotonic = staticmethod(time.monotonic)
    clock_gettime = staticmethod(time.clock_gettime)

    def __init__(self) -> None:
        self.turn = 0.0

    def time(self) -> float:
        return time.time() + self.turn


def test_a_leap_for_a_moment_is_not_written_anywhere(make_schedule, redis_server, monkeypatch):
    clock = LeapingTime()
    for module in (doubted_clock, beat_module):
        monkeypatch.setattr(module, "time", clock)
    make_schedule(cron_schedule="* * * * * *")
    make_schedule(cron_schedule="0 6 * * *")
    leaping = QlikScheduler(app=app, max_interval=1)
    tick_until(leaping, lambda: Run.objects.filter(state="queued").exists())
    before = Lease.objects.get()

    clock.turn = 5 * 86_400.0
    tick_until(leaping, lambda: Lease.objects.get().renewals > before.renewals + 1)
    clock.turn = 0.0
    tick_until(leaping, lambda: Lease.objects.get().planned_through > before.planned_through)

    leaping.close()
    assert not Run.objects.filter(state="skipped").exists()
    due = sorted(Run.objects.values_list("due_at", flat=True))
    gaps = {(later - earlier).total_seconds() for earlier, later in pairwise(due)}
    assert gaps == {1.0}, "no second is missing"
    assert Lease.objects.get().clock_sets == 0


def test_a_leap_that_lasts_is_followed(make_schedule, redis_server, monkeypatch):
    clock = LeapingTime()
    for module in (doubted_clock, beat_module):
        monkeypatch.setattr(module, "time", clock)
    make_schedule(cron_schedule="* * * * * *")
    leaping = QlikScheduler(app=app, max_interval=1)
    tick_until(leaping, lambda: Run.objects.filter(state="queued").exists())

    clock.turn = 7200.0
    tick_until(leaping, lambda: Run.objects.filter(due_at__gt=from_epoch(time.time() + 7000)).exists())

    leaping.close()


def test_a_standby_that_starts_leaves_the_librarys_mark_alone(beat, redis_server):  # noqa: F811
    mark = PeriodicTasks.objects.get().last_update
    intervals = IntervalSchedule.objects.count()

    QlikScheduler(app=app, max_interval=1).close()

    assert PeriodicTasks.objects.get().last_update == mark
    assert IntervalSchedule.objects.count() == intervals


@pytest.mark.parametrize(
    "values", [{"task": "other"}, {"expire_seconds": 77}, {"kwargs": '{"a": 1}'}, {"headers": '{"a": "b"}'}, None]
)
def test_housekeeping_that_differs_is_installed_again(redis_server, values):
    QlikScheduler(app=app, max_interval=1).close()
    sweeper = PeriodicTask.objects.filter(name="butler: sweep runs")
    before = sweeper.values("task", "expire_seconds", "kwargs", "interval_id").get()
    if values is None:
        sweeper.delete()
    else:
        sweeper.update(**values)

    QlikScheduler(app=app, max_interval=1).close()

    assert sweeper.values("task", "expire_seconds", "kwargs", "interval_id").get() == before


def many_at_noon(at_noon, monkeypatch, count: int = 12) -> list[Schedule]:  # noqa: F811
    monkeypatch.setattr(entries, "_READ_SIZE", 3)
    return [at_noon() for _ in range(count)]


def test_a_leader_that_loads_renews_between_the_parts(at_noon, monkeypatch):  # noqa: F811
    many_at_noon(at_noon, monkeypatch)
    clock = TurnedClock()
    monkeypatch.setattr(lease_module, "time", clock)
    lease = lead()
    rival = PlannerLease(holder="rival/1")
    assert not rival.keep()
    read = entries._read_sound

    def read_slowly(*args, **kwargs):
        clock.now += 2
        assert not rival.keep()
        return read(*args, **kwargs)

    monkeypatch.setattr(entries, "_read_sound", read_slowly)

    Planner(lease).load(now=NOON - 0.5)

    assert not rival.keep()


def test_others_write_while_a_leader_loads(at_noon, monkeypatch):  # noqa: F811
    many_at_noon(at_noon, monkeypatch)
    read = entries._read_sound

    def read_and_look(*args, **kwargs):
        assert not connection.in_atomic_block
        return read(*args, **kwargs)

    monkeypatch.setattr(entries, "_read_sound", read_and_look)

    Planner(lead()).load(now=NOON - 0.5)


def test_what_is_changed_while_a_leader_loads_is_seen_by_its_first_pass(at_noon, monkeypatch):  # noqa: F811
    schedules = many_at_noon(at_noon, monkeypatch)
    read, stopped = entries._read_sound, []

    def read_and_stop(*args, **kwargs):
        rows = list(read(*args, **kwargs))
        if not stopped:
            stopped.append(services.stop_schedules([schedules[0].name], origin=ORIGIN))
        return iter(rows)

    monkeypatch.setattr(entries, "_read_sound", read_and_stop)
    planner = Planner(lead())
    planner.load(now=NOON - 0.5)

    assert len(plan(planner, NOON)) == len(schedules) - 1


def test_a_comparison_of_all_rows_lets_what_is_due_go_first(at_noon, monkeypatch):  # noqa: F811
    schedules = many_at_noon(at_noon, monkeypatch)
    planner = Planner(lead())
    planner.load(now=NOON - 0.5)
    Schedule.objects.filter(pk=schedules[-1].pk).update(cron_schedule="30 * * * * *")
    PeriodicTasks.update_changed()

    with CaptureQueriesContext(connection) as queries:
        assert planner.take_changes(planner._lease.renew(), now=NOON - 0.4)

    # One part: the lease, the keys, the rows
    assert len(queries) <= 4
    assert len(plan(planner, NOON)) == len(schedules)
    while planner.reread(now=NOON + 1):
        pass
    assert not planner.reread(now=NOON + 1)
    assert len(plan(planner, NOON + 30)) == 1
    assert len(plan(planner, NOON + 60)) == len(schedules) - 1


def test_a_comparison_that_is_asked_for_again_begins_again_at_its_end(at_noon, monkeypatch):  # noqa: F811
    schedules = many_at_noon(at_noon, monkeypatch)
    planner = Planner(lead())
    planner.load(now=NOON - 0.5)
    # The first one has been compared when it is changed
    for number in range(3):
        PeriodicTasks.update_changed()
        planner.take_changes(planner._lease.renew(), now=NOON - 0.4)
        Schedule.objects.filter(pk=schedules[number].pk).update(enabled=False)
    PeriodicTasks.update_changed()
    planner.take_changes(planner._lease.renew(), now=NOON - 0.4)

    while planner.reread(now=NOON - 0.3):
        pass

    assert len(plan(planner, NOON)) == len(schedules) - 3


def test_many_changes_are_read_before_a_pass_and_not_within_it(at_noon, monkeypatch):  # noqa: F811
    schedules = many_at_noon(at_noon, monkeypatch)
    planner = Planner(lead())
    planner.load(now=NOON - 0.5)
    monkeypatch.setattr(planner_module, "FEW_CHANGES", 4)
    services.stop_schedules([schedule.name for schedule in schedules[:6]], origin=ORIGIN)
    read, reads = entries._read_sound, []

    def read_and_look(*args, **kwargs):
        reads.append(connection.in_atomic_block)
        return read(*args, **kwargs)

    monkeypatch.setattr(entries, "_read_sound", read_and_look)

    assert len(plan(planner, NOON)) == len(schedules) - 6
    assert reads == [False, False]
