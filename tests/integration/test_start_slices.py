"""A start request for many tasks: a few calls at a time, each in the ledger as soon as it is over."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import OperationalError, connection, connections
from django.utils import timezone

from qlik.simulator.faults import Fault, FaultKind
from qlik.simulator.tasks import Task
from schedules import breaker, claims, request_calls, runs, starting, tasks
from schedules.models import Run
from schedules.start_requests import StartReport, StartRequest, start_tasks
from schedules.task_lookup import CallFailedError
from tests.conftest import ORIGIN, TASK_ID
from tests.integration.begun import list_called
from tests.waiting import wait_for

#: What tests/settings.py has
THREADS = 4

pytestmark = [pytest.mark.django_db(transaction=True)]

ALL = StartRequest(tags=["many"])


@pytest.fixture
def site(qrs_service):
    """Return a site with twelve tasks that have a tag."""
    many = [Task(id=UUID(int=number), name=f"{number}", app="app", tags=("many",)) for number in range(1, 13)]
    qrs_service.site.put_tasks(many, keep_others=True)
    return qrs_service


@pytest.fixture
def calls(monkeypatch):
    """Let each call of QRS wait until the test lets it go; return the semaphore to let them go with."""
    gate, start = threading.Semaphore(0), starting.start

    def start_late(run: claims.ClaimedRun) -> runs.Outcome:
        gate.acquire(timeout=30)
        return start(run)

    monkeypatch.setattr(starting, "start", start_late)
    return gate


def in_background(work: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    """Do a work in a thread; return it, and the list that has the result in the end."""
    results: list[object] = []

    def do() -> None:
        results.append(work())
        connections.close_all()

    thread = threading.Thread(target=do)
    thread.start()
    return thread, results


def count(*states: Run.State) -> int:
    return Run.objects.filter(state__in=states).count()


def ask_for_all() -> StartReport:
    return start_tasks(ALL, origin=ORIGIN)


def test_it_claims_no_more_than_it_calls_and_records_each_call_that_is_over(site, calls):
    asking, results = in_background(ask_for_all)
    wait_for(lambda: count(Run.State.CLAIMED) == THREADS, seconds=10)

    for over in range(1, 13):
        calls.release()
        wait_for(lambda over=over: count(Run.State.STARTED) == over, seconds=10)
        assert Run.objects.count() <= THREADS + over, "what is not called for is not claimed"
    asking.join(10)

    (report,) = results
    assert len(report.by_tag) == 12
    assert report.failures == []
    assert {run.qrs_session for run in Run.objects.all()} == set(site.site.sessions)


def test_no_claim_is_given_up_while_its_process_lives(site, calls, monkeypatch):
    asking, results = in_background(ask_for_all)
    wait_for(lambda: count(Run.State.CLAIMED) == THREADS, seconds=10)
    Run.objects.update(claimed_at=timezone.now() - timedelta(hours=1))

    tasks.sweep_runs()
    assert count(Run.State.CLAIMED) == THREADS

    calls.release(12)
    asking.join(10)
    assert len(results) == 1


def test_it_shows_that_it_holds_its_claims(site, calls, monkeypatch):
    monkeypatch.setattr(request_calls, "RENEW_SECONDS", 0)
    asking, _ = in_background(ask_for_all)

    wait_for(lambda: Run.objects.exclude(claim_renewed_at=None).count() == THREADS, seconds=10)

    calls.release(12)
    asking.join(10)


def test_a_single_start_does_not_wait_for_those_of_another_request(site, calls, monkeypatch):
    asking, _ = in_background(ask_for_all)
    wait_for(lambda: count(Run.State.CLAIMED) == THREADS, seconds=10)

    single, results = in_background(lambda: start_tasks(StartRequest(task_ids=[TASK_ID]), origin=ORIGIN))
    wait_for(lambda: Run.objects.filter(qlik_task_id=TASK_ID, state=Run.State.CLAIMED), seconds=10)

    calls.release(13)
    for thread in (asking, single):
        thread.join(10)
    assert len(results) == 1


def test_two_requests_share_the_threads(site, calls):
    asking = [in_background(ask_for_all)[0] for _ in range(2)]
    wait_for(lambda: count(Run.State.CLAIMED) == THREADS, seconds=10)

    for over in range(1, 25):
        calls.release()
        wait_for(lambda over=over: count(Run.State.STARTED) == over, seconds=10)
        assert count(Run.State.CLAIMED) <= THREADS
    for thread in asking:
        thread.join(10)
    assert request_calls._FREE._value == THREADS, "each thread was given back"


def test_without_answers_it_does_not_go_on_for_ever(site):
    site.add_fault(Fault(kind=FaultKind.REFUSE, status=503, calls=("start synchronous",)))

    with pytest.raises(CallFailedError) as raised:
        ask_for_all()

    called = [entry for entry in site.entries() if entry.call == "start synchronous"]
    assert breaker.MOST_FAILURES <= len(called) < breaker.MOST_FAILURES + THREADS
    assert not raised.value.is_reached
    assert count(Run.State.UNREACHABLE) == 12
    assert Run.objects.filter(message__contains="was not tried").count() == 12 - len(called)


def test_a_database_that_goes_away_in_between_hides_nothing_that_was_started(site, monkeypatch):
    write = claims.claim_new_runs

    def fail_from_the_second(task_ids, **values):
        if Run.objects.exists():
            raise OperationalError("gone")
        return write(task_ids, **values)

    monkeypatch.setattr(claims, "claim_new_runs", fail_from_the_second)
    monkeypatch.setattr(request_calls, "CLAIM_SECONDS", 0)

    report = ask_for_all()

    assert len(report.by_tag) == THREADS
    assert len(report.failures) == 12 - THREADS
    assert all("ledger could not be written" in failure.message for failure in report.failures)
    assert count(Run.State.STARTED) == Run.objects.count() == THREADS
    assert request_calls._FREE._value == THREADS


def test_a_start_that_the_database_did_not_take_is_recorded_after_the_answer(site, monkeypatch):
    is_away, record = threading.Event(), runs.record_outcomes
    is_away.set()

    def fail_while_away(outcomes):
        if is_away.is_set():
            raise OperationalError("the database is away")
        return record(outcomes)

    monkeypatch.setattr(runs, "record_outcomes", fail_while_away)
    monkeypatch.setattr("schedules.patience.PAUSES", (0.01,))
    monkeypatch.setattr("schedules.recording.ANSWER_SECONDS", 0.05)

    report = start_tasks(StartRequest(task_ids=[TASK_ID]), origin=ORIGIN)
    assert [task.id for task in report.by_id] == [TASK_ID]
    assert Run.objects.get().state == "claimed"
    # A process that is stopped ends, though the database may be away for hours
    assert [thread.daemon for thread in threading.enumerate() if thread.name == "recorder"] == [True]

    is_away.clear()
    wait_for(lambda: Run.objects.get().state == "started", seconds=10)
    assert Run.objects.get().qrs_session in site.site.sessions
    wait_for(lambda: not [t for t in threading.enumerate() if t.name == "recorder"], seconds=10)


def test_a_row_that_was_written_although_the_answer_was_lost_is_called_for_once(site, monkeypatch):
    write, failures = claims.claim_new_runs, [OperationalError("cut after the commit")]

    def write_and_fail_once(task_ids, **values):
        claimed = write(task_ids, **values)
        if failures:
            raise failures.pop()
        return claimed

    monkeypatch.setattr(claims, "claim_new_runs", write_and_fail_once)

    start_tasks(StartRequest(task_ids=[TASK_ID]), origin=ORIGIN)

    assert Run.objects.get().state == "started"
    assert len(site.site.sessions) == 1


def test_the_connection_of_the_request_is_usable_afterwards(site):
    ask_for_all()

    assert not connection.needs_rollback
    assert count(Run.State.STARTED) == 12


@pytest.mark.parametrize("request_of_one", [True, False])
def test_what_does_not_reach_the_disk_is_neither_called_nor_left_in_hand(site, monkeypatch, request_of_one):
    def fail() -> None:
        raise OperationalError("the log cannot be written to the disk")

    monkeypatch.setattr(request_calls, "CLAIM_SECONDS", 0.05)
    monkeypatch.setattr(claims, "sync_log", fail)

    with pytest.raises(OperationalError):
        start_tasks(StartRequest(task_ids=[str(UUID(int=1))]) if request_of_one else ALL, origin=ORIGIN)

    assert (Run.objects.count(), list_called(site)) == (0, [])
    assert request_calls._FREE._value == THREADS
