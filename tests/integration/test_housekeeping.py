"""Housekeeping is done whatever the clocks of the hosts say, and not behind a long queue."""

from __future__ import annotations

import json
import socket
import time
from datetime import timedelta

import pytest
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from butler.celery import app
from schedules import housekeeping, tasks, vitals
from schedules.alert_tasks import watch
from schedules.beat import QlikScheduler
from schedules.models import Run
from schedules.redis_names import read_names
from tests.conftest import TASK_ID
from tests.integration.test_beat import beat, tick_until  # noqa: F401 -- a fixture among them

pytestmark = pytest.mark.django_db(transaction=True)

SWEEP = tasks.SWEEP_TASK


def sent(redis_server, name: str = SWEEP) -> list[dict]:
    """Return the messages on Redis of a task."""
    with redis_server.client() as client:
        messages = [json.loads(message) for message in client.lrange(read_names().queue, 0, -1)]
    return [message for message in messages if message["headers"]["task"] == name]


def make_overdue(redis_server) -> None:
    """Have beat find on its next start that all housekeeping is due."""
    PeriodicTask.objects.filter(name__startswith="butler:").update(last_run_at=timezone.now() - timedelta(days=1))


@pytest.fixture
def lost_run() -> Run:
    long_ago = timezone.now() - timedelta(minutes=5)
    return Run.objects.create(
        qlik_task_id=TASK_ID, due_at=long_ago, planned_at=long_ago, queued_at=long_ago, reason="manual", state="queued"
    )


def redis_time(redis_server) -> float:
    with redis_server.client() as client:
        seconds, microseconds = client.time()
        return seconds + microseconds / 1e6


def test_no_message_has_an_expiry_that_a_worker_would_judge_by_its_own_clock(make_schedule, redis_server):
    QlikScheduler(app=app, max_interval=1).close()
    make_overdue(redis_server)
    scheduler = QlikScheduler(app=app, max_interval=1)

    tick_until(scheduler, lambda: all(sent(redis_server, entry["task"]) for entry in app.conf.beat_schedule.values()))

    scheduler.close()
    messages = [message for entry in app.conf.beat_schedule.values() for message in sent(redis_server, entry["task"])]
    assert {message["headers"]["expires"] for message in messages} == {None}


@pytest.mark.parametrize("name", [SWEEP, tasks.FOLLOW_TASK, "schedules.read_tasks", "schedules.watch"])
def test_a_message_tells_when_it_was_sent_by_the_clock_of_redis(redis_server, monkeypatch, name):
    monkeypatch.setattr(housekeeping, "_read_clock", lambda connection: 1234.5)
    QlikScheduler(app=app, max_interval=1).close()
    make_overdue(redis_server)
    scheduler = QlikScheduler(app=app, max_interval=1)

    tick_until(scheduler, lambda: sent(redis_server, name))

    scheduler.close()
    assert "1234.5" in sent(redis_server, name)[0]["headers"]["kwargsrepr"]


def test_the_sweeper_does_nothing_behind_a_queue_of_ten_seconds(redis_server, lost_run, caplog):
    tasks.sweep_runs(sent_at=redis_time(redis_server) - 12)
    lost_run.refresh_from_db()
    assert lost_run.state == "queued"
    assert "has waited 12 s for a worker" in caplog.text

    tasks.sweep_runs(sent_at=redis_time(redis_server) - 8)
    lost_run.refresh_from_db()
    assert lost_run.state == "planned"


@pytest.mark.parametrize("ahead", [-7200.0, -600.0, 10.0, 600.0, 7200.0])
def test_a_worker_whose_clock_is_wrong_does_it_all_the_same(redis_server, lost_run, monkeypatch, ahead):
    at_beat = redis_time(redis_server)
    monkeypatch.setattr(timezone, "now", lambda now=timezone.now: now() + timedelta(seconds=ahead))

    assert housekeeping.is_in_time(SWEEP, sent_at=at_beat, period=10)


def test_nothing_is_swept_when_redis_does_not_say_how_long_it_took(redis_server, lost_run, caplog):
    redis_server.stop()

    tasks.sweep_runs(sent_at=1.0)

    lost_run.refresh_from_db()
    assert lost_run.state == "queued"
    assert "Redis does not say" in caplog.text


@pytest.mark.parametrize("task", [tasks.follow_runs, tasks.read_tasks, watch])
def test_what_comes_too_late_is_left_to_the_next_one(redis_server, task, caplog):
    task(sent_at=redis_time(redis_server) - 3600)

    assert f"{task.name} is left out: it has waited" in caplog.text


