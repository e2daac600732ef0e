"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import sqlite3
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import redis

#: Mean number of processes that run or want to, before the measures begin
BUSY = 0.5


def describe_machine(client: redis.Redis) -> dict[str, str]:
    """Return the machine, the versions and the day, by name, as they are to be shown."""
    server = client.info("server")
    valkey = server.get("valkey_version")
    return {
        "processor": _read_value("/proc/cpuinfo", "model name"),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{int(_read_value('/proc/meminfo', 'MemTotal').split()[0]) / 1024**2:.0f} GB",
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "Python": platform.python_version(),
        "Redis": f"Valkey {valkey}" if valkey else str(server["redis_version"]),
        "database": f"SQLite {sqlite3.sqlite_version}, write-ahead log",
        **{name: _read_version(name) for name in ("celery", "django-celery-beat", "celery-redbeat")},
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
    }


def warn_when_busy() -> None:
    """Say so when other work keeps the machine busy."""
    load, _, _ = os.getloadavg()
    if load > BUSY:
        print(f"The machine is busy (load {load:.1f}): the figures will be worse than they could be.", flush=True)


def _read_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _read_value(path: str, name: str) -> str:
    for line in Path(path).read_text().splitlines():
        if line.startswith(name):
            return line.partition(":")[2].strip()
    return "unknown"
