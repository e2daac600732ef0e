"""What an answer of QRS means for a run, at the borders of every time that counts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from qlik.clocks import ClockReading
from qlik.documents import ExecutionResult, ExecutionSession
from qlik.execution import ExecutionStatus
from schedules import verdicts
from schedules.models import Run
from schedules.open_runs import OpenRun
from schedules.policies import Retry
from schedules.qrs import longest_call, settle_time
from schedules.qrs_picture import Picture
from schedules.verdicts import ASK_AGAIN_AFTER, FORGET_AFTER, give_up_unsure, judge

NOW = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
A_BIT = timedelta(milliseconds=1)
TASK, RUN, SESSION, OTHER = (UUID(int=number) for number in range(1, 5))
CLOCK = ClockReading(timedelta(0), timedelta(0))


@pytest.fixture(autouse=True)
def retry(monkeypatch) -> None:
    monkeypatch.setattr(verdicts, "read_retry", lambda run_id, now: Retry(until=NOW + timedelta(hours=1)))


def make_run(state: str = Run.State.UNSURE, *, asked: timedelta = timedelta(0), **values: object) -> OpenRun:
    """Return a run for which QRS was called so long before NOW, without an answer where it is unsure."""
    given = {
        "id": RUN,
        "state": state,
        "task_id": TASK,
        "called_at": NOW - asked,
        "answered_at": NOW - asked,
        "session": None if state == Run.State.UNSURE else SESSION,
        "status": None,
        "attempts": 1,
        "message": "",
        "in_doubt_since": None,
        "silent_at": None,
        "closed_at": None,
    } | values
    return OpenRun(**given, as_read=(given["state"], None, given["called_at"], 1, given["session"]))


def make_attempt(status: ExecutionStatus, *, started: timedelta = timedelta(0), **values: object) -> ExecutionResult:
    given = {
        "id": UUID(int=9),
        "execution_id": SESSION,
        "task_id": TASK,
        "status": status,
        "status_code": int(status),
        "started_at": NOW - started,
        "stopped_at": None if status.is_running else NOW,
        "duration": timedelta(seconds=7),
        "node_name": "Central",
        "script_log_available": True,
        "file_reference_id": UUID(int=8),
        "details": (),
    } | values
    return ExecutionResult(**given)


def picture(*attempts: ExecutionResult, session: ExecutionSession | None = None, is_asked: bool = True) -> Picture:
    return Picture(
        sessions={SESSION: session} if session else {},
        attempts={SESSION: attempts} if attempts else {},
        asked=frozenset([SESSION] if is_asked else []),
        clock=CLOCK,
    )


class TestWithoutSession:
    """QRS knows of no session: its silence counts when it had time enough, and the second time."""

    @pytest.mark.parametrize(("late", "is_noted"), [(timedelta(0), False), (A_BIT, True)])
    def test_silence_is_noted_when_qrs_had_time_to_begin_it(self, late, is_noted):
        change = judge(make_run(asked=settle_time() + late), picture(), now=NOW)

        assert (change is not None) is is_noted
        assert not change or (change.state, change.silent_at, change.closed_at) == ("unsure", NOW, None)

    @pytest.mark.parametrize(("ago", "state"), [(ASK_AGAIN_AFTER - A_BIT, None), (ASK_AGAIN_AFTER, "retrying")])
    def test_the_second_silence_counts_a_while_after_the_first(self, ago, state):
        run = make_run(asked=timedelta(minutes=3), silent_at=NOW - ago)

        change = judge(run, picture(), now=NOW)

        assert (change and change.state) == state
        assert not change or change.next_try_at > NOW

    @pytest.mark.parametrize("silent", [timedelta(minutes=3) - settle_time(), timedelta(minutes=5), -A_BIT])
    def test_a_silence_before_its_time_or_by_another_clock_is_none(self, silent):
        run = make_run(asked=timedelta(minutes=3), silent_at=NOW - silent)

        change = judge(run, picture(), now=NOW)

        assert (change.state, change.silent_at) == ("unsure", NOW)

    def test_a_call_of_which_the_end_is_not_known_has_as_long_as_a_call_may_take(self):
        run = make_run(asked=settle_time() + longest_call(), answered_at=None)

        assert judge(run, picture(), now=NOW) is None
        assert judge(run, picture(), now=NOW + A_BIT) is not None

    def test_an_attempt_of_a_lost_worker_counts_as_one(self, monkeypatch):
        monkeypatch.setattr(verdicts.random, "random", lambda: 0.5)
        run = make_run(asked=timedelta(minutes=3), silent_at=NOW - ASK_AGAIN_AFTER)

        moments = [judge(replace(run, attempts=made), picture(), now=NOW).next_try_at for made in (0, 1, 2)]

        assert moments == [NOW + timedelta(seconds=seconds) for seconds in (5, 5, 10)]

    def test_past_its_deadline_it_is_unreachable_and_past_choice_unknown(self, monkeypatch, settings):
        run = make_run(asked=timedelta(minutes=3), silent_at=NOW - ASK_AGAIN_AFTER, message="No answer.")
        monkeypatch.setattr(verdicts, "read_retry", lambda run_id, now: Retry(until=NOW))
        gone = judge(run, picture(), now=NOW)
        settings.QRS_IN_DOUBT = "unknown"
        left = judge(run, picture(), now=NOW)

        assert (gone.state, gone.closed_at, gone.next_try_at) == ("unreachable", NOW, None)
        assert (left.state, left.closed_at, left.next_try_at) == ("unknown", NOW, None)
        assert gone.message == "No answer. QRS was asked: no run of the task has begun since."
        assert left.message.startswith("No answer. QRS was asked: no run of the task has begun since. It is not called")

    @pytest.mark.parametrize(("late", "state"), [(timedelta(0), None), (A_BIT, "unknown")])
    def test_a_plain_call_that_begins_nothing_is_given_up(self, late, state):
        run = make_run(Run.State.STARTED, session=None, asked=max(FORGET_AFTER, settle_time()) + late)

        change = judge(run, picture(), now=NOW)

        assert (change and change.state) == state
        assert not change or (change.closed_at, change.next_try_at) == (NOW, None)

    @pytest.mark.parametrize("state", ["retrying", "unreachable", "unknown", "planned", "queued"])
    def test_one_that_is_only_sought_stays_as_it_is(self, state):
        run = make_run(state, session=None, asked=timedelta(hours=1), silent_at=NOW - timedelta(minutes=30))

        assert judge(run, picture(), now=NOW) is None


class TestWithSession:
    def test_one_under_way_is_told_once(self):
        attempt = make_attempt(ExecutionStatus.STARTED)
        session = ExecutionSession(id=SESSION, task_id=TASK, created_at=NOW, modified_at=NOW, result=attempt)
        run = make_run(Run.State.STARTED)

        change = judge(run, picture(session=session), now=NOW)

        assert (change.state, change.reload_status, change.node, change.closed_at) == ("started", 2, "Central", None)
        assert judge(replace(run, status=2), picture(session=session), now=NOW) is None

    def test_one_that_was_in_doubt_is_told_although_its_status_is_known(self):
        session = ExecutionSession(id=SESSION, task_id=TASK, created_at=NOW, modified_at=NOW, result=None)
        run = replace(make_run(message="No answer."), session=SESSION)

        change = judge(run, picture(session=session), now=NOW)

        assert (change.state, change.qrs_session) == ("started", SESSION)
        assert change.message == "No answer. QRS was asked: it was started."

    @pytest.mark.parametrize(
        ("status", "state"),
        [
            (ExecutionStatus.FINISHED_SUCCESS, "succeeded"),
            (ExecutionStatus.FINISHED_FAIL, "failed"),
            (ExecutionStatus.ERROR, "failed"),
            (ExecutionStatus.RESET, "failed"),
            (ExecutionStatus.SKIPPED, "failed"),
            (ExecutionStatus.ABORTED, "aborted"),
            (ExecutionStatus.UNKNOWN, "unknown"),
        ],
    )
    def test_each_end_has_its_state(self, status, state):
        change = judge(make_run(Run.State.STARTED), picture(make_attempt(status)), now=NOW)

        assert (change.state, change.closed_at, change.qrs_session) == (state, NOW, SESSION)
        assert (change.ended_at, change.reload_started_at, change.reload_attempts) == (NOW, NOW, 1)
        assert (change.message == "") is (state == "succeeded")

    def test_an_end_is_that_of_its_last_attempt_and_the_beginning_that_of_its_first(self):
        attempts = [
            make_attempt(ExecutionStatus.FINISHED_FAIL, started=timedelta(minutes=9)),
            make_attempt(ExecutionStatus.FINISHED_SUCCESS, started=timedelta(minutes=1)),
        ]

        change = judge(make_run(Run.State.STARTED), picture(*attempts), now=NOW)

        assert (change.state, change.reload_attempts) == ("succeeded", 2)
        assert change.reload_started_at == NOW - timedelta(minutes=9)

    @pytest.mark.parametrize("status", [status for status in ExecutionStatus if status.is_running])
    def test_an_attempt_that_still_runs_is_no_end(self, status):
        assert judge(make_run(Run.State.STARTED), picture(make_attempt(status)), now=NOW) is None

    @pytest.mark.parametrize(("late", "state"), [(timedelta(0), None), (A_BIT, "unknown")])
    @pytest.mark.parametrize("last_sign", ["call", "attempt"])
    def test_a_session_that_qrs_does_not_know_is_given_up_after_its_last_sign(self, late, state, last_sign):
        long_ago = FORGET_AFTER + late
        if last_sign == "call":
            run, seen = make_run(Run.State.STARTED, asked=long_ago), picture()
        else:
            run = make_run(Run.State.STARTED, asked=timedelta(hours=9))
            seen = picture(make_attempt(ExecutionStatus.RETRY, started=long_ago))

        change = judge(run, seen, now=NOW)

        assert (change and change.state) == state

    def test_one_that_was_not_asked_for_is_not_given_up(self):
        run = make_run(Run.State.STARTED, asked=timedelta(hours=9))

        assert judge(run, picture(is_asked=False), now=NOW) is None

    def test_one_that_is_over_stays_as_it_is(self):
        run = make_run(Run.State.FAILED, closed_at=NOW, in_doubt_since=NOW)

        assert judge(run, picture(make_attempt(ExecutionStatus.FINISHED_SUCCESS)), now=NOW) is None

    def test_where_reloads_are_not_followed_a_start_that_was_in_doubt_is_an_end(self, settings):
        settings.BUTLER_FOLLOW_RELOADS = False
        run = replace(make_run(), session=SESSION)

        change = judge(run, picture(is_asked=False), now=NOW)

        assert (change.state, change.closed_at) == ("started", NOW)

    @pytest.mark.parametrize(("earlier", "doubt"), [(timedelta(0), None), (A_BIT, NOW - A_BIT)])
    def test_the_doubt_of_an_earlier_call_stays(self, earlier, doubt):
        session = ExecutionSession(id=SESSION, task_id=TASK, created_at=NOW, modified_at=NOW, result=None)
        run = replace(make_run(in_doubt_since=NOW - earlier), session=SESSION)

        assert judge(run, picture(session=session), now=NOW).in_doubt_since == doubt


class TestGivingUp:
    @pytest.mark.parametrize(("late", "is_given_up"), [(timedelta(0), False), (A_BIT, True)])
    def test_it_is_given_up_when_its_time_for_attempts_is_over(self, late, is_given_up):
        now = NOW + timedelta(hours=1) + late

        changes = give_up_unsure([make_run()], error="away", now=now)

        assert [(change.state, change.closed_at) for change in changes] == [("unknown", now)] * is_given_up

    @pytest.mark.parametrize(("late", "is_given_up"), [(timedelta(0), False), (A_BIT, True)])
    def test_it_has_a_while_after_its_call_in_any_case(self, monkeypatch, late, is_given_up):
        monkeypatch.setattr(verdicts, "read_retry", lambda run_id, now: Retry(until=NOW))

        changes = give_up_unsure([make_run()], error="away", now=NOW + FORGET_AFTER + late)

        assert len(changes) == is_given_up

    def test_one_that_was_started_is_not(self):
        assert give_up_unsure([make_run(Run.State.STARTED)], error="away", now=NOW + timedelta(days=1)) == []
