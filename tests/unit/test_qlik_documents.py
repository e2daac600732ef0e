"""What the client reads in QRS's JSON."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from qlik.documents import read_reload_task, read_result, read_session, read_task
from qlik.execution import ExecutionStatus
from qlik.texts import load_json

ID, TASK_ID, SESSION_ID, LOG_ID = (UUID(int=number) for number in range(1, 5))
NEVER = "1753-01-01T00:00:00.000Z"

RESULT: dict[str, Any] = {
    "id": str(ID),
    "executionID": str(SESSION_ID),
    "taskID": str(TASK_ID),
    "status": 7,
    "startTime": "2026-03-01T06:00:00.250Z",
    "stopTime": "2026-03-01T06:01:30.250Z",
    "duration": 90_000,
    "executingNodeName": "central.example.com",
    "scriptLogAvailable": True,
    "fileReferenceID": str(LOG_ID),
    "details": [
        {"message": "Changing task state to Started", "detailCreatedDate": "2026-03-01T06:00:00.250Z"},
        {"message": None, "detailCreatedDate": NEVER},
    ],
}
TASK: dict[str, Any] = {
    "id": str(TASK_ID),
    "name": "Reload Sales",
    "enabled": False,
    "app": {"id": str(ID), "name": "Sales"},
    "tags": [{"name": "Finance"}, {"name": "Daily"}],
    "customProperties": [
        {"value": "Sales", "definition": {"name": "Department"}},
        {"value": "Finance", "definition": {"name": "Department"}},
    ],
    "maxRetries": 2,
    "taskSessionTimeout": 1440,
    "operational": {"lastExecutionResult": {"id": str(ID), "status": 8, "startTime": "2026-03-01T06:00:00Z"}},
}


def test_a_result_has_all_that_qrs_tells() -> None:
    result = read_result(RESULT)
    assert (result.id, result.execution_id, result.task_id) == (ID, SESSION_ID, TASK_ID)
    assert (result.status, result.status_code) == (ExecutionStatus.FINISHED_SUCCESS, 7)
    assert result.started_at == datetime(2026, 3, 1, 6, 0, 0, 250_000, tzinfo=UTC)
    assert result.stopped_at == datetime(2026, 3, 1, 6, 1, 30, 250_000, tzinfo=UTC)
    assert result.duration == timedelta(seconds=90)
    assert (result.node_name, result.script_log_available) == ("central.example.com", True)
    assert result.file_reference_id == LOG_ID
    assert [(detail.message, detail.created_at) for detail in result.details] == [
        ("Changing task state to Started", result.started_at),
        ("", None),
    ]


def test_what_has_not_come_is_none() -> None:
    result = read_result({**RESULT, "startTime": NEVER, "stopTime": NEVER, "fileReferenceID": str(UUID(int=0))})
    assert (result.started_at, result.stopped_at, result.file_reference_id) == (None, None, None)


def test_a_result_within_a_task_has_no_ids_but_its_own() -> None:
    result = read_result({"id": str(ID), "status": 2})
    assert (result.execution_id, result.task_id, result.node_name, result.details) == (None, None, "", ())
    assert result.duration == timedelta()


@pytest.mark.parametrize(
    "text",
    ["2026-03-01T06:00:00", "2026-03-01T06:00:00Z", "2026-03-01T06:00:00.0000000Z", "2026-03-01T08:00:00.0+02:00"],
)
def test_moments_are_utc_however_they_are_written(text: str) -> None:
    started_at = read_result({**RESULT, "startTime": text}).started_at
    assert started_at == datetime(2026, 3, 1, 6, tzinfo=UTC)
    assert started_at.utcoffset() == timedelta()


def test_a_state_of_a_newer_release_is_kept_as_a_number() -> None:
    result = read_result({**RESULT, "status": 15})
    assert (result.status, result.status_code) == (ExecutionStatus.UNKNOWN, 15)


@pytest.mark.parametrize("kind", ["reloadTask", "userSyncTask", "externalProgramTask", "distributeTask"])
def test_a_session_names_its_task_of_whichever_kind(kind: str) -> None:
    document = {"id": str(SESSION_ID), "reloadTask": None, kind: {"id": str(TASK_ID)}}
    session = read_session({**document, "createdDate": "2026-03-01T06:00:00Z", "executionResult": RESULT})
    assert (session.id, session.task_id, session.execution_result_id) == (SESSION_ID, TASK_ID, ID)
    assert session.created_at == datetime(2026, 3, 1, 6, tzinfo=UTC)
    assert session.result == read_result(RESULT)


def test_a_session_may_tell_little() -> None:
    session = read_session({"id": str(SESSION_ID)})
    assert (session.task_id, session.created_at, session.modified_at, session.result) == (None, None, None, None)
    assert session.execution_result_id is None


def test_a_reload_task_has_all_that_qrs_tells() -> None:
    task = read_reload_task(TASK)
    assert (task.id, task.name, task.enabled, task.app_id, task.app_name) == (
        TASK_ID,
        "Reload Sales",
        False,
        ID,
        "Sales",
    )
    assert task.tags == ("Finance", "Daily")
    assert task.custom_properties == (("Department", "Sales"), ("Department", "Finance"))
    assert (task.max_retries, task.session_timeout_minutes) == (2, 1440)
    assert task.last_result
    assert task.last_result.status is ExecutionStatus.FINISHED_FAIL


@pytest.mark.parametrize(
    "operational",
    [None, {}, {"lastExecutionResult": None}, {"lastExecutionResult": {"id": str(ID), "status": 0}}],
)
def test_a_task_that_never_ran_has_no_result(operational: object) -> None:
    task = {**TASK, "operational": operational, "app": None, "tags": None, "customProperties": None}
    read = read_reload_task(task)
    assert (read.last_result, read.app_id, read.app_name, read.tags, read.custom_properties) == (None, None, "", (), ())


def test_a_task_of_any_kind_has_what_all_have() -> None:
    task = read_task({"id": str(TASK_ID), "name": "Sync users", "enabled": True, "tags": []})
    assert (task.id, task.name, task.enabled, task.tags) == (TASK_ID, "Sync users", True, ())


@pytest.mark.parametrize("document", [{}, {"id": "x"}, {"id": None}, {**RESULT, "status": "done"}, "text", None, []])
def test_anything_else_is_refused(document: Any) -> None:
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        read_result(document)


def test_texts_of_json_are_storable() -> None:
    content = rb'{"a": ["\u0000", "\ud800!", "\ud83d\ude00", "\\u0000", 1, null, {"b\u0000": "c"}]}'
    assert load_json(content) == {"a": ["\ufffd", "\ufffd!", "\N{GRINNING FACE}", r"\u0000", 1, None, {"b\ufffd": "c"}]}


@pytest.mark.parametrize("content", [b'["\xed\xa0\x80"]', r'["\u0000"]'.encode("utf-16")])
def test_texts_are_storable_however_they_are_encoded(content: bytes) -> None:
    assert load_json(content) == ["\ufffd"]


def test_a_bare_nul_is_no_json() -> None:
    with pytest.raises(ValueError, match="control character"):
        load_json(b'"a\0"')
