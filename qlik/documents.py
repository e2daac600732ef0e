"""What QRS answers about tasks and their runs, read from its JSON.

Shapes: https://help.qlik.com, Repository Service API, and `GET /qrs/about/api/description`. Reading raises
ValueError, KeyError, TypeError or AttributeError for what is no such document: without an id, or without what tells
what it is about. Anything else that is odd is left out, as if QRS had not told it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from qlik.execution import ExecutionStatus

Document = Mapping[str, Any]

# QRS's way to say that something has not happened, or that there is nothing to refer to
UNSET_YEAR = 1753
NOTHING = UUID(int=0)
# What is beyond is a mistake
LAST_YEAR = 3000
LONGEST_DURATION = timedelta(days=3650)
GREATEST_COUNT = 2**31 - 1

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
    status = document["status"]
    if not isinstance(status, int) or isinstance(status, bool):
        raise TypeError(f"The status is {status!r}, which is no number.")
    started_at, stopped_at = _read_moment(document.get("startTime")), _read_moment(document.get("stopTime"))
    return ExecutionResult(
        id=UUID(document["id"]),
        execution_id=_read_reference(document.get("executionID")),
        task_id=_read_reference(document.get("taskID")),
        status=ExecutionStatus(status),
        status_code=status,
        started_at=started_at,
        stopped_at=stopped_at,
        duration=_read_duration(document.get("duration"), started_at, stopped_at),
        node_name=_read_text(document.get("executingNodeName")),
        script_log_available=bool(document.get("scriptLogAvailable")),
        file_reference_id=_try_reference(document.get("fileReferenceID")),
        details=tuple(_read_detail(detail) for detail in _read_list(document.get("details"))),
    )


def read_session(document: Document) -> ExecutionSession:
    """Return an execution session."""
    task: Document = next((document[name] for name in TASK_PROPERTIES if document.get(name)), {})
    return ExecutionSession(
        id=UUID(document["id"]),
        task_id=_read_reference(task.get("id")),
        created_at=_read_moment(document.get("createdDate")),
        modified_at=_read_moment(document.get("modifiedDate")),
        result=_try_result(document.get("executionResult")),
    )


def read_task(document: Document) -> Task:
    """Return a task of any kind."""
    return Task(
        id=UUID(document["id"]),
        name=_read_text(document["name"]),
        enabled=document["enabled"] is not False,
        tags=_read_tags(document),
    )


def read_reload_task(document: Document) -> ReloadTask:
    """Return a reload task."""
    app = _read_object(document.get("app"))
    return ReloadTask(
        id=UUID(document["id"]),
        name=_read_text(document["name"]),
        enabled=document["enabled"] is not False,
        app_id=_try_reference(app.get("id")),
        app_name=_read_text(app.get("name")),
        tags=_read_tags(document),
        custom_properties=tuple(_read_properties(document)),
        max_retries=_read_count(document.get("maxRetries")),
        session_timeout_minutes=_read_count(document.get("taskSessionTimeout")),
        last_result=_read_last_result(document),
    )


def _read_properties(document: Document) -> Iterator[tuple[str, str]]:
    for item in _read_list(document.get("customProperties")):
        name, value = _read_text(_read_object(item.get("definition")).get("name")), _read_text(item.get("value"))
        if name and value:
            yield name, value


def _read_last_result(document: Document) -> ExecutionResult | None:
    result = _try_result(_read_object(document.get("operational")).get("lastExecutionResult"))
    return None if result and result.status is ExecutionStatus.NEVER_STARTED else result


def _try_result(document: Any) -> ExecutionResult | None:
    """Return a result that stands in something else, which is of use without it."""
    try:
        return read_result(document) if document else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _read_tags(document: Document) -> tuple[str, ...]:
    return tuple(filter(None, (_read_text(tag.get("name")) for tag in _read_list(document.get("tags")))))


def _read_detail(document: Document) -> Detail:
    return Detail(
        message=_read_text(document.get("message")), created_at=_read_moment(document.get("detailCreatedDate"))
    )


def _read_reference(text: str | None) -> UUID | None:
    identity = UUID(text) if text else NOTHING
    return None if identity == NOTHING else identity


def _try_reference(text: Any) -> UUID | None:
    """Return what is referred to, where that is of no weight."""
    try:
        return _read_reference(text)
    except (ValueError, TypeError, AttributeError):
        return None


def _read_moment(text: Any) -> datetime | None:
    """Return a moment; None for one that has not come, or that nobody can have meant."""
    try:
        moment = datetime.fromisoformat(text) if text else None
    except (ValueError, TypeError):
        return None
    if moment is None or not UNSET_YEAR < moment.year < LAST_YEAR:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _read_duration(milliseconds: Any, started_at: datetime | None, stopped_at: datetime | None) -> timedelta:
    if isinstance(milliseconds, int | float) and 0 <= milliseconds <= LONGEST_DURATION / timedelta(milliseconds=1):
        return timedelta(milliseconds=milliseconds)
    return max(stopped_at - started_at, timedelta(0)) if started_at and stopped_at else timedelta(0)


def _read_count(value: Any) -> int:
    """Return a number as databases take it; 0 for what is none."""
    return value if isinstance(value, int) and 0 <= value <= GREATEST_COUNT else 0


def _read_text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _read_list(value: Any) -> list[Document]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _read_object(value: Any) -> Document:
    return value if isinstance(value, dict) else {}
