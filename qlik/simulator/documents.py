"""Tasks, sessions and results as QRS writes them in JSON."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from qlik.execution import ExecutionStatus
from qlik.simulator.filters import format_instant
from qlik.simulator.tasks import Attempt, Session, Task

Document = dict[str, Any]

# QRS's way to say that something never happened.
UNSET_AT = datetime(1753, 1, 1, tzinfo=UTC)
CREATED_AT = datetime(2026, 1, 1, tzinfo=UTC)
NO_ID = str(UUID(int=0))
NODE_NAME = "Central"

ABOUT: Document = {
    "buildVersion": "99.1.0.0",
    "buildDate": "1/1/2026 10:00:00 AM",
    "databaseProvider": "Devart.Data.PostgreSql",
    "nodeType": 1,
    "sharedPersistence": True,
    "requiresBootstrap": False,
    "singleNodeOnly": False,
    "schemaPath": "About",
}


def describe_task(task: Task, latest: Attempt | None) -> Document:
    """Return a task with its last result."""
    return {
        **_audit(task.id, CREATED_AT, "ReloadTask"),
        "name": task.name,
        "taskType": 0,
        "enabled": task.enabled,
        "taskSessionTimeout": task.session_timeout_minutes,
        "maxRetries": task.max_retries,
        "isManuallyTriggered": False,
        "app": {"id": make_id("app", task.app), "name": task.app, "published": True},
        "tags": [{"id": make_id("tag", tag), "name": tag} for tag in task.tags],
        "customProperties": [
            _describe_property(name, value)
            for name, values in task.custom_properties.items()
            for value in ([values] if isinstance(values, str) else values)
        ],
        "operational": {
            "id": make_id("operational", str(task.id)),
            "lastExecutionResult": describe_result(latest) if latest else _describe_no_result(task),
            "nextExecution": format_instant(UNSET_AT),
        },
    }


def describe_session(session: Session) -> Document:
    """Return a run that is not over."""
    return {
        **_audit(session.id, session.attempts[0].started_at, "ExecutionSession"),
        "reloadTask": {"id": str(session.task.id), "name": session.task.name},
        "executingNodeID": make_id("node", NODE_NAME),
        "executionResult": describe_result(session.attempt),
    }


def describe_result(attempt: Attempt) -> Document:
    """Return one attempt of a run."""
    if attempt.document is not None:
        return attempt.document
    # Asked before it is described, for it may be over in between
    is_over = attempt.is_over
    document = _describe_attempt(attempt)
    if is_over:
        attempt.document = document
    return document


def _describe_attempt(attempt: Attempt) -> Document:
    stopped_at = attempt.stopped_at or UNSET_AT
    duration = (attempt.stopped_at - attempt.started_at) if attempt.stopped_at else timedelta()
    log_id = str(uuid5(attempt.id, "script log")) if attempt.has_script_log else NO_ID
    return {
        **_audit(attempt.id, attempt.started_at, "ExecutionResult"),
        "executionID": str(attempt.session_id),
        "taskID": str(attempt.task.id),
        "appID": make_id("app", attempt.task.app),
        "executingNodeID": make_id("node", NODE_NAME),
        "executingNodeName": NODE_NAME,
        "status": attempt.status.value,
        "startTime": format_instant(attempt.started_at),
        "stopTime": format_instant(stopped_at),
        "duration": duration // timedelta(milliseconds=1),
        "scriptLogAvailable": attempt.has_script_log,
        "fileReferenceID": log_id,
        "details": [*_describe_details(attempt)],
    }


@cache
def make_id(kind: str, name: str) -> str:
    """Return the same guid for the same thing in every run of the simulator."""
    return str(uuid5(NAMESPACE_URL, f"simulator/{kind}/{name}"))


def _audit(identity: UUID, created_at: datetime, schema: str) -> Document:
    return {
        "id": str(identity),
        "createdDate": format_instant(created_at),
        "modifiedDate": format_instant(created_at),
        "modifiedByUserName": r"INTERNAL\sa_repository",
        "privileges": None,
        "schemaPath": schema,
    }


def _describe_property(name: str, value: str) -> Document:
    definition = {"id": make_id("property", name), "name": name, "valueType": "Text"}
    return {"id": make_id(f"property {name}", value), "value": value, "definition": definition}


def _describe_no_result(task: Task) -> Document:
    return {
        "id": make_id("no result", str(task.id)),
        "status": ExecutionStatus.NEVER_STARTED.value,
        "startTime": format_instant(UNSET_AT),
        "stopTime": format_instant(UNSET_AT),
        "duration": 0,
        "scriptLogAvailable": False,
        "fileReferenceID": NO_ID,
        "details": [],
    }


def _describe_details(attempt: Attempt) -> Iterator[Document]:
    for at, status in attempt.changes:
        yield _describe_detail(at, f"Changing task state to {name_status(status)}")
    if attempt.remark:
        yield _describe_detail(attempt.entered_at, attempt.remark)


def _describe_detail(at: datetime, message: str) -> Document:
    return {"detailsType": 2, "message": message, "detailCreatedDate": format_instant(at)}


def name_status(status: ExecutionStatus) -> str:
    """Return the name of a state as QRS writes it."""
    return status.name.title().replace("_", "")


ENUMS: Document = {
    "StatusEnum": {
        "name": "StatusEnum",
        "values": [f"{status.value}: {name_status(status)}" for status in ExecutionStatus if status >= 0],
        "usages": ["ExecutionResult.Status"],
    }
}
