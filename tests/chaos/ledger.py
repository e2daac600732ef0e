"""The ledger as its table shows it, read past the service: rows of schedules_run, and the lease."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tests.chaos.databases import Database

OPEN = frozenset({"planned", "queued", "claimed", "retrying", "waiting", "unsure"})
WAITING = frozenset({"planned", "queued"})
FINAL = frozenset({"started", "skipped", "refused", "unreachable", "unknown", "succeeded", "failed", "aborted"})
#: The states of a run whose start QRS has accepted
STARTED = frozenset({"started", "succeeded", "failed", "aborted"})

_MOMENTS = ("due_at", "planned_at", "queued_at", "claimed_at", "called_at", "answered_at")
_TEXTS = ("schedule_name", "reason", "state", "message", "worker")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One run; moments are epoch seconds, ids are 32 letters and digits."""

    id: str
    schedule_name: str
    task_id: str
    reason: str
    state: str
    due_at: float
    planned_at: float
    queued_at: float | None = None
    claimed_at: float | None = None
    called_at: float | None = None
    answered_at: float | None = None
    session: str | None = None
    message: str = ""
    worker: str = ""
    #: How many occurrences the row stands for; `due_at` is the first of them
    occurrences: int = 1


def read_ledger(database: Database, *, schedule_name: str = "%") -> list[Row]:
    """Return the runs, the longest due first: of one schedule, or of all."""
    columns, rows = database.read(
        "SELECT * FROM schedules_run WHERE schedule_name LIKE ? ORDER BY due_at", schedule_name
    )
    return [_to_row(dict(zip(columns, row, strict=True))) for row in rows]


def count_open(database: Database, *, due_until: float | None = None, states: frozenset[str] = OPEN) -> int:
    """Return how many runs are in one of the states, of those due up to an instant or of all."""
    names = ", ".join(f"'{state}'" for state in sorted(states))
    return _count(database, f"state IN ({names}) AND", due_until)


def count_rows(database: Database, *, due_until: float) -> int:
    """Return how many runs are due up to an instant."""
    return _count(database, "", due_until)


def newest_due(database: Database) -> float:
    """Return the latest due instant in the ledger; 0 for an empty one."""
    found = database.read("SELECT MAX(due_at) FROM schedules_run")[1][0][0]
    return to_epoch(found) or 0.0


def read_lease(database: Database) -> Mapping[str, Any]:
    """Return the lease's row; empty before the first beat."""
    columns, rows = database.read("SELECT * FROM schedules_lease")
    return dict(zip(columns, rows[0], strict=True)) if rows else {}


def leader_pid(database: Database) -> int | None:
    """Return the number of the process that holds the lease; None when nobody does."""
    number = str(read_lease(database).get("holder") or "").rpartition("/")[2]
    return int(number) if number.isdigit() else None


def to_epoch(value: Any) -> float | None:
    """Return epoch seconds of what a database gives for a moment; None stays None."""
    if value is None:
        return None
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def to_id(value: Any) -> str | None:
    """Return an id as 32 letters and digits, whatever a database or the journal gives."""
    return None if value is None else str(value).replace("-", "").lower()


def _count(database: Database, condition: str, due_until: float | None) -> int:
    limit = datetime.fromtimestamp(due_until or 99_999_999_999, UTC)
    # SQLite compares moments as texts
    moment: Any = limit if database.kind == "postgres" else limit.strftime("%Y-%m-%d %H:%M:%S.999999")
    sql = f"SELECT COUNT(*) FROM schedules_run WHERE {condition} due_at <= ?"  # noqa: S608
    return int(database.read(sql, moment)[1][0][0])


def _to_row(values: Mapping[str, Any]) -> Row:
    return Row(
        id=to_id(values["id"]),
        task_id=to_id(values["qlik_task_id"]),
        session=to_id(values["qrs_session"]),
        # Only some versions of the table let a row stand for many
        occurrences=values.get("occurrences") or 1,
        **{name: to_epoch(values[name]) for name in _MOMENTS},
        **{name: values[name] for name in _TEXTS},
    )
