"""What QRS was asked to start and has begun: the ledger can say one thing while another happens."""

from __future__ import annotations

import threading
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.utils import timezone

from qlik.simulator.faults import Fault, FaultKind
from schedules import breaker, claims, following, request_calls, runs, services, tasks
from schedules.models import Maintenance, QrsSite, Run, Schedule
from schedules.qrs import qrs_client
from schedules.start_requests import StartRequest, start_tasks
from tests.conftest import ORIGIN, TASK_ID
from tests.integration.begun import assert_books_agree, list_begun, list_called

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("qrs_service")]

OTHER_TASK_ID = "c9e8b3d4-1f67-4a20-9c5b-d38a06e71f42"


def start(*planned: Run) -> None:
    tasks.start_runs([str(run.pk) for run in planned])
    for run in planned:
        run.refresh_from_db()


def start_what_is_due() -> None:
    runs.resume_due(now=timezone.now())
    tasks.start_runs(runs.take_planned(most=100, now=timezone.now()))


def open_the_breaker(**values: object) -> None:
    now = timezone.now()
    given = {"failures": breaker.MOST_FAILURES, "wait_until": now, "unreachable_since": now} | values
    QrsSite.objects.update_or_create(pk=1, defaults=given)


@pytest.fixture
def of_a_schedule(run_now):
    """Return a function that plans an occurrence of a schedule with the given values."""

    def plan(**values: object) -> Run:
        run = run_now(**values)
        Run.objects.filter(pk=run.pk).update(reason=Run.Reason.SCHEDULED)
        return run

    return plan


def test_a_run_that_starts_is_called_for_once(run_now, simulator):
    planned = [run_now() for _ in range(3)]

    start(*planned)

    assert len(list_called(simulator)) == 3
    assert_books_agree(simulator)


def test_of_runs_that_wait_for_qrs_the_one_that_finds_out_is_called_for_alone(run_now, simulator):
    open_the_breaker()
    planned = [run_now() for _ in range(4)]

    start(*planned)

    assert sorted(run.state for run in planned) == ["retrying", "retrying", "retrying", "started"]
    assert len(list_called(simulator)) == 1
    start_what_is_due()
    assert len(list_begun(simulator)) == 4
    assert_books_agree(simulator)


def test_no_run_is_called_for_while_qrs_is_not_to_be_asked(run_now, simulator):
    open_the_breaker(wait_until=timezone.now() + timedelta(seconds=4))

    start(*[run_now() for _ in range(3)])

    assert list_called(simulator) == []


@pytest.mark.parametrize("overlap", ["skip", "queue"])
def test_a_run_that_gives_way_to_somebody_elses_reload_is_not_called_for(run_now, simulator, overlap):
    simulator.site.change_task(UUID(TASK_ID), reload_seconds=3600)
    simulator.site.start([UUID(TASK_ID)])
    gives_way, other = run_now(overlap=overlap), run_now(overlap=overlap, qlik_task_id=OTHER_TASK_ID)

    start(gives_way, other)

    assert (gives_way.state, other.state) == ("skipped" if overlap == "skip" else "waiting", "started")
    assert list_called(simulator) == [UUID(OTHER_TASK_ID)]


@pytest.mark.parametrize("overlap", ["skip", "queue"])
def test_a_run_that_qrs_could_not_be_asked_about_is_not_called_for(run_now, simulator, overlap):
    simulator.add_fault(Fault(kind=FaultKind.REFUSE, status=503, calls=("sessions",), count=1))
    asks, does_not = run_now(overlap=overlap), run_now(overlap="allow", qlik_task_id=OTHER_TASK_ID)

    start(asks, does_not)

    assert (asks.state, does_not.state) == ("retrying", "started")
    assert list_called(simulator) == [UUID(OTHER_TASK_ID)]
    Run.objects.filter(pk=asks.pk).update(next_try_at=timezone.now())
    start_what_is_due()
    assert_books_agree(simulator)
    assert list_called(simulator) == [UUID(OTHER_TASK_ID), UUID(TASK_ID)]


