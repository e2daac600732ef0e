"""Starts that QRS did not take: tried again, by one while QRS is away, and not for ever."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from qlik.simulator.faults import Fault, FaultKind
from schedules import breaker, qrs, runs, tasks, vitals
from schedules.models import QrsSite, Run

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("qrs_service")]

AWAY = "https://127.0.0.1:1"
OTHER_TASK_ID = "c9e8b3d4-1f67-4a20-9c5b-d38a06e71f42"


@pytest.fixture
def away(settings, simulator):
    """Take QRS away, and return a function that brings it back."""

    def come_back() -> None:
        settings.QRS_URL = simulator.url
        qrs._client.cache_clear()

    settings.QRS_URL = AWAY
    qrs._client.cache_clear()
    return come_back


def start(*planned: Run) -> None:
    tasks.start_runs([str(run.pk) for run in planned])
    for run in planned:
        run.refresh_from_db()


def try_again(*planned: Run) -> None:
    """Bring runs to the worker once more as beat does, when their time has come."""
    Run.objects.filter(state__in=runs.POSTPONED).update(next_try_at=timezone.now())
    runs.resume_due(now=timezone.now())
    runs.take_planned(most=100, now=timezone.now())
    start(*planned)


def site() -> QrsSite:
    return QrsSite.objects.get()


def test_it_is_tried_again_after_a_pause_and_then_starts(run_now, simulator):
    simulator.add_fault(Fault(kind=FaultKind.REFUSE, status=503, count=1))
    run = run_now()
    start(run)
    assert (run.state, run.attempts, run.closed_at) == ("retrying", 1, None)
    assert timedelta(seconds=3) < run.next_try_at - run.answered_at < timedelta(seconds=7)

    assert runs.resume_due(now=timezone.now()) == 0, "not before its time"
    try_again(run)

    assert (run.state, run.attempts) == ("started", 2)


def test_a_start_of_another_task_leaves_it_its_pause(run_now, simulator):
    simulator.add_fault(Fault(kind=FaultKind.REFUSE, status=503, count=1))
    refused, other = run_now(), run_now(qlik_task_id=OTHER_TASK_ID)
    start(refused)
    next_try_at = refused.next_try_at

    start(other)

    refused.refresh_from_db()
    assert (other.state, refused.state, refused.next_try_at) == ("started", "retrying", next_try_at)
    assert site().failures == 0


@pytest.mark.parametrize("status", [403, 429, 500, 502, 503])
def test_a_question_that_failed_once_is_asked_again_soon(run_now, simulator, status):
    simulator.add_fault(Fault(kind=FaultKind.REFUSE, status=status, calls=("sessions",), count=1))
    run = run_now(overlap="skip")

    start(run)

    assert (run.state, run.attempts) == ("retrying", 0)
    assert timedelta(seconds=3) < run.next_try_at - timezone.now() < timedelta(seconds=7)


def test_after_the_deadline_it_has_failed(run_now, away):
    run = run_now(retry_deadline=timedelta(0))

    start(run)

    assert (run.state, run.closed_at is not None) == ("unreachable", True)
    assert "Connection refused" in run.message


def test_after_so_many_attempts_it_has_failed(run_now, simulator):
    simulator.add_fault(Fault(kind=FaultKind.REFUSE, status=503))
    run = run_now(max_attempts=2)

    start(run)
    assert run.state == "retrying"
    try_again(run)
    assert (run.state, run.attempts) == ("unreachable", 2)


def test_a_refusal_is_not_tried_again(run_now, simulator):
    simulator.add_fault(Fault(kind=FaultKind.REFUSE, status=403))
    run = run_now()

    start(run)

    assert (run.state, run.next_try_at) == ("refused", None)


def test_a_qrs_that_is_away_is_not_called_for_every_run(run_now, simulator):
    simulator.add_fault(Fault(kind=FaultKind.REFUSE, status=503))
    start(*[run_now() for _ in range(breaker.MOST_FAILURES)])
    simulator.journal.clear()

    later = [run_now() for _ in range(10)]
    start(*later)

    assert simulator.entries() == []
    assert {run.state for run in later} == {"retrying"}
    assert {run.attempts for run in later} == {0}, "waiting is no attempt"
    assert "Waits for QRS" in later[0].message
    assert site().unreachable_since is not None


def test_one_call_finds_out_whether_it_is_back_and_then_all_go_on(run_now, away):
    start(*[run_now() for _ in range(breaker.MOST_FAILURES)])
    waiting = [run_now() for _ in range(3)]
    start(*waiting)
    away()
    QrsSite.objects.update(wait_until=timezone.now())

    probing = [run_now() for _ in range(3)]
    start(*probing)

    assert sorted(run.state for run in probing) == ["retrying", "retrying", "started"]
    assert site().failures == 0
    assert runs.resume_due(now=timezone.now()) == 3 + 2 + breaker.MOST_FAILURES, "nobody waits out their pause"


def test_the_sweeper_finds_out_when_nothing_else_is_due(run_now, away, simulator):
    start(*[run_now() for _ in range(breaker.MOST_FAILURES)])
    tasks.sweep_runs()
    assert site().failures == breaker.MOST_FAILURES, "not before the pause is over"

    away()
    QrsSite.objects.update(wait_until=timezone.now())
    tasks.sweep_runs()

    assert (site().failures, site().wait_until, site().unreachable_since) == (0, None, None)


def test_of_two_workers_one_finds_out(run_now, away):
    start(*[run_now() for _ in range(breaker.MOST_FAILURES)])
    now = timezone.now() + timedelta(minutes=1)
    seen = breaker.read_site()

    assert [breaker.take_probe(seen, now=now), breaker.take_probe(seen, now=now)] == [True, False]


def test_a_run_waits_for_qrs_up_to_its_deadline_and_not_beyond(run_now, away):
    start(*[run_now() for _ in range(breaker.MOST_FAILURES)])

    waiting, late = run_now(retry_deadline=timedelta(seconds=30)), run_now(retry_deadline=timedelta(0))
    start(waiting, late)

    assert (late.state, late.closed_at is not None) == ("unreachable", True)
    assert (waiting.state, waiting.next_try_at) == ("retrying", waiting.due_at + timedelta(seconds=30))
    past = timezone.now() - timedelta(seconds=31)
    Run.objects.filter(pk=waiting.pk).update(due_at=past, planned_at=past)
    try_again(waiting)
    assert waiting.state == "unreachable"


def test_a_site_that_never_answers_is_not_called_for_every_run_either(run_now, simulator):
    simulator.add_fault(Fault(kind=FaultKind.HANG, delay_ms=3000))
    for _ in range(2):
        # As many as the worker has threads
        start(*[run_now() for _ in range(4)])

    later = run_now()
    start(later)

    assert (later.state, later.attempts) == ("retrying", 0)


def test_refusals_do_not_open_the_breaker(run_now, simulator):
    simulator.add_fault(Fault(kind=FaultKind.REFUSE, status=500))
    start(*[run_now() for _ in range(breaker.MOST_FAILURES + 1)])

    assert breaker.count_admitted(3, now=timezone.now()) == 3


def test_a_stop_skips_what_waits(run_now, simulator, away):
    from schedules import services
    from tests.conftest import ORIGIN

    run = run_now()
    start(run)
    Run.objects.update(reason=Run.Reason.SCHEDULED)

    services.stop_schedules([run.schedule_name], origin=ORIGIN)

    run.refresh_from_db()
    assert (run.state, run.closed_at is not None) == ("skipped", True)


def test_when_qrs_is_back_a_later_run_replaces_those_that_are_long_overdue(run_now, away, make_schedule):
    run = run_now()
    start(run)
    Run.objects.update(reason=Run.Reason.SCHEDULED, due_at=timezone.now() - timedelta(minutes=10))
    Run.objects.create(
        schedule_id=run.schedule_id,
        schedule_name=run.schedule_name,
        qlik_task_id=run.qlik_task_id,
        due_at=timezone.now(),
        planned_at=timezone.now(),
        reason=Run.Reason.SCHEDULED,
    )
    away()

    try_again(run)

    assert run.state == "skipped"
    assert "a later run replaces it" in run.message


def test_health_tells_of_a_site_that_is_away(run_now, away, redis_server):
    start(*[run_now() for _ in range(breaker.MOST_FAILURES)])

    (problem,) = [line for line in vitals.read_vitals().problems if "QRS" in line]

    assert "has not answered for" in problem
    assert "Connection refused" in problem
