"""When commits of SQLite come to the disk: checkpoints when nothing is due, and at once what must not be lost.

SQLite copies its write-ahead log into the database file within whichever commit finds the log long, and that commit
takes several times as long (https://sqlite.org/wal.html#ckpt). Other databases do it in processes of their own.

A commit is safe from the end of a process at once, from a loss of power only when the log is written to the disk
(https://sqlite.org/pragma.html#pragma_synchronous). With FULL each commit would wait for that, and all others for its
lock. So it is asked for where a commit decides about a start: then, without a lock, and for all commits before it.
"""

from __future__ import annotations

import os
from pathlib import Path

from django.db import OperationalError, connection

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


def sync_log() -> None:
    """Return when everything that was committed up to now outlives a loss of power.

    Raises OperationalError where the disk does not take it: the database is away then, though it did commit.
    """
    if connection.vendor != "sqlite":
        return
    # Never the database file: to close it would end the locks that this process has on it. The log has none
    log = Path(f"{connection.settings_dict['NAME']}-wal")
    try:
        _sync(log)
    except FileNotFoundError:
        # A database in memory, or a log that was copied into its file whole
        return
    except OSError as error:
        raise OperationalError(f"{log} cannot be written to the disk: {error.strerror}") from error


def _sync(file: Path) -> None:
    descriptor = os.open(file, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        cursor.fetchall()
