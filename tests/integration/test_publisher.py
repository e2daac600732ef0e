"""The way of planned runs to Redis: limits, and what happens when Redis is away or has forgotten."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from uuid import UUID

import pytest
from django.utils import timezone

from butler.celery import app
from schedules import claims, runs, services
from schedules import publisher as publisher_module
from schedules.beat import QlikScheduler
from schedules.lease import LeaseLostError, PlannerLease
from schedules.models import Lease, Run
from schedules.publisher import RETRY_SECONDS, Publisher
from schedules.redis_names import read_names
from tests.clock import TurnedClock
from tests.conftest import ORIGIN
from tests.integration.locks import waiting_thread

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def clock(monkeypatch) -> TurnedClock:
    clock = TurnedClock()
    monkeypatch.setattr(publisher_module, "time", clock)
    return clock


@pytest.fixture
def make_publisher(redis_server):
    """Return a function that makes the publisher of a new leader."""
    beats: list[QlikScheduler] = []

    def make() -> Publisher:
        beats.append(QlikScheduler(app=app, max_interval=1))
        Lease.objects.update_or_create(pk=1, defaults={"holder": ""})
        assert beats[-1]._lease.keep()
        return beats[-1]._publisher

    yield make
    for beat in beats:
        beat.close()


@pytest.fixture
def plan_runs(make_schedule):
    """Return a function that plans a number of runs."""
    name = make_schedule(cron_schedule="@yearly").name

    def plan(count: int) -> None:
        for _ in range(count):
            services.run_now([name], origin=ORIGIN)

    return plan


def sent(redis_server) -> list[UUID]:
    """Return the runs in the messages on Redis, the first sent first."""
    with redis_server.client() as client:
        raw = [json.loads(message) for message in reversed(client.lrange(read_names().queue, 0, -1))]
    ours = [message for message in raw if message["headers"]["task"] == "schedules.start_runs"]
    return [UUID(key) for message in ours for key in json.loads(base64.b64decode(message["body"]))[0][0]]


def count(state: str) -> int:
    return Run.objects.filter(state=state).count()


def test_what_is_planned_is_queued_first_and_sent_then_the_longest_due_first(make_publisher, plan_runs, redis_server):
    plan_runs(3)

    assert make_publisher().send() is None

    assert count("queued") == 3
    assert sent(redis_server) == list(Run.objects.order_by("due_at").values_list("pk", flat=True))


def test_what_was_queued_when_it_was_planned_needs_no_look_at_the_ledger(make_publisher, plan_runs, redis_server):
    plan_runs(3)
    publisher = make_publisher()
    publisher.send()
    keys = [run.pk.hex for run in Run.objects.all()]

    assert publisher.publish(keys)

    assert sent(redis_server)[3:] == [UUID(key) for key in keys]


def test_queued_runs_that_redis_does_not_take_are_planned_again(make_publisher, plan_runs, redis_server):
    plan_runs(3)
    publisher = make_publisher()
    publisher.send()
    assert publisher.is_open()
    redis_server.stop()

    assert not publisher.publish([run.pk.hex for run in Run.objects.all()])

    assert count("planned") == 3
    assert not publisher.is_open()


@pytest.mark.parametrize("limit", ["BUTLER_MAX_CONCURRENT_STARTS", "BUTLER_MAX_STARTS_PER_SECOND"])
def test_with_a_limit_runs_are_planned_first(make_publisher, plan_runs, settings, limit):
    setattr(settings, limit, 10)
    plan_runs(3)
    publisher = make_publisher()
    publisher.send()

    assert not publisher.is_open()


def test_many_runs_share_a_message(make_publisher, plan_runs, redis_server, monkeypatch):
    monkeypatch.setattr(publisher_module, "MESSAGE_SIZE", 2)
    plan_runs(5)

    make_publisher().send()

    assert len(sent(redis_server)) == 5
    with redis_server.client() as client:
        assert client.llen(read_names().queue) == 3


def test_a_greatest_number_of_concurrent_starts_is_kept_for_all_workers(
    make_publisher, plan_runs, redis_server, settings
):
    settings.BUTLER_MAX_CONCURRENT_STARTS = 4
    publisher = make_publisher()
    plan_runs(10)

    assert publisher.send() == RETRY_SECONDS
    assert (count("queued"), count("planned")) == (4, 6)
    assert publisher.send() == RETRY_SECONDS
    assert count("queued") == 4, "nobody has ended one"

    in_hand = claims.claim_runs(sent(redis_server)[:3], worker="a", now=timezone.now())
    publisher.send()
    assert count("queued") + count("claimed") == 4, "a claimed run is in hand still"

    now = timezone.now()
    runs.record_outcomes(
        [runs.Outcome(id=run.id, state=Run.State.STARTED, called_at=now, answered_at=now) for run in in_hand]
    )
    publisher.send()
    assert (count("queued"), count("planned"), count("started")) == (4, 3, 3)


def test_the_next_leader_keeps_the_same_number(make_publisher, plan_runs, settings):
    settings.BUTLER_MAX_CONCURRENT_STARTS = 4
    plan_runs(10)
    make_publisher().send()

    make_publisher().send()

    assert count("queued") == 4


def test_a_rate_is_kept_in_any_second(make_publisher, plan_runs, settings, clock):
    settings.BUTLER_MAX_STARTS_PER_SECOND = 3
    publisher = make_publisher()
    plan_runs(8)

    assert publisher.send() == RETRY_SECONDS
    assert count("queued") == 0, "what a leader before this one sent is not known"
    clock.now += 1
    assert publisher.send() == RETRY_SECONDS
    assert count("queued") == 3
    clock.now += 0.99
    publisher.send()
    assert count("queued") == 3
    clock.now += 0.01
    publisher.send()
    assert count("queued") == 6
    clock.now += 1
    assert publisher.send() is None
    assert count("queued") == 8


def test_without_redis_nothing_leaves_the_ledger(make_publisher, plan_runs, redis_server, caplog):
    publisher = make_publisher()
    publisher.send()
    plan_runs(2)
    redis_server.stop()

    assert publisher.send() == RETRY_SECONDS
    assert publisher.send() == RETRY_SECONDS
    assert count("planned") == 2
    assert caplog.text.count("Redis does not answer") == 1, "an outage is told once"

    redis_server.start()
    assert publisher.send() is None
    assert len(sent(redis_server)) == 2


def test_a_connection_that_breaks_while_sending_gives_the_runs_back(make_publisher, plan_runs, monkeypatch):
    publisher = make_publisher()
    plan_runs(2)

    def fail(keys: list[str]) -> None:
        raise ConnectionResetError("cut")

    monkeypatch.setattr(publisher, "_publish_one", fail)

    assert publisher.send() == RETRY_SECONDS
    assert count("planned") == 2


def test_what_a_wiped_redis_has_forgotten_is_sent_again(make_publisher, plan_runs, redis_server):
    publisher = make_publisher()
    plan_runs(3)
    publisher.send()
    claims.claim_runs(sent(redis_server)[:1], worker="a", now=timezone.now())
    assert publisher.is_sure_of_redis()
    with redis_server.client() as client:
        client.flushall()

    assert not publisher.is_sure_of_redis()
    publisher.send()

    waiting = set(Run.objects.filter(state="queued").values_list("pk", flat=True))
    assert set(sent(redis_server)) == waiting
    assert len(waiting) == 2
    assert publisher.is_sure_of_redis()


def test_a_new_leader_sends_again_what_it_cannot_know_to_be_on_redis(make_publisher, plan_runs, redis_server):
    plan_runs(1)
    runs.take_planned(most=1, now=timezone.now() - timedelta(seconds=1))

    make_publisher().send()

    assert len(sent(redis_server)) == 1


def test_a_leader_that_was_replaced_takes_nothing(make_publisher, plan_runs, redis_server):
    former = make_publisher()
    plan_runs(1)
    make_publisher()

    with pytest.raises(LeaseLostError):
        former.send()

    assert count("planned") == 1
    assert sent(redis_server) == []


def test_more_in_hand_than_a_limit_that_was_lowered_lets_none_go(make_publisher, plan_runs, settings, redis_server):
    plan_runs(4)
    make_publisher().send()
    plan_runs(3)
    settings.BUTLER_MAX_CONCURRENT_STARTS = 2

    assert make_publisher().send() == RETRY_SECONDS

    # The new leader has sent again what Redis may have lost, up to its limit
    assert count("queued") == 2
    claims.claim_runs(
        list(Run.objects.filter(state="queued").values_list("pk", flat=True)), worker="w", now=timezone.now()
    )
    Run.objects.filter(state="planned", due_at=Run.objects.latest("due_at").due_at).update(state="claimed")
    assert make_publisher().send() == RETRY_SECONDS
    assert (count("queued"), count("claimed")) == (0, 3)


def test_nobody_takes_the_lease_while_runs_are_taken(make_publisher, plan_runs, monkeypatch):
    publisher, threads, led = make_publisher(), [], []
    plan_runs(1)
    take = runs.take_planned
    # As it is found by one that has seen no sign of life
    Lease.objects.update(holder="")

    def take_while_another_wants_to_lead(**values: object) -> list[str]:
        threads.append(waiting_thread(lambda: led.append(PlannerLease(holder="second").keep())))
        return take(**values)

    with monkeypatch.context() as patch:
        patch.setattr(runs, "take_planned", take_while_another_wants_to_lead)
        publisher.send()
    threads[0].join(30)

    assert led == [False], "it finds that the leader has renewed"
