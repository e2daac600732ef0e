"""A run whose Qlik task still runs, whoever started it: it starts all the same, is skipped, or one waits."""

from __future__ import annotations

import threading
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.utils import timezone

from qlik.simulator.faults import Fault, FaultKind
from schedules import claims, following, runs, services, tasks
from schedules.models import Run, TaskTurn
from schedules.qrs import qrs_client
from tests.conftest import ORIGIN, TASK_ID

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("qrs_service")]


@pytest.fixture(autouse=True)
def slow_task(simulator):
    simulator.site.change_task(UUID(TASK_ID), reload_seconds=3600)


@pytest.fixture
def run_again(make_schedule):
    """Return a function that plans one more run of a schedule with this overlap policy."""
    names: dict[str, str] = {}

    def plan(overlap: str) -> Run:
        name = names.setdefault(overlap, make_schedule(overlap=overlap).name)
        (run,) = services.run_now([name], origin=ORIGIN)
        runs.take_planned(most=1, now=timezone.now())
        return run

    return plan


def start(*planned: Run) -> None:
    tasks.start_runs([str(run.pk) for run in planned])
    for run in planned:
        run.refresh_from_db()


def end_reload(simulator) -> None:
    before = simulator.site._clock
    simulator.site._clock = lambda: before() + timedelta(hours=2)
    following.follow_runs(qrs_client, now=timezone.now())


def start_what_is_due() -> None:
    runs.resume_due(now=timezone.now())
    tasks.start_runs(runs.take_planned(most=10, now=timezone.now()))


def test_by_default_it_starts_all_the_same(run_again):
    first, second = run_again("allow"), run_again("allow")

    start(first, second)

    assert (first.state, second.state) == ("started", "started")
    assert not TaskTurn.objects.exists()


def test_skipped_while_a_run_of_ours_is_not_over(run_again, simulator):
    first, second = run_again("skip"), run_again("skip")
    start(first)
    start(second)

    assert (first.state, second.state) == ("started", "skipped")
    assert "is not over" in second.message
    end_reload(simulator)
    third = run_again("skip")
    start(third)
    assert third.state == "started"


def test_skipped_while_somebody_else_runs_it(run_again, simulator):
    (session,) = simulator.site.start([UUID(TASK_ID)])
    run = run_again("skip")

    start(run)

    assert run.state == "skipped"
    assert str(session) in run.message


def test_two_in_one_message_start_once(run_again, simulator):
    first, second = run_again("skip"), run_again("skip")

    start(first, second)

    assert sorted([first.state, second.state]) == ["skipped", "started"]


def test_one_waits_a_third_is_skipped_and_the_end_lets_it_go_on(run_again, simulator):
    first, second, third = (run_again("queue") for _ in range(3))
    start(first)
    start(second)
    start(third)
    assert (first.state, second.state, third.state) == ("started", "waiting", "skipped")
    assert "waits for its end already" in third.message

    end_reload(simulator)
    start_what_is_due()

    second.refresh_from_db()
    assert second.state == "started"


def test_one_that_waits_for_somebody_elses_run_looks_again(run_again, simulator):
    simulator.site.start([UUID(TASK_ID)])
    run = run_again("queue")
    start(run)
    assert run.state == "waiting"

    Run.objects.update(next_try_at=timezone.now())
    start_what_is_due()
    run.refresh_from_db()
    assert run.state == "waiting", "it is still running"

    end_reload(simulator)
    Run.objects.update(next_try_at=timezone.now())
    start_what_is_due()
    run.refresh_from_db()
    assert run.state == "started"


def test_a_site_that_cannot_be_asked_is_waited_for(run_again, simulator):
    simulator.add_fault(Fault(kind=FaultKind.REFUSE, status=503, count=1))
    run = run_again("skip")

    start(run)

    assert (run.state, run.attempts) == ("retrying", 0)


def test_a_call_without_an_answer_keeps_the_turn(run_again, simulator):
    simulator.add_fault(Fault(kind=FaultKind.RESET, count=1, calls=("start synchronous",)))
    first, second = run_again("skip"), run_again("skip")
    start(first)

    start(second)

    assert (first.state, second.state) == ("unsure", "skipped")


def test_the_turn_of_a_run_that_is_gone_is_free(run_again):
    first = run_again("skip")
    start(first)
    Run.objects.all().delete()
    simulated = run_again("allow")
    start(simulated)
    second = run_again("queue")

    claimed = claims.claim_runs([second.pk], worker="w", now=timezone.now())

    assert [run.id for run in claimed] == [second.pk]


@pytest.mark.django_db(transaction=True)
def test_of_two_workers_one_gets_the_turn(run_again):
    planned = [run_again("skip") for _ in range(6)]
    ready, claimed = threading.Barrier(3), []

    def claim(number: int) -> None:
        ready.wait()
        for run in planned[number::3]:
            claimed.extend(claims.claim_runs([run.pk], worker=f"worker {number}", now=timezone.now()))
        connection.close()

    workers = [threading.Thread(target=claim, args=[number]) for number in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert len(claimed) == 1
    assert Run.objects.filter(state="skipped").count() == 5
