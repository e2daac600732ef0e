"""The account of a day finds what is lost, doubled and wrongly reported, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from random import Random

import pytest

from tests.chaos.day.plan import Day, Duty, plan_day
from tests.chaos.day.truth import Attempt, Call, Evidence, Reload, Row
from tests.chaos.day.verdict import FORGOTTEN, FORGOTTEN_START, Account, judge_day

DAY = Day(midnight=1_700_000_000, first=0, last=20)
DUE = DAY.begin + 10
TASK, SESSION, OTHER = "a" * 32, "5" * 32, "6" * 32
DUTY = Duty(
    name="one", title="One", kind="one", cron=DAY.cron_at(10), task={"id": TASK}, grace=5, deadline=60, overlap="allow"
)
ATTEMPT = Attempt(status=7, started_at=DUE + 0.1, stopped_at=DUE + 3.1)
CALL = Call(at=DUE + 0.1, name="start synchronous", status=201, outcome="started", task_id=TASK, session=SESSION)
RELOAD = Reload(session=SESSION, task_id=TASK, begun_at=DUE + 0.1, over_at=DUE + 3.1, attempts=(ATTEMPT,))
ROW = Row(
    id="1",
    schedule_name="one",
    task_id=TASK,
    state="succeeded",
    due_at=DUE,
    planned_at=DUE,
    claimed_at=DUE + 0.05,
    called_at=DUE + 0.08,
    answered_at=DUE + 0.15,
    closed_at=DUE + 12,
    session=SESSION,
    reload_status=7,
    reload_started_at=DUE + 0.1,
    ended_at=DUE + 3.1,
    reload_duration=3.0,
    reload_attempts=1,
)
NOT_STARTED = replace(ROW, session=None, reload_status=None, reload_attempts=0, closed_at=DUE + 0.15)


def judge(
    *rows: Row, reloads: tuple[Reload, ...] = (RELOAD,), calls: tuple[Call, ...] = (CALL,), duty: Duty = DUTY
) -> Account:
    return judge_day(
        Evidence(
            day=DAY,
            duties=[duty],
            rows=rows,
            calls=calls,
            reloads={reload.session: reload for reload in reloads},
        )
    )


def test_a_run_that_is_told_as_it_was_is_right() -> None:
    account = judge(ROW)

    assert account.is_right, account
    assert (account.planned, account.started_once, dict(account.ends)) == (1, 1, {"succeeded": 1})


def test_an_occurrence_without_a_row_is_lost() -> None:
    assert len(judge(reloads=(), calls=()).lost) == 1


def test_a_row_without_an_end_is_lost() -> None:
    row = replace(NOT_STARTED, state="unsure", closed_at=None)

    assert "has no end" in judge(row, reloads=(), calls=()).lost[0]


def test_a_reload_that_is_over_must_have_been_noticed() -> None:
    row = replace(ROW, state="started", closed_at=None)

    assert "nobody has noticed" in judge(row).lost[0]
    assert judge(row, reloads=(replace(RELOAD, over_at=inf, attempts=()),)).running == 1


def test_two_rows_of_an_occurrence_are_doubled() -> None:
    assert judge(ROW, replace(ROW, id="2", session=None, state="skipped")).doubled == [f"One due {DUE} has 2 rows"]


def test_a_start_that_no_row_answers_for_is_doubled() -> None:
    second = replace(RELOAD, session=OTHER, begun_at=DUE + 5, over_at=DUE + 8)

    assert len(judge(ROW, reloads=(RELOAD, second)).doubled) == 1
    assert judge(ROW, reloads=(RELOAD, replace(second, is_by_hand=True))).is_right


def test_a_start_that_sense_forgot_may_have_been_made_again() -> None:
    forgotten = replace(RELOAD, session=OTHER, attempts=(), is_lost=True)

    account = judge(ROW, reloads=(RELOAD, forgotten))

    assert account.is_right
    assert account.unknowable[FORGOTTEN_START] == 1


def test_a_session_belongs_to_one_row() -> None:
    other = replace(ROW, id="2", schedule_name="two", due_at=DUE + 1)

    assert "stands in 2 rows" in judge(ROW, other).doubled[0]


@pytest.mark.parametrize(
    "told",
    [
        {"state": "failed"},
        {"reload_status": 8},
        {"reload_attempts": 2},
        {"reload_duration": 2.0},
        {"reload_duration": None},
        {"reload_started_at": DUE},
        {"ended_at": DUE + 4},
        {"session": OTHER},
        {"called_at": DUE + 2, "answered_at": DUE + 2},
        {"called_at": DUE - 2, "answered_at": DUE - 2},
        {"state": "skipped", "message": "Misfire: no worker took it."},
        {"state": "refused"},
        {"state": "unknown"},
    ],
)
def test_what_differs_from_what_sense_knows_is_wrong(told) -> None:
    assert judge(replace(ROW, **told)).wrong


def test_attempts_of_sense_are_counted() -> None:
    failed = Attempt(status=8, started_at=DUE + 0.1, stopped_at=DUE + 1)
    last = replace(ATTEMPT, started_at=DUE + 1.1)
    told = replace(ROW, reload_attempts=2, reload_duration=2.0)

    assert judge(told, reloads=(replace(RELOAD, attempts=(failed, last)),)).is_right


def test_refused_is_what_qrs_refused() -> None:
    row = replace(NOT_STARTED, state="refused")
    refusal = replace(CALL, status=404, outcome="refused", session=None)

    assert judge(row, reloads=(), calls=(refusal,)).is_right
    assert judge(row, reloads=(), calls=(replace(refusal, status=500, outcome="not done"),)).wrong
    assert judge(row, reloads=(), calls=()).wrong


def test_unreachable_is_what_has_used_up_its_time_or_its_attempts() -> None:
    row = replace(NOT_STARTED, state="unreachable")

    assert judge(replace(row, closed_at=DUE + 58), reloads=(), calls=()).is_right
    assert "50 s too early" in judge(replace(row, closed_at=DUE + 10), reloads=(), calls=()).wrong[0]
    once = replace(DUTY, max_attempts=1)
    assert judge(row, reloads=(), calls=(), duty=once).is_right
    assert judge(replace(row, attempts=0), reloads=(), calls=(), duty=once).wrong
    lost = replace(row, attempts=0, message="The worker was lost.")
    assert judge(lost, reloads=(), calls=(), duty=once).is_right


def test_unknown_is_what_sense_has_forgotten() -> None:
    account = judge(replace(ROW, state="unknown"), reloads=(replace(RELOAD, attempts=(), is_lost=True),))

    assert account.is_right
    assert account.unknowable[FORGOTTEN] == 1


def test_a_misfire_is_late() -> None:
    row = replace(NOT_STARTED, state="skipped", message="Misfire: no worker took it within 0:00:05.")

    assert judge(replace(row, closed_at=DUE + 6), reloads=(), calls=()).is_right
    assert judge(replace(row, closed_at=DUE + 4), reloads=(), calls=()).wrong


def test_a_run_gives_way_to_another_and_to_nothing_else() -> None:
    row = replace(NOT_STARTED, state="skipped", message="Overlap: one is not over.", closed_at=DUE + 1)
    cautious = replace(DUTY, overlap="skip")
    before = replace(RELOAD, begun_at=DUE - 5, over_at=DUE + 3, is_by_hand=True)

    assert judge(row, reloads=(before,), calls=(), duty=cautious).is_right
    assert judge(row, reloads=(before,), calls=()).wrong, "its schedule lets runs overlap"
    assert judge(row, reloads=(), calls=(), duty=cautious).wrong
    assert judge(row, reloads=(replace(before, over_at=DUE - 4),), calls=(), duty=cautious).wrong


def test_cautious_schedules_do_not_start_beside_a_run() -> None:
    before = replace(RELOAD, session=OTHER, begun_at=DUE - 60, over_at=DUE + 30, is_by_hand=True)
    cautious = replace(DUTY, overlap="skip")

    assert "was started beside" in judge(ROW, reloads=(RELOAD, before), duty=cautious).wrong[0]
    assert judge(ROW, reloads=(RELOAD, before)).is_right
    assert judge(ROW, reloads=(RELOAD, replace(before, begun_at=DUE)), duty=cautious).is_right, "within the moment"


def test_a_row_that_was_not_due_is_wrong() -> None:
    assert any("was not due" in finding for finding in judge(replace(ROW, due_at=DUE + 1)).wrong)


def test_a_plan_is_the_same_for_the_same_seed_and_has_all_kinds() -> None:
    first, second = (plan_day(DAY, Random(7)) for _ in range(2))

    assert first == second
    assert len(first) == 500
    assert {duty.overlap for duty in first} == {"allow", "skip", "queue"}
    assert {duty.misfire for duty in first} == {"once", "all", "skip"}
    assert not any(duty.list_due(DAY) for duty in first if duty.kind in ("stopped", "on another weekday"))
    assert len({duty.task_id for duty in first}) == 500
