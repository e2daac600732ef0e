"""From when on the deadline of retries counts: nobody loses time in which nothing could be tried."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from qlik.simulator.faults import Fault, FaultKind
from schedules import breaker, claims, runs, tasks
from schedules.claims import claim_runs
from schedules.models import QrsSite, Run
from schedules.schedule_rules import read_retry
from tests.conftest import TASK_ID

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("qrs_service")]

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
DEADLINE = HOUR


@pytest.fixture
def _busy_qrs(simulator):
    simulator.add_fault(Fault(kind=FaultKind.REFUSE, status=503))


def age(run: Run, **spans: timedelta) -> Run:
    """Put moments of a run back by so much before now."""
    Run.objects.filter(pk=run.pk).update(**{name: timezone.now() - span for name, span in spans.items()})
    return run


def start(run: Run) -> Run:
    tasks.start_runs([str(run.pk)])
    run.refresh_from_db()
    return run


def send_again(run: Run) -> Run:
    """Bring a run to the worker once more as beat does, when its time has come."""
    assert runs.resume_due(now=timezone.now()) == 1
    runs.take_planned(most=100, now=timezone.now())
    return start(run)


def until(run: Run) -> timedelta:
    """Return how long the run is tried from now on."""
    return read_retry(run.pk, now=timezone.now()).until - timezone.now()


def is_about(span: timedelta, wanted: timedelta) -> bool:
    return abs(span - wanted) < timedelta(seconds=10)


@pytest.mark.usefixtures("_busy_qrs")
@pytest.mark.parametrize("reason", ["scheduled", "catch-up", "repeated", "manual", "backfill"])
def test_what_is_planned_long_after_it_was_due_is_tried_from_then_on(run_now, reason):
    run = age(run_now(misfire="all"), due_at=3 * HOUR)
    Run.objects.update(reason=reason)

    assert start(run).state == "retrying"
    assert is_about(until(run), DEADLINE)


@pytest.mark.usefixtures("_busy_qrs")
@pytest.mark.parametrize("reason", ["scheduled", "catch-up", "repeated", "manual", "backfill"])
def test_what_no_worker_took_for_long_is_tried_from_its_claim_on(run_now, reason):
    """There was no worker, or a limit on starts made a long queue."""
    run = age(run_now(misfire="all"), due_at=3 * HOUR, planned_at=3 * HOUR, queued_at=3 * HOUR)
    Run.objects.update(reason=reason)

    assert start(run).state == "retrying"
    assert is_about(until(run), DEADLINE)


@pytest.mark.usefixtures("_busy_qrs")
def test_what_was_being_tried_when_the_power_failed_has_the_time_that_was_left(run_now):
    run = start(run_now())
    age(run, due_at=3 * HOUR, planned_at=3 * HOUR, next_try_at=3 * HOUR - 20 * MINUTE)

    assert send_again(run).state == "retrying"
    assert is_about(until(run), DEADLINE - 20 * MINUTE)


@pytest.mark.usefixtures("_busy_qrs")
def test_several_gaps_do_not_count(run_now):
    run = start(run_now())
    age(run, due_at=3 * HOUR, planned_at=3 * HOUR, next_try_at=3 * HOUR - 20 * MINUTE)
    send_again(run)
    age(run, tried_from=2 * HOUR, next_try_at=2 * HOUR - 30 * MINUTE)

    assert send_again(run).state == "retrying"
    assert is_about(until(run), DEADLINE - 30 * MINUTE)


@pytest.mark.usefixtures("_busy_qrs")
def test_a_worker_that_is_a_little_late_takes_no_time_from_the_deadline(run_now):
    run = start(run_now())
    age(run, due_at=HOUR + MINUTE, planned_at=HOUR + MINUTE, next_try_at=timedelta(seconds=40))

    assert send_again(run).state == "unreachable"


def test_while_qrs_is_known_to_be_away_the_deadline_ends_all_the_same(run_now, settings):
    run = run_now()
    Run.objects.update(reason="catch-up")
    breaker.note_failures(breaker.MOST_FAILURES, error="away", now=timezone.now())
    age(run, due_at=9 * HOUR)

    assert (start(run).state, run.attempts) == ("retrying", 0)
    assert is_about(until(run), DEADLINE)
    QrsSite.objects.update(wait_until=timezone.now() + timedelta(seconds=5))
    age(run, planned_at=HOUR, next_try_at=timedelta(seconds=1))
    assert send_again(run).state == "unreachable"


def test_what_waited_for_its_task_is_tried_from_the_end_of_the_wait_on(run_now, simulator):
    simulator.site.change_task(UUID(TASK_ID), reload_seconds=3600)
    simulator.site.start([UUID(TASK_ID)])
    run = start(run_now(overlap="queue"))
    assert run.state == "waiting"
    age(run, due_at=3 * HOUR, planned_at=3 * HOUR, next_try_at=timedelta(0))
    assert send_again(run).state == "waiting"

    before = simulator.site._clock
    simulator.site._clock = lambda: before() + 2 * HOUR
    simulator.add_fault(Fault(kind=FaultKind.REFUSE, status=503, calls=("start synchronous",)))
    age(run, next_try_at=timedelta(0))

    assert send_again(run).state == "retrying"
    assert is_about(until(run), DEADLINE)


@pytest.mark.usefixtures("_busy_qrs")
def test_a_clock_that_was_set_back_does_not_make_a_deadline_of_years(run_now):
    run = run_now()
    age(run, due_at=-900 * timedelta(days=1), planned_at=-900 * timedelta(days=1), tried_from=-900 * timedelta(days=1))

    assert start(run).state == "retrying"
    assert is_about(until(run), DEADLINE)


@pytest.mark.parametrize("reason", ["catch-up", "manual"])
def test_without_a_deadline_it_is_tried_once_whatever_it_waited(run_now, simulator, reason):
    simulator.add_fault(Fault(kind=FaultKind.REFUSE, status=503))
    run = age(run_now(retry_deadline=timedelta(0)), due_at=3 * HOUR, planned_at=3 * HOUR)
    Run.objects.update(reason=reason)

    assert (start(run).state, run.attempts) == ("unreachable", 1)


def test_a_claim_costs_as_many_statements_as_before(run_now):
    on_time = [run_now() for _ in range(4)]
    with CaptureQueriesContext(connection) as queries:
        claim_runs([run.pk for run in on_time], worker="w", now=timezone.now())
    expected = len(queries)

    late = [age(run_now(misfire="all"), due_at=HOUR, planned_at=HOUR) for _ in range(4)]
    with CaptureQueriesContext(connection) as queries:
        claimed = claim_runs([run.pk for run in late], worker="w", now=timezone.now())

    assert (len(claimed), len(queries)) == (4, expected)


def test_a_start_by_the_api_is_not_tried_again():
    now = timezone.now()
    (claim,) = claims.claim_new_runs([TASK_ID], message="", worker="w", now=now)

    assert claim.retry.next_attempt_at(now, attempts=1, chance=0.5) is None
    assert read_retry(claim.id, now=now).until <= now


@pytest.mark.parametrize("state", Run.State.values)
def test_only_a_later_run_that_may_have_started_replaces_one_that_is_overdue(run_now, state):
    run = age(run_now(), due_at=HOUR, planned_at=HOUR)
    Run.objects.update(reason="scheduled", next_try_at=timezone.now())
    Run.objects.create(
        schedule_id=run.schedule_id,
        schedule_name=run.schedule_name,
        qlik_task_id=run.qlik_task_id,
        due_at=timezone.now() - MINUTE,
        planned_at=timezone.now() - MINUTE,
        reason="scheduled",
        state=state,
    )

    claimed = claim_runs([run.pk], worker="w", now=timezone.now())

    assert bool(claimed) is (state in ("skipped", "refused", "unreachable"))
