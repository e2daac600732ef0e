"""What the simulator lists, and by which filters, seen with plain requests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import requests

from qlik.simulator.server import Simulator, SimulatorSettings
from qlik.simulator.tasks import Task
from tests.integration.plain_qrs import FAILING, ORDERS, SALES, UNKNOWN, PlainQrs
from tests.waiting import wait_for

Documents = list[dict[str, Any]]


@pytest.fixture
def qrs(simulator: Simulator) -> Iterator[PlainQrs]:
    with PlainQrs(simulator.url, simulator.certificates) as plain:
        yield plain


@pytest.fixture
def finished(certificate_folder: Path) -> Iterator[tuple[PlainQrs, list[str]]]:
    """A site where three runs are over, the last after two retries."""
    with (
        Simulator(SimulatorSettings(certificates=certificate_folder, speed=500)) as simulator,
        PlainQrs(simulator.url, certificate_folder) as qrs,
    ):
        sessions = [qrs.begin(task_id) for task_id in (SALES, ORDERS, FAILING)]
        wait_for(lambda: list_all(qrs, "executionsession") == [], seconds=5)
        yield qrs, sessions


def list_all(qrs: PlainQrs, kind: str, text: str = "", **query: str) -> Documents:
    answer = qrs.get(f"{kind}/full", params=({"filter": text} if text else {}) | query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_open_sessions_come_in_one_answer(qrs: PlainQrs) -> None:
    sessions = [qrs.begin(task_id) for task_id in (SALES, ORDERS)]
    listed = list_all(qrs, "executionsession")
    assert [session["id"] for session in listed] == sessions
    assert listed == [qrs.get(f"executionsession/{session}").json() for session in sessions]
    assert listed[1]["reloadTask"] == {"id": ORDERS, "name": "Extract ERP orders"}
    assert listed[1]["executionResult"]["executionID"] == sessions[1]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("id eq {0}", [0]),
        ("id eq {0} or id eq {1}", [0, 1]),
        ("reloadTask.id eq {orders}", [1]),
        ("reloadTask.id eq {orders} and id eq {0}", []),
        ("executionResult.executionID eq {1}", [1]),
        ("executionResult.status eq Triggered", [0, 1]),
        ("createdDate ge '2020-01-01' and executionResult.status ne 1", []),
    ],
)
def test_sessions_are_found_by_filter(qrs: PlainQrs, text: str, found: list[int]) -> None:
    sessions = [qrs.begin(task_id) for task_id in (SALES, ORDERS)]
    listed = list_all(qrs, "executionsession", text.format(*sessions, orders=ORDERS))
    assert [session["id"] for session in listed] == [sessions[index] for index in found]


def test_results_of_many_sessions_come_in_one_answer(finished: tuple[PlainQrs, list[str]]) -> None:
    qrs, sessions = finished
    text = " or ".join(f"executionID eq {session}" for session in [sessions[0], UNKNOWN, sessions[2]])
    results = list_all(qrs, "executionresult", text, orderby="startTime desc")
    assert [result["executionID"] for result in results] == [sessions[2]] * 3 + [sessions[0]]
    assert list_all(qrs, "executionresult", f"executionID eq {UNKNOWN}") == []


def test_results_are_found_by_task_and_date(finished: tuple[PlainQrs, list[str]]) -> None:
    qrs, _ = finished
    attempts = list_all(qrs, "executionresult", f"taskID eq {FAILING}", orderby="startTime")
    second = attempts[1]["startTime"]
    since = list_all(qrs, "executionresult", f"taskID eq {FAILING} and startTime ge '{second}'")
    assert [result["id"] for result in since] == [result["id"] for result in attempts[1:]]
    before = list_all(qrs, "executionresult", f"(taskID eq {FAILING}) and (startTime lt '{second}')")
    assert [result["id"] for result in before] == [attempts[0]["id"]]


def test_results_are_found_by_the_name_of_their_status(finished: tuple[PlainQrs, list[str]]) -> None:
    qrs, _ = finished
    assert len(list_all(qrs, "executionresult", "status eq FinishedFail")) == 3
    assert len(list_all(qrs, "executionresult", "status eq 7")) == 2


@pytest.mark.parametrize("kind", ["task", "reloadtask", "executionsession", "executionresult"])
def test_every_list_refuses_a_filter_that_is_none(qrs: PlainQrs, kind: str) -> None:
    qrs.begin()
    for query in ({"filter": "id like 'x'"}, {"filter": "colour eq 'red'"}, {"orderby": "colour"}):
        answer = qrs.get(f"{kind}/full", params=query)
        assert answer.status_code == 400
        assert answer.text.startswith("The filter is not valid.")


def test_paths_and_query_may_be_written_in_any_letter_case(qrs: PlainQrs) -> None:
    session = qrs.begin()
    qrs.session.params = {"Xrfkey": "abcdefghijklmnop"}
    assert qrs.get(f"executionSession/{session}").json()["id"] == session
    assert len(list_all(qrs, "ExecutionResult", orderBy="StartTime Desc")) == 1


def test_a_filter_may_be_as_long_as_windows_takes(qrs: PlainQrs) -> None:
    session = qrs.begin()
    ids = [f"executionID eq {UUID(int=number)}" for number in range(250)] + [f"executionID eq {session}"]
    (result,) = list_all(qrs, "executionresult", " or ".join(ids))
    assert result["executionID"] == session
    answer = qrs.get("executionresult/full", params={"filter": " or ".join(ids * 2)})
    assert answer.status_code == 414


def test_headers_may_be_as_long_as_windows_takes(qrs: PlainQrs) -> None:
    assert qrs.get("about", headers={"X-Long": "x" * 15_000}).status_code == 200
    assert qrs.get("about", headers={"X-Long": "x" * 16_384}).status_code == 400


def test_two_thousand_open_sessions_are_listed_well_under_a_second(certificate_folder: Path) -> None:
    tasks = [Task(id=UUID(int=number), name=f"task {number}", app="an app") for number in range(1, 2_001)]
    settings = SimulatorSettings(certificates=certificate_folder, tasks=tasks)
    with Simulator(settings) as simulator, PlainQrs(simulator.url, certificate_folder) as qrs:
        qrs.post("task/start/many", json=[str(task.id) for task in tasks])
        assert len(list_all(qrs, "executionsession")) == 2_000
        took = min(measure(lambda: qrs.get("executionsession/full")) for _ in range(3))
    assert took < 0.7


def measure(call: Callable[[], requests.Response]) -> float:
    began = time.perf_counter()
    answer = call()
    assert answer.status_code == 200
    return time.perf_counter() - began
