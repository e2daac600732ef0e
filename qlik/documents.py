"""What QRS answers about tasks and their runs, read from its JSON.

Shapes: https://help.qlik.com, Repository Service API, and `GET /qrs/about/api/description`. Reading raises
ValueError, KeyError, TypeError or AttributeError for what is no such document.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from qlik.execution import ExecutionStatus

Document = Mapping[str, Any]

# QRS's way to say that something has not happened, or that there is nothing to refer to
UNSET_YEAR = 1753
NOTHING = UUID(int=0)

# An execution session belongs to a task of one of these kinds
TASK_PROPERTIES = ("reloadTask", "userSyncTask", "externalProgramTask", "distributeTask")


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """A line that QRS wrote about an attempt; `created_at` is UTC."""

    message: str
    created_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionResult:
    """One attempt of a run; a run that Sense tries again has several. Moments are UTC, None until they come.

    `execution_id` is the session of the run. It and `task_id` are None where QRS tells the result as a part of its task
    or session. `status_code` is the number that QRS gave, also where `status` is UNKNOWN.
    """

    id: UUID
    execution_id: UUID | None
    task_id: UUID | None
    status: ExecutionStatus
    status_code: int
    started_at: datetime | None
    stopped_at: datetime | None
    duration: timedelta
    node_name: str
    script_log_available: bool
    file_reference_id: UUID | None
    details: tuple[Detail, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionSession:
    """A run that is not over; it is gone once the run is. Moments are UTC.

    `result` is the attempt under way, where QRS tells it.
    """

    id: UUID
    task_id: UUID | None
    created_at: datetime | None
    modified_at: datetime | None
    result: ExecutionResult | None

    @property
    def execution_result_id(self) -> UUID | None:
        """The id of the attempt under way, where QRS tells it."""
        return self.result.id if self.result else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task of any kind."""

    id: UUID
    name: str
    enabled: bool
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReloadTask:
    """A task that reloads an app. `custom_properties` are names with values, and a name may come more than once.

    `last_result` is None for a task that never ran. It may be of the run before the one just started.
    """

    id: UUID
    name: str
    enabled: bool
    app_id: UUID | None
    app_name: str
    tags: tuple[str, ...]
    custom_properties: tuple[tuple[str, str], ...]
    max_retries: int
    session_timeout_minutes: int
    last_result: ExecutionResult | None


def read_result(document: Document) -> ExecutionResult:
    """Return an execution result, be it told as a whole or as a part of something else."""
    return ExecutionResult(
        id=UUID(document["id"]),
        execution_id=_read_reference(document.get("executionID")),
        task_id=_read_reference(document.get("taskID")),
        status=ExecutionStatus(document["status"]),
        status_code=int(document["status"]),
        started_at=_read_moment(document.get("startTime")),
        stopped_at=_read_moment(document.get("stopTime")),
        duration=timedelta(milliseconds=document.get("duration") or 0),
        node_name=document.get("executingNodeName") or "",
        script_log_available=bool(document.get("scriptLogAvailable")),
        file_reference_id=_read_reference(document.get("fileReferenceID")),
        details=tuple(_read_detail(detail) for detail in document.get("details") or ()),
    )


def read_session(document: Document) -> ExecutionSession:
    """Return an execution session."""
    task: Document = next((document[name] for name in TASK_PROPERTIES if document.get(name)), {})
    result = document.get("executionResult")
    return ExecutionSession(
        id=UUID(document["id"]),
        task_id=_read_reference(task.get("id")),
        created_at=_read_moment(document.get("createdDate")),
        modified_at=_read_moment(document.get("modifiedDate")),
        result=read_result(result) if result else None,
    )


def read_task(document: Document) -> Task:
    """Return a task of any kind."""
    return Task(id=UUID(document["id"]), name=document["name"], enabled=document["enabled"], tags=_read_tags(document))


def read_reload_task(document: Document) -> ReloadTask:
    """Return a reload task."""
    app = document.get("app") or {}
    return ReloadTask(
        id=UUID(document["id"]),
        name=document["name"],
        enabled=document["enabled"],
        app_id=_read_reference(app.get("id")),
        app_name=app.get("name") or "",
        tags=_read_tags(document),
        custom_properties=tuple(
            (item["definition"]["name"], item["value"]) for item in document.get("customProperties") or ()
        ),
        max_retries=document["maxRetries"],
        session_timeout_minutes=document["taskSessionTimeout"],
        last_result=_read_last_result(document),
    )


def _read_last_result(document: Document) -> ExecutionResult | None:
    found = (document.get("operational") or {}).get("lastExecutionResult")
    result = read_result(found) if found else None
    return None if result and result.status is ExecutionStatus.NEVER_STARTED else result


def _read_tags(document: Document) -> tuple[str, ...]:
    return tuple(tag["name"] for tag in document.get("tags") or ())


def _read_detail(document: Document) -> Detail:
    return Detail(message=document.get("message") or "", created_at=_read_moment(document.get("detailCreatedDate")))


def _read_reference(text: str | None) -> UUID | None:
    identity = UUID(text) if text else NOTHING
    return None if identity == NOTHING else identity


def _read_moment(text: str | None) -> datetime | None:
    moment = datetime.fromisoformat(text) if text else None
    if moment is None or moment.year <= UNSET_YEAR:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
