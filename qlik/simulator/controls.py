"""The second port: what was asked, which tasks there are, what is to go wrong. Plain HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from http import HTTPStatus
from urllib.parse import parse_qsl
from uuid import UUID

from qlik.simulator.buttons import Buttons
from qlik.simulator.faults import Fault, FaultPlan
from qlik.simulator.filters import format_instant
from qlik.simulator.journal import Journal
from qlik.simulator.listener import ListenError, Reply, Request
from qlik.simulator.outages import Mains, Outage
from qlik.simulator.page import Page, make_policy
from qlik.simulator.proxy import Proxy
from qlik.simulator.tasks import Site, UnknownTaskError
from qlik.simulator.values import ControlError, read_amount, read_changes, read_id, read_tasks, read_values


class Controls:
    """The simulator, seen by the person or test that plays with it."""

    def __init__(
        self,
        *,
        site: Site,
        faults: FaultPlan,
        journal: Journal,
        mains: Mains,
        proxy: Proxy | None,
        count_connections: Callable[[], int],
    ) -> None:
        self._site = site
        self._faults = faults
        self._journal = journal
        self._mains = mains
        self._proxy = proxy
        self._page = Page(site=site, faults=faults, journal=journal, mains=mains)
        self._buttons = Buttons(site=site, faults=faults, mains=mains)
        self._count_connections = count_connections

    def answer(self, request: Request) -> Reply:
        """Do what is asked."""
        handler = HANDLERS.get((request.method, request.path))
        if not handler:
            known = ", ".join(f"{method} {path}" for method, path in HANDLERS)
            return _reply_json({"error": f"There are: {known}."}, HTTPStatus.NOT_FOUND)
        if not _is_from_here(request):
            return _reply_json({"error": "Another site's page must not play with this one."}, HTTPStatus.FORBIDDEN)
        try:
            answer = handler(self, request)
            return answer if isinstance(answer, Reply) else _reply_json(answer)
        except ControlError as error:
            return _reply_json({"error": str(error)}, HTTPStatus.BAD_REQUEST)

    def show_page(self, _: Request) -> object:
        """Return the page for people."""
        headers = (("Cache-Control", "no-store"), ("Content-Security-Policy", make_policy()))
        return Reply(HTTPStatus.OK, self._page.render(), "text/html; charset=utf-8", headers=headers)

    def press_button(self, request: Request) -> object:
        """Do what a button of the page says, and show the page."""
        self._buttons.press(dict(parse_qsl(request.body.decode(errors="replace"))))
        return Reply(HTTPStatus.SEE_OTHER, headers=(("Location", "/"),))

    def health(self, _: Request) -> object:
        """Return what is going on; connections and sessions of the proxy are all that there ever were."""
        with self._site.settled():
            sessions, tasks = len(self._site.sessions), len(self._site.tasks)
        return {
            "status": "ok",
            "connections": self._count_connections(),
            "tasks": tasks,
            "sessions": sessions,
            "journal": self._journal.read()[1],
            "proxy_sessions": self._proxy.sessions_begun if self._proxy else 0,
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
        self._site.put_tasks(read_tasks(request.body), keep_others=True)
        return self.list_tasks(request)

    def replace_tasks(self, request: Request) -> object:
        """Replace all tasks."""
        self._site.put_tasks(read_tasks(request.body), keep_others=False)
        return self.list_tasks(request)

    def change_tasks(self, request: Request) -> object:
        """Change some values of tasks; what runs goes on as it began."""
        for task_id, values in read_changes(request.body):
            with _naming_unknown_tasks(task_id):
                self._site.change_task(task_id, **values)
        return self.list_tasks(request)

    def remove_task(self, request: Request) -> object:
        """Delete the task `id`: its runs are aborted at once, its results stay."""
        task_id = read_id(request.query.get("id", ""))
        with _naming_unknown_tasks(task_id):
            self._site.remove_tasks([task_id])
        return self.list_tasks(request)

    def list_sessions(self, _: Request) -> object:
        """Return the runs that are not over."""
        with self._site.settled():
            return [
                {
                    "id": session.id,
                    "task_id": session.task.id,
                    "status": session.attempt.status.name,
                    "since": format_instant(session.attempt.entered_at),
                    "attempt": len(session.attempts),
                }
                for session in self._site.sessions.values()
            ]

    def start_task(self, request: Request) -> object:
        """Start the task `task_id`, as somebody in the QMC does: it is no call of QRS and not in the journal."""
        task_id = read_id(request.query.get("task_id", ""))
        with _naming_unknown_tasks(task_id):
            self._site.start([task_id])
        return self.list_sessions(request)

    def stop_task(self, request: Request) -> object:
        """Stop the task `task_id`, likewise."""
        task_id = read_id(request.query.get("task_id", ""))
        with _naming_unknown_tasks(task_id):
            self._site.stop(task_id)
        return self.list_sessions(request)

    def list_faults(self, _: Request) -> object:
        """Return the faults that are set."""
        return [asdict(fault) for fault in self._faults.current()]

    def add_faults(self, request: Request) -> object:
        """Set faults."""
        for fault in read_values(Fault, request.body):
            self._faults.add(fault)
        return self.list_faults(request)

    def clear_faults(self, request: Request) -> object:
        """Let everything go right again."""
        self._faults.clear()
        return self.list_faults(request)

    def show_outage(self, _: Request) -> object:
        """Return whether QRS is down, and for how long."""
        return {"is_down": self._mains.is_down, "remaining_seconds": self._mains.remaining_seconds}

    def begin_outage(self, request: Request) -> object:
        """Let QRS be down."""
        outages = read_values(Outage, request.body or b"{}")
        if len(outages) != 1:
            raise ControlError("There is one outage at a time.")
        self._mains.begin(outages[0])
        return self.show_outage(request)

    def end_outage(self, request: Request) -> object:
        """Let QRS answer again."""
        try:
            self._mains.end()
        except ListenError as error:
            raise ControlError(str(error)) from error
        return self.show_outage(request)

    def make_token(self, request: Request) -> object:
        """Return a token for `user`, good for `seconds`."""
        if not self._proxy:
            raise ControlError("There is no virtual proxy: start the simulator with --proxy-port.")
        directory, _, user_id = request.query.get("user", r"Internal\sa_repository").partition("\\")
        seconds = read_amount(request.query.get("seconds", "86400"))
        return {"token": self._proxy.make_token(directory=directory, user_id=user_id, lasts_seconds=seconds)}


HANDLERS: dict[tuple[str, str], Callable[[Controls, Request], object]] = {
    ("GET", "/"): Controls.show_page,
    ("POST", "/play"): Controls.press_button,
    ("GET", "/health"): Controls.health,
    ("GET", "/journal"): Controls.read_journal,
    ("DELETE", "/journal"): Controls.clear_journal,
    ("GET", "/tasks"): Controls.list_tasks,
    ("POST", "/tasks"): Controls.add_tasks,
    ("PUT", "/tasks"): Controls.replace_tasks,
    ("PATCH", "/tasks"): Controls.change_tasks,
    ("DELETE", "/tasks"): Controls.remove_task,
    ("GET", "/sessions"): Controls.list_sessions,
    ("POST", "/start"): Controls.start_task,
    ("POST", "/stop"): Controls.stop_task,
    ("GET", "/faults"): Controls.list_faults,
    ("POST", "/faults"): Controls.add_faults,
    ("DELETE", "/faults"): Controls.clear_faults,
    ("GET", "/outage"): Controls.show_outage,
    ("POST", "/outage"): Controls.begin_outage,
    ("DELETE", "/outage"): Controls.end_outage,
    ("GET", "/token"): Controls.make_token,
}


@contextmanager
def _naming_unknown_tasks(task_id: UUID) -> Iterator[None]:
    try:
        yield
    except UnknownTaskError as error:
        raise ControlError(f"There is no task {task_id}.") from error


def _is_from_here(request: Request) -> bool:
    # A browser names the page that a call comes from; other clients name none.
    origin = request.headers.get("origin")
    return origin is None or origin == f"http://{request.headers.get('host')}"


def _reply_json(document: object, status: int = HTTPStatus.OK) -> Reply:
    return Reply(status, json.dumps(document, default=str, ensure_ascii=False).encode())
