"""What our client asks about tasks and their runs, and how it stops and starts many, over TLS."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from qlik.client import QrsClient
from qlik.errors import OutcomeUnknownError, QrsError, RefusedError
from qlik.execution import ExecutionStatus
from qlik.filters import all_of, equals, one_of
from qlik.settings import QrsSettings
from qlik.simulator.certificates import ensure_certificates
from qlik.simulator.listener import Reply, Request
from qlik.simulator.server import Simulator
from tests.integration.https_server import https_server
from tests.integration.plain_qrs import DISABLED, FAILING, ORDERS, SALES, UNKNOWN

TASK = UUID(SALES)


@pytest.fixture
def client(simulator: Simulator) -> Iterator[QrsClient]:
    with QrsClient(QrsSettings(url=simulator.url, certificate_folder=simulator.certificates)) as client:
        yield client


@contextmanager
def answering(folder: Path, answer: Callable[[Request], object]) -> Iterator[QrsClient]:
    """Run a QRS that answers with what `answer` returns, as JSON or as it is; yields a client of it."""

    def reply(request: Request) -> Reply:
        body = answer(request)
        return body if isinstance(body, Reply) else Reply(200, json.dumps(body).encode())

    ensure_certificates(folder)
    with https_server(folder, reply) as url, QrsClient(QrsSettings(url=url, certificate_folder=folder)) as client:
        yield client


# Starting and stopping


def test_many_tasks_start_in_one_call(client: QrsClient, simulator: Simulator) -> None:
    client.start_many([UUID(SALES), UUID(ORDERS), UUID(SALES)])
    entries = simulator.entries()
    assert [(entry.call, entry.outcome) for entry in entries] == [("start many", "started")] * 3
    assert [entry.task_id for entry in entries] == [UUID(SALES), UUID(ORDERS), UUID(SALES)]


def test_no_tasks_are_no_call(client: QrsClient, simulator: Simulator) -> None:
    client.start_many([])
    assert simulator.entries() == []


def test_an_unknown_task_among_many_is_a_refusal(client: QrsClient) -> None:
    with pytest.raises(RefusedError):
        client.start_many([UUID(SALES), UUID(UNKNOWN)])


def test_a_stop_ends_the_run(client: QrsClient, simulator: Simulator) -> None:
    session_id = client.start_task_synchronously(TASK)
    client.stop_task(TASK)
    assert [entry.call for entry in simulator.entries()] == ["start synchronous", "stop"]
    (result,) = client.list_results(where=equals("executionID", session_id))
    assert result.status in {ExecutionStatus.ABORT_INITIATED, ExecutionStatus.ABORTING, ExecutionStatus.ABORTED}


def test_a_stop_of_a_task_that_does_not_run_is_no_error(client: QrsClient) -> None:
    client.stop_task(TASK)


def test_a_stop_of_an_unknown_task_is_a_refusal(client: QrsClient) -> None:
    with pytest.raises(RefusedError, match="Check that the task exists"):
        client.stop_task(UUID(UNKNOWN))


@pytest.mark.parametrize("call", [lambda client: client.stop_task(TASK), lambda client: client.start_many([TASK])])
def test_a_page_instead_of_an_empty_answer_leaves_the_outcome_unknown(
    certificate_folder: Path, call: Callable[[QrsClient], None]
) -> None:
    page = Reply(200, b"<html>Sign in</html>", "text/html")
    with (
        answering(certificate_folder, lambda _: page) as client,
        pytest.raises(OutcomeUnknownError, match="Sign in"),
    ):
        call(client)


# Tasks


def test_reload_tasks_are_listed(client: QrsClient) -> None:
    tasks = {task.id: task for task in client.list_reload_tasks()}
    assert len(tasks) > 1
    assert tasks[UUID(SALES)].enabled
    assert not tasks[UUID(DISABLED)].enabled
    assert tasks[UUID(SALES)].app_name
    assert tasks[UUID(SALES)].last_result is None


def test_reload_tasks_are_listed_by_what_they_are_like(client: QrsClient) -> None:
    (sales,) = client.list_reload_tasks(where=equals("id", UUID(SALES)))
    assert sales.tags
    found = client.list_reload_tasks(where=all_of(equals("tags.name", sales.tags[0]), equals("enabled", True)))
    assert sales in found
    assert all(sales.tags[0] in task.tags for task in found)
    assert client.list_reload_tasks(where=f"id eq {SALES}") == [sales]


def test_a_task_tells_its_last_result(client: QrsClient) -> None:
    client.start_task_synchronously(TASK)
    (task,) = client.list_reload_tasks(where=equals("id", TASK))
    assert task.last_result
    assert task.last_result.status.is_running


def test_tasks_of_every_kind_are_found(client: QrsClient) -> None:
    (task,) = client.find_tasks(equals("id", UUID(DISABLED)))
    assert (task.id, task.enabled) == (UUID(DISABLED), False)
    assert client.find_tasks(equals("id", UUID(UNKNOWN))) == []


def test_a_name_with_quotes_and_letters_from_anywhere_arrives(certificate_folder: Path) -> None:
    asked: list[Request] = []

    def answer(request: Request) -> object:
        asked.append(request)
        return []

    with answering(certificate_folder, answer) as client:
        client.find_tasks(equals("name", "Bob's åäö & 100 % ? #1"))
    assert asked[0].query["filter"] == "name eq 'Bob''s åäö & 100 % ? #1'"


def test_a_filter_that_qrs_cannot_read_is_a_refusal(client: QrsClient) -> None:
    with pytest.raises(RefusedError, match="filter"):
        client.find_tasks("colour is red")


# Runs


def test_a_run_under_way_has_a_session(client: QrsClient) -> None:
    session_id = client.start_task_synchronously(TASK)
    session = client.get_session(session_id)
    assert session
    assert (session.id, session.task_id) == (session_id, TASK)
    assert session.created_at
    assert session.execution_result_id


def test_a_run_that_is_over_has_none(client: QrsClient) -> None:
    assert client.get_session(UUID(UNKNOWN)) is None


@pytest.mark.parametrize("status", [400, 403, 500])
def test_any_other_refusal_does_not_mean_that_a_run_is_over(certificate_folder: Path, status: int) -> None:
    with answering(certificate_folder, lambda _: Reply(status)) as client, pytest.raises(QrsError):
        client.get_session(UUID(UNKNOWN))


def test_the_open_sessions_are_listed_in_one_call(certificate_folder: Path) -> None:
    documents = [{"id": str(UUID(int=number)), "reloadTask": {"id": SALES}} for number in range(1, 501)]
    asked: list[Request] = []

    def answer(request: Request) -> object:
        asked.append(request)
        return documents

    with answering(certificate_folder, answer) as client:
        sessions = client.list_sessions()
        client.list_sessions(where=equals("reloadTask.id", TASK))
    assert [session.id.int for session in sessions] == list(range(1, 501))
    assert {session.task_id for session in sessions} == {TASK}
    assert [request.path for request in asked] == ["/qrs/executionsession/full"] * 2
    assert [request.query.get("filter") for request in asked] == [None, f"reloadTask.id eq {SALES}"]


def test_the_results_of_many_runs_come_in_few_calls(client: QrsClient, simulator: Simulator) -> None:
    sessions = [client.start_task_synchronously(TASK) for _ in range(250)]
    before = len(simulator.entries())
    results = client.list_results(where=one_of("executionID", sessions), order_by="startTime desc")
    assert {result.execution_id for result in results} == set(sessions)
    assert len(results) == 250
    assert len(simulator.entries()) - before == 4


def test_a_result_tells_when_and_what(client: QrsClient) -> None:
    began_at = datetime.now(UTC)
    session_id = client.start_task_synchronously(UUID(FAILING))
    (result,) = client.list_results(where=equals("executionID", session_id))
    assert result.task_id == UUID(FAILING)
    assert result.status.is_running
    assert result.started_at
    assert abs(result.started_at - began_at) < timedelta(seconds=10)
    assert result.stopped_at is None
    assert result.node_name == "Central"
    assert result.details[0].message.startswith("Changing task state")


def test_results_of_no_runs_are_no_call(client: QrsClient, simulator: Simulator) -> None:
    assert client.list_results(where=one_of("executionID", [])) == []
    assert simulator.entries() == []


def test_a_row_that_passes_two_parts_of_a_filter_comes_once(certificate_folder: Path) -> None:
    rows = [{"id": SALES, "status": 99, "stopTime": "1753-01-01T00:00:00.000Z"}]
    asked: list[str] = []

    def answer(request: Request) -> object:
        asked.append(request.query["orderby"])
        return rows

    with answering(certificate_folder, answer) as client:
        where = one_of("executionID", [UUID(int=number) for number in range(200)])
        (result,) = client.list_results(where=where, order_by="startTime desc")
    assert asked == ["startTime desc"] * 2
    assert (result.status, result.status_code, result.stopped_at) == (ExecutionStatus.UNKNOWN, 99, None)


@pytest.mark.parametrize("body", [{}, None, "text", [{}], [[]], [{"id": "x"}], [{"id": SALES, "status": None}]])
def test_a_list_that_cannot_be_read_is_told(certificate_folder: Path, body: object) -> None:
    with (
        answering(certificate_folder, lambda _: body) as client,
        pytest.raises(OutcomeUnknownError, match="cannot be read"),
    ):
        client.list_results(where="")


@pytest.mark.parametrize("body", [[], {"id": "x"}, {"id": SALES, "reloadTask": "Sales"}])
def test_a_session_that_cannot_be_read_is_told(certificate_folder: Path, body: object) -> None:
    with (
        answering(certificate_folder, lambda _: body) as client,
        pytest.raises(OutcomeUnknownError, match="cannot be read"),
    ):
        client.get_session(TASK)
