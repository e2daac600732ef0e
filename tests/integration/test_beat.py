"""Beat's turn of the loop: rows first, messages second, whatever Redis and the database do."""

from __future__ import annotations

import base64
import json
import threading
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.db import OperationalError, connection
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from butler.celery import app
from schedules import publisher as publisher_module
from schedules import services
from schedules.beat import QlikScheduler
from schedules.models import Lease, Run, Schedule
from schedules.redis_names import read_names
from schedules.wakeup import wake_beat
from tests.conftest import ORIGIN
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def beat(redis_server):
    scheduler = QlikScheduler(app=app, max_interval=1)
    yield scheduler
    scheduler.close()


def messages(redis_server) -> list[str]:
    """Return the run ids in the messages on Redis."""
    with redis_server.client() as client:
        raw = [json.loads(message) for message in client.lrange(read_names().queue, 0, -1)]
    bodies = [
        json.loads(base64.b64decode(message["body"]))
        for message in raw
        if message["headers"]["task"] == "schedules.start_runs"
    ]
    return [str(UUID(run_id)) for (args, _, _) in bodies for run_id in args[0]]


def tick_until(beat: QlikScheduler, condition, *, seconds: float = 10.0):
    def ticked():
        beat.tick()
        return condition()

    return wait_for(ticked, seconds=seconds)


def test_what_is_due_is_in_the_ledger_and_on_redis_on_the_second(beat, make_schedule, redis_server):
    make_schedule(cron_schedule="* * * * * *")

    tick_until(beat, lambda: Run.objects.count() >= 2)

    runs = list(Run.objects.all())
    assert sorted(messages(redis_server)) == sorted(str(run.pk) for run in runs)
    assert {run.state for run in runs} == {"queued"}
    assert all(run.due_at.microsecond == 0 for run in runs)


def test_rows_wait_for_redis_and_are_sent_when_it_returns(beat, make_schedule, redis_server):
    make_schedule(cron_schedule="* * * * * *")
    tick_until(beat, lambda: Run.objects.filter(state="queued").exists())
    redis_server.stop()

    tick_until(beat, lambda: Run.objects.filter(state="planned").count() >= 2)
    redis_server.start()
    tick_until(beat, lambda: not Run.objects.filter(state="planned").exists())

    sent = set(messages(redis_server))
    assert sent >= {str(run.pk) for run in Run.objects.all()[:2]}


def test_the_librarys_tasks_wait_for_redis_and_hold_nothing_up(beat, make_schedule, redis_server, caplog):
    every_second = IntervalSchedule.objects.create(every=1, period="seconds")
    PeriodicTask.objects.create(name="other", task="other.task", interval=every_second)
    make_schedule(cron_schedule="* * * * * *")
    redis_server.stop()

    tick_until(beat, lambda: Run.objects.count() >= 3)
    redis_server.start()
    tick_until(beat, lambda: not Run.objects.filter(state="planned").exists(), seconds=2)

    assert "Traceback" not in caplog.text
    with redis_server.client() as client:
        tick_until(beat, lambda: any(b"other.task" in message for message in client.lrange(read_names().queue, 0, -1)))


def test_a_look_that_falls_together_with_a_pass_publishes_both(beat, make_schedule, redis_server):
    schedule = make_schedule(cron_schedule="* * * * * *")
    tick_until(beat, lambda: Run.objects.exists())
    (by_hand,) = services.run_now([schedule.name], origin=ORIGIN)
    beat._pulse_at = 0.0
    wait_for(lambda: beat._planner.next_due() <= time.time(), seconds=5)

    beat._take_turn()

    assert str(by_hand.pk) in messages(redis_server)
    assert not Run.objects.filter(state="planned").exists()


def test_a_pile_that_waits_is_published_without_a_pause(beat, make_schedule, redis_server, monkeypatch):
    monkeypatch.setattr(publisher_module, "BATCH_SIZE", 2)
    name = make_schedule(cron_schedule="@yearly").name
    beat.tick()
    for _ in range(5):
        services.run_now([name], origin=ORIGIN)
    beat._pulse_at = 0.0

    assert [beat._take_turn() == 0.0 for _ in range(3)] == [True, True, False]

    assert len(messages(redis_server)) == 5


@pytest.mark.parametrize("broken", ["zone of a crontab", "headers of a task"])
def test_a_row_of_the_library_broken_by_hand_does_not_end_beat(make_schedule, redis_server, broken, caplog):
    make_schedule(cron_schedule="* * * * * *")
    if broken == "zone of a crontab":
        make_schedule(cron_schedule="0 6 * * *", timezone="Europe/Oslo")
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE django_celery_beat_crontabschedule SET timezone = 'Europe/Atlantis' WHERE hour = '6'"
            )
    else:
        every = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.SECONDS)
        PeriodicTask.objects.create(name="other", task="schedules.sweep_runs", interval=every, headers="[]")
    beat = QlikScheduler(app=app, max_interval=1)

    tick_until(beat, lambda: Run.objects.filter(state="queued").count() >= 2)

    beat.close()
    assert ("django-celery-beat" in caplog.text) is (broken == "headers of a task")


def test_a_beat_that_starts_without_redis_plans_and_sends_later(make_schedule, redis_server):
    make_schedule(cron_schedule="* * * * * *")
    redis_server.stop()
    beat = QlikScheduler(app=app, max_interval=1)

    tick_until(beat, lambda: Run.objects.filter(state="planned").count() >= 2)
    redis_server.start()
    tick_until(beat, lambda: not Run.objects.filter(state="planned").exists())
    beat.close()

    assert len(messages(redis_server)) >= 2


