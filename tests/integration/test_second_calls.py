"""What happens before a call in doubt is made again: QRS is asked once more, or the operator has forbidden it."""

from __future__ import annotations

import pytest

from qlik.simulator.faults import Fault, FaultKind
from schedules import qrs
from schedules.models import Run
from tests.integration.following_steps import (
    begin_before,
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


class TestTheLastMoment:
    """QRS is asked once more right before the second call."""

    @pytest.fixture
    def doubted(self, late_run, simulator) -> Run:
        run = late_run(3600)
        follow_in_silence(run)
        assert run.state == "retrying"
        return run

    @pytest.mark.parametrize("overlap", ["allow", "skip"])
    def test_a_session_that_nobody_has_seen_yet_holds_it_back(self, late_run, simulator, overlap):
        run = late_run(37, overlap=overlap)
        follow_in_silence(run)
        pass_time(simulator, 40)

        try_again(run)
        assert (run.state, run.qrs_session, run.next_try_at) == ("unsure", None, None)

        follow(run, after=41)
        assert (run.state, run.qrs_session) == ("started", late_session(simulator))
        assert count_starts(simulator) == 1

    def test_the_session_of_another_run_does_not(self, doubted, simulator, run_now):
        other = run_now()
        start(other)

        try_again(doubted)

        assert (doubted.state, other.state) == ("started", "started")
        assert doubted.qrs_session != other.qrs_session

    def test_a_session_from_before_the_first_call_does_not(self, late_run, simulator):
        begin_before(simulator, 60)
        run = late_run(3600)
        follow_in_silence(run)

        try_again(run)

        assert (run.state, count_starts(simulator)) == ("started", 2)

    def test_where_qrs_cannot_be_asked_the_call_waits(self, doubted, simulator, run_now):
        simulator.add_fault(Fault(kind=FaultKind.REFUSE, status=503, calls=("sessions",)))
        other = run_now()

        try_again(doubted)
        start(other)

        assert (doubted.state, doubted.attempts) == ("retrying", 1)
        assert other.state == "started", "it was not called before"

    def test_a_first_call_asks_nothing(self, run_now, simulator):
        simulator.journal.clear()
        start(run_now())

        assert [entry.call for entry in simulator.entries()] == ["start synchronous"]


class TestTheOperatorsChoice:
    def test_unknown_never_calls_again(self, late_run, simulator, settings):
        settings.QRS_IN_DOUBT = "unknown"
        run = late_run(3600)

        follow(run, after=20)
        assert run.state == "unsure"
        follow(run, after=35)

        assert (run.state, run.closed_at is not None, run.next_try_at) == ("unknown", True, None)
        assert "QRS_IN_DOUBT" in run.message
        try_again(run)
        assert (run.state, count_starts(simulator)) == ("unknown", 1)

    def test_unknown_takes_a_session_that_is_there(self, late_run, simulator, settings):
        settings.QRS_IN_DOUBT = "unknown"
        run = late_run(5)

        pass_time(simulator, 6)
        follow(run, after=7)

        assert run.state == "started"
