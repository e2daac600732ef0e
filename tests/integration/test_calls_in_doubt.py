"""Calls without an answer that QRS takes up late: never a second start on suspicion, and no session that is lost."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from qlik.simulator.faults import Fault, FaultKind
from schedules import claims, qrs, runs
from schedules.models import Run
from tests.conftest import TASK_ID
from tests.integration.following_steps import (
    change_task,
    count_starts,
    follow,
    follow_in_silence,
    late_session,
    pass_time,
    start,
    start_late,
    try_again,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("qrs_service")]

HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def slow_task(simulator, settings):
    change_task(simulator, reload_seconds=7200)
    settings.QRS_TIMEOUT = (1.0, 0.3)
    qrs._client.cache_clear()


@pytest.fixture
def late_run(run_now, simulator):
    """Return a function that starts a run of which QRS begins the session so many seconds after the call."""

    def make(seconds: float, **values: object) -> Run:
        run = run_now(**values)
        start_late(simulator, run, seconds=seconds)
        return run

    return make


class TestTheWait:
    def test_it_grows_with_the_time_out(self, late_run, settings):
        run = late_run(3600)
        settings.QRS_TIMEOUT = (1.0, 30.0)

        follow(run, after=55)
        assert run.silent_at is None, "QRS is given twice the time that its answers are given"
        follow(run, after=62)
        assert (run.state, run.silent_at is not None) == ("unsure", True)

        follow(run, after=66)
        assert run.state == "unsure", "asked again too soon"
        follow(run, after=75)
        assert run.state == "retrying"

    def test_a_session_that_begins_in_between_is_found(self, late_run, simulator):
        run = late_run(25)
        follow(run, after=20)
        assert run.silent_at is not None

        pass_time(simulator, 30)
        follow(run, after=35)

        assert (run.state, run.qrs_session) == ("started", late_session(simulator))
        assert (run.in_doubt_since, run.silent_at) == (None, None)
        assert count_starts(simulator) == 1

    def test_a_silence_is_remembered_whoever_asks(self, late_run):
        run = late_run(3600)
        follow(run, after=20)

        seen = Run.objects.get()

        assert seen.silent_at - seen.called_at > timedelta(seconds=15)
        assert seen.in_doubt_since == seen.called_at

    def test_a_look_that_was_not_answered_does_not_count(self, late_run, simulator):
        run = late_run(3600)
        simulator.add_fault(Fault(kind=FaultKind.REFUSE, status=500, calls=("results",), count=1))
        follow(run, after=20)
        assert run.silent_at is None

        follow(run, after=35)
        assert run.state == "unsure"

    def test_a_second_call_in_doubt_is_asked_about_twice_again(self, late_run, simulator):
        run = late_run(3600)
        follow_in_silence(run)
        assert run.state == "retrying"
        calls = ("start synchronous",)
        simulator.add_fault(Fault(kind=FaultKind.RESET, takes_effect=False, count=1, calls=calls))
        try_again(run)
        Run.objects.update(silent_at=run.called_at - timedelta(seconds=1))
        assert run.state == "unsure"

        follow(run, after=40)
        assert run.state == "unsure"
        follow(run, after=55)
        assert run.state == "retrying"
        assert run.in_doubt_since < run.called_at, "of the first call nothing is known yet"

    @pytest.mark.parametrize("status", [500, 502, 504])
    def test_an_error_of_what_is_in_between_is_no_end_of_the_call(self, run_now, simulator, status):
        simulator.add_fault(Fault(kind=FaultKind.REFUSE, status=status, takes_effect=False, count=1))
        run = run_now()
        start(run)

        follow(run, after=20)
        assert run.state == "unsure"
        (session,) = simulator.site.start([UUID(TASK_ID)])
        follow(run, after=35)

        assert (run.state, run.qrs_session) == ("started", session)

    def test_the_call_of_a_worker_that_died_may_begin_late_too(self, run_now, simulator):
        run = run_now()
        claims.claim_runs([run.pk], worker="gone", now=timezone.now())
        claims.give_up_lost_claims(now=timezone.now() + timedelta(seconds=10), limit=HOUR, lost_workers=["gone"])

        follow(run, after=20)
        assert run.silent_at is None, "it may have called just before it was missed"
        follow(run, after=26)
        (session,) = simulator.site.start([UUID(TASK_ID)])
        follow(run, after=41)

        assert (run.state, run.qrs_session) == ("started", session)

    def test_a_clock_that_was_set_back_makes_no_proof(self, late_run):
        run = late_run(3600)
        Run.objects.update(silent_at=timezone.now() + HOUR)

        follow(run, after=20)

        assert run.state == "unsure"
        assert run.silent_at < timezone.now() + timedelta(minutes=1)


class TestLateSessions:
    """A session that turns up when nobody waits for it any more."""

    def test_before_the_second_call_it_is_taken_and_there_is_no_second_call(self, late_run, simulator):
        run = late_run(37)
        follow_in_silence(run)
        assert run.state == "retrying"

        pass_time(simulator, 40)
        follow(run, after=41)
        try_again(run)

        assert (run.state, run.qrs_session, run.next_try_at) == ("started", late_session(simulator), None)
        assert "late" in run.message
        assert count_starts(simulator) == 1

    def test_a_message_that_is_on_its_way_finds_it_started(self, late_run, simulator):
        run = late_run(37)
        follow_in_silence(run)
        Run.objects.update(next_try_at=timezone.now())
        runs.resume_due(now=timezone.now())
        assert runs.take_planned(most=1, now=timezone.now())

        pass_time(simulator, 40)
        follow(run, after=41)
        start(run)

        assert run.state == "started"
        assert count_starts(simulator) == 1

    @pytest.mark.parametrize(
        ("deadline", "state"), [(timedelta(seconds=1), "unreachable"), (timedelta(hours=1), "unknown")]
    )
    def test_after_its_end_the_run_is_opened_again(self, late_run, simulator, settings, deadline, state):
        settings.QRS_IN_DOUBT = "unknown" if state == "unknown" else "wait"
        run = late_run(50, retry_deadline=deadline)
        follow_in_silence(run)
        assert (run.state, run.closed_at is not None) == (state, True)

        pass_time(simulator, 60)
        follow(run, after=61)
        assert (run.state, run.qrs_session, run.closed_at) == ("started", late_session(simulator), None)

        pass_time(simulator, 7300)
        follow(run, after=120)
        assert run.state == "succeeded"
        assert count_starts(simulator) == 1

    def test_a_reload_that_is_over_when_it_turns_up_is_told_with_its_end(self, late_run, simulator):
        change_task(simulator, reload_seconds=1)
        run = late_run(37)
        follow_in_silence(run)

        pass_time(simulator, 60)
        follow(run, after=61)

        assert (run.state, run.qrs_session) == ("succeeded", late_session(simulator))

    def test_where_it_was_called_again_both_sessions_are_told(self, late_run, simulator, caplog):
        run = late_run(120)
        follow_in_silence(run)
        try_again(run)
        second = run.qrs_session
        assert (run.state, count_starts(simulator)) == ("started", 2)

        pass_time(simulator, 130)
        follow(run, after=131)
        follow(run, after=146)

        assert (run.state, run.qrs_session) == ("started", second)
        assert run.message.count(str(late_session(simulator))) == 1
        assert str(late_session(simulator)) in caplog.text
        change_task(simulator, fails=True)
        pass_time(simulator, 7300)
        follow(run, after=160)
        assert run.closed_at is not None
        assert str(late_session(simulator)) in run.message

    def test_it_goes_to_a_run_that_has_none_before_it_is_one_too_many(self, late_run, simulator, run_now):
        first = late_run(60)
        follow_in_silence(first)
        try_again(first)
        simulator.add_fault(Fault(kind=FaultKind.RESET, count=1))
        second = run_now()
        start(second)

        follow(first, second, after=36)

        assert (first.state, second.state) == ("started", "started")
        assert "further session" not in first.message

    def test_long_after_the_call_it_is_somebody_elses(self, late_run, simulator):
        run = late_run(3 * 3600, retry_deadline=timedelta(seconds=1))
        follow_in_silence(run)

        pass_time(simulator, 3 * 3600 + 1)
        follow(run, after=50)

        assert run.state == "unreachable"

    def test_after_an_hour_nobody_asks_any_more(self, late_run, simulator):
        run = late_run(3 * 3600, retry_deadline=timedelta(seconds=1))
        follow_in_silence(run)
        simulator.journal.clear()

        follow(run, after=3700)

        assert simulator.entries() == []

    def test_where_reloads_are_not_followed_it_is_closed(self, late_run, simulator, settings):
        settings.BUTLER_FOLLOW_RELOADS = False
        run = late_run(20)

        pass_time(simulator, 25)
        follow(run, after=26)

        assert (run.state, run.closed_at is not None) == ("started", True)

    def test_a_plain_call_whose_session_comes_after_ten_minutes_is_found(self, run_now, simulator, settings):
        settings.QRS_START_CALL = "plain"
        simulator.add_fault(Fault(kind=FaultKind.ZERO, count=1))
        run = run_now()
        start(run)
        follow(run, after=11 * 60)
        assert run.state == "unknown"

        pass_time(simulator, 12 * 60)
        (session,) = simulator.site.start([UUID(TASK_ID)])
        follow(run, after=12 * 60 + 1)

        assert (run.state, run.qrs_session) == ("started", session)


def test_the_ledger_is_not_searched_for_what_is_in_doubt(late_run):
    """Whatever its size: each question has an index."""
    run = late_run(3600)
    follow(run, after=20)

    with CaptureQueriesContext(
        connection,
    ) as queries:
        follow(run, after=25)
    asked = [query["sql"] for query in queries if query["sql"].startswith("SELECT") and "schedules_run" in query["sql"]]

    assert asked
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            for sql in asked:
                cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
                plan = " ".join(row[3] for row in cursor.fetchall())
                assert "SCAN schedules_run" not in plan, f"{plan}: {sql}"
