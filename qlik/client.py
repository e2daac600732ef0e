"""The calls of the Qlik Sense Repository Service.

No call is ever repeated here: whether it may be is in the class of the error (`qlik.errors`), and when is
the caller's decision.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPMethod, HTTPStatus
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar
from uuid import UUID

from qlik.clocks import ClockReading
from qlik.documents import (
    Document,
    ExecutionResult,
    ExecutionSession,
    ReloadTask,
    Task,
    read_reload_task,
    read_result,
    read_session,
    read_task,
)
from qlik.errors import OutcomeUnknownError, RefusedError, shorten_text
from qlik.filters import Filter
from qlik.hosts import Hosts
from qlik.settings import QrsSettings
from qlik.texts import load_json
from qlik.transport import Answer, Call

logger = logging.getLogger(__name__)

NO_SESSION = UUID(int=0)
#: The longest filter of one call, in characters as a URL has them: some 110 ids. Longer ones are split, so that a
#: request's first line stays below the 8 KB that servers and proxies on the way take.
FILTER_LENGTH = 7_000

# What reading an answer raises when it is not what it should be, or lists nested too deeply
UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)


class Identified(Protocol):
    """Something that QRS has an id for."""

    @property
    def id(self) -> UUID:
        """QRS's id."""


Row = TypeVar("Row", bound=Identified)


class Rows(list[Row]):
    """The rows of an answer; `unreadable` is how many more there were."""

    unreadable = 0


@dataclass(frozen=True, slots=True)
class About:
    """What QRS says about itself."""

    build_version: str
    build_date: str
    node_type: int