@pytest.mark.parametrize("why", ["stopped", "deleted", "paused", "missed", "replaced"])
def test_an_occurrence_that_is_dropped_is_not_called_for_and_the_others_of_its_message_are(
    of_a_schedule, simulator, why
):
    dropped, sound = of_a_schedule(), of_a_schedule(qlik_task_id=OTHER_TASK_ID)
    its = Schedule.objects.filter(name=dropped.schedule_name)
    if why == "stopped":
        its.update(enabled=False)
    elif why == "deleted":
        its.get().delete()
    elif why == "paused":
        its.update(paused_until=timezone.now() + timedelta(hours=1))
    else:
        its.update(misfire="skip" if why == "missed" else "once")
        Run.objects.filter(pk=dropped.pk).update(due_at=timezone.now() - timedelta(minutes=5))
    if why == "replaced":
        Run.objects.create(
            schedule_id=dropped.schedule_id,
            qlik_task_id=TASK_ID,
            due_at=timezone.now(),
            planned_at=timezone.now(),
            reason=Run.Reason.SCHEDULED,
        )

    start(dropped, sound)

    assert (dropped.state, sound.state) == ("skipped", "started")
    assert list_called(simulator) == [UUID(OTHER_TASK_ID)]


def test_nothing_is_called_for_in_a_maintenance(run_now, simulator):
    planned = [run_now() for _ in range(2)]
    Maintenance.objects.create(began_at=timezone.now() - timedelta(seconds=1))

    start(*planned)

    assert list_called(simulator) == []


def test_a_task_that_is_not_allowed_is_not_called_for(run_now, simulator, settings):
    forbidden, allowed = run_now(), run_now(qlik_task_id=OTHER_TASK_ID)
    settings.BUTLER_ALLOWED_TASKS = [OTHER_TASK_ID]

    start(forbidden, allowed)

    assert (forbidden.state, allowed.state) == ("refused", "started")
    assert list_called(simulator) == [UUID(OTHER_TASK_ID)]


def test_a_run_that_is_handed_back_is_called_for_once_when_it_comes_again(run_now, simulator, monkeypatch):
    run = run_now()
    with monkeypatch.context() as patch:
        patch.setattr(tasks, "PATIENCE_SECONDS", -1)
        start(run)
    assert list_called(simulator) == []

    start_what_is_due()

    assert len(list_called(simulator)) == 1
    assert_books_agree(simulator)


@pytest.mark.parametrize("after", ["a stop", "a maintenance"])
def test_what_waits_to_be_tried_again_is_not_called_for_any_more(of_a_schedule, simulator, after):
    simulator.add_fault(Fault(kind=FaultKind.REFUSE, status=503, count=1))
    run = of_a_schedule()
    start(run)
    assert run.state == "retrying"
    simulator.journal.clear()
    if after == "a stop":
        services.stop_schedules([run.schedule_name], origin=ORIGIN)
    else:
        Maintenance.objects.create(began_at=timezone.now() - timedelta(seconds=1))

    Run.objects.update(next_try_at=timezone.now())
    start_what_is_due()

    run.refresh_from_db()
    assert (run.state, list_called(simulator)) == ("skipped", [])


def test_a_start_that_failed_before_it_took_effect_is_made_once_more(run_now, simulator):
    simulator.add_fault(Fault(kind=FaultKind.REFUSE, status=503, count=1))
    run = run_now()
    start(run)
    Run.objects.update(next_try_at=timezone.now())

    start_what_is_due()

    assert len(list_called(simulator)) == 2
    assert_books_agree(simulator)


def test_a_call_without_an_answer_that_began_a_reload_is_not_made_again(run_now, simulator):
    simulator.site.change_task(UUID(TASK_ID), reload_seconds=3600)
    simulator.add_fault(Fault(kind=FaultKind.RESET, count=1, calls=("start synchronous",)))
    run = run_now()
    start(run)
    for seconds in (1, 20, 60, 300):
        following.follow_runs(qrs_client, now=timezone.now() + timedelta(seconds=seconds))
        start_what_is_due()

    run.refresh_from_db()
    assert run.state == "started"
    assert len(list_called(simulator)) == 1
    assert_books_agree(simulator)


