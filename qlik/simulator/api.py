"""The calls of QRS that the simulator answers.

The order of checks is QRS's own: certificate (the TLS handshake), xrfkey, user, route, rights.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import unquote
from uuid import UUID

from qlik.simulator.documents import ABOUT, ENUMS, Document, describe_result, describe_session, describe_task
from qlik.simulator.faults import Fault, FaultKind, FaultPlan
from qlik.simulator.filters import EVERYTHING, Filter, FilterError, parse_filter, sort_documents
from qlik.simulator.journal import Entry, Journal
from qlik.simulator.listener import Ending, Reply, Request
from qlik.simulator.tasks import Attempt, Session, Site, Task, UnknownTaskError

Item = TypeVar("Item")

NO_SESSION = UUID(int=0)
XRFKEY = re.compile(r"[A-Za-z0-9]{16}")
XSRF_MESSAGE = "XSRF prevention check failed. Possible XSRF discovered."
USER = re.compile(r"UserDirectory=([^;=]+); *UserId=([^;=]+)", re.IGNORECASE)
# Open to everyone; all others take a service account of Sense.
OPEN_CALLS = {"about", "enums"}
SERVICE_ACCOUNTS = {r"internal\sa_repository", r"internal\sa_scheduler", r"internal\sa_api"}

GUID = r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"


class RefusalError(Exception):
    """The call is turned down with a status and a text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """Where releases of Sense differ. No client may depend on it."""

    unknown_task_status: int = HTTPStatus.NOT_FOUND
    synchronous_status: int = HTTPStatus.CREATED


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call came to."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    word: str = "answered"
    # Of a start, one for each task; None where the task did not begin.
    sessions: Sequence[UUID | None] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """A request that is understood."""

    name: str
    task_ids: Sequence[UUID] = ()
    query: Mapping[str, str] = field(default_factory=dict)
    session_id: UUID | None = None
    # Whether the tasks that it starts begin, and how much later.
    begins: bool = True
    begins_after: timedelta = timedelta(0)


