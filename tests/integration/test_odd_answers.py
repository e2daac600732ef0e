"""Rows of QRS that are odd in one field: no other run, and no other task, suffers from it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from qlik.simulator import api
from qlik.simulator.faults import Fault, FaultKind
from qlik.simulator.tasks import Task
from schedules import following
from schedules.known_tasks import refresh_tasks
from schedules.models import QlikTask, Run
from schedules.qrs import qrs_client
from tests.conftest import TASK_ID
from tests.integration.following_steps import change_task, follow, follow_in_silence, pass_time, start

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("qrs_service")]

ODD_TASK = uuid4()
HUGE = 10**400
TEXTS = [None, 7, True, [], {}, "", "\0", "\ud800", "x" * 5000]
MOMENTS = [None, 0, -1, [], {}, "yesterday", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "\0"]
NUMBERS = [None, -1, 2**15, 2**31, 2**63, HUGE, 1e300, float("nan"), float("inf"), "7", [], {}, True]
IDS = [None, 7, [], {}, "", "no id", "\0", "0" * 33]

RESULT_VALUES = [
    *(("status", value) for value in [*NUMBERS, -2, 15, 99_999, "FinishedSuccess"]),
    *(("duration", value) for value in NUMBERS),
    *((name, value) for name in ("startTime", "stopTime") for value in MOMENTS),
    *((name, value) for name in ("executionID", "taskID", "fileReferenceID", "id") for value in IDS),
    *(("executingNodeName", value) for value in TEXTS),
    *(("scriptLogAvailable", value) for value in [None, "no", [], 2]),
    *(("details", value) for value in [None, 7, "text", {}, [None], [7], [{}], [{"message": 7}], [{"message": "\0"}]]),
    ("details", [{"message": "x" * 10_000, "detailCreatedDate": "\0"}] * 3),
]
SESSION_VALUES = [
    *(("id", value) for value in IDS),
    *(("reloadTask", value) for value in [None, 7, "Sales", [], [1], {}, {"id": None}, {"id": 7}, {"id": "no id"}]),
    *(("createdDate", value) for value in MOMENTS),
    *(("executionResult", value) for value in [None, 7, "text", [1], {"id": 7}, {"id": TASK_ID, "status": "done"}]),
    *(("executionResult", {"id": TASK_ID, "status": value}) for value in NUMBERS),
]
TASK_VALUES = [
    *(("id", value) for value in IDS),
    *(("name", value) for value in TEXTS),
    *(("enabled", value) for value in [None, "yes", 0, []]),
    *(("app", value) for value in [None, 7, "App", [], {"id": 7}, {"id": "x", "name": 7}, {"name": "x" * 5000}]),
    *(("tags", value) for value in [None, 7, "tag", {}, [None], [7], [{}], [{"name": 7}], [{"name": "\0"}]]),
    *(("customProperties", value) for value in [None, 7, {}, [None], [{}], [{"value": 7, "definition": "x"}]]),
    *((name, value) for name in ("maxRetries", "taskSessionTimeout") for value in NUMBERS),
    *(("operational", value) for value in [None, 7, [], {"lastExecutionResult": 7}]),
    *(("operational", {"lastExecutionResult": {"id": TASK_ID, "status": value}}) for value in NUMBERS),
    *(("operational", {"lastExecutionResult": {"id": TASK_ID, "status": 7, "stopTime": at}}) for at in MOMENTS),
]


@pytest.fixture
def spoil(monkeypatch):
    """Return a function that gives documents about the odd task another value in one field."""

    def arrange(describe: str, name: str, value: object) -> None:
        make = getattr(api, describe)

        def make_odd(item: Any, *args: object) -> dict[str, Any]:
            document = dict(make(item, *args))
            task_id = item.id if describe == "describe_task" else item.task.id
            return document | {name: value} if task_id == ODD_TASK else document

        monkeypatch.setattr(api, describe, make_odd)
        # Halves of surrogate pairs have escapes, and else no bytes
        monkeypatch.setattr(api, "_answer_json", lambda found: api.Outcome(200, json.dumps(found).encode()))

    return arrange


@pytest.fixture
def both(simulator, run_now) -> tuple[Run, Run]:
    """A run whose documents are sound, and one whose documents may be odd; both reload for a minute."""
    simulator.site.put_tasks([Task(id=ODD_TASK, name="Odd", app="App", reload_seconds=60)], keep_others=True)
    change_task(simulator, reload_seconds=60)
    good, odd = run_now(), run_now(qlik_task_id=str(ODD_TASK))
    start(good, odd)
    assert (good.state, odd.state) == ("started", "started")
    return good, odd


@pytest.mark.parametrize(("name", "value"), RESULT_VALUES)
def test_an_odd_result_stops_nobody(both, simulator, spoil, name, value):
    good, odd = both
    spoil("describe_result", name, value)
    pass_time(simulator, 3600)

    follow(good, odd)
    assert good.state == "succeeded"

    follow(odd, after=700)
    assert odd.closed_at is not None, "each row has an end"


@pytest.mark.parametrize("odd_status", [-1, 15, 99_999])
def test_a_status_that_is_not_known_is_no_success_and_no_failure(both, simulator, spoil, odd_status):
    good, odd = both
    spoil("describe_result", "status", odd_status)
    pass_time(simulator, 3600)

    follow(good, odd)

    assert (good.state, odd.state) == ("succeeded", "unknown")
    assert str(odd_status) in odd.message


@pytest.mark.parametrize(("name", "value"), SESSION_VALUES)
def test_an_odd_session_stops_nobody(both, simulator, spoil, name, value):
    good, odd = both
    spoil("describe_session", name, value)
    pass_time(simulator, 10)

    follow(good, odd)
    assert (good.state, good.reload_status) == ("started", 2)

    pass_time(simulator, 3600)
    follow(good, odd)
    assert (good.state, odd.state) == ("succeeded", "succeeded")


@pytest.mark.parametrize(("name", "value"), TASK_VALUES)
def test_an_odd_task_stops_nobody(simulator, spoil, name, value):
    sound = [Task(id=uuid4(), name=f"Sound {number}", app="App") for number in range(2)]
    simulator.site.put_tasks([sound[0], Task(id=ODD_TASK, name="Odd", app="App"), sound[1]], keep_others=False)
    spoil("describe_task", name, value)

    refresh_tasks()

    assert {str(task.id) for task in sound} <= set(QlikTask.objects.values_list("pk", flat=True))
    assert {task.id for task in qrs_client().find_tasks("")} >= {task.id for task in sound}


@pytest.mark.parametrize(
    ("describe", "name", "value"),
    [
        ("describe_session", "createdDate", "yesterday"),
        ("describe_session", "reloadTask", {"id": "no id"}),
        ("describe_session", "id", "no id"),
        ("describe_result", "startTime", 7),
        ("describe_result", "executionID", None),
    ],
)
def test_a_run_whose_session_may_be_the_odd_one_is_not_started_again(simulator, run_now, spoil, describe, name, value):
    is_over = describe == "describe_result"
    reload_seconds = 1 if is_over else 7200
    simulator.site.put_tasks(
        [Task(id=ODD_TASK, name="Odd", app="App", reload_seconds=reload_seconds)], keep_others=True
    )
    simulator.add_fault(Fault(kind=FaultKind.RESET, count=1))
    run = run_now(qlik_task_id=str(ODD_TASK))
    start(run)
    spoil(describe, name, value)
    if describe == "describe_session":
        spoil("describe_result", "startTime", None)
    pass_time(simulator, 10)

    follow_in_silence(run)
    assert run.state in ("unsure", "started", "succeeded")

    follow(run, after=3 * 3600)
    assert run.state in ("unknown", "started", "succeeded"), "each row has an end"


@pytest.mark.parametrize("is_over", [False, True])
def test_a_run_is_not_started_again_where_a_row_that_cannot_be_read_may_be_its_session(
    simulator, run_now, spoil, is_over
):
    reload_seconds = 1 if is_over else 7200
    simulator.site.put_tasks(
        [Task(id=ODD_TASK, name="Odd", app="App", reload_seconds=reload_seconds)], keep_others=True
    )
    simulator.add_fault(Fault(kind=FaultKind.RESET, count=1))
    run = run_now(qlik_task_id=str(ODD_TASK))
    start(run)
    for describe in ("describe_session", "describe_result"):
        spoil(describe, "id", "no id")
    pass_time(simulator, 10)

    follow_in_silence(run)

    assert run.state == "unsure"


def test_a_row_whose_task_id_a_hand_has_broken_stops_nobody(both, simulator):
    good, odd = both
    Run.objects.filter(pk=odd.pk).update(qlik_task_id="no id", state="unsure", qrs_session=None)
    pass_time(simulator, 3600)

    assert following.follow_runs(qrs_client, now=timezone.now() + timedelta(seconds=1)) == 1

    good.refresh_from_db()
    assert good.state == "succeeded"


def test_a_row_whose_moments_a_hand_has_taken_away_stops_nobody(both, simulator):
    good, odd = both
    gone = {"claimed_at": None, "called_at": None, "answered_at": None}
    Run.objects.filter(pk=odd.pk).update(state="unsure", qrs_session=None, **gone)
    pass_time(simulator, 3600)

    follow(good, odd)

    assert good.state == "succeeded"


def test_a_byte_that_is_no_text_stops_nobody(both, simulator, monkeypatch):
    good, odd = both
    answer = api._answer_json

    def answer_with_a_byte(document: object) -> api.Outcome:
        outcome = answer(document)
        return api.Outcome(outcome.status, outcome.body.replace(b"Central", b"Centr\xff"))

    monkeypatch.setattr(api, "_answer_json", answer_with_a_byte)
    pass_time(simulator, 3600)

    follow(good, odd)

    assert (good.state, good.node) == ("succeeded", "Centr\ufffd")


def test_a_number_without_end_stops_nobody(both, simulator, monkeypatch):
    good, odd = both
    answer = api._answer_json

    def answer_with_a_number(document: object) -> api.Outcome:
        outcome = answer(document)
        return api.Outcome(outcome.status, outcome.body.replace(b'"duration": ', b'"duration": ' + b"9" * 5000))

    monkeypatch.setattr(api, "_answer_json", answer_with_a_number)
    pass_time(simulator, 3600)

    follow(good, odd)

    assert (good.state, odd.state) == ("succeeded", "succeeded")