def test_a_claim_that_was_given_up_is_not_called_for_by_its_message(run_now, simulator):
    run = run_now()
    claims.claim_runs([run.pk], worker="gone", now=timezone.now())
    claims.give_up_lost_claims(now=timezone.now(), limit=timedelta(hours=1), lost_workers=["gone"])

    start(run)
    start_what_is_due()

    assert (run.state, list_called(simulator)) == ("unsure", [])


@pytest.mark.parametrize("end", ["unknown", "skipped", "failed", "unreachable"])
def test_a_start_that_comes_to_light_too_late_is_noted_on_its_run_and_on_no_other(run_now, end):
    run, others = run_now(), [run_now() for _ in range(3)]
    (claimed,) = claims.claim_runs([run.pk], worker="w", now=timezone.now())
    runs.move_runs(Run.objects.filter(pk=others[0].pk), state=Run.State.UNKNOWN, message="")
    runs.move_runs(Run.objects.filter(pk=run.pk), state=Run.State(end), message="Given up.")

    def read_others() -> list[tuple[object, ...]]:
        rows = Run.objects.exclude(pk=run.pk).order_by("pk")
        return list(rows.values_list("pk", "state", "message", "qrs_session", "called_at", "attempts"))

    before, now, session = read_others(), timezone.now(), uuid4()
    outcome = runs.Outcome(
        id=run.pk,
        state=Run.State.STARTED,
        called_at=now,
        answered_at=now,
        session=session,
        claimed_at=claimed.claimed_at,
    )
    runs.record_outcomes([outcome])

    run.refresh_from_db()
    assert run.qrs_session == session
    assert read_others() == before


def test_of_a_start_request_each_task_is_called_for_once_and_the_ledger_has_its_session(simulator):
    report = start_tasks(StartRequest(task_ids=[TASK_ID, OTHER_TASK_ID, TASK_ID.upper()]), origin=ORIGIN)

    assert len(report.by_id) == 2
    assert sorted(map(str, list_called(simulator))) == sorted([TASK_ID, OTHER_TASK_ID])
    assert_books_agree(simulator)


def test_a_session_that_an_earlier_call_may_have_begun_keeps_its_run_from_a_call_and_no_run_of_another_task(
    run_now, simulator
):
    simulator.site.change_task(UUID(TASK_ID), reload_seconds=3600)
    begun, other = run_now(), run_now(qlik_task_id=OTHER_TASK_ID)
    doubted_at = timezone.now() - timedelta(minutes=1)
    Run.objects.update(attempts=1, in_doubt_since=doubted_at, called_at=doubted_at)
    simulator.site.start([UUID(TASK_ID)])

    start(begun, other)

    assert (begun.state, other.state) == ("unsure", "started")
    assert list_called(simulator) == [UUID(OTHER_TASK_ID)]


@pytest.mark.parametrize(("renew_seconds", "is_renewed"), [(0.2, True), (60, False)])
def test_a_claim_is_renewed_while_its_call_takes_long_and_so_it_is_not_given_up(
    run_now, simulator, monkeypatch, renew_seconds, is_renewed
):
    monkeypatch.setattr(tasks, "RENEW_SECONDS", renew_seconds)
    simulator.add_fault(Fault(kind=FaultKind.DELAY, delay_ms=500, count=1))
    run = run_now()

    start(run)

    assert run.state == "started"
    assert (run.claim_renewed_at is not None) is is_renewed
    assert not run.claim_renewed_at or run.claimed_at < run.claim_renewed_at


def test_a_start_request_renews_its_claims_too(simulator, monkeypatch):
    monkeypatch.setattr(request_calls, "RENEW_SECONDS", 0.2)
    simulator.add_fault(Fault(kind=FaultKind.DELAY, delay_ms=500))

    start_tasks(StartRequest(task_ids=[TASK_ID, OTHER_TASK_ID]), origin=ORIGIN)

    assert all(run.claim_renewed_at for run in Run.objects.all())


@pytest.mark.django_db(transaction=True)
def test_a_message_that_comes_to_two_workers_at_once_starts_each_run_once(run_now, simulator):
    planned = [run_now() for _ in range(8)]
    ready = threading.Barrier(2)

    def work() -> None:
        ready.wait()
        tasks.start_runs([str(run.pk) for run in planned])
        connection.close()

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)

    assert len(list_called(simulator)) == 8
    assert_books_agree(simulator)
