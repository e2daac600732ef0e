"""The tally finds what is lost, doubled, or otherwise wrong: it is fed with each of them."""

from __future__ import annotations

import pytest

from tests.chaos.journal import Start
from tests.chaos.ledger import Row
from tests.chaos.oracle import Fate
from tests.chaos.report import format_line, judge
from tests.chaos.tally import Tally, compare

EXPECTED = {"task": {10: Fate.START, 11: Fate.START, 12: Fate.START}}


def row(due: int, *, state: str = "started", session: str | None = "", **values: object) -> Row:
    """Return a run whose session is named for its instant."""
    session = f"s{due}" if session == "" else session
    given = {"id": f"r{due}", "schedule_name": "name", "task_id": "task", "reason": "scheduled"}
    return Row(**given | {"state": state, "due_at": float(due), "planned_at": float(due), "session": session} | values)


def start(due: int, *, session: str = "", late: float = 0.5) -> Start:
    return Start(task_id="task", session=session or f"s{due}", at=due + late)


ROWS = [row(10), row(11), row(12)]
STARTS = [start(10), start(11), start(12)]


def tally(rows: list[Row], starts: list[Start], expected: dict = EXPECTED, **values: object) -> Tally:
    return compare(expected, rows, starts, **{"begin": 9, "end": 12} | values)


def test_it_finds_nothing_wrong_where_nothing_is():
    found = tally(ROWS, STARTS)

    assert (found.planned, found.started, found.lost, found.doubled, found.findings) == (3, 3, 0, 0, [])
    assert found.worst_gap == 0.5
    assert judge("sound", found, gap=1).failures == []


def test_an_instant_without_a_row_is_lost():
    found = tally([row(10), row(12)], [start(10), start(12)])

    assert (found.lost, found.doubled) == (1, 0)
    assert judge("lost", found).verdict == "FAIL"


@pytest.mark.parametrize("state", ["planned", "queued", "claimed"])
def test_a_row_without_a_final_state_is_lost(state):
    assert tally([row(10), row(11, state=state, session=None), row(12)], [start(10), start(12)]).lost == 1


def test_a_start_that_only_the_ledger_knows_is_lost():
    assert tally(ROWS, [start(10), start(12)]).lost == 1


def test_a_run_that_is_skipped_against_its_policy_is_lost():
    skipped = row(11, state="skipped", session=None, message="Misfire")

    assert tally([row(10), skipped, row(12)], [start(10), start(12)]).lost == 1


def test_a_second_start_of_a_run_is_doubled():
    found = tally(ROWS, [*STARTS, start(11, session="another")])

    assert (found.lost, found.doubled) == (0, 1)
    assert judge("doubled", found).verdict == "FAIL"


def test_a_second_row_that_was_started_for_an_instant_is_doubled():
    second = row(11, id="other", session="another", reason="catch-up")
    starts = [*STARTS, start(11, session="another")]

    assert tally([*ROWS, second], starts).doubled == 1
    assert tally([*ROWS, second], starts, may_repeat=True).doubled == 0


def test_a_session_that_comes_twice_is_doubled():
    assert tally(ROWS, [*STARTS, start(11)]).doubled == 1


def test_an_unknown_run_may_have_started_once_but_not_twice():
    rows = [row(10), row(11, state="unknown", session=None), row(12)]
    starts = [start(10), start(12)]

    assert tally(rows, starts).doubled == 0
    assert tally(rows, [*starts, start(11, session="x")]).doubled == 0
    assert tally(rows, [*starts, start(11, session="x"), start(11, session="y")]).doubled == 1


def test_a_final_state_that_is_not_allowed_fails():
    rows = [row(10), row(11, state="unknown", session=None), row(12)]
    found = tally(rows, [start(10), start(12)])

    assert judge("unknown", found).verdict == "FAIL"
    assert judge("unknown", found, allowed=["unknown"]).verdict == "ok"


def test_a_run_that_was_not_due_is_found():
    found = tally([*ROWS, row(9)], [*STARTS, start(9)], begin=8)

    assert [finding for finding in found.findings if "not due at all" in finding]


def test_a_run_that_had_to_be_skipped_is_found():
    assert tally(ROWS, STARTS, {"task": dict.fromkeys((10, 11, 12), Fate.SKIP)}).findings


def test_a_row_may_stand_for_many_that_are_skipped():
    expected = {"task": {10: Fate.SKIP, 11: Fate.SKIP, 12: Fate.START}}
    many = row(10, state="skipped", session=None, message="Misfire", occurrences=2)
    found = tally([many, row(12)], [start(12)], expected)

    assert (found.planned, found.skipped, found.lost, found.findings) == (3, 2, 0, [])
    assert tally([row(10, state="skipped", session=None, message="Misfire"), row(12)], [start(12)], expected).lost == 1


def test_a_gap_above_the_bar_fails():
    found = tally(ROWS, [start(10), start(11, late=7), start(12)])

    assert judge("late", found, gap=5).verdict == "FAIL"
    assert judge("late", found, gap=8).verdict == "ok"


def test_rows_outside_the_span_explain_their_starts_and_count_for_nothing():
    found = tally([*ROWS, row(13)], [*STARTS, start(13)])

    assert (found.planned, found.doubled) == (3, 0)


def test_a_line_of_the_table_has_eighty_columns():
    assert len(format_line(judge("a scenario with a name that is far too long", tally(ROWS, STARTS)).cells())) == 80
