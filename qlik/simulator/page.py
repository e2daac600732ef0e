"""A page for people on the second port: what QRS is doing, and buttons to play with it.

It is whole without JavaScript; with it, its parts refresh themselves.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import islice
from pathlib import Path
from uuid import UUID

from qlik.execution import ExecutionStatus
from qlik.simulator.buttons import AMOUNTS, FAULTS, OVERLOADED, RESET, RESTART, SLOW, TIMES
from qlik.simulator.documents import name_status
from qlik.simulator.faults import Fault, FaultPlan
from qlik.simulator.journal import Entry, Journal
from qlik.simulator.markup import Html, element, join
from qlik.simulator.outages import Mains
from qlik.simulator.tasks import Attempt, Session, Site, Task

TASKS_SHOWN = 100
RUNS_SHOWN = 20
ENTRIES_SHOWN = 20

STYLE, SCRIPT = (Html(Path(__file__).with_name(f"page.{kind}").read_text()) for kind in ("css", "js"))
# The colour of a state; others are busy.
COLOURS = {
    ExecutionStatus.FINISHED_SUCCESS: "good",
    ExecutionStatus.FINISHED_FAIL: "bad",
    ExecutionStatus.ABORTED: "bad",
    ExecutionStatus.RESET: "bad",
    ExecutionStatus.QUEUED: "warn",
    ExecutionStatus.RETRY: "warn",
    ExecutionStatus.ABORT_INITIATED: "warn",
    ExecutionStatus.ABORTING: "warn",
}
OUTCOME_COLOURS = {"started": "good", "stopped": "warn", "not started": "bad", "not done": "bad", "refused": "bad"}


class Page:
    """The simulator, seen by somebody with a browser."""

    def __init__(self, *, site: Site, faults: FaultPlan, journal: Journal, mains: Mains) -> None:
        self._site = site
        self._faults = faults
        self._journal = journal
        self._mains = mains

    def render(self) -> bytes:
        """Return the page."""
        # Only looked at under the lock, which starts wait for.
        with self._site.settled() as now:
            tasks = [*self._site.tasks.values()]
            shown = [(task, self._site.latest.get(task.id)) for task in islice(tasks, TASKS_SHOWN)]
            sessions = [*self._site.sessions.values()]
        running = {session.task.id for session in sessions}
        names = {task.id: task.name for task in tasks}
        entries, count = self._journal.read(since=max(self._journal.read()[1] - ENTRIES_SHOWN, 0))
        body = element(
            "main",
            _live("header", "state", self._render_state(now)),
            element(
                "div",
                element("section", _live("div", "service", self._render_service()), class_="service"),
                element("section", _render_fault_form(tasks), _live("div", "faults", self._render_faults(names))),
                class_="columns",
            ),
            _live("section", "tasks", _render_tasks(shown, running, len(tasks), now)),
            element(
                "div",
                _live("section", "runs", _render_runs(sessions, now, self._site.speed)),
                _live("section", "journal", _render_journal(reversed(entries), count, names)),
                class_="columns",
            ),
        )
        return _render_document(body)

    def _render_state(self, now: datetime) -> Html:
        faults = len(self._faults.current())
        words, colour = "answers", "good"
        if self._mains.is_down:
            seconds = self._mains.remaining_seconds
            words, colour = "is down" + ("" if seconds is None else f", {seconds:.0f} s left"), "bad"
        elif faults:
            words, colour = f"answers, with {_count(faults, 'fault', 'faults')} set", "warn"
        return join(
            element("h1", "Qlik Sense simulator"),
            element("span", f"QRS {words}", class_=f"pill {colour}", role="status"),
            element("span", f"{self._mains.address} · {now:%H:%M:%S} UTC", class_="address"),
        )

    def _render_service(self) -> Html:
        if self._mains.is_down:
            first = _button("Bring QRS up", {"do": "up"}, "strong")
        else:
            first = join(_button("Take QRS down", {"do": "down"}, "danger"), _button("Down for 30 s", _down(30)))
        return join(
            element("h2", "QRS"),
            element("div", first, class_="buttons"),
            element(
                "div",
                _button("Restart, runs end as Reset", RESTART),
                _button("Restart, runs are lost", RESET),
                class_="buttons",
            ),
            element(
                "div",
                _button("Make it slow", {"do": "fault", "fault": SLOW}),
                _button("Overload it (503)", {"do": "fault", "fault": OVERLOADED}),
                class_="buttons",
            ),
            element("p", "A restart takes 5 s. What runs goes on while QRS is merely down.", class_="note"),
        )

    def _render_faults(self, names: dict[UUID, str]) -> Html | None:
        faults = self._faults.current()
        if not faults:
            return None
        pills = [element("span", _describe_fault(fault, names), class_="pill warn") for fault in faults]
        return element("div", *pills, _button("Clear all", {"do": "clear"}, "strong"), class_="set")


def _render_fault_form(tasks: Iterable[Task]) -> Html:
    options = [(str(task.id), task.name) for task in islice(tasks, TASKS_SHOWN)]
    fields = (
        element("input", type="hidden", name="do", value="fault"),
        _choice("Let QRS", "fault", ((word, choice[0]) for word, choice in FAULTS.items())),
        _choice("for calls about", "task_id", [("", "anything"), *options]),
        _choice("how many", "amount", ((word, choice[0]) for word, choice in AMOUNTS.items())),
        _choice("how long", "time", ((word, choice[0]) for word, choice in TIMES.items())),
        element("button", "Set this fault", id="set-fault"),
    )
    form = element("form", *fields, method="post", action="/play", class_="choices")
    return join(element("h2", "Faults"), form)


def _render_tasks(shown: list[tuple[Task, Attempt | None]], running: set[UUID], count: int, now: datetime) -> Html:
    items = [_render_task(task, latest, task.id in running, now) for task, latest in shown]
    total = f"{len(shown)} of {count}" if count > len(shown) else str(count)
    return join(_title("Tasks", total), element("ul", *items) if items else _nothing("There are no tasks."))


def _render_task(task: Task, latest: Attempt | None, is_running: bool, now: datetime) -> Html:
    values = {"task_id": str(task.id)}
    name = element("div", element("b", task.name), element("small", _describe_plan(task)), class_="name")
    state = join(
        element("span", "Disabled", class_="pill") if not task.enabled else None,
        _pill(latest.status) if latest else element("span", "never run", class_="quiet"),
        element("span", _describe_since(latest, now), class_="quiet") if latest else None,
    )
    buttons = (
        _button("Start", {"do": "start", **values}, disabled=not task.enabled),
        _button("Stop", {"do": "stop", **values}, disabled=not is_running),
        _button("Disable", {"do": "disable", **values}) if task.enabled else None,
        None if task.enabled else _button("Enable", {"do": "enable", **values}),
    )
    return element(
        "li", name, element("div", state, class_="state"), element("div", *buttons, class_="buttons"), class_="task"
    )


def _render_runs(sessions: list[Session], now: datetime, speed: float) -> Html:
    queue = sorted((s for s in sessions if s.attempt.status is ExecutionStatus.QUEUED), key=_entered_at)
    others = sorted((s for s in sessions if s.attempt.status is not ExecutionStatus.QUEUED), key=_entered_at)
    items = [_render_run(session, 0, now, speed) for session in others[:RUNS_SHOWN]]
    places = enumerate(queue[: RUNS_SHOWN - len(items)], 1)
    items += [_render_run(session, place, now, speed) for place, session in places]
    total = f"{len(items)} of {len(sessions)}" if len(sessions) > len(items) else str(len(sessions))
    return join(_title("Under way", total), element("ul", *items) if items else _nothing("Nothing is running."))


def _render_run(session: Session, place: int, now: datetime, speed: float) -> Html:
    attempt, number = session.attempt, len(session.attempts)
    words = [_format_time(now - attempt.entered_at)]
    if place:
        words.append(f"no. {place} in the queue")
    if number > 1:
        words.append(f"attempt {number}")
    bar = None
    if attempt.status is ExecutionStatus.STARTED:
        seconds = (now - attempt.entered_at).total_seconds() * speed
        part = f"{min(seconds / (session.task.reload_seconds or 1), 1):.3f}"
        bar = element("progress", value=part, max="1", aria_label="progress")
    return element(
        "li",
        element(
            "div",
            element("span", element("b", session.task.name), class_="name"),
            _pill(attempt.status),
            element("span", ", ".join(words), class_="quiet"),
            bar,
            class_="run",
        ),
    )


def _render_journal(entries: Iterable[Entry], count: int, names: dict[UUID, str]) -> Html:
    items = [_render_entry(entry, names) for entry in entries]
    return join(
        _title("Asked of QRS", str(count)), element("ul", *items) if items else _nothing("Nobody has asked anything.")
    )


def _render_entry(entry: Entry, names: dict[UUID, str]) -> Html:
    at = datetime.fromtimestamp(entry.at_ns / 1e9, UTC)
    words = entry.call + (f" · {names.get(entry.task_id, entry.task_id)}" if entry.task_id else "")
    end, colour = str(entry.status), OUTCOME_COLOURS.get(entry.outcome, "")
    if entry.status is None:
        end, colour = "no answer", "warn"
    return element(
        "li",
        element("time", f"{at:%H:%M:%S}.{at.microsecond // 1000:03}", datetime=at.isoformat()),
        element("span", words, element("span", f" · {entry.fault}", class_="quiet") if entry.fault else None),
        element("span", f"{entry.outcome}, {end}", class_=f"pill {colour}"),
        class_="entry",
    )


def _render_document(body: Html) -> bytes:
    head = (
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", "Qlik Sense simulator"),
        element("noscript", element("meta", http_equiv="refresh", content="5")),
        element("link", rel="icon", href="data:,"),
        element("style", STYLE),
    )
    message = element("p", id="message", role="alert")
    page = element("html", element("head", *head), element("body", body, message, element("script", SCRIPT)), lang="en")
    return f"<!doctype html>{page}".encode()


def make_policy() -> str:
    """Return the Content-Security-Policy under which nothing but the page's own style and script work."""
    style, script = (f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for text in (STYLE, SCRIPT))
    return (
        f"default-src 'none'; style-src {style}; script-src {script}; connect-src 'self'; img-src data:;"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


def _live(name: str, identity: str, content: Html | None) -> Html:
    return element(name, content, id=identity, data_live=True)


def _title(text: str, total: str) -> Html:
    return element("h2", f"{text} ", element("small", total))


def _nothing(text: str) -> Html:
    return element("p", text, class_="note")


def _pill(status: ExecutionStatus) -> Html:
    return element("span", name_status(status), class_=f"pill {COLOURS.get(status, 'busy')}")


def _down(seconds: int) -> dict[str, str]:
    return {"do": "down", "seconds": str(seconds)}


def _button(text: str, values: dict[str, str], class_: str = "", *, disabled: bool = False) -> Html:
    hidden = [element("input", type="hidden", name=name, value=value) for name, value in values.items()]
    # By its id the focus is found again after a refresh.
    identity = "-".join(["button", *values.values()])
    button = element("button", text, id=identity, class_=class_ or False, disabled=disabled)
    return element("form", *hidden, button, method="post", action="/play")


def _choice(label: str, name: str, options: Iterable[tuple[str, str]]) -> Html:
    inner = [element("option", text, value=value) for value, text in options]
    return element("label", label, element("select", *inner, name=name, id=f"choice-{name}"))


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _entered_at(session: Session) -> datetime:
    return session.attempt.entered_at


def _describe_plan(task: Task) -> str:
    how = f"takes {task.reload_seconds:g} s"
    if task.fails:
        how += ", fails"
    elif task.fails_first:
        how += f", fails {_count(task.fails_first, 'time', 'times')} first"
    return how + (f", {_count(task.max_retries, 'retry', 'retries')}" if task.max_retries else "")


def _describe_since(attempt: Attempt, now: datetime) -> str:
    lasted = _format_time(now - attempt.entered_at)
    if attempt.stopped_at is None:
        return f"for {lasted}"
    return f"{lasted} ago, took {_format_time(attempt.stopped_at - attempt.started_at)}"


def _describe_fault(fault: Fault, names: dict[UUID, str]) -> str:
    status = f" {int(fault.status)}" if fault.kind == "refuse" else ""
    words = [f"{fault.kind}{status}" + (f" {fault.delay_ms / 1000:g} s" if fault.delay_ms else "")]
    if fault.task_id:
        words.append(names.get(fault.task_id, str(fault.task_id)))
    words += [", ".join(fault.calls)] if fault.calls else []
    words += [f"{fault.count} left"] if fault.count is not None else []
    words += [f"{fault.rate:.0%} of the calls"] if fault.rate < 1 else []
    words += [f"{fault.lasts_seconds:.0f} s left"] if fault.lasts_seconds is not None else []
    return " · ".join(words)


def _format_time(time: timedelta) -> str:
    seconds = max(time.total_seconds(), 0)
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6_000 else f"{seconds / 3_600:.0f} h"
