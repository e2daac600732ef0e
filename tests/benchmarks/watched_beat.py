"""`celery ... beat` that counts its database queries and notes when it takes changes.

    python -m tests.benchmarks.watched_beat -A butler beat

On SIGUSR1 it writes what it has seen to BENCH_WATCH_FILE. BENCH_WATCH_CHANGES, ours or stock, says whose looks at
changes it is to note; without it, none.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from celery.__main__ import main
from celery.signals import beat_init
from django.db.backends.signals import connection_created

queries = 0
#: Begin and end of each look at changes (nanoseconds since 1970), and the newest change that was taken
looks: list[tuple[int, int, int]] = []


def count_query(execute: Callable[..., Any], *arguments: Any) -> Any:
    """Count one call of the database; for execute_wrappers."""
    global queries
    queries += 1
    return execute(*arguments)


def count_on(connection: Any, **_: object) -> None:
    """Count the calls of a new connection."""
    connection.execute_wrappers.append(count_query)


def write_counts(*_: object) -> None:
    """Write down what was seen; a reader finds the file complete or not at all."""
    target = Path(os.environ["BENCH_WATCH_FILE"])
    part = target.with_suffix(".part")
    part.write_text(json.dumps({"queries": queries, "looks": looks}))
    part.rename(target)


def note_looks(owner: type, name: str, *, newest_change: Callable[[Any], int]) -> None:
    """Replace a method by one that notes when it was called."""
    method = getattr(owner, name)

    def noted(self: Any, *arguments: Any, **named: Any) -> Any:
        began = time.time_ns()
        result = method(self, *arguments, **named)
        looks.append((began, time.time_ns(), newest_change(self)))
        return result

    setattr(owner, name, noted)


def watch_changes(**_: object) -> None:
    """Note when the service's planner, or stock beat, reads what was changed."""
    if os.environ["BENCH_WATCH_CHANGES"] == "stock":
        from django_celery_beat.schedulers import DatabaseScheduler

        note_looks(DatabaseScheduler, "all_as_schedule", newest_change=lambda _: 0)
    else:
        from schedules.planner import Planner

        # Nothing else tells which change a planner has taken
        note_looks(Planner, "take_changes", newest_change=lambda planner: planner._change_id)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, write_counts)
    connection_created.connect(count_on)
    if "BENCH_WATCH_CHANGES" in os.environ:
        beat_init.connect(watch_changes)
    sys.argv[0] = "celery"
    main()
