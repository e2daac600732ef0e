"""The service's database seen from outside: its SQLite file, read and prepared with plain SQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.benchmarks.reader import read_run_ids

EVERY_SECOND = "* * * * * *"


class ServiceDatabase:
    """One SQLite file with the service's tables."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def copy(cls, template: Path, path: Path) -> ServiceDatabase:
        """Return a copy of a prepared file."""
        with closing(sqlite3.connect(template)) as source, closing(sqlite3.connect(path)) as target:
            source.backup(target)
        return cls(path)

    def set_cron(self, text: str, *, first: int | None = None) -> None:
        """Give all schedules, or the first ones, this expression in UTC."""
        self._write(
            "UPDATE schedules_schedule SET cron_schedule = ?, timezone = 'UTC' WHERE periodictask_ptr_id IN "
            "(SELECT periodictask_ptr_id FROM schedules_schedule ORDER BY periodictask_ptr_id LIMIT ?)",
            (text, -1 if first is None else first),
        )

    def list_names(self, *, after: int) -> list[str]:
        """Return the public ids of all schedules but the first `after` ones."""
        rows = self.read("SELECT name FROM django_celery_beat_periodictask WHERE task <> '' ORDER BY id")
        return [name for (name,) in rows if name.startswith("bench-")][after:]

    def read_due(self) -> dict[str, float]:
        """Return when each run of the ledger was due, in seconds since 1970, by its id in hexadecimal digits."""
        return {run_id: _to_epoch(due) for run_id, due in self.read("SELECT id, due_at FROM schedules_run")}

    def read_sessions(self) -> dict[str, float]:
        """Return when each started run was due, in seconds since 1970, by its session in hexadecimal digits."""
        rows = self.read("SELECT qrs_session, due_at FROM schedules_run WHERE qrs_session IS NOT NULL")
        return {session: _to_epoch(due) for session, due in rows}

    def last_change(self) -> int:
        """Return the number of the newest change of a schedule; 0 without one."""
        return int(self.read("SELECT COALESCE(MAX(id), 0) FROM schedules_schedulechange")[0][0])

    @contextmanager
    def check_rows(self) -> Iterator[Callable[[bytes], bool]]:
        """Give a function that tells whether the ledger has the last run of a message; for one thread."""
        with closing(sqlite3.connect(self.path, timeout=20, isolation_level=None)) as connection:

            def has_row(message: bytes) -> bool:
                run_ids = read_run_ids(message)[-1:]
                found = connection.execute("SELECT 1 FROM schedules_run WHERE id = ?", run_ids) if run_ids else None
                return found is None or found.fetchone() is not None

            yield has_row

    def read(self, query: str) -> list[Any]:
        """Return the rows of a query."""
        with closing(sqlite3.connect(self.path, timeout=20)) as connection:
            return connection.execute(query).fetchall()

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        with closing(sqlite3.connect(self.path, timeout=20)) as connection, connection:
            connection.execute(statement, values)


def _to_epoch(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
