"""What the benchmarks read from messages, journals and the looks of beat."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from itertools import islice
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from schedules.cron import CronExpression
from tests.benchmarks.__main__ import make_parser
from tests.benchmarks.edits import find_look
from tests.benchmarks.fill import idle_crons
from tests.benchmarks.reader import read_run_ids
from tests.benchmarks.starts import read_starts

DUE = 1_772_344_800


def make_message(task, arguments):
    body = base64.b64encode(json.dumps([arguments, {}, {}]).encode()).decode()
    return json.dumps({"body": body, "headers": {"task": task}}).encode()


def test_a_message_tells_its_runs():
    run = UUID("4f1c2a52-7f0f-5d3b-9a0e-0a8f8d9e6c11")

    assert read_run_ids(make_message("schedules.start_runs", [[str(run)]])) == [run.hex]
    assert read_run_ids(make_message("schedules.sweep_runs", [])) == []


def test_an_edit_is_live_when_the_first_look_that_saw_it_has_ended():
    looks = [(10, 11, 4), (20, 22, 5), (30, 33, 7)]

    assert [find_look(looks, change) for change in (4, 5, 6, 7)] == [11, 22, 33, 33]
    with pytest.raises(RuntimeError, match="change 8"):
        find_look(looks, 8)


def test_a_journal_tells_when_starts_were_accepted_and_which_were_doubled():
    def entry(session, seconds, outcome="started"):
        return {"session_id": session, "at_ns": (DUE + seconds) * 10**9, "outcome": outcome}

    journal = [entry("a-1", 1), entry("a-2", 12), entry("c-3", 3), entry(None, 4, "not done")]
    starts = read_starts(journal, {"a1": DUE, "a2": DUE + 10})

    assert starts.accepted == {DUE: [pytest.approx(1.02, abs=0.001)], DUE + 10: [pytest.approx(2.02, abs=0.001)]}
    assert starts.doubled == 1


@pytest.mark.parametrize("month", [1, 3, 7, 10])
def test_idle_schedules_are_not_due_for_hours(month):
    now = datetime(2026, month, 28, 21, 59, 30, tzinfo=UTC)

    for text, zone in islice(idle_crons(now), 3000):
        due = CronExpression.parse(text).next_after(now, ZoneInfo(zone))
        assert due is not None
        assert due - now > timedelta(hours=2)


def test_measures_can_be_chosen(capsys):
    assert make_parser().parse_args(["--only", "idle,burst"]).only == ["burst", "idle"]
    with pytest.raises(SystemExit):
        make_parser().parse_args(["--only", "idle,speed"])
    assert "speed: not among burst" in capsys.readouterr().err
