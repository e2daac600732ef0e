"""Keeps SQLite's files as they were at each sync that the process asks for: what a loss of power would leave.

Python imports this module by itself at its start when this folder is on PYTHONPATH. What the kernel writes by itself,
and SQLite at its checkpoints, is not kept: a disk may be as far behind as this.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from uuid import uuid4

_sync = os.fsync


def keep_and_sync(descriptor: int) -> None:
    """Copy the files of a database before its log is synced, and name the copy the last one when that is done."""
    log = Path(f"/proc/self/fd/{descriptor}").readlink()
    if not log.name.endswith("-wal"):
        return _sync(descriptor)
    database, folder = Path(str(log).removesuffix("-wal")), log.parent / "synced"
    copy = folder / uuid4().hex
    copy.mkdir(parents=True)
    with (folder / "lock").open("w") as lock, closing(sqlite3.connect(database, isolation_level=None)) as reader:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # While somebody reads, the log is not begun anew. Another process has to copy: SQLite's locks on a file are
        # lost when the process that has them closes the file anywhere
        reader.execute("BEGIN")
        reader.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
        subprocess.run(["cp", database, log, copy], check=True)
        reader.execute("ROLLBACK")
        _sync(descriptor)
        (copy / "name").write_text(copy.name)
        (copy / "name").replace(folder / "last")
    return None


if os.environ.get("CHAOS_SYNCED"):
    os.fsync = keep_and_sync
