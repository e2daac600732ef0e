"""Single turns of beat's loop: what it does after an error, after a loss, and when nothing is sure."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import InterfaceError, OperationalError
from django.utils import timezone
from django_celery_beat.schedulers import DatabaseScheduler

from butler.celery import app
from schedules import runs, services
from schedules.beat import PULSE_SECONDS, STANDBY_SECONDS, QlikScheduler
from schedules.models import Lease, Run
from tests.conftest import ORIGIN
from tests.integration.test_beat import messages

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def waits(monkeypatch) -> list[float]:
    """The seconds that beat wanted to wait; it does not."""
    asked: list[float] = []

    def wait(self, seconds: float) -> bool:
        asked.append(seconds)
        return False

    monkeypatch.setattr("schedules.wakeup.WakeUpCall.wait", wait)
    return asked


@pytest.fixture
def beat(redis_server, waits):
    scheduler = QlikScheduler(app=app, max_interval=1)
    yield scheduler
    scheduler.close()


@pytest.fixture
def waiting(make_schedule):
    """Return a function that plans a run by hand, of a schedule that is never due."""
    name = make_schedule(cron_schedule="0 0 1 1 *").name

    def plan() -> Run:
        return services.run_now([name], origin=ORIGIN)[0]

    return plan


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
@pytest.mark.parametrize("step", ["planner", "library"])
def test_after_an_error_of_the_database_it_starts_from_what_is_there(beat, monkeypatch, waits, error, step):
    beat.tick()
    assert beat._is_loaded

    def fail(*_: object, **__: object) -> None:
        raise error("gone")

    beat._library_at = 0.0
    with monkeypatch.context() as patch:
        patch.setattr(*((beat._planner, "plan_due") if step == "planner" else (DatabaseScheduler, "tick")), fail)
        assert beat.tick() == 0.0

    assert not beat._is_loaded
    assert waits[-1] == STANDBY_SECONDS
    beat.tick()
    assert beat._is_loaded


def test_an_error_of_the_librarys_tasks_is_no_reason_to_start_over(beat, monkeypatch, caplog):
    beat.tick()

    def fail(*_: object, **__: object) -> None:
        raise ValueError("a task that cannot be read")

    beat._library_at = 0.0
    with monkeypatch.context() as patch:
        patch.setattr(DatabaseScheduler, "tick", fail)
        beat.tick()

    assert beat._is_loaded
    assert "django-celery-beat's own tasks failed" in caplog.text


def test_who_loses_the_lease_stands_by_and_loads_again_when_it_leads(beat, waits):
    beat.tick()
    Lease.objects.update(holder="elsewhere/boot/1", token=99)
    beat._pulse_at = 0.0

    beat.tick()
    assert (beat._is_loaded, beat._lease.token) == (False, None)
    beat.tick()
    assert waits[-1] == STANDBY_SECONDS

    Lease.objects.update(holder="")
    beat.tick()
    assert (beat._is_loaded, beat._lease.token) == (True, 100)


def test_it_waits_no_longer_than_until_its_next_look(beat, waits):
    beat.tick()
    beat.tick()

    assert 0 < waits[-1] <= PULSE_SECONDS


def test_a_run_by_hand_is_sent_by_the_next_look(beat, waiting, redis_server):
    beat.tick()
    run = waiting()
    beat.tick()
    assert messages(redis_server) == [], "not before it looks"

    beat._pulse_at = 0.0
    beat.tick()

    assert messages(redis_server) == [str(run.pk)]


@pytest.mark.parametrize("state", ["retrying", "waiting"])
def test_a_run_whose_time_has_come_is_sent_by_the_next_look(beat, waiting, redis_server, state):
    due, early = waiting(), waiting()
    now = timezone.now()
    Run.objects.filter(pk=due.pk).update(state=state, next_try_at=now - timedelta(seconds=1))
    Run.objects.filter(pk=early.pk).update(state=state, next_try_at=now + timedelta(minutes=1))
    beat.tick()
    beat._pulse_at = 0.0

    beat.tick()

    assert messages(redis_server) == [str(due.pk)]


def test_what_redis_may_have_lost_is_sent_again_by_a_new_leader(beat, waiting, redis_server):
    run = waiting()
    runs.take_planned(most=1, now=timezone.now())

    beat.tick()

    assert messages(redis_server) == [str(run.pk)]


@pytest.mark.parametrize("sign", ["wiped", "cut"])
def test_what_redis_may_have_lost_is_sent_again_when_there_is_a_sign_of_it(beat, waiting, redis_server, sign):
    run = waiting()
    beat.tick()
    with redis_server.client() as client:
        client.flushall()
    if sign == "cut":
        # Its mark is there: another beat has left it
        beat._publisher._mark.is_there()
        beat._wake_up_call._was_cut = True
    beat._pulse_at = 0.0

    beat.tick()

    assert messages(redis_server) == [str(run.pk)]


def test_what_redis_does_not_take_stays_planned_and_is_sent_when_it_does(beat, waiting, redis_server, monkeypatch):
    beat.tick()
    run = waiting()
    beat._pulse_at = 0.0
    with monkeypatch.context() as patch:
        patch.setattr(beat._publisher, "publish", lambda keys: bool(runs.give_back(keys)))
        beat.tick()
    assert Run.objects.get().state == "planned"
    assert beat._send_at is not None, "it tries again by itself"

    beat._send_at = 0.0
    beat.tick()

    assert messages(redis_server) == [str(run.pk)]