class Api:
    """QRS, seen from outside."""

    def __init__(
        self,
        *,
        site: Site,
        faults: FaultPlan,
        journal: Journal,
        behaviour: Behaviour,
        users: Iterable[str] = (),
    ) -> None:
        r"""`users`, written directory\id, may do what the service accounts may."""
        self._site = site
        self._faults = faults
        self._journal = journal
        self._behaviour = behaviour
        self._users = SERVICE_ACCOUNTS | {user.lower() for user in users}

    def answer(self, request: Request) -> Reply:
        """Do what is asked, or what the faults make of it, and write it down."""
        at_ns = time.time_ns()
        call, fault = Call("unknown"), None
        try:
            user = check_access(request)
            call = read_call(request)
            self._check_rights(user, call)
            fault = self._faults.take(call.task_ids, call=call.name)
            outcome = self._carry_out(call, fault)
        except RefusalError as refusal:
            outcome = Outcome(refusal.status, str(refusal).encode(), "text/plain", "refused")
        date = ("Date", _write_date(at_ns // 1_000_000_000))
        reply = Reply(outcome.status, outcome.body, outcome.content_type, headers=(date,))
        if fault:
            reply = fault.spoil(reply)
        self._write_down(at_ns, call, outcome, fault, reply)
        return reply

    def _carry_out(self, call: Call, fault: Fault | None) -> Outcome:
        if fault and not fault.is_effective:
            return Outcome(HTTPStatus.NO_CONTENT, word="not done")
        try:
            if fault:
                call = self._play_tricks(call, fault)
            return HANDLERS[call.name](self, call)
        except UnknownTaskError as error:
            raise RefusalError(self._behaviour.unknown_task_status, "The task does not exist.") from error

    def _check_rights(self, user: str, call: Call) -> None:
        if user not in self._users and call.name not in OPEN_CALLS:
            raise RefusalError(HTTPStatus.FORBIDDEN, "Forbidden: the user lacks the rights for this call.")

    def _play_tricks(self, call: Call, fault: Fault) -> Call:
        task_ids = [fault.task_id] if fault.task_id else call.task_ids
        match fault.kind:
            case FaultKind.ZERO:
                return replace(call, begins=False)
            case FaultKind.LATE:
                return replace(call, begins_after=timedelta(milliseconds=fault.delay_ms))
            case FaultKind.DELETE:
                self._site.remove_tasks(task_ids)
            case FaultKind.DISABLE:
                for task_id in task_ids:
                    self._site.change_task(task_id, enabled=False)
        return call

    def _write_down(self, at_ns: int, call: Call, outcome: Outcome, fault: Fault | None, reply: Reply) -> None:
        status = None if reply.ending is Ending.RESET else int(reply.status)
        sessions = outcome.sessions or [None] * len(call.task_ids)
        entry = Entry(at_ns, call.name, status, outcome.word, fault=fault.kind if fault else None)
        if not call.task_ids:
            self._journal.add(entry)
        for task_id, session_id in zip(call.task_ids, sessions, strict=True):
            word = _name_start(session_id) if outcome.sessions else outcome.word
            self._journal.add(replace(entry, task_id=task_id, session_id=session_id, outcome=word))

    def about(self, call: Call) -> Outcome:
        """Answer `GET /qrs/about`."""
        return _answer_json(ABOUT)

    def list_enums(self, call: Call) -> Outcome:
        """Answer `GET /qrs/about/api/enums`."""
        return _answer_json(ENUMS)

    def start(self, call: Call) -> Outcome:
        """Answer `POST /qrs/task/{id}/start` and `POST /qrs/task/start/many`."""
        return Outcome(HTTPStatus.NO_CONTENT, sessions=self._start(call))

    def start_synchronously(self, call: Call) -> Outcome:
        """Answer `POST /qrs/task/{id}/start/synchronous`."""
        sessions = self._start(call)
        body = json.dumps({"value": str(sessions[0] or NO_SESSION)}).encode()
        return Outcome(self._behaviour.synchronous_status, body, sessions=sessions)

    def _start(self, call: Call) -> list[UUID | None]:
        return self._site.start(call.task_ids, begins=call.begins, after=call.begins_after)

    def stop(self, call: Call) -> Outcome:
        """Answer `POST /qrs/task/{id}/stop`."""
        for task_id in call.task_ids:
            self._site.stop(task_id)
        return Outcome(HTTPStatus.NO_CONTENT, word="stopped")

    def list_tasks(self, call: Call) -> Outcome:
        """Answer `GET /qrs/task/full` and `GET /qrs/reloadtask/full`."""
        wanted = read_filter(call.query)
        with self._site.settled():
            tasks = [(task, self._site.latest.get(task.id)) for task in narrow(self._site.tasks.values(), wanted, TASK)]
        return _answer_list((describe_task(*task) for task in tasks), wanted, call.query)

    def list_sessions(self, call: Call) -> Outcome:
        """Answer `GET /qrs/executionsession/full`."""
        wanted = read_filter(call.query)
        with self._site.settled():
            sessions = narrow(self._site.sessions.values(), wanted, SESSION)
        # Outside the lock: there may be thousands, and starts would wait.
        return _answer_list(map(describe_session, sessions), wanted, call.query)

    def list_results(self, call: Call) -> Outcome:
        """Answer `GET /qrs/executionresult/full`."""
        wanted = read_filter(call.query)
        attempts = narrow(self._site.list_attempts(), wanted, ATTEMPT)
        return _answer_list(map(describe_result, attempts), wanted, call.query)

    def show_session(self, call: Call) -> Outcome:
        """Answer `GET /qrs/executionsession/{id}`."""
        with self._site.settled():
            session = self._site.sessions.get(call.session_id or NO_SESSION)
            if not session:
                raise RefusalError(HTTPStatus.NOT_FOUND, "The execution session does not exist.")
            return _answer_json(describe_session(session))


HANDLERS: dict[str, Callable[[Api, Call], Outcome]] = {
    "about": Api.about,
    "enums": Api.list_enums,
    "start": Api.start,
    "start synchronous": Api.start_synchronously,
    "start many": Api.start,
    "stop": Api.stop,
    "tasks": Api.list_tasks,
    "results": Api.list_results,
    "session": Api.show_session,
    "sessions": Api.list_sessions,
}
ROUTES = [
    (method, re.compile(pattern, re.IGNORECASE), name)
    for method, pattern, name in (
        ("POST", rf"/qrs/task/(?P<task>{GUID})/start/synchronous", "start synchronous"),
        ("POST", rf"/qrs/task/(?P<task>{GUID})/start", "start"),
        ("POST", r"/qrs/task/start/many", "start many"),
        ("POST", rf"/qrs/task/(?P<task>{GUID})/stop", "stop"),
        ("GET", r"/qrs/(?:reload)?task/full", "tasks"),
        ("GET", r"/qrs/executionsession/full", "sessions"),
        ("GET", rf"/qrs/executionsession/(?P<session>{GUID})", "session"),
        ("GET", r"/qrs/executionresult/full", "results"),
        ("GET", r"/qrs/about/api/enums", "enums"),
        ("GET", r"/qrs/about", "about"),
    )
]


def check_access(request: Request) -> str:
    """Return who calls, as directory and id in lower case. Raises RefusalError."""
    key = request.query.get("xrfkey", "")
    if not XRFKEY.fullmatch(key) or request.headers.get("x-qlik-xrfkey") != key:
        raise RefusalError(HTTPStatus.FORBIDDEN, XSRF_MESSAGE)
    header = request.headers.get("x-qlik-user", "")
    user = USER.fullmatch(header)
    if not user or not header.isascii():
        raise RefusalError(HTTPStatus.UNAUTHORIZED, "The header X-Qlik-User names no user.")
    return rf"{unquote(user[1])}\{unquote(user[2])}".lower()


def read_call(request: Request) -> Call:
    """Return what is asked for. Raises RefusalError."""
    for method, pattern, name in ROUTES:
        match = pattern.fullmatch(request.path)
        if match and method == request.method:
            ids = {group: UUID(guid) for group, guid in match.groupdict().items()}
            task_ids = [ids["task"]] if "task" in ids else []
            if name == "start many":
                task_ids = _read_guids(request.body)
            return Call(name, task_ids, request.query, ids.get("session"))
    raise RefusalError(HTTPStatus.NOT_FOUND, "Not found.")


# What a filter can ask for without a look at the whole document, by name in lower case
TASK: Mapping[str, Callable[[Task], UUID]] = {"id": lambda task: task.id}
SESSION: Mapping[str, Callable[[Session], UUID]] = {
    "id": lambda session: session.id,
    "reloadtask.id": lambda session: session.task.id,
}
ATTEMPT: Mapping[str, Callable[[Attempt], UUID]] = {
    "id": lambda attempt: attempt.id,
    "executionid": lambda attempt: attempt.session_id,
    "taskid": lambda attempt: attempt.task.id,
}


def read_filter(query: Mapping[str, str]) -> Filter:
    """Return the filter of a call. Raises RefusalError."""
    try:
        return parse_filter(query["filter"]) if "filter" in query else EVERYTHING
    except FilterError as error:
        raise _refuse_filter(error) from error


def narrow(items: Iterable[Item], wanted: Filter, keys: Mapping[str, Callable[[Item], UUID]]) -> list[Item]:
    """Return the items that can pass: to describe thousands only to drop them would take longest."""
    for name, read_key in keys.items():
        if name in wanted.pinned:
            ids = {UUID(text) for text in wanted.pinned[name] if re.fullmatch(GUID, text)}
            items = [item for item in items if read_key(item) in ids]
    return [*items]


def _answer_list(documents: Iterable[Document], wanted: Filter, query: Mapping[str, str]) -> Outcome:
    try:
        found: Iterable[Document] = filter(wanted, documents)
        return _answer_json(sort_documents(found, query["orderby"]) if "orderby" in query else [*found])
    except FilterError as error:
        raise _refuse_filter(error) from error


def _refuse_filter(error: FilterError) -> RefusalError:
    return RefusalError(HTTPStatus.BAD_REQUEST, f"The filter is not valid. {error}")


def _read_guids(body: bytes) -> list[UUID]:
    try:
        return [UUID(text) for text in json.loads(body)]
    except (ValueError, TypeError, AttributeError) as error:
        raise RefusalError(HTTPStatus.BAD_REQUEST, "The body must be a JSON array of guids.") from error


def _answer_json(document: object) -> Outcome:
    return Outcome(HTTPStatus.OK, json.dumps(document, ensure_ascii=False).encode())


@lru_cache(maxsize=2)
def _write_date(second: int) -> str:
    return formatdate(second, usegmt=True)


def _name_start(session_id: UUID | None) -> str:
    return "started" if session_id else "not started"