def test_health_tells_of_housekeeping_that_nobody_does(redis_server, monkeypatch):
    housekeeping.note_sent(SWEEP)
    sent_at = housekeeping.note_sent(SWEEP)
    assert not list(vitals.read_vitals()._problems_of_housekeeping())

    monkeypatch.setattr(housekeeping, "_read_clock", lambda connection: sent_at + 75)
    (problem,) = vitals.read_vitals()._problems_of_housekeeping()
    assert problem.startswith("No worker has done the housekeeping for 75 s, more than 60 s:")
    assert problem in vitals.read_vitals().problems

    # One that comes too late changes nothing, one in time does
    assert not housekeeping.is_in_time(SWEEP, sent_at=sent_at, period=10)
    assert vitals.read_vitals().housekeeping.delay > timedelta(seconds=74)
    assert housekeeping.is_in_time(SWEEP, sent_at=sent_at + 70, period=10)
    assert vitals.read_vitals().housekeeping.delay is None


def test_health_says_nothing_of_housekeeping_without_redis(redis_server):
    housekeeping.note_sent(SWEEP)
    redis_server.stop()

    assert vitals.read_vitals().housekeeping.delay is None


def test_housekeeping_that_ran_last_while_the_clock_was_ahead_goes_on(redis_server):
    QlikScheduler(app=app, max_interval=1).close()
    ahead = timezone.now() + timedelta(days=3)
    PeriodicTask.objects.filter(name__startswith="butler:").update(last_run_at=ahead)
    scheduler = QlikScheduler(app=app, max_interval=1)

    tick_until(scheduler, lambda: sent(redis_server), seconds=14)

    scheduler.close()


def test_housekeeping_goes_on_when_the_clock_is_set_back_under_a_running_beat(beat, redis_server):  # noqa: F811
    tick_until(beat, lambda: beat._heap)
    for entry in beat.schedule.values():
        entry.last_run_at = entry.model.last_run_at = timezone.now() + timedelta(days=3)
    beat._heap = None
    beat._library_at = 0.0
    beat.tick()
    assert not sent(redis_server)

    beat._clock.leaps += 1
    tick_until(beat, lambda: sent(redis_server), seconds=14)


class TurnedTime:
    """Stands in for the module `time`: the clock of a host that is ahead by some seconds, or behind."""

    def __init__(self, ahead: float) -> None:
        self.ahead = ahead

    def time(self) -> float:
        return time.time() + self.ahead


def note_clocks(monkeypatch, *, beat: float, **workers: float) -> None:  # noqa: F811
    """Have beat send a task and workers on other hosts do it, by clocks that are ahead by so many seconds."""
    with monkeypatch.context() as patch:
        patch.setattr(housekeeping, "time", TurnedTime(beat))
        sent_at = housekeeping.note_sent(SWEEP)
        for host, ahead in workers.items():
            patch.setattr(housekeeping, "time", TurnedTime(ahead))
            patch.setattr(socket, "gethostname", lambda host=host: host)
            assert housekeeping.is_in_time(SWEEP, sent_at=sent_at, period=10)


def test_health_names_the_hosts_whose_clocks_are_wrong(redis_server, monkeypatch):
    note_clocks(monkeypatch, beat=2, well=0, early=3602, late=-58)

    early, late = vitals.read_vitals()._problems_of_clocks()

    assert early.startswith("The clock of the workers on early is 3,600 s ahead of that of beat:")
    assert late.startswith("The clock of the workers on late is 60 s behind that of beat:")


def test_a_host_that_is_gone_is_not_spoken_of(redis_server, monkeypatch):
    note_clocks(monkeypatch, beat=0, early=3600)
    now = redis_time(redis_server)
    monkeypatch.setattr(housekeeping, "_read_clock", lambda connection: now + 301)

    assert housekeeping.read_health().clocks == {}


@pytest.mark.parametrize("ahead", [-3600.0, 0.0, 3600.0])
def test_a_sweeper_whose_clock_is_wrong_leaves_alone_what_only_waits(redis_server, monkeypatch, ahead):
    me = socket.gethostname()
    note_clocks(monkeypatch, beat=0, **{me: ahead}, other=0)
    now = timezone.now()
    values = {"qlik_task_id": TASK_ID, "due_at": now, "planned_at": now, "reason": "manual"}
    queued = Run.objects.create(state="queued", queued_at=now - timedelta(seconds=5), **values)
    lost = Run.objects.create(state="queued", queued_at=now - timedelta(seconds=40), **values)
    claimed = Run.objects.create(state="claimed", claimed_at=now, worker="other/boot/1", **values)
    given_up = Run.objects.create(state="claimed", claimed_at=now - timedelta(hours=3), worker="other/boot/2", **values)
    monkeypatch.setattr(housekeeping, "time", TurnedTime(ahead))
    monkeypatch.setattr(timezone, "now", lambda now=timezone.now: now() + timedelta(seconds=ahead))

    tasks.sweep_runs(sent_at=redis_time(redis_server))

    states = {run.pk: run.state for run in Run.objects.all()}
    assert [states[run.pk] for run in (queued, lost, claimed)] == ["queued", "planned", "claimed"]
    assert states[given_up.pk] == "unsure"
