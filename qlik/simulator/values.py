"""Tasks, faults and outages as the controls take them in JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, TypeVar
from uuid import UUID

from qlik.simulator.api import HANDLERS as CALLS
from qlik.simulator.faults import Fault, FaultKind
from qlik.simulator.outages import Keeps, Outage
from qlik.simulator.tasks import Task

Value = TypeVar("Value", Task, Fault, Outage)


class ControlError(Exception):
    """The control call cannot be understood."""


def read_tasks(text: bytes) -> list[Task]:
    """Return the tasks of a JSON array, or of a single object. Raises ControlError."""
    return read_values(Task, text)


def read_values(kind: type[Value], text: bytes) -> list[Value]:
    """Return the values of a JSON array, or of a single object. Raises ControlError."""
    return [make_value(kind, document) for document in _read_documents(text)]


def make_value(kind: type[Value], document: Mapping[str, Any]) -> Value:
    """Return the value that a JSON object stands for. Raises ControlError."""
    try:
        # What is null is left to its default.
        given: dict[str, Any] = {key: READERS[key](value) for key, value in document.items() if value is not None}
        return kind(**given)
    except KeyError as error:
        raise ControlError(f"{error} is none of {', '.join(READERS)}.") from error
    except (AttributeError, TypeError, ValueError) as error:
        raise ControlError(f"{document!r} is no {kind.__name__.lower()}: {error}.") from error


def read_changes(text: bytes) -> list[tuple[UUID, dict[str, Any]]]:
    """Return, for each object of a JSON array or for a single one, its `id` and what else it holds.

    Raises ControlError also for what no task has.
    """
    changes = []
    for document in _read_documents(text):
        task = make_value(Task, {"name": "", "app": ""} | document)
        changes.append((task.id, {name: getattr(task, name) for name in document if name != "id"}))
    return changes


def read_id(text: str) -> UUID:
    """Return the id of a task. Raises ControlError."""
    try:
        return UUID(text)
    except ValueError as error:
        raise ControlError(f"{text!r} is no id of a task.") from error


def read_amount(text: str) -> float:
    """Return a number from 0 on. Raises ControlError."""
    try:
        return _read_amount(text)
    except ValueError as error:
        raise ControlError(f"{error}.") from error


def _read_documents(text: bytes) -> list[dict[str, Any]]:
    try:
        documents = json.loads(text)
    except ValueError as error:
        raise ControlError(f"The body is not JSON: {error}.") from error
    return documents if isinstance(documents, list) else [documents]


def _read_flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is neither true nor false")
    return value


def _read_amount(value: Any) -> float:
    number = float(value)
    if not 0 <= number < math.inf:
        raise ValueError(f"{value!r} is no amount from 0 on")
    return number


def _read_rate(value: Any) -> float:
    number = float(value)
    if not 0 <= number <= 1:
        raise ValueError(f"{value!r} is no part from 0 to 1")
    return number


def _read_calls(value: list[str]) -> tuple[str, ...]:
    if unknown := [name for name in value if name not in CALLS]:
        raise ValueError(f"{unknown} are none of the calls {', '.join(CALLS)}")
    return tuple(value)


READERS: dict[str, Callable[[Any], Any]] = {
    # of a task
    "id": UUID,
    "name": str,
    "app": str,
    "tags": tuple,
    "custom_properties": dict,
    "enabled": _read_flag,
    "max_retries": int,
    "session_timeout_minutes": _read_amount,
    "reload_seconds": _read_amount,
    "fails": _read_flag,
    "fails_first": int,
    # of a fault
    "kind": FaultKind,
    "task_id": UUID,
    "calls": _read_calls,
    "count": int,
    "rate": _read_rate,
    "begins_in_seconds": _read_amount,
    "lasts_seconds": _read_amount,
    "delay_ms": int,
    "status": HTTPStatus,
    "takes_effect": _read_flag,
    # of an outage
    "seconds": _read_amount,
    "keeps": Keeps,
}
