"""The moments and numbers at which the circuit breaker opens, lets one call through, and closes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from schedules import breaker
from schedules.breaker import MOST_FAILURES, PROBE_PAUSE
from schedules.models import QrsSite, Run

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
A_BIT = timedelta(milliseconds=1)


def note_failures(number: int, *, now: datetime = NOW, error: str = "away") -> QrsSite:
    breaker.note_failures(number, error=error, now=now)
    return QrsSite.objects.get()


@pytest.fixture
def waiting_run(make_schedule):
    """Return a function that writes a run that waits in a state, and its next moment."""
    schedule = make_schedule()

    def make(state: str) -> Run:
        return Run.objects.create(
            schedule=schedule,
            qlik_task_id=schedule.qlik_task_id,
            due_at=NOW,
            planned_at=NOW,
            reason=Run.Reason.SCHEDULED,
            state=state,
            next_try_at=NOW + timedelta(minutes=5),
        )

    return make


def test_it_opens_with_the_last_of_so_many_failures():
    assert note_failures(MOST_FAILURES - 1).wait_until is None
    assert breaker.count_admitted(7, now=NOW) == 7

    assert note_failures(1).wait_until == NOW + PROBE_PAUSE
    assert breaker.count_admitted(7, now=NOW) == 0


def test_failures_that_follow_do_not_put_off_the_look_and_keep_the_first_moment():
    note_failures(MOST_FAILURES)
    after = note_failures(2, now=NOW + timedelta(seconds=3), error="still away")

    assert (after.failures, after.last_error) == (MOST_FAILURES + 2, "still away")
    assert (after.wait_until, after.unreachable_since) == (NOW + PROBE_PAUSE, NOW)


@pytest.mark.parametrize(
    ("wait_until", "admitted"),
    [
        (NOW - A_BIT, 1),
        (NOW, 1),
        (NOW + A_BIT, 0),
        (NOW + PROBE_PAUSE, 0),
        # The clock was set back
        (NOW + PROBE_PAUSE + A_BIT, 1),
    ],
)
@pytest.mark.parametrize("wanted", [1, 7])
def test_one_call_is_let_through_when_its_time_has_come(wait_until, admitted, wanted):
    QrsSite.objects.create(pk=1, failures=MOST_FAILURES, wait_until=wait_until)

    assert breaker.count_admitted(wanted, now=NOW) == admitted
    assert QrsSite.objects.get().wait_until == (NOW + PROBE_PAUSE if admitted else wait_until)


def test_who_wants_no_call_does_not_use_up_the_one():
    QrsSite.objects.create(pk=1, failures=MOST_FAILURES, wait_until=NOW)

    assert breaker.count_admitted(0, now=NOW) == 0
    assert breaker.count_admitted(1, now=NOW) == 1


def test_where_nothing_is_wrong_nobody_looks():
    assert not breaker.take_probe(breaker.read_site(), now=NOW)
    assert breaker.count_admitted(3, now=NOW) == 3


@pytest.mark.parametrize("failures", [MOST_FAILURES, MOST_FAILURES + 3])
def test_an_answer_closes_it_and_lets_go_on_what_waits_for_qrs_and_nothing_else(waiting_run, failures):
    retrying, waiting, planned = (waiting_run(state) for state in ("retrying", "waiting", "planned"))
    note_failures(failures)

    breaker.note_success(now=NOW)

    site = QrsSite.objects.get()
    assert (site.failures, site.wait_until, site.unreachable_since, site.last_error) == (0, None, None, "")
    moments = dict(Run.objects.values_list("pk", "next_try_at"))
    later = NOW + timedelta(minutes=5)
    assert moments == {retrying.pk: NOW, waiting.pk: later, planned.pk: later}


@pytest.mark.parametrize("failures", [1, MOST_FAILURES - 1])
def test_an_answer_after_a_few_failures_leaves_each_run_its_own_pause(waiting_run, failures):
    run = waiting_run("retrying")
    note_failures(failures)

    breaker.note_success(now=NOW)

    site = QrsSite.objects.get()
    assert (site.failures, site.wait_until, site.unreachable_since, site.last_error) == (0, None, None, "")
    assert Run.objects.get(pk=run.pk).next_try_at == NOW + timedelta(minutes=5)


def test_an_answer_where_nothing_was_wrong_changes_nothing(waiting_run, django_assert_num_queries):
    run = waiting_run("retrying")
    QrsSite.objects.create(pk=1)

    with django_assert_num_queries(1):
        breaker.note_success(now=NOW)

    assert Run.objects.get(pk=run.pk).next_try_at == NOW + timedelta(minutes=5)
