"""The simulator's calls of QRS, seen with plain requests."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
import requests

from qlik.simulator.api import Behaviour
from qlik.simulator.demo import DEMO_TASKS
from qlik.simulator.server import Simulator, SimulatorSettings
from qlik.simulator.tasks import Task
from tests.integration.plain_qrs import DISABLED, FAILING, NO_SESSION, ORDERS, SALES, UNKNOWN, PlainQrs
from tests.waiting import wait_for


@pytest.fixture
def qrs(simulator: Simulator) -> Iterator[PlainQrs]:
    with PlainQrs(simulator.url, simulator.certificates) as plain:
        yield plain


# The order of checks: certificate, xrfkey, user, route, rights


def test_it_turns_away_who_shows_no_certificate(qrs: PlainQrs) -> None:
    qrs.session.cert = None
    with pytest.raises(requests.ConnectionError):
        qrs.get("about")


@pytest.mark.parametrize(
    ("query", "header"),
    [
        (None, None),
        ("abcdefghijklmnop", None),
        (None, "abcdefghijklmnop"),
        ("abcdefghijklmnop", "ponmlkjihgfedcba"),
        ("short", "short"),
        ("with-a-dash-16ch", "with-a-dash-16ch"),
    ],
)
def test_it_checks_the_xrfkey_before_anything_else(qrs: PlainQrs, query: str | None, header: str | None) -> None:
    qrs.session.params = {"xrfkey": query}
    answer = qrs.get("no/such/route", headers={"X-Qlik-Xrfkey": header, "X-Qlik-User": None})
    assert answer.status_code == 403
    assert answer.text == "XSRF prevention check failed. Possible XSRF discovered."


@pytest.mark.parametrize("user", [None, "", "sa_repository", "UserDirectory=;UserId="])
def test_it_checks_the_user_before_the_route(qrs: PlainQrs, user: str | None) -> None:
    assert qrs.get("no/such/route", headers={"X-Qlik-User": user}).status_code == 401


@pytest.mark.parametrize("path", ["nothing", f"task/{SALES}", f"task/{SALES}/start", "task/abc/start", "task/full/"])
def test_it_has_no_other_routes(qrs: PlainQrs, path: str) -> None:
    assert qrs.get(path).status_code == 404


def test_it_checks_the_rights_after_the_route(qrs: PlainQrs) -> None:
    stranger = {"X-Qlik-User": "UserDirectory=Sales;UserId=bob"}
    assert qrs.post("no/such/route", headers=stranger).status_code == 404
    assert qrs.post(f"task/{SALES}/start", headers=stranger).status_code == 403
    assert qrs.get("about", headers=stranger).status_code == 200


def test_the_user_may_be_written_in_any_letter_case(qrs: PlainQrs) -> None:
    service = {"X-Qlik-User": "userdirectory=INTERNAL; userid=SA_API"}
    assert qrs.get("task/full", headers=service).status_code == 200


# The calls


def test_about_tells_the_version(qrs: PlainQrs) -> None:
    answer = qrs.get("about")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json()["buildVersion"].count(".") == 3


def test_the_numbers_of_states_are_listed(qrs: PlainQrs) -> None:
    stranger = {"X-Qlik-User": "UserDirectory=Sales;UserId=bob"}
    enums = qrs.get("about/api/enums", headers=stranger).json()
    assert enums["StatusEnum"]["values"][:2] == ["0: NeverStarted", "1: Triggered"]
    assert enums["StatusEnum"]["values"][-1] == "14: DistributionRunning"
    assert len(enums["StatusEnum"]["values"]) == 15


def test_a_plain_start_says_only_that_it_was_received(qrs: PlainQrs) -> None:
    for task_id in (SALES, DISABLED):
        answer = qrs.post(f"task/{task_id}/start")
        assert (answer.status_code, answer.content) == (204, b"")


def test_a_synchronous_start_gives_a_session(qrs: PlainQrs) -> None:
    answer = qrs.post(f"task/{SALES}/start/synchronous")
    assert answer.status_code == 201
    assert list(answer.json()) == ["value"]
    session = qrs.get(f"executionsession/{answer.json()['value']}").json()
    assert session["id"] == answer.json()["value"]
    assert session["reloadTask"]["id"] == SALES
    assert session["executionResult"]["status"] == 1


def test_a_disabled_task_gives_the_session_of_zeros(qrs: PlainQrs) -> None:
    assert qrs.begin(DISABLED) == NO_SESSION


@pytest.mark.parametrize("path", ["start", "start/synchronous", "stop"])
def test_an_unknown_task_is_not_found(qrs: PlainQrs, path: str) -> None:
    assert qrs.post(f"task/{UNKNOWN}/{path}").status_code == 404


def test_many_tasks_are_started_in_one_call(simulator: Simulator, qrs: PlainQrs) -> None:
    answer = qrs.post("task/start/many", json=[SALES, ORDERS])
    assert (answer.status_code, answer.content) == (204, b"")
    started = [(str(entry.task_id), entry.outcome) for entry in simulator.entries()]
    assert started == [(SALES, "started"), (ORDERS, "started")]


def test_many_tasks_of_which_one_is_unknown_are_not_started(qrs: PlainQrs) -> None:
    assert qrs.post("task/start/many", json=[SALES, UNKNOWN]).status_code == 404
    assert qrs.get("executionresult/full").json() == []


@pytest.mark.parametrize("body", ["", "{", '"x"', "[1]", '["x"]'])
def test_many_tasks_must_be_an_array_of_guids(qrs: PlainQrs, body: str) -> None:
    assert qrs.post("task/start/many", data=body).status_code == 400


def test_a_stopped_run_ends_as_aborted(certificate_folder: Path) -> None:
    with fast_simulator(certificate_folder) as simulator, PlainQrs(simulator.url, certificate_folder) as qrs:
        qrs.begin(ORDERS)
        assert qrs.post(f"task/{ORDERS}/stop").status_code == 204
        wait_for(lambda: last_result(qrs, ORDERS)["status"] == 6, seconds=5)


def test_a_run_is_queued_while_four_others_go_on(certificate_folder: Path) -> None:
    tasks = [Task(id=UUID(int=number), name="a task", app="an app", reload_seconds=3_600) for number in range(1, 6)]
    settings = SimulatorSettings(certificates=certificate_folder, speed=100, tasks=tasks)
    with Simulator(settings) as simulator, PlainQrs(simulator.url, certificate_folder) as qrs:
        sessions = [qrs.begin(str(task.id)) for task in tasks]
        wait_for(lambda: results_of(qrs, sessions[4])[0]["status"] == 3, seconds=5)
        assert [results_of(qrs, session)[0]["status"] for session in sessions] == [2, 2, 2, 2, 3]
        qrs.post(f"task/{tasks[0].id}/stop")
        wait_for(lambda: results_of(qrs, sessions[4])[0]["status"] == 2, seconds=5)


def test_a_run_that_takes_too_long_is_aborted(certificate_folder: Path) -> None:
    slow = Task(id=UUID(int=1), name="a task", app="an app", reload_seconds=3_600, session_timeout_minutes=0.5)
    settings = SimulatorSettings(certificates=certificate_folder, speed=100, tasks=[slow])
    with Simulator(settings) as simulator, PlainQrs(simulator.url, certificate_folder) as qrs:
        session = qrs.begin(str(slow.id))
        wait_for(lambda: qrs.get(f"executionsession/{session}").status_code == 404, seconds=5)
        (result,) = results_of(qrs, session)
        assert result["status"] == 6
        assert "timed out" in result["details"][-1]["message"]


def test_a_run_that_is_over_has_a_result_and_no_session(certificate_folder: Path) -> None:
    with fast_simulator(certificate_folder) as simulator, PlainQrs(simulator.url, certificate_folder) as qrs:
        session = qrs.begin()
        wait_for(lambda: qrs.get(f"executionsession/{session}").status_code == 404, seconds=5)
        (result,) = results_of(qrs, session)
        assert result["status"] == 7
        assert result["taskID"] == SALES
        assert result["scriptLogAvailable"] is True
        assert result["startTime"] < result["stopTime"]
        assert result["duration"] == 25  # ms: 2.5 s at a hundred times the speed
        assert last_result(qrs, SALES) == result
        assert result["executionID"] == session
        assert result["executingNodeName"] == "Central"
        assert result["appID"] == task(qrs, SALES)["app"]["id"]
        assert result["fileReferenceID"] != NO_SESSION
        assert [detail["message"] for detail in result["details"]] == [
            "Changing task state to Triggered",
            "Changing task state to Started",
            "Changing task state to FinishedSuccess",
        ]
        assert {detail["detailsType"] for detail in result["details"]} == {2}
        assert result["details"][-1]["detailCreatedDate"] == result["stopTime"]


def test_a_failing_run_has_a_result_for_each_attempt_the_last_first(certificate_folder: Path) -> None:
    with fast_simulator(certificate_folder) as simulator, PlainQrs(simulator.url, certificate_folder) as qrs:
        session = qrs.begin(FAILING)
        wait_for(lambda: qrs.get(f"executionsession/{session}").status_code == 404, seconds=5)
        results = results_of(qrs, session)
        assert [result["status"] for result in results] == [8, 8, 8]
        reason = "Message from ReloadProvider: Reload failed in Engine. Check engine or script logs."
        assert {result["details"][-1]["message"] for result in results} == {reason}
        starts = [result["startTime"] for result in results]
        assert starts == sorted(starts, reverse=True)


def test_what_never_happened_is_dated_1753(qrs: PlainQrs) -> None:
    operational = task(qrs, SALES)["operational"]
    assert operational["nextExecution"] == "1753-01-01T00:00:00.000Z"
    assert operational["lastExecutionResult"]["status"] == 0
    assert operational["lastExecutionResult"]["stopTime"] == "1753-01-01T00:00:00.000Z"
    (result,) = results_of(qrs, qrs.begin())
    assert result["stopTime"] == "1753-01-01T00:00:00.000Z"
    assert result["duration"] == 0
    assert result["scriptLogAvailable"] is False
    assert result["fileReferenceID"] == NO_SESSION


def test_a_task_shows_what_people_know_it_by(qrs: PlainQrs) -> None:
    document = task(qrs, ORDERS)
    assert document["name"] == "Extract ERP orders"
    assert document["app"]["name"] == "Extract ERP orders"
    assert document["enabled"] is True
    assert document["maxRetries"] == 1
    assert document["taskSessionTimeout"] == 1440
    assert [tag["name"] for tag in document["tags"]] == ["Extract", "Finance"]
    properties = {item["definition"]["name"]: item["value"] for item in document["customProperties"]}
    assert properties == {"Department": "Finance", "Layer": "Extract"}


def test_a_custom_property_may_have_several_values(certificate_folder: Path) -> None:
    values = {"Department": ["Sales", "Finance"], "Layer": "Extract"}
    tasks = [Task(id=UUID(SALES), name="a task", app="an app", custom_properties=values)]
    settings = SimulatorSettings(certificates=certificate_folder, tasks=tasks)
    with Simulator(settings) as simulator, PlainQrs(simulator.url, certificate_folder) as qrs:
        properties = [(item["definition"]["name"], item["value"]) for item in task(qrs, SALES)["customProperties"]]
        assert properties == [("Department", "Sales"), ("Department", "Finance"), ("Layer", "Extract")]


@pytest.mark.parametrize("path", ["task/full", "reloadtask/full"])
@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("enabled eq false", ["Reload Budget 2019 (disabled)"]),
        ("tags.name eq 'Finance' and tags.name eq 'Extract'", ["Extract ERP orders"]),
        ("customProperties.definition.name eq 'Layer' and enabled eq true and maxRetries ne 0", ["Extract ERP orders"]),
        (f"id eq {SALES} or name eq 'Reload License monitor'", ["Reload License monitor", "Reload Sales overview"]),
        ("name eq 'O''Brien'", []),
    ],
)
def test_tasks_are_found_by_filter(qrs: PlainQrs, path: str, text: str, names: list[str]) -> None:
    answer = qrs.get(path, params={"filter": text, "orderby": "name"})
    assert [document["name"] for document in answer.json()] == names


@pytest.mark.parametrize("query", [{"filter": "name like 'x'"}, {"filter": "colour eq 'x'"}, {"orderby": "colour"}])
def test_a_bad_filter_is_a_bad_request(qrs: PlainQrs, query: dict[str, str]) -> None:
    answer = qrs.get("task/full", params=query)
    assert answer.status_code == 400
    assert answer.text.startswith("The filter is not valid.")


def test_a_session_that_never_was_is_not_found(qrs: PlainQrs) -> None:
    assert qrs.get(f"executionsession/{UNKNOWN}").status_code == 404


# Where releases differ


@pytest.mark.parametrize("status", [400, 404])
def test_the_status_for_an_unknown_task_is_a_setting(certificate_folder: Path, status: int) -> None:
    behaviour = Behaviour(unknown_task_status=status)
    settings = SimulatorSettings(certificates=certificate_folder, behaviour=behaviour)
    with Simulator(settings) as simulator, PlainQrs(simulator.url, certificate_folder) as qrs:
        for path in ("start", "start/synchronous", "stop"):
            assert qrs.post(f"task/{UNKNOWN}/{path}").status_code == status
        assert qrs.post("task/start/many", json=[SALES, UNKNOWN]).status_code == status
        assert qrs.get(f"executionsession/{UNKNOWN}").status_code == 404


@pytest.mark.parametrize("status", [200, 201])
def test_the_status_of_a_synchronous_start_is_a_setting(certificate_folder: Path, status: int) -> None:
    settings = SimulatorSettings(certificates=certificate_folder, behaviour=Behaviour(synchronous_status=status))
    with Simulator(settings) as simulator, PlainQrs(simulator.url, certificate_folder) as qrs:
        for task_id in (SALES, DISABLED):
            assert qrs.post(f"task/{task_id}/start/synchronous").status_code == status


@pytest.mark.parametrize(("second_sessions", "sessions"), [(True, 4), (False, 1)])
def test_what_the_start_of_a_running_task_does_is_a_setting(
    certificate_folder: Path, second_sessions: bool, sessions: int
) -> None:
    settings = SimulatorSettings(certificates=certificate_folder, second_sessions=second_sessions)
    with Simulator(settings) as simulator, PlainQrs(simulator.url, certificate_folder) as qrs:
        qrs.begin(ORDERS)
        assert (qrs.begin(ORDERS) != NO_SESSION) is second_sessions
        assert qrs.post(f"task/{ORDERS}/start").status_code == 204
        assert qrs.post("task/start/many", json=[ORDERS]).status_code == 204
        assert len(qrs.get("executionsession/full").json()) == sessions
        assert qrs.begin(SALES) != NO_SESSION


# The wire


def test_a_kept_connection_serves_one_call_after_another(simulator: Simulator, qrs: PlainQrs) -> None:
    for _ in range(20):
        qrs.begin()
    assert simulator.count_connections() == 1


def test_a_client_that_says_nothing_keeps_nobody_waiting(simulator: Simulator, qrs: PlainQrs) -> None:
    host, port = simulator.url.removeprefix("https://").split(":")
    with socket.create_connection((host, int(port))):
        assert qrs.get("about").elapsed.total_seconds() < 2


@pytest.mark.parametrize("request_line", [b"nonsense", b"GET /qrs/about HTTP/1.1\r\nContent-Length: x"])
def test_it_hangs_up_on_what_is_no_http(simulator: Simulator, request_line: bytes) -> None:
    host, port = simulator.control_url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(request_line + b"\r\n\r\n")
        with connection.makefile("rb") as answer:
            assert answer.readline() == b"HTTP/1.1 400 Bad Request\r\n"


def fast_simulator(folder: Path) -> Simulator:
    return Simulator(SimulatorSettings(certificates=folder, speed=100, tasks=DEMO_TASKS))


def task(qrs: PlainQrs, task_id: str) -> dict[str, object]:
    (document,) = qrs.get("task/full", params={"filter": f"id eq {task_id}"}).json()
    return document


def last_result(qrs: PlainQrs, task_id: str) -> dict[str, object]:
    return task(qrs, task_id)["operational"]["lastExecutionResult"]


def results_of(qrs: PlainQrs, session: str) -> list[dict[str, object]]:
    query = {"filter": f"executionID eq {session}", "orderby": "startTime desc"}
    return qrs.get("executionresult/full", params=query).json()
