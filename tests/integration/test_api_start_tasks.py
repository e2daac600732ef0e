"""Starts by the API: what is named, what QRS is asked, what is answered and what the ledger has."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError
from django.test import Client

from qlik.simulator.faults import Fault, FaultKind
from qlik.simulator.tasks import Task
from schedules import maintenance, qrs, runs, start_requests
from schedules.lease import name_this_process
from schedules.models import Run
from schedules.runs import Outcome
from tests.conftest import ORIGIN, TASK_ID
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db

SALES = {"taskId": TASK_ID, "taskName": "Reload Sales overview"}
ORDERS = {"taskId": "3c1f7a52-9d0e-4b86-8a57-1e2d64c0b9f1", "taskName": "Extract ERP orders"}
LEDGER = {"taskId": "7b0a1d6e-52c3-4f19-b6d8-90e47f3a2c15", "taskName": "Transform finance ledger"}
SHOP = {"taskId": "f81b4e0c-37a5-4d92-8e16-5a9c0d2b7f38", "taskName": "Reload Web shop (always fails)"}
DISABLED = {"taskId": "e5d2c7a8-6b94-4e31-a0f7-2c81b95d3e60", "taskName": "Reload Budget 2019 (disabled)"}
UNKNOWN = "00000000-0000-4000-8000-00000000dead"


def path(task_id: str, query: str = "") -> str:
    return f"/v4/reloadtask/{task_id}/start{query}"


def by_id(task_id: object) -> dict[str, Any]:
    return {"type": "starttaskid", "payload": {"taskId": task_id}}


def by_tag(tag: object) -> dict[str, Any]:
    return {"type": "starttasktag", "payload": {"tag": tag}}


def by_property(name: object, value: object) -> dict[str, Any]:
    payload = {"customPropertyName": name, "customPropertyValue": value}
    return {"type": "starttaskcustomproperty", "payload": payload}


def start(client: Client, task_id: str, *items: object, query: str = "") -> Any:
    """Ask for the starts and return the body of the answer, which has to be 200."""
    answer = client.put(path(task_id, query), list(items), content_type="application/json")
    assert answer.status_code == 200, answer.content
    return answer.json()


def started(qrs_service) -> list[str]:
    return sorted(str(entry.task_id) for entry in qrs_service.entries() if entry.call == "start synchronous")


def calls(qrs_service) -> list[str]:
    return [entry.call for entry in qrs_service.entries()]


def assert_failed(answer, status: int, error: str, *parts: str) -> None:
    body = answer.json()
    assert (answer.status_code, body["statusCode"], body["error"]) == (status, status, error)
    assert list(body) == ["statusCode", "error", "message"]
    for part in parts:
        assert part in body["message"]


@pytest.mark.parametrize("method", ["put", "post"])
def test_one_task_is_started_and_answered_as_butler_does(client, qrs_service, method):
    answer = getattr(client, method)(path(TASK_ID), [], content_type="application/json")

    assert answer.status_code == 200
    assert answer.content.decode() == (
        f'{{"tasksId":{{"started":[{{"taskId":"{TASK_ID}","taskName":"Reload Sales overview"}}],'
        '"invalid":[],"denied":[]},'
        '"tasksTag":[],"tasksTagDenied":[],"tasksCP":[],"tasksCPDenied":[]}'
    )
    assert started(qrs_service) == [TASK_ID]


def test_the_ledger_has_the_run_of_this_process_with_its_session(client, qrs_service):
    start(client, TASK_ID)

    run = Run.objects.get()
    (session,) = qrs_service.site.sessions.values()
    assert (run.schedule_id, run.schedule_name, run.qlik_task_id) == (None, "", TASK_ID)
    assert (run.reason, run.state, run.qrs_session, run.attempts) == ("api", "started", session.id, 1)
    assert run.due_at == run.planned_at == run.claimed_at <= run.called_at <= run.answered_at
    assert run.worker == name_this_process()
    assert run.message == "Asked for by 127.0.0.1, API."


def test_a_client_of_the_rest_connector_needs_no_body(client, qrs_service):
    answer = client.generic("POST", path(TASK_ID), HTTP_X_HTTP_METHOD_OVERRIDE="PUT")

    assert answer.json()["tasksId"]["started"] == [SALES]


def test_a_dash_means_what_the_body_names(client, qrs_service):
    answer = start(client, "-", by_id(ORDERS["taskId"]), by_id(TASK_ID))

    assert answer["tasksId"] == {"started": [ORDERS, SALES], "invalid": [], "denied": []}
    assert started(qrs_service) == sorted([TASK_ID, ORDERS["taskId"]])


def test_nothing_named_starts_nothing_and_asks_nobody(client, qrs_service):
    answer = start(client, "-")

    assert answer["tasksId"] == {"started": [], "invalid": [], "denied": []}
    assert calls(qrs_service) == []


def test_tasks_are_started_by_their_tags(client, qrs_service):
    answer = start(client, "-", by_tag("Transform"), by_tag("nobody's"))

    assert answer["tasksTag"] == [SALES, LEDGER]
    assert answer["tasksId"]["started"] == []
    assert started(qrs_service) == sorted([TASK_ID, LEDGER["taskId"]])


def test_tasks_are_started_by_a_property_with_just_this_value(client, qrs_service):
    # Another property with the same value
    other = Task(id=UUID(UNKNOWN), name="Other", app="Other", custom_properties={"Region": "Finance"})
    qrs_service.site.put_tasks([other], keep_others=True)

    answer = start(client, "-", by_property("Department", "Finance"), by_property("Layer", "Sales"))

    assert answer["tasksCP"] == [ORDERS, LEDGER]
    assert [failed["taskId"] for failed in answer["tasksFailed"]] == [DISABLED["taskId"]]
    assert started(qrs_service) == sorted([ORDERS["taskId"], LEDGER["taskId"], DISABLED["taskId"]])


def test_upper_and_lower_case_do_not_count_in_tags_and_properties(client, qrs_service):
    answer = start(client, "-", by_tag("OPERATIONS"), by_property("department", "sales"))

    assert [task["taskName"] for task in answer["tasksTag"]] == ["Reload License monitor"]
    assert answer["tasksCP"] == [SALES, SHOP]


def test_a_task_that_is_named_in_several_ways_is_started_once(client, qrs_service):
    answer = start(client, TASK_ID, by_id(TASK_ID.upper()), by_tag("Transform"), by_property("Department", "Sales"))

    assert answer["tasksId"]["started"] == [SALES]
    assert answer["tasksTag"] == [SALES, LEDGER]
    assert answer["tasksCP"] == [SALES, SHOP]
    assert started(qrs_service) == sorted([TASK_ID, LEDGER["taskId"], SHOP["taskId"]])
    assert Run.objects.count() == 3


def test_what_is_no_task_is_invalid_and_the_others_start(client, qrs_service):
    answer = start(client, "abc123", by_id(UNKNOWN), by_id(TASK_ID))

    assert answer["tasksId"] == {
        "started": [SALES],
        "invalid": [{"taskId": "abc123"}, {"taskId": UNKNOWN}],
        "denied": [],
    }
    assert started(qrs_service) == [TASK_ID]


def test_with_one_unknown_id_nothing_named_by_id_is_started_where_all_must_exist(client, qrs_service):
    items = [by_id(TASK_ID), by_id(UNKNOWN), by_tag("Operations")]

    answer = start(client, ORDERS["taskId"], *items, query="?allTaskIdsMustExist=true")

    assert answer["tasksId"] == {
        "started": [],
        "invalid": [{"taskId": UNKNOWN}],
        "denied": [{"taskId": ORDERS["taskId"]}, {"taskId": TASK_ID}],
    }
    assert [task["taskName"] for task in answer["tasksTag"]] == ["Reload License monitor"]
    assert len(started(qrs_service)) == 1


@pytest.mark.parametrize("query", ["?allTaskIdsMustExist=true", "?allTaskIdsMustExist=false", ""])
def test_with_all_ids_known_they_start_either_way(client, qrs_service, query):
    assert start(client, TASK_ID, query=query)["tasksId"]["started"] == [SALES]


@pytest.mark.parametrize("query", ["allTaskIdsMustExist=", "allTaskIdsMustExist=yes", "allTaskIdsMustExist=true&" * 2])
def test_another_flag_is_refused(client, qrs_service, query):
    answer = client.put(path(TASK_ID, f"?{query}"), [], content_type="application/json")

    assert_failed(answer, 400, "Bad Request", "allTaskIdsMustExist", "true or false")
    assert calls(qrs_service) == []


def test_many_ids_take_two_calls_and_not_one_each(client, qrs_service):
    ids = [str(UUID(int=number)) for number in range(1, 101)]

    answer = start(client, TASK_ID, *map(by_id, ids))

    assert len(answer["tasksId"]["invalid"]) == 100
    assert calls(qrs_service) == ["tasks", "tasks", "start synchronous"]


def test_a_task_that_qrs_refuses_is_denied_with_the_reason(client, qrs_service):
    answer = start(client, DISABLED["taskId"], by_id(TASK_ID))

    assert answer["tasksId"] == {"started": [SALES], "invalid": [], "denied": [{"taskId": DISABLED["taskId"]}]}
    (failed,) = answer["tasksFailed"]
    assert (failed["taskId"], failed["taskName"], failed["state"]) == (*DISABLED.values(), "refused")
    assert "disabled" in failed["message"]
    run = Run.objects.get(qlik_task_id=DISABLED["taskId"])
    assert (run.state, run.message) == ("refused", failed["message"])


def test_one_of_many_that_is_lost_does_not_hide_the_others(client, qrs_service):
    qrs_service.add_fault(Fault(kind=FaultKind.RESET, task_id=UUID(TASK_ID), calls=("start synchronous",)))

    answer = start(client, "-", by_tag("Transform"))

    assert answer["tasksTag"] == [LEDGER]
    assert [(failed["taskId"], failed["state"]) for failed in answer["tasksFailed"]] == [(TASK_ID, "unsure")]
    assert Run.objects.get(qlik_task_id=TASK_ID).state == "unsure"


@pytest.mark.parametrize(
    ("fault", "status", "error", "state", "says"),
    [
        ({"kind": FaultKind.REFUSE, "status": 503}, 503, "Service Unavailable", "unreachable", "QRS_URL"),
        ({"kind": FaultKind.REFUSE, "status": 500}, 502, "Bad Gateway", "unsure", "may have started"),
        ({"kind": FaultKind.HANG, "delay_ms": 3000}, 502, "Bad Gateway", "unsure", "Management Console"),
    ],
)
def test_a_start_that_fails_is_an_error_and_in_the_ledger(client, qrs_service, fault, status, error, state, says):
    qrs_service.add_fault(Fault(**fault, calls=("start synchronous",)))

    answer = client.put(path(TASK_ID), [], content_type="application/json")

    assert_failed(answer, status, error, says)
    assert Run.objects.get().state == state


@pytest.mark.parametrize(
    ("fault", "status", "state"),
    [
        ({"kind": FaultKind.REFUSE, "status": 503}, 503, "unreachable"),
        ({"kind": FaultKind.REFUSE, "status": 500}, 503, "unreachable"),
        ({"kind": FaultKind.HANG, "delay_ms": 3000}, 503, "unreachable"),
        ({"kind": FaultKind.REFUSE, "status": 403}, 502, "refused"),
    ],
)
def test_a_site_that_cannot_be_asked_is_an_error_and_in_the_ledger(client, qrs_service, fault, status, state):
    qrs_service.add_fault(Fault(**fault))

    answer = client.put(path(TASK_ID), [by_id("abc123"), by_tag("Sales")], content_type="application/json")

    assert_failed(answer, status, answer.reason_phrase, "Nothing was started.")
    run = Run.objects.get()
    assert (run.qlik_task_id, run.state, run.reason) == (TASK_ID, state, "api")
    assert run.message
    assert started(qrs_service) == []


def test_a_site_that_is_down_is_unavailable(client, qrs_service, settings):
    settings.QRS_URL = "https://127.0.0.1:1"
    qrs._client.cache_clear()

    answer = client.put(path(TASK_ID), [], content_type="application/json")

    assert_failed(answer, 503, "Service Unavailable", "Look whether QRS runs at QRS_URL")
    assert Run.objects.get().state == "unreachable"


@pytest.mark.django_db(transaction=True)
def test_outcomes_that_cannot_be_recorded_are_answered_all_the_same(client, qrs_service, monkeypatch, caplog):
    is_away, record = threading.Event(), runs.record_outcomes
    is_away.set()

    def fail_while_away(outcomes: Sequence[Outcome]) -> int:
        if is_away.is_set():
            raise OperationalError("database is locked")
        return record(outcomes)

    monkeypatch.setattr(runs, "record_outcomes", fail_while_away)
    monkeypatch.setattr("schedules.patience.PAUSES", (0.01,))
    monkeypatch.setattr("schedules.recording.ANSWER_SECONDS", 0.05)

    assert start(client, TASK_ID)["tasksId"]["started"] == [SALES]
    assert "cannot be recorded" in caplog.text
    assert Run.objects.get().state == "claimed"

    is_away.clear()
    wait_for(lambda: not [thread for thread in threading.enumerate() if thread.name == "recorder"], seconds=10)
    assert Run.objects.get().state == "started"


def test_nothing_starts_during_a_maintenance(client, qrs_service):
    maintenance.begin_maintenance(until=None, reason="New disks", origin=ORIGIN)

    answer = client.put(path(TASK_ID), [], content_type="application/json")

    assert_failed(answer, 409, "Conflict", "New disks")
    assert not Run.objects.exists()
    assert calls(qrs_service) == []


def test_a_request_for_too_many_is_refused(client, qrs_service, monkeypatch):
    monkeypatch.setattr(start_requests, "MOST_STARTS", 1)

    answer = client.put(path("-"), [by_tag("Transform")], content_type="application/json")

    assert_failed(answer, 400, "Bad Request", "2 tasks", "at most 1")
    assert started(qrs_service) == []
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    ("item", "place", "says"),
    [
        ("x", "[1]", "not a JSON object"),
        ({"payload": {}}, "[1].type", "null is not one of starttaskid"),
        ({"type": "starttaskname", "payload": {}}, "[1].type", "'starttaskname' is not one of"),
        ({"type": ["starttaskid"], "payload": {}}, "[1].type", "is not one of"),
        ({"type": "keyvaluestore", "payload": {"namespace": "a", "key": "b"}}, "[1].type", "no key-value store"),
        ({"type": "starttaskid"}, "[1].payload", "null is not a JSON object. Send one with taskId."),
        (by_id(None), "[1].payload.taskId", "missing"),
        (by_id(5), "[1].payload.taskId", "5 is not a text"),
        (by_tag(""), "[1].payload.tag", "empty"),
        (by_tag("x" * 256), "[1].payload.tag", "more than 255"),
        (by_tag("a\0b"), "[1].payload.tag", "cannot be printed"),
        (by_property("a", None), "[1].payload.customPropertyValue", "missing"),
    ],
)
def test_a_body_that_is_wrong_is_told_by_its_places_and_starts_nothing(client, qrs_service, item, place, says):
    answer = client.put(path(TASK_ID), [by_id(TASK_ID), item], content_type="application/json")

    body = answer.json()
    assert (answer.status_code, body["code"]) == (400, "FST_ERR_VALIDATION")
    assert list(body["fields"]) == [place]
    assert says in body["fields"][place][0]
    assert f"{place}: " in body["message"]
    assert calls(qrs_service) == []
    assert not Run.objects.exists()


def test_of_many_mistakes_ten_are_told(client, qrs_service):
    answer = client.put(path("-"), [5] * 100, content_type="application/json")

    assert len(answer.json()["fields"]) == 10


@pytest.mark.parametrize("body", ['{"type":"starttaskid"}', '"x"', "5", "null"])
def test_a_body_that_is_no_array_is_refused(client, qrs_service, body):
    answer = client.put(path(TASK_ID), body, content_type="application/json")

    assert_failed(answer, 400, "Bad Request", "not a JSON array")


def test_other_methods_and_types_are_refused_as_everywhere(client, qrs_service):
    assert_failed(client.get(path(TASK_ID)), 405, "Method Not Allowed", "POST or PUT")
    assert_failed(client.put(path(TASK_ID), "[]", content_type="text/plain"), 415, "Unsupported Media Type", "JSON")
    assert client.options(path(TASK_ID)).status_code == 204


def test_a_tag_with_quotes_is_only_a_tag(client, qrs_service):
    assert start(client, "-", by_tag("' or name ne '"))["tasksTag"] == []
    assert started(qrs_service) == []