class QrsClient:
    """One site's QRS. Serves any number of threads of one process; make it after a fork, and once.

    Each call raises the `QrsError` whose class says what may be done next.
    """

    def __init__(self, settings: QrsSettings) -> None:
        """Read the certificate files, without connecting. Raises CertificateError when they are unusable."""
        self._hosts = Hosts(settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def clock(self) -> ClockReading:
        """How far QRS's clock is ahead of this one, as its last list told."""
        return self._hosts.clock

    def close(self) -> None:
        """Close the kept-alive connections."""
        self._hosts.close()

    def about(self) -> About:
        """Return the version of QRS: the cheapest check of connection, certificates and user."""
        answer = self._hosts.send(Call(method=HTTPMethod.GET, path="/qrs/about"))
        try:
            document = _read_object(answer)
            return About(document["buildVersion"], document["buildDate"], document["nodeType"])
        except UNREADABLE as error:
            raise _unreadable(answer) from error

    def start_task(self, task_id: UUID) -> None:
        """Ask for a start. QRS says only that it received the call, not that the task began."""
        self._command(f"/qrs/task/{task_id}/start")

    def start_many(self, task_ids: Sequence[UUID]) -> None:
        """Ask for the start of several tasks in one call; of no tasks there is none.

        QRS says only that it received the call, and of an unknown task among them nothing but that there is one.
        """
        if task_ids:
            self._command("/qrs/task/start/many", body=[str(task_id) for task_id in task_ids])

    def stop_task(self, task_id: UUID) -> None:
        """Ask for the end of every run of a task. It takes a while; a task that does not run is no error."""
        self._command(f"/qrs/task/{task_id}/stop")

    def start_task_synchronously(self, task_id: UUID) -> UUID:
        """Start a task and return its execution session, which lasts as long as the run.

        Raises RefusedError also when QRS answers that the task did not begin.
        """
        answer = self._hosts.send(Call(method=HTTPMethod.POST, path=f"/qrs/task/{task_id}/start/synchronous"))
        try:
            session_id = UUID(str(_read_object(answer)["value"]))
        except UNREADABLE as error:
            raise _unreadable(answer) from error
        if session_id == NO_SESSION:
            raise _not_begun(task_id, answer)
        return session_id

    def get_session(self, session_id: UUID) -> ExecutionSession | None:
        """Return a run that is not over; None when it is, or never was."""
        try:
            answer = self._hosts.send(Call(method=HTTPMethod.GET, path=f"/qrs/executionsession/{session_id}"))
        except RefusedError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise
        try:
            return read_session(_read_object(answer))
        except UNREADABLE as error:
            raise _unreadable(answer) from error

    def list_sessions(self, *, where: Filter | str = "", may_skip: bool = False) -> Rows[ExecutionSession]:
        """Return the runs that are not over and pass the filter, one call for some 110 ids.

        Rows that cannot be read are left out and counted; when there is no other, that is an error unless it `may_skip`
        them all.
        """
        return self._list("/qrs/executionsession/full", read_session, where, may_skip=may_skip)

    def list_results(self, *, where: Filter | str, order_by: str = "", may_skip: bool = False) -> Rows[ExecutionResult]:
        """Return the attempts of runs that pass the filter, one call for some 110 ids, as list_sessions does.

        `order_by` reads like `startTime desc`. It holds for each call: of a filter that had to be split, for the
        attempts of one session, but not from one session to another.
        """
        return self._list("/qrs/executionresult/full", read_result, where, order_by, may_skip=may_skip)

    def list_reload_tasks(self, *, where: Filter | str = "") -> Rows[ReloadTask]:
        """Return the reload tasks that pass the filter, without those that cannot be read."""
        return self._list("/qrs/reloadtask/full", read_reload_task, where)

    def find_tasks(self, where: Filter | str) -> Rows[Task]:
        """Return the tasks of every kind that pass the filter, without those that cannot be read."""
        return self._list("/qrs/task/full", read_task, where)

    def _command(self, path: str, *, body: object = None) -> None:
        """Make a call whose answer is that there is none."""
        answer = self._hosts.send(Call(method=HTTPMethod.POST, path=path, body=body))
        if answer.content:
            raise _unreadable(answer)

    def _list(
        self,
        path: str,
        read: Callable[[Document], Row],
        where: Filter | str,
        order_by: str = "",
        *,
        may_skip: bool = False,
    ) -> Rows[Row]:
        condition = where if isinstance(where, Filter) else Filter((where,) if where else ())
        rows: dict[UUID, Row] = {}
        unreadable = 0
        for part in condition.split(FILTER_LENGTH):
            found = self._list_part(path, read, {"filter": str(part), "orderby": order_by}, may_skip=may_skip)
            unreadable += found.unreadable
            for row in found:
                # A row may pass several parts
                rows.setdefault(row.id, row)
        listed = Rows(rows.values())
        listed.unreadable = unreadable
        return listed

    def _list_part(
        self, path: str, read: Callable[[Document], Row], query: dict[str, str], *, may_skip: bool
    ) -> Rows[Row]:
        answer = self._hosts.send(Call(method=HTTPMethod.GET, path=path, query=query))
        try:
            documents = _read_array(answer)
        except UNREADABLE as error:
            raise _unreadable(answer) from error
        rows: Rows[Row] = Rows()
        for document in documents:
            try:
                rows.append(read(document))
            except UNREADABLE as error:
                if not rows.unreadable:
                    logger.warning("A row of %s cannot be read (%r), and is left out: %.300r", path, error, document)
                rows.unreadable += 1
                problem = error
        if rows.unreadable and not rows and not may_skip:
            raise _unreadable(answer) from problem
        return rows


def _read_object(answer: Answer) -> dict[str, Any]:
    document = load_json(answer.content)
    if not isinstance(document, dict):
        raise ValueError("The answer is no JSON object.")
    return document


def _read_array(answer: Answer) -> list[Any]:
    document = load_json(answer.content)
    if not isinstance(document, list):
        raise ValueError("The answer is no JSON array.")
    return document


def _unreadable(answer: Answer) -> OutcomeUnknownError:
    return OutcomeUnknownError(
        f"QRS took the call, but its answer ({answer.status}) cannot be read: {shorten_text(answer.text)!r}."
        " If it was to change something, ask QRS whether it took effect; check that the address is that of QRS"
        " (port 4242).",
        status=answer.status,
        text=answer.text,
    )


def _not_begun(task_id: UUID, answer: Answer) -> RefusedError:
    return RefusedError(
        f"QRS did not start task {task_id}: the task is disabled, its app is missing, or no scheduler node"
        " can run it. Look at the task in the QMC.",
        status=answer.status,
        text=answer.text,
    )
