"""The database of a site under chaos, seen past the service: SQL in, rows out, and locks that get in the way."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

import psycopg


class Database(Protocol):
    """What the scenarios need of a database; parameters are written as question marks."""

    kind: str
    url: str

    def read(self, sql: str, *values: Any) -> tuple[list[str], list[Sequence[Any]]]:
        """Return the names of the columns and the rows."""

    def write(self, *statements: str) -> None:
        """Carry out statements in one transaction, past all of the service's checks."""

    def lock(self) -> Any:
        """Return a context in which no process can write."""

    def is_free(self) -> bool:
        """Return whether a process that is frozen now holds no lock that keeps all others from writing."""


class SqliteDatabase:
    """A file of SQLite."""

    kind = "sqlite"

    def __init__(self, file: Path) -> None:
        self.file = file
        self.url = f"sqlite:///{file}"

    def read(self, sql: str, *values: Any) -> tuple[list[str], list[Sequence[Any]]]:
        """Return the names of the columns and the rows."""
        with closing(sqlite3.connect(self.file, timeout=20)) as connection:
            cursor = connection.execute(sql, values)
            return [column[0] for column in cursor.description], cursor.fetchall()

    def write(self, *statements: str) -> None:
        """Carry out statements in one transaction; checks that the table has are turned off."""
        with closing(sqlite3.connect(self.file, timeout=20)) as connection, connection:
            connection.execute("PRAGMA ignore_check_constraints = ON")
            for sql in statements:
                connection.execute(sql)

    def is_free(self) -> bool:
        """Return whether nobody holds the lock for writing, or gives it back within a moment."""
        try:
            with closing(sqlite3.connect(self.file, timeout=0.5, isolation_level=None)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
        except sqlite3.OperationalError:
            return False
        return True

    @contextmanager
    def lock(self, *, mode: str = "IMMEDIATE") -> Iterator[None]:
        """Hold the lock for writing."""
        with closing(sqlite3.connect(self.file, timeout=20, isolation_level=None)) as connection:
            connection.execute(f"BEGIN {mode}")
            yield
            connection.execute("ROLLBACK")


class PostgresDatabase:
    """A database of a PostgreSQL server."""

    kind = "postgres"

    def __init__(self, url: str) -> None:
        self.url = url

    def read(self, sql: str, *values: Any) -> tuple[list[str], list[Sequence[Any]]]:
        """Return the names of the columns and the rows."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(sql.replace("%", "%%").replace("?", "%s"), values)
            return [column.name for column in cursor.description or ()], cursor.fetchall()

    def write(self, *statements: str) -> None:
        """Carry out statements in one transaction."""
        with psycopg.connect(self.url) as connection:
            for sql in statements:
                connection.execute(sql)

    def is_free(self) -> bool:
        """Return True: the server ends a transaction in which nothing happens."""
        return True

    def cut(self) -> None:
        """End every session with this database but the own, at whatever it is."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid != pg_backend_pid()"
            )

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Let no process change a run; reading them goes on."""
        with psycopg.connect(self.url) as connection:
            connection.execute("LOCK TABLE schedules_run IN EXCLUSIVE MODE")
            yield
            connection.rollback()