def test_rows_of_a_beat_that_died_before_publishing_are_sent_by_the_next(beat, make_schedule, redis_server):
    schedule = make_schedule(cron_schedule="@yearly")
    (orphan,) = services.run_now([schedule.name], origin=ORIGIN)

    beat.tick()

    assert messages(redis_server) == [str(orphan.pk)]


def test_a_wake_up_call_makes_a_new_schedule_live_at_once(beat, make_schedule, redis_server):
    tick_until(beat, lambda: Lease.objects.get().holder)
    beat._wake_up_call.wait(0)
    # A long way to the next look: only the call can be what wakes it
    beat._pulse_at = time.monotonic() + 60
    called = threading.Timer(0.1, wake_beat)
    called.start()
    began = time.monotonic()

    assert beat._wake_up_call.wait(30)

    assert time.monotonic() - began < 10
    called.join()


def test_without_redis_a_change_is_seen_at_the_next_look(beat, make_schedule, redis_server):
    beat.tick()
    redis_server.stop()
    make_schedule(cron_schedule="* * * * * *")

    tick_until(beat, lambda: Run.objects.exists())


def test_a_standby_plans_nothing_until_the_leader_is_gone(beat, make_schedule, redis_server):
    make_schedule(cron_schedule="* * * * * *")
    Lease.objects.update_or_create(pk=1, defaults={"holder": "elsewhere/boot/1", "token": 7})

    beat.tick()
    beat.tick()
    assert not Run.objects.exists()

    Lease.objects.update(holder="")
    tick_until(beat, lambda: Run.objects.exists())
    assert Lease.objects.get().token == 8


def test_a_leader_that_lost_the_lease_stands_by(beat, make_schedule, redis_server):
    make_schedule(cron_schedule="* * * * * *")
    tick_until(beat, lambda: Run.objects.exists())

    Lease.objects.update(holder="elsewhere/boot/1", token=99)
    beat.tick()
    beat.tick()
    count = Run.objects.count()
    beat.tick()

    assert beat._lease.token is None
    assert Run.objects.count() == count


def test_a_database_that_fails_does_not_end_beat(beat, make_schedule, redis_server, monkeypatch, caplog):
    make_schedule(cron_schedule="* * * * * *")
    tick_until(beat, lambda: Run.objects.exists())
    before = Run.objects.count()
    with monkeypatch.context() as patch:
        patch.setattr(beat._planner, "plan_due", _fail)
        beat.tick()
        beat.tick()

    tick_until(beat, lambda: Run.objects.count() >= before + 2)

    assert "the database does not answer" in caplog.text
    due = sorted(Run.objects.values_list("due_at", flat=True))
    assert due == [due[0] + timedelta(seconds=n) for n in range(len(due))], "no second is missing"


def _fail(**kwargs: object) -> None:
    raise OperationalError("database is locked")


def test_other_periodic_tasks_run_the_librarys_way(beat, make_schedule, redis_server):
    schedule = make_schedule(cron_schedule="* * * * *")
    every = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.SECONDS)
    PeriodicTask.objects.create(name="other", task="schedules.sweep_runs", interval=every)

    def swept() -> bool:
        with redis_server.client() as client:
            raw = [json.loads(message) for message in client.lrange(read_names().queue, 0, -1)]
        return any(m["properties"].get("periodic_task_name") == "other" or _names(m, "other") for m in raw)

    tick_until(beat, swept)

    names = set(beat.schedule)
    assert "other" in names
    assert schedule.name not in names, "beat.py alone decides about schedules"


def _names(message: dict, name: str) -> bool:
    return message["headers"].get("periodic_task_name") == name


def test_the_housekeeping_is_installed_once(beat, redis_server):
    assert PeriodicTask.objects.filter(task="schedules.sweep_runs").count() == 1
    QlikScheduler(app=app, max_interval=1).close()
    assert PeriodicTask.objects.filter(task="schedules.sweep_runs").count() == 1


def test_a_message_is_what_celery_itself_would_send(beat, make_schedule, redis_server):
    from schedules.tasks import start_runs

    (run,) = services.run_now([make_schedule(cron_schedule="@yearly").name], origin=ORIGIN)
    beat.tick()
    with redis_server.client() as client:
        ours = json.loads(client.lindex(read_names().queue, 0))
        client.delete(read_names().queue)
        start_runs.apply_async(([run.pk.hex],), task_id=ours["headers"]["id"])
        celerys = json.loads(client.lindex(read_names().queue, 0))

    for message in (ours, celerys):
        message["properties"].pop("delivery_tag")
    assert {key: celerys["headers"][key] for key in ours["headers"]} == ours["headers"]
    assert base64.b64decode(ours["body"]) == base64.b64decode(celerys["body"])
    assert ours["properties"]["delivery_info"] == celerys["properties"]["delivery_info"]
    assert (ours["content-type"], ours["content-encoding"]) == (celerys["content-type"], celerys["content-encoding"])


def test_the_schedule_property_of_the_library_is_not_hidden(make_schedule):
    task = PeriodicTask.objects.get(name=make_schedule(cron_schedule="0 6 * * *").name)

    assert task.schedule.is_due(timezone.now()).is_due is False
    assert Schedule.objects.get().periodictask_ptr == task
    assert task.schedule.remaining_estimate(datetime.now(UTC)) > timedelta(0)
