"""Which session is taken for that of which call, at the borders of what can be told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from qlik.clocks import ClockReading
from qlik.documents import ExecutionSession
from schedules import session_matching
from schedules.models import Run
from schedules.open_runs import LATE_LIMIT, OpenRun
from schedules.qrs_picture import Begun, Picture
from schedules.session_matching import PRECISION, Matching, match_sessions

NOW = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
A_BIT = timedelta(milliseconds=1)
TASK, ELSEWHERE = UUID(int=1), UUID(int=2)
A, B, C = (UUID(int=number) for number in (11, 12, 13))
S, T, U = (UUID(int=number) for number in (21, 22, 23))
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def ledger(monkeypatch) -> dict[str, set]:
    """What the ledger says: the sessions that runs have, and the tasks of calls that are on their way."""
    known: dict[str, set] = {"taken": set(), "calling": set()}
    monkeypatch.setattr(session_matching, "_list_taken", lambda sessions: known["taken"] & {*sessions})
    monkeypatch.setattr(session_matching, "_list_calling", lambda besides: known["calling"])
    return known


def make_run(run_id: UUID = A, *, called: timedelta = timedelta(0), state: str = "unsure", **values: object) -> OpenRun:
    """Return a run of which QRS was called so long after NOW, and the answer was lost a second later."""
    given = {
        "id": run_id,
        "state": state,
        "task_id": TASK,
        "called_at": NOW + called,
        "answered_at": NOW + called + timedelta(seconds=1),
        "session": None,
        "status": None,
        "attempts": 1,
        "message": "",
        "in_doubt_since": None,
        "silent_at": None,
        "closed_at": None,
    } | values
    return OpenRun(**given, as_read=(given["session"],))


def match(
    runs: Sequence[OpenRun],
    begun: dict[UUID, timedelta],
    *,
    task: UUID = TASK,
    uncertainty: timedelta = timedelta(0),
    **seen: object,
) -> Matching:
    """Match the runs with sessions of the task that began so long after NOW."""
    found = sorted(Begun(NOW + after, session) for session, after in begun.items())
    picture = Picture(begun={task: found}, clock=ClockReading(timedelta(0), uncertainty), **seen)
    return match_sessions(runs, picture, now=NOW + MINUTE)


def owned(matching: Matching) -> dict[UUID, UUID | None]:
    return {run.id: run.session for run in matching.runs}


@pytest.mark.parametrize(
    ("after", "result"),
    [
        (timedelta(0), {A: S}),
        (timedelta(seconds=40), {A: S}),
        # Seemingly before the call by less than can be told: somebody else's, or not
        (-A_BIT, {}),
        (-PRECISION, {}),
        (-PRECISION - A_BIT, {A: None}),
        # Later than any call begins a session
        (timedelta(seconds=1) + LATE_LIMIT + PRECISION, {A: S}),
        (timedelta(seconds=1) + LATE_LIMIT + PRECISION + A_BIT, {A: None}),
    ],
)
def test_a_session_is_a_calls_where_it_began_after_it_and_not_much_later(after, result):
    assert owned(match([make_run()], {S: after})) == result


@pytest.mark.parametrize(
    ("after", "result"),
    [
        (-timedelta(milliseconds=500), {A: S}),
        (-timedelta(milliseconds=501), {}),
        (-timedelta(seconds=1.001), {A: None}),
    ],
)
def test_how_well_the_clocks_can_be_compared_says_how_long_before(after, result):
    assert owned(match([make_run()], {S: after}, uncertainty=timedelta(milliseconds=500))) == result


def test_however_little_is_known_of_the_clocks_a_session_long_before_is_not_taken():
    run = make_run()

    assert owned(match([run], {S: -PRECISION}, uncertainty=MINUTE)) == {A: S}
    assert owned(match([run], {S: -PRECISION - A_BIT}, uncertainty=MINUTE)) == {}
    assert owned(match([run], {S: -MINUTE - A_BIT}, uncertainty=MINUTE)) == {A: None}


def test_what_known_sessions_seem_early_by_others_may_as_well():
    known = make_run(B, state="started", session=T, answered_at=NOW + A_BIT)
    session = ExecutionSession(
        id=T, task_id=ELSEWHERE, created_at=NOW - timedelta(seconds=3), modified_at=NOW, result=None
    )

    matching = match([make_run(), known], {S: -timedelta(seconds=3)}, sessions={T: session})

    assert owned(matching) == {A: S, B: T}
    assert owned(match([make_run(), known], {S: -timedelta(seconds=3, milliseconds=1)}, sessions={T: session})) == {
        A: None,
        B: T,
    }


def test_a_session_of_another_task_is_no_calls():
    assert owned(match([make_run()], {S: timedelta(0)}, task=ELSEWHERE)) == {A: None}


def test_one_that_a_run_has_already_is_not_given_again(ledger):
    ledger["taken"] = {S}

    assert owned(match([make_run()], {S: timedelta(0)})) == {A: None}
    assert owned(match([make_run()], {S: timedelta(0), T: timedelta(seconds=9)})) == {A: T}


def test_of_several_the_nearest_is_taken_and_each_once():
    runs = [make_run(A), make_run(B, called=timedelta(seconds=30))]

    near = match(runs, {S: timedelta(seconds=2), T: timedelta(seconds=31), U: timedelta(seconds=50)})
    one = match(runs, {S: timedelta(seconds=31)})

    assert owned(near) == {A: S, B: T}
    assert owned(one) == {A: None, B: S}


def test_of_calls_whose_sessions_may_seem_early_the_nearest_has_it():
    known = make_run(C, state="started", session=T, answered_at=NOW + A_BIT)
    early = ExecutionSession(
        id=T, task_id=ELSEWHERE, created_at=NOW - timedelta(seconds=3), modified_at=NOW, result=None
    )
    runs = [make_run(A), make_run(B, called=timedelta(seconds=2)), known]

    assert owned(match(runs, {S: timedelta(seconds=0.9)}, sessions={T: early})) == {A: S, B: None, C: T}
    assert owned(match(runs, {S: timedelta(seconds=1.1)}, sessions={T: early})) == {A: None, B: S, C: T}


def test_of_calls_that_are_as_near_as_can_be_told_the_last_one_has_it():
    runs = [make_run(A), make_run(B, called=timedelta(seconds=2))]

    assert owned(match(runs, {S: timedelta(seconds=1)}, uncertainty=timedelta(seconds=3))) == {A: None, B: S}


def test_while_a_call_for_the_task_is_on_its_way_nobody_takes_its_session(ledger):
    ledger["calling"] = {str(TASK)}
    has = make_run(B, state="started", session=T)

    assert owned(match([make_run(), has], {S: timedelta(0)})) == {B: T}
    assert owned(match([make_run(), has], {S: -timedelta(hours=1)})) == {A: None, B: T}, "not one that is too early"


@pytest.mark.parametrize("vague", [(TASK, S), (None, S), (TASK, None), (None, None)])
def test_a_session_that_does_not_say_when_it_began_leaves_the_runs_of_its_task_in_doubt(vague):
    has = make_run(B, state="started", session=T)

    assert owned(match([make_run(), has], {}, vague=[vague])) == {B: T}


def test_one_of_another_task_or_that_a_run_has_leaves_nobody_in_doubt(ledger):
    assert owned(match([make_run()], {}, vague=[(ELSEWHERE, S)])) == {A: None}
    ledger["taken"] = {S}
    assert owned(match([make_run()], {}, vague=[(TASK, S)])) == {A: None}


def test_one_that_is_not_told_all_that_has_begun_judges_only_those_with_a_session():
    has = make_run(B, state="started", session=T)

    assert owned(match([make_run(), has], {S: timedelta(0)}, is_partial=True)) == {B: T}


class TestFurther:
    """A run was called again, and an earlier call of it has begun a session after all."""

    def test_a_second_session_is_told(self, ledger):
        ledger["taken"] = {S}
        twice = make_run(A, state="started", called=MINUTE, session=S, in_doubt_since=NOW)

        further = match([twice], {S: MINUTE, T: timedelta(seconds=5)}).further

        assert further == {A: [Begun(NOW + timedelta(seconds=5), T)]}

    def test_not_one_from_before_the_first_call_nor_one_of_a_run_that_was_called_once(self):
        twice = make_run(A, state="started", called=MINUTE, session=S, in_doubt_since=NOW)
        once = make_run(B, state="started", called=MINUTE, session=U)

        assert match([twice], {T: -timedelta(seconds=5)}).further == {}
        assert match([once], {T: timedelta(seconds=5)}).further == {}

    def test_not_while_a_call_for_the_task_is_on_its_way(self, ledger):
        ledger["calling"] = {str(TASK)}
        twice = make_run(A, state="started", called=MINUTE, session=S, in_doubt_since=NOW)

        assert match([twice], {T: timedelta(seconds=5)}).further == {}


def test_nothing_is_looked_for_where_nothing_is_sought(ledger):
    closed = make_run(A, state=Run.State.UNREACHABLE, closed_at=NOW + MINUTE - LATE_LIMIT - A_BIT)

    assert owned(match([closed], {S: timedelta(0)})) == {A: None}
