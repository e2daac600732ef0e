"""What is known in the end: the ledger's rows, the calls that the simulator was asked, and every run that it had."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import inf
from pathlib import Path
from typing import Any

from tests.chaos.databases import Database
from tests.chaos.day.plan import Day, Duty
from tests.chaos.ledger import to_epoch, to_id
from tests.chaos.site import Site

_MOMENTS = (
    "due_at",
    "planned_at",
    "claimed_at",
    "called_at",
    "answered_at",
    "closed_at",
    "reload_started_at",
    "ended_at",
)
_PLAIN = ("schedule_name", "state", "reason", "message", "attempts", "occurrences", "reload_status", "reload_attempts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of the ledger; moments are epoch seconds, ids are 32 letters and digits."""

    id: str
    schedule_name: str
    task_id: str
    state: str
    due_at: float
    reason: str = "scheduled"
    message: str = ""
    attempts: int = 1
    occurrences: int = 1
    planned_at: float = 0.0
    claimed_at: float | None = None
    called_at: float | None = None
    answered_at: float | None = None
    closed_at: float | None = None
    session: str | None = None
    reload_status: int | None = None
    reload_started_at: float | None = None
    ended_at: float | None = None
    #: Seconds
    reload_duration: float | None = None
    reload_attempts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call, or one task of it, in the simulator's journal; `at` is epoch seconds."""

    at: float
    name: str
    status: int | None
    outcome: str
    task_id: str | None = None
    session: str | None = None
    fault: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt of a reload, as the simulator remembers it: epoch seconds."""

    status: int
    started_at: float
    stopped_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reload:
    """One start that took effect, with its attempts; `over_at` is infinite while it is under way.

    `is_lost` says that a restart has forgotten it: all of it, or all but the attempts that are here.
    """

    session: str
    task_id: str
    begun_at: float
    over_at: float = inf
    attempts: tuple[Attempt, ...] = ()
    is_lost: bool = False
    is_by_hand: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that is known."""

    day: Day
    duties: Sequence[Duty]
    rows: Sequence[Row]
    calls: Sequence[Call]
    reloads: Mapping[str, Reload]
    #: When schedules were deleted, by their names
    deleted: Mapping[str, float] = field(default_factory=dict)
    events: Sequence[tuple[float, str]] = ()


def read_evidence(
    site: Site,
    *,
    day: Day,
    duties: Sequence[Duty],
    deleted: Mapping[str, float],
    events: Sequence[tuple[float, str]],
) -> Evidence:
    """Read everything at the end of a replay."""
    # The runs under way first: one that ends meanwhile is in the file
    under_way = site.control("/sessions", method="GET")
    rows = read_rows(site.database)
    calls = list(read_calls(site.journal_file))
    reloads = gather_reloads(calls, read_lines(site.reload_file), under_way)
    return Evidence(
        day=day, duties=duties, rows=rows, calls=calls, reloads=reloads, deleted=deleted, events=list(events)
    )


def read_rows(database: Database) -> list[Row]:
    """Return the ledger, the longest due first."""
    columns, rows = database.read("SELECT * FROM schedules_run ORDER BY due_at")
    return [_make_row(dict(zip(columns, row, strict=True))) for row in rows]


def read_calls(file: Path) -> Iterator[Call]:
    """Yield the entries of a journal."""
    for entry in read_lines(file):
        yield Call(
            at=entry["at_ns"] / 1e9,
            name=entry["call"],
            status=entry["status"],
            outcome=entry["outcome"],
            task_id=to_id(entry["task_id"]),
            session=to_id(entry["session_id"]),
            fault=entry["fault"],
        )


def read_lines(file: Path) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects of a file; a line half written is left out."""
    for line in file.read_text().split("\n")[:-1] if file.exists() else []:
        yield json.loads(line)


def gather_reloads(
    calls: Sequence[Call], over: Iterator[Mapping[str, Any]], under_way: Sequence[Mapping[str, Any]]
) -> dict[str, Reload]:
    """Return all runs that the simulator ever had, by their sessions."""
    begun = {call.session: call for call in calls if call.outcome == "started" and call.session}
    reloads = {session: _make_reload(call) for session, call in begun.items()}
    for line in over:
        reload = _read_reload(line, begun)
        reloads[reload.session] = reload
    for line in under_way:
        session = to_id(line["id"])
        reloads.setdefault(
            session,
            Reload(
                session=session,
                task_id=to_id(line["task_id"]),
                begun_at=_to_moment(line["since"]),
                is_by_hand=session not in begun,
            ),
        )
    return reloads


def _make_reload(call: Call) -> Reload:
    return Reload(session=call.session or "", task_id=call.task_id or "", begun_at=call.at)


def _read_reload(line: Mapping[str, Any], begun: Mapping[str, Call]) -> Reload:
    attempts = tuple(
        Attempt(
            status=attempt["status"],
            started_at=_to_moment(attempt["started_at"]),
            stopped_at=_to_moment(attempt["stopped_at"]),
        )
        for attempt in line["attempts"]
    )
    session, over_at = to_id(line["session_id"]), _to_moment(line["over_at"])
    call = begun.get(session)
    return Reload(
        session=session,
        task_id=to_id(line["task_id"]),
        begun_at=call.at if call else attempts[0].started_at if attempts else over_at,
        over_at=over_at,
        attempts=attempts,
        is_lost=line["is_lost"],
        is_by_hand=call is None,
    )


def _make_row(values: Mapping[str, Any]) -> Row:
    duration = values["reload_duration"]
    return Row(
        id=to_id(values["id"]),
        task_id=to_id(values["qlik_task_id"]),
        session=to_id(values["qrs_session"]),
        # SQLite has microseconds
        reload_duration=duration.total_seconds() if isinstance(duration, timedelta) else duration and duration / 1e6,
        **{name: to_epoch(values[name]) for name in _MOMENTS},
        **{name: values[name] for name in _PLAIN},
    )


def _to_moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
