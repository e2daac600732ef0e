"""Many schedules loaded, nothing due for a minute: processor time and database queries of beat."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from tests.benchmarks.contenders import CONTENDERS
from tests.benchmarks.figures import Figure
from tests.benchmarks.scale import Scale
from tests.benchmarks.stage import Stage

DAY = 86_400
SETTLE_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Idleness:
    """What doing nothing costs: percent of a core, and database queries a minute (None without a database)."""

    cpu_percent: float
    queries: float | None


def measure(stage: Stage, scale: Scale) -> Iterator[Figure]:
    """Yield the cost of doing nothing, for the service and its peers."""
    found = {name: measure_idleness(stage, name, scale.loaded, seconds=scale.idle_seconds) for name in CONTENDERS}
    yield Figure(
        f"{scale.loaded:,} idle: processor",
        unit="%",
        bar=0.5,
        sentence=f"With {scale.loaded:,} schedules loaded and nothing due, beat uses {{value}} of a core.",
        **{name: idleness.cpu_percent for name, idleness in found.items()},
    )
    yield Figure(
        f"{scale.loaded:,} idle: queries/min",
        unit="",
        bar=60,
        sentence="In a minute of that it asks the database {value} times.",
        **{name: idleness.queries for name, idleness in found.items()},
    )


def measure_idleness(stage: Stage, name: str, number: int, *, seconds: int) -> Idleness:
    """Return what `number` schedules, none due within the time, cost."""
    contender = CONTENDERS[name](stage, number)
    if name != "ours":
        contender.make_due(int(time.time()) + DAY // 2)
    is_watched = name != "redbeat"
    with contender.start_beat(watched=is_watched) as beat:
        # Stock is never quiet: it compares all its entries once a second
        time.sleep(SETTLE_SECONDS + number / 1000)
        queries = beat.watch()["queries"] if is_watched else 0
        used, began = beat.cpu_seconds(), time.monotonic()
        time.sleep(seconds)
        beat.check()
        used, passed = beat.cpu_seconds() - used, time.monotonic() - began
        queries = beat.watch()["queries"] - queries if is_watched else 0
    return Idleness(used / passed * 100, queries / passed * 60 if is_watched else None)
