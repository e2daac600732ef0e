"""SQLite's checkpoints, at moments when nothing is due.

SQLite copies its write-ahead log into the database file within whichever commit finds the log long, and that commit
takes several times as long (https://sqlite.org/wal.html#ckpt). Other databases do it in processes of their own.
"""

from __future__ import annotations

from django.db import connection

#: Pages of the log, 4 KiB each, at which a commit copies them after all; SQLite's own number is 1000
_MOST_PAGES = 20_000


def put_off_checkpoints() -> None:
    """Keep checkpoints out of this connection's commits; who calls has to see to them."""
    if connection.vendor == "sqlite":
        _execute(f"PRAGMA wal_autocheckpoint = {_MOST_PAGES}")


def checkpoint() -> None:
    """Copy what the log holds into the database file, as far as this keeps nobody waiting: milliseconds."""
    if connection.vendor == "sqlite":
        _execute("PRAGMA wal_checkpoint(PASSIVE)")


def _execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        cursor.fetchall()
