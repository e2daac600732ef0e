"""The second port: what was asked, which tasks there are, what is to go wrong. Plain HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from http import HTTPStatus
from typing import Any, TypeVar
from uuid import UUID

from qlik.simulator.faults import Fault, FaultKind, FaultPlan
from qlik.simulator.journal import Journal
from qlik.simulator.listener import Reply, Request
from qlik.simulator.tasks import Site, Task

Value = TypeVar("Value", Task, Fault)


class ControlError(Exception):
    """The control call cannot be understood."""


class Controls:
    """The simulator, seen by the person or test that plays with it."""

    def __init__(
        self, *, site: Site, faults: FaultPlan, journal: Journal, count_connections: Callable[[], int]
    ) -> None:
        self._site = site
        self._faults = faults
        self._journal = journal
        self._count_connections = count_connections

    def answer(self, request: Request) -> Reply:
        """Do what is asked."""
        handler = HANDLERS.get((request.method, request.path))
        if not handler:
            known = ", ".join(f"{method} {path}" for method, path in HANDLERS)
            return _reply_json({"error": f"There are: {known}."}, HTTPStatus.NOT_FOUND)
        try:
            return _reply_json(handler(self, request))
        except ControlError as error:
            return _reply_json({"error": str(error)}, HTTPStatus.BAD_REQUEST)

    def health(self, _: Request) -> object:
        """Return what is going on; `connections` counts all that were ever made to the QRS port."""
        with self._site.settled():
            sessions, tasks = len(self._site.sessions), len(self._site.tasks)
        return {
            "status": "ok",
            "connections": self._count_connections(),
            "tasks": tasks,
            "sessions": sessions,
            "journal": self._journal.read()[1],
        }

    def read_journal(self, request: Request) -> object:
        """Return the entries after `since`, and as `next` what to pass as `since` the next time."""
        since = request.query.get("since", "0")
        if not since.isdecimal():
            raise ControlError(f"since={since!r} must be a number of an entry.")
        entries, last = self._journal.read(since=int(since))
        return {"entries": [asdict(entry) for entry in entries], "next": last}

    def clear_journal(self, _: Request) -> object:
        """Forget the entries."""
        self._journal.clear()
        return {}

    def list_tasks(self, _: Request) -> object:
        """Return the tasks with their last status."""
        with self._site.settled():
            latest = self._site.latest
            return [
                asdict(task) | {"status": latest[task.id].status.name if task.id in latest else None}
                for task in self._site.tasks.values()
            ]

    def add_tasks(self, request: Request) -> object:
        """Add tasks, or replace those with the same id."""
        self._site.put_tasks(read_tasks(request.body), replace=False)
        return self.list_tasks(request)

    def replace_tasks(self, request: Request) -> object:
        """Replace all tasks."""
        self._site.put_tasks(read_tasks(request.body), replace=True)
        return self.list_tasks(request)

    def list_faults(self, _: Request) -> object:
        """Return the faults that are set."""
        return [asdict(fault) for fault in self._faults.current()]

    def add_faults(self, request: Request) -> object:
        """Set faults."""
        for fault in _read_values(Fault, request.body):
            self._faults.add(fault)
        return self.list_faults(request)

    def clear_faults(self, request: Request) -> object:
        """Let everything go right again."""
        self._faults.clear()
        return self.list_faults(request)


HANDLERS: dict[tuple[str, str], Callable[[Controls, Request], object]] = {
    ("GET", "/health"): Controls.health,
    ("GET", "/journal"): Controls.read_journal,
    ("DELETE", "/journal"): Controls.clear_journal,
    ("GET", "/tasks"): Controls.list_tasks,
    ("POST", "/tasks"): Controls.add_tasks,
    ("PUT", "/tasks"): Controls.replace_tasks,
    ("GET", "/faults"): Controls.list_faults,
    ("POST", "/faults"): Controls.add_faults,
    ("DELETE", "/faults"): Controls.clear_faults,
}


def read_tasks(text: bytes) -> list[Task]:
    """Return the tasks of a JSON array, or of a single object. Raises ControlError."""
    return _read_values(Task, text)


def _read_values(kind: type[Value], text: bytes) -> list[Value]:
    try:
        documents = json.loads(text)
    except ValueError as error:
        raise ControlError(f"The body is not JSON: {error}.") from error
    return [_read_value(kind, document) for document in _as_list(documents)]


def _read_value(kind: type[Value], document: dict[str, Any]) -> Value:
    try:
        # What is null is left to its default.
        given: dict[str, Any] = {key: READERS[key](value) for key, value in document.items() if value is not None}
        return kind(**given)
    except KeyError as error:
        raise ControlError(f"{error} is none of {', '.join(READERS)}.") from error
    except (AttributeError, TypeError, ValueError) as error:
        raise ControlError(f"{document!r} is no {kind.__name__.lower()}: {error}.") from error


def _as_list(documents: object) -> list[Any]:
    return documents if isinstance(documents, list) else [documents]


def _read_flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is neither true nor false")
    return value


READERS: dict[str, Callable[[Any], Any]] = {
    # of a task
    "id": UUID,
    "name": str,
    "app": str,
    "tags": tuple,
    "custom_properties": dict,
    "enabled": _read_flag,
    "max_retries": int,
    "reload_seconds": float,
    "fails": _read_flag,
    # of a fault
    "kind": FaultKind,
    "task_id": UUID,
    "count": int,
    "delay_ms": int,
    "status": HTTPStatus,
    "takes_effect": _read_flag,
}


def _reply_json(document: object, status: int = HTTPStatus.OK) -> Reply:
    return Reply(status, json.dumps(document, default=str, ensure_ascii=False).encode())
