"""Two installations on one Redis leave each other alone, and a copied database is told of."""

from __future__ import annotations

import pytest
from django.db import OperationalError

from butler import celery as wiring
from butler.celery import app
from butler.processes.readiness import answers_worker
from schedules import redis_names, redis_state, vitals, wakeup
from schedules.models import Lease
from schedules.redis_names import RedisNames, read_names, use_names
from schedules.wakeup import RedisMark

pytestmark = pytest.mark.django_db


@pytest.fixture
def other_names(monkeypatch):
    """Return a function that makes this process one of another installation."""

    def become(installation: str) -> RedisNames:
        names = RedisNames(installation)
        for module in (redis_names, wakeup, redis_state):
            monkeypatch.setattr(module, "read_names", lambda: names)
        return names

    return become


def test_the_id_is_made_once_and_is_that_of_nobody_else():
    made = Lease.objects.get_or_create(pk=1)[0].installation

    Lease.objects.update(token=5)
    assert Lease.objects.get().installation == made
    assert made != Lease().installation
    assert len(made) == 12


def test_two_installations_have_no_name_in_common():
    def names_of(installation: str) -> set[str]:
        names = RedisNames(installation)
        ours = {names.queue, names.channel, names.mark, names.stranger, names.housekeeping, names.probe}
        return ours | {*names.celery.values()} | {*names.transport.values()}

    assert len(names_of("a")) == 11
    assert names_of("a") & names_of("b") == set()


def test_celery_leaves_nothing_on_redis_that_another_installation_would_take(redis_server):
    use_names(app)
    queue = read_names().queue
    app.send_task("schedules.sweep_runs")
    with app.connection_for_read() as connection, connection.channel() as channel:
        consumed = connection.SimpleQueue(queue, channel=channel, no_ack=False)
        consumed.get(timeout=5)
        with redis_server.client() as client:
            keys = {key.decode() for key in client.keys("*")}
        consumed.queue.channel.close()

    assert f"{queue}:unacked" in keys
    assert all(queue in key for key in keys), keys


def test_a_worker_of_another_installation_does_not_count_as_ours(redis_server, other_names):
    seen = []
    with redis_server.client() as client, client.pubsub() as listener:
        listener.psubscribe("*")
        assert not answers_worker(redis_server.url)
        while message := listener.get_message(timeout=0.2):
            seen.append(message)

    channels = [str(message["channel"], "utf-8") for message in seen if message["type"] == "pmessage"]
    assert channels
    assert all(read_names().queue in channel for channel in channels)


def test_a_wake_up_call_reaches_the_beat_of_this_installation_alone(redis_server, other_names):
    ours, theirs = wakeup.WakeUpCall(), wakeup.WakeUpCall()
    ours.wait(0.01)
    own = read_names()
    other_names("other")
    theirs.wait(0.01)
    other_names(own.installation)

    wakeup.wake_beat()

    assert ours.wait(2)
    assert not theirs.wait(0.1)


def test_a_beat_with_a_copy_of_the_database_is_a_named_problem(redis_server, caplog):
    ours, theirs = RedisMark(holder="host-a/1"), RedisMark(holder="host-b/2")
    for _ in range(4):
        ours.is_there()
        theirs.is_there()

    told = [problem for problem in vitals.read_vitals().problems if "installation id" in problem]
    assert len(told) == 1
    assert "host-a/1" in told[0]
    assert "host-b/2" in told[0]
    assert "REDIS_URL" in told[0]
    assert 1 <= len([line for line in caplog.messages if "leads, too" in line]) <= 2
    with redis_server.client() as client:
        assert 0 < client.ttl(read_names().stranger) <= wakeup.STRANGER_SECONDS


def test_one_leader_after_another_is_no_stranger(redis_server):
    first, second = RedisMark(holder="host-a/1"), RedisMark(holder="host-b/2")
    assert not first.is_there()
    assert first.is_there()
    for _ in range(3):
        assert second.is_there()
    # One that was frozen, wakes up, and finds its lease lost afterwards
    first.is_there()
    for _ in range(3):
        second.is_there()

    assert vitals.read_vitals().redis.rivals == ""


def test_a_mark_of_another_installation_says_nothing_about_ours(redis_server, other_names):
    RedisMark(holder="a").is_there()
    other_names("other")

    assert not RedisMark(holder="b").is_there()


def test_a_worker_waits_for_a_database_that_does_not_answer_yet(monkeypatch):
    answers = iter([OperationalError("away"), OperationalError("away"), None])

    def answer(_: object) -> None:
        if error := next(answers):
            raise error

    monkeypatch.setattr(redis_names, "use_names", answer)
    monkeypatch.setattr(wiring.time, "sleep", lambda _: None)

    wiring.name_queue()

    assert next(answers, "none left") == "none left"


def test_a_worker_without_a_database_ends_with_a_sentence(monkeypatch):
    def fail(_: object) -> None:
        raise OperationalError("away")

    monkeypatch.setattr(redis_names, "use_names", fail)
    monkeypatch.setattr(wiring, "DATABASE_PATIENCE_SECONDS", -1.0)

    with pytest.raises(SystemExit, match="does not say which queue is ours: away"):
        wiring.name_queue()
