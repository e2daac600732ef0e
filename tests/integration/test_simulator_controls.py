"""The simulator's second port: journal, tasks, faults, health."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from qlik.simulator.server import Simulator, SimulatorSettings
from tests.integration.plain_qrs import DISABLED, NO_SESSION, ORDERS, SALES, UNKNOWN, ControlPort, PlainQrs
from tests.waiting import wait_for

NEW_TASK = {
    "id": UNKNOWN,
    "name": "Reload Weather",
    "app": "Weather",
    "tags": ["Outdoors"],
    "custom_properties": {"Department": "Sales"},
    "enabled": True,
    "max_retries": 3,
    "session_timeout_minutes": 10,
    "reload_seconds": 7,
    "fails": False,
    "fails_first": 1,
}


@pytest.fixture
def qrs(simulator: Simulator) -> Iterator[PlainQrs]:
    with PlainQrs(simulator.url, simulator.certificates) as plain:
        yield plain


@pytest.fixture
def controls(simulator: Simulator) -> ControlPort:
    return ControlPort(simulator.control_url)


# The journal


def test_the_journal_tells_what_was_asked_and_when(qrs: PlainQrs, controls: ControlPort) -> None:
    before_ns = time.time_ns()
    session = qrs.begin(SALES)
    after_ns = time.time_ns()
    (entry,) = controls.call("GET", "/journal")["entries"]
    assert before_ns < entry.pop("at_ns") < after_ns
    assert entry == {
        "call": "start synchronous",
        "status": 201,
        "outcome": "started",
        "task_id": SALES,
        "session_id": session,
        "fault": None,
    }


def test_the_journal_tells_every_kind_of_outcome(qrs: PlainQrs, controls: ControlPort) -> None:
    qrs.get("about")
    qrs.begin(DISABLED)
    qrs.post(f"task/{UNKNOWN}/start")
    qrs.post(f"task/{SALES}/stop")
    qrs.get("nothing")
    qrs.get("about", headers={"X-Qlik-Xrfkey": "x"})
    entries = controls.call("GET", "/journal")["entries"]
    assert [(entry["call"], entry["status"], entry["outcome"], entry["task_id"]) for entry in entries] == [
        ("about", 200, "answered", None),
        ("start synchronous", 201, "not started", DISABLED),
        ("start", 404, "refused", UNKNOWN),
        ("stop", 204, "stopped", SALES),
        ("unknown", 404, "refused", None),
        ("unknown", 403, "refused", None),
    ]


def test_the_journal_goes_on_from_where_one_stopped_reading(qrs: PlainQrs, controls: ControlPort) -> None:
    qrs.begin(SALES)
    first = controls.call("GET", "/journal")
    assert controls.call("GET", f"/journal?since={first['next']}") == {"entries": [], "next": 1}
    qrs.begin(ORDERS)
    (entry,) = controls.call("GET", f"/journal?since={first['next']}")["entries"]
    assert entry["task_id"] == ORDERS


def test_a_cleared_journal_goes_on_counting(qrs: PlainQrs, controls: ControlPort) -> None:
    qrs.begin(SALES)
    controls.call("DELETE", "/journal")
    assert controls.call("GET", "/journal") == {"entries": [], "next": 1}
    qrs.begin(ORDERS)
    journal = controls.call("GET", "/journal?since=1")
    assert [entry["task_id"] for entry in journal["entries"]] == [ORDERS]
    assert journal["next"] == 2


def test_the_journal_forgets_the_oldest_and_its_file_does_not(certificate_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "journal.jsonl"
    settings = SimulatorSettings(certificates=certificate_folder, journal_size=2, journal_file=file)
    with Simulator(settings) as simulator, PlainQrs(simulator.url, certificate_folder) as qrs:
        sessions = [qrs.begin() for _ in range(3)]
        remembered = [str(entry.session_id) for entry in simulator.entries()]
    assert remembered == sessions[1:]
    assert [json.loads(line)["session_id"] for line in file.read_text().splitlines()] == sessions


def test_the_journal_refuses_a_cursor_that_is_no_number(controls: ControlPort) -> None:
    assert controls.refuse("GET", "/journal?since=yesterday") == "since='yesterday' must be a number of an entry."


# Tasks


def test_tasks_are_listed_with_their_last_status(qrs: PlainQrs, controls: ControlPort) -> None:
    qrs.begin(SALES)
    statuses = {task["id"]: task["status"] for task in controls.call("GET", "/tasks")}
    assert statuses[SALES] == "TRIGGERED"
    assert statuses[ORDERS] is None


def test_a_task_is_added(qrs: PlainQrs, controls: ControlPort) -> None:
    tasks = controls.call("POST", "/tasks", json=NEW_TASK)
    assert tasks[-1] == NEW_TASK | {"status": None}
    assert len(tasks) > 1
    qrs.begin(UNKNOWN)


def test_tasks_are_replaced_as_a_whole(qrs: PlainQrs, controls: ControlPort) -> None:
    controls.call("PUT", "/tasks", json=[NEW_TASK])
    assert [task["name"] for task in qrs.get("task/full").json()] == ["Reload Weather"]
    assert qrs.post(f"task/{SALES}/start").status_code == 404


def test_a_task_is_changed(qrs: PlainQrs, controls: ControlPort) -> None:
    controls.call("PATCH", "/tasks", json={"id": SALES, "enabled": False, "max_retries": 5})
    (document,) = qrs.get("reloadtask/full", params={"filter": f"id eq {SALES}"}).json()
    assert (document["enabled"], document["maxRetries"]) == (False, 5)
    assert document["name"] == "Reload Sales overview"
    assert qrs.begin(SALES) == NO_SESSION
    assert f"There is no task {UNKNOWN}" in controls.refuse("PATCH", "/tasks", json={"id": UNKNOWN})


@pytest.mark.parametrize("body", [{}, {"id": "x"}, {"id": SALES, "kind": "reset"}, {"id": SALES, "max_retries": "x"}])
def test_a_change_that_is_none_is_refused(controls: ControlPort, body: dict[str, str]) -> None:
    assert "is no task" in controls.refuse("PATCH", "/tasks", json=body)


def test_a_task_is_deleted_with_its_runs(qrs: PlainQrs, controls: ControlPort) -> None:
    session = qrs.begin(SALES)
    assert SALES not in {task["id"] for task in controls.call("DELETE", f"/tasks?id={SALES}")}
    assert qrs.get(f"executionsession/{session}").status_code == 404
    (result,) = qrs.get("executionresult/full", params={"filter": f"taskID eq {SALES}"}).json()
    assert result["status"] == 6
    assert qrs.post(f"task/{SALES}/start").status_code == 404
    assert f"There is no task {SALES}" in controls.refuse("DELETE", f"/tasks?id={SALES}")
    assert "'' is no id of a task" in controls.refuse("DELETE", "/tasks")


def test_tasks_are_started_and_stopped_by_hand_without_the_journal(qrs: PlainQrs, controls: ControlPort) -> None:
    (session,) = controls.call("POST", f"/start?task_id={SALES}")
    assert session["status"] == "TRIGGERED"
    assert qrs.get(f"executionsession/{session['id']}").status_code == 200
    (stopped,) = controls.call("POST", f"/stop?task_id={SALES}")
    assert stopped["status"] == "ABORT_INITIATED"
    assert controls.call("GET", "/sessions") == [stopped]
    assert [entry["call"] for entry in controls.call("GET", "/journal")["entries"]] == ["session"]
    for path in ("/start", "/stop"):
        assert "There is no task" in controls.refuse("POST", f"{path}?task_id={UNKNOWN}")
        assert "is no id of a task" in controls.refuse("POST", path)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{", "The body is not JSON"),
        ('"x"', "'x' is no task"),
        ('{"id": "x"}', "badly formed hexadecimal UUID string"),
        (json.dumps({"id": UNKNOWN}), "missing 2 required keyword-only arguments: 'name' and 'app'"),
        (json.dumps(NEW_TASK | {"colour": "red"}), "'colour' is none of id, name"),
        (json.dumps(NEW_TASK | {"kind": "reset"}), "unexpected keyword argument 'kind'"),
        (json.dumps(NEW_TASK | {"enabled": "false"}), "'false' is neither true nor false"),
        (json.dumps(NEW_TASK | {"reload_seconds": "soon"}), "could not convert string to float"),
        (json.dumps(NEW_TASK | {"reload_seconds": -1}), "-1 is no amount"),
    ],
)
def test_a_task_that_is_none_is_refused(controls: ControlPort, body: str, message: str) -> None:
    assert message in controls.refuse("POST", "/tasks", data=body)
    assert len(controls.call("GET", "/tasks")) == 6


# Faults


@pytest.mark.parametrize("status", [403, 500, 502, 503, 504])
def test_a_refused_call_gets_its_status_and_does_nothing(qrs: PlainQrs, controls: ControlPort, status: int) -> None:
    controls.call("POST", "/faults", json={"kind": "refuse", "status": status})
    assert qrs.post(f"task/{SALES}/start/synchronous").status_code == status
    (entry,) = controls.call("GET", "/journal")["entries"]
    assert (entry["status"], entry["outcome"], entry["fault"]) == (status, "not done", "refuse")
    assert controls.call("GET", "/health")["sessions"] == 0


def test_a_refused_call_can_take_effect_all_the_same(qrs: PlainQrs, controls: ControlPort) -> None:
    controls.call("POST", "/faults", json={"kind": "refuse", "status": 500, "takes_effect": True})
    assert qrs.post(f"task/{SALES}/start/synchronous").status_code == 500
    assert controls.call("GET", "/health")["sessions"] == 1


def test_a_delayed_answer_is_right_but_late(qrs: PlainQrs, controls: ControlPort) -> None:
    controls.call("POST", "/faults", json={"kind": "delay", "delay_ms": 200})
    answer = qrs.post(f"task/{SALES}/start/synchronous")
    assert answer.status_code == 201
    assert answer.elapsed.total_seconds() >= 0.2


def test_a_late_start_begins_although_nobody_waits_for_it_any_more(qrs: PlainQrs, controls: ControlPort) -> None:
    controls.call("POST", "/faults", json={"kind": "late", "delay_ms": 600})
    with pytest.raises(requests.ReadTimeout):
        qrs.session.post(f"{qrs.url}/qrs/task/{SALES}/start/synchronous", timeout=0.2)
    assert controls.call("GET", "/health")["sessions"] == 0
    wait_for(lambda: controls.call("GET", "/health")["sessions"] == 1, seconds=5)


@pytest.mark.parametrize(("takes_effect", "sessions"), [(None, 1), (True, 1), (False, 0)])
def test_a_reset_comes_after_or_before_the_start(
    qrs: PlainQrs, controls: ControlPort, takes_effect: bool | None, sessions: int
) -> None:
    controls.call("POST", "/faults", json={"kind": "reset", "takes_effect": takes_effect})
    with pytest.raises(requests.ConnectionError, match="Connection aborted"):
        qrs.begin()
    assert controls.call("GET", "/health")["sessions"] == sessions
    (entry,) = controls.call("GET", "/journal")["entries"]
    assert (entry["status"], entry["fault"]) == (None, "reset")


def test_a_call_hangs_until_it_is_reset(qrs: PlainQrs, controls: ControlPort) -> None:
    controls.call("POST", "/faults", json={"kind": "hang", "delay_ms": 60_000})
    with pytest.raises(requests.ReadTimeout):
        qrs.session.post(f"{qrs.url}/qrs/task/{SALES}/start", timeout=0.2)
    assert controls.call("GET", "/health")["sessions"] == 1


def test_a_page_for_people_comes_with_200(qrs: PlainQrs, controls: ControlPort) -> None:
    controls.call("POST", "/faults", json={"kind": "html"})
    answer = qrs.post(f"task/{SALES}/start/synchronous")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html")


def test_truncated_json_is_as_long_as_announced(qrs: PlainQrs, controls: ControlPort) -> None:
    controls.call("POST", "/faults", json={"kind": "truncated"})
    answer = qrs.post(f"task/{SALES}/start/synchronous")
    assert answer.status_code == 201
    assert answer.text.startswith('{"value": "')
    assert not answer.text.endswith("}")


def test_a_cut_answer_is_shorter_than_announced(qrs: PlainQrs, controls: ControlPort) -> None:
    controls.call("POST", "/faults", json={"kind": "cut"})
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        qrs.begin()


def test_a_fault_strikes_one_task_so_many_times(qrs: PlainQrs, controls: ControlPort) -> None:
    controls.call("POST", "/faults", json=[{"kind": "refuse", "task_id": SALES, "count": 1}])
    statuses = [qrs.post(f"task/{task}/start").status_code for task in (ORDERS, SALES, SALES)]
    assert statuses == [204, 500, 204]
    assert controls.call("GET", "/faults") == []


def test_a_fault_strikes_the_calls_it_names(qrs: PlainQrs, controls: ControlPort) -> None:
    controls.call("POST", "/faults", json={"kind": "reset", "calls": ["start synchronous"]})
    with pytest.raises(requests.ConnectionError):
        qrs.begin()
    (session,) = qrs.get("executionsession/full", params={"filter": f"reloadTask.id eq {SALES}"}).json()
    assert session["executionResult"]["status"] == 1


def test_a_fault_strikes_a_part_of_the_calls_for_a_while(qrs: PlainQrs, controls: ControlPort) -> None:
    window = {"begins_in_seconds": 0, "lasts_seconds": 60}
    controls.call("POST", "/faults", json={"kind": "refuse", "rate": 0.5} | window)
    statuses = {qrs.get("about").status_code for _ in range(100)}
    assert statuses == {200, 500}
    (fault,) = controls.call("GET", "/faults")
    assert 0 < fault["lasts_seconds"] < 60


def test_a_fault_can_wait_for_its_time(qrs: PlainQrs, controls: ControlPort) -> None:
    controls.call("POST", "/faults", json={"kind": "refuse", "begins_in_seconds": 0.3})
    assert qrs.get("about").status_code == 200
    time.sleep(0.4)
    assert qrs.get("about").status_code == 500


def test_a_start_can_come_to_nothing(qrs: PlainQrs, controls: ControlPort) -> None:
    controls.call("POST", "/faults", json={"kind": "zero", "task_id": SALES})
    assert qrs.begin(SALES) == NO_SESSION
    assert qrs.post(f"task/{SALES}/start").status_code == 204
    assert qrs.post("task/start/many", json=[SALES]).status_code == 204
    assert controls.call("GET", "/health")["sessions"] == 0
    assert {entry["outcome"] for entry in controls.call("GET", "/journal")["entries"]} == {"not started"}


def test_a_task_can_be_deleted_at_the_moment_of_its_start(qrs: PlainQrs, controls: ControlPort) -> None:
    controls.call("POST", "/faults", json={"kind": "delete", "task_id": SALES})
    assert qrs.get("about").status_code == 200
    for _ in range(2):
        assert qrs.post(f"task/{SALES}/start/synchronous").status_code == 404
    assert qrs.get("task/full", params={"filter": f"id eq {SALES}"}).json() == []


def test_a_task_can_be_disabled_at_the_moment_of_its_start(qrs: PlainQrs, controls: ControlPort) -> None:
    controls.call("POST", "/faults", json={"kind": "disable", "count": 1})
    assert qrs.begin(SALES) == NO_SESSION
    (document,) = qrs.get("task/full", params={"filter": f"id eq {SALES}"}).json()
    assert document["enabled"] is False
    assert qrs.begin(ORDERS) != NO_SESSION


def test_faults_are_listed_and_cleared(qrs: PlainQrs, controls: ControlPort) -> None:
    controls.call("POST", "/faults", json={"kind": "refuse"})
    (fault,) = controls.call("GET", "/faults")
    assert (fault["kind"], fault["status"], fault["count"]) == ("refuse", 500, None)
    assert controls.call("DELETE", "/faults") == []
    qrs.begin()


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"kind": "magic"},
        {"kind": "reset", "task_id": "x"},
        {"kind": "reset", "name": "x"},
        {"kind": "refuse", "status": 999},
        {"kind": "reset", "rate": 2},
        {"kind": "reset", "lasts_seconds": -1},
        {"kind": "reset", "calls": ["begin"]},
    ],
)
def test_a_fault_that_is_none_is_refused(controls: ControlPort, body: dict[str, str]) -> None:
    assert "is no fault" in controls.refuse("POST", "/faults", json=body)


# The rest


def test_health_counts(qrs: PlainQrs, controls: ControlPort) -> None:
    assert controls.call("GET", "/health") == {
        "status": "ok",
        "connections": 0,
        "tasks": 6,
        "sessions": 0,
        "journal": 0,
        "proxy_sessions": 0,
    }
    qrs.begin()
    health = controls.call("GET", "/health")
    assert (health["connections"], health["sessions"], health["journal"]) == (1, 1, 1)


def test_without_a_proxy_there_are_no_tokens(controls: ControlPort) -> None:
    assert "--proxy-port" in controls.refuse("GET", "/token")


def test_another_site_s_page_cannot_play_with_it(controls: ControlPort) -> None:
    for origin, status in ((controls.url, 200), ("http://evil.example", 403), ("null", 403)):
        answer = requests.delete(f"{controls.url}/faults", headers={"Origin": origin}, timeout=5)
        assert answer.status_code == status


def test_an_unknown_control_lists_those_there_are(controls: ControlPort) -> None:
    assert "GET /journal, DELETE /journal" in controls.refuse("GET", "/help")
