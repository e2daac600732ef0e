"""200 schedules due every second for minutes: message on Redis minus due.

The peers have nothing that keeps to the second: crontabs have minutes, and intervals count from the last run.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from tests.benchmarks.contenders import Service
from tests.benchmarks.figures import Figure, percentile
from tests.benchmarks.reader import QueueReader
from tests.benchmarks.scale import Scale
from tests.benchmarks.stage import Stage

A_SECOND = 200
#: What beat does while it starts is not counted, in seconds
START_SECONDS = 5
BARS = {50: 0.015, 99: 0.060, 100: 0.250}
NAMES = {50: "half of them", 99: "99 of 100", 100: "all"}


def measure(stage: Stage, scale: Scale) -> Iterator[Figure]:
    """Yield the lateness that half, 99 % and all of the messages keep below."""
    lateness = measure_lateness(stage, seconds=scale.steady_seconds)
    for percent, bar in BARS.items():
        yield Figure(
            f"{A_SECOND} a second: " + ("max" if percent == 100 else f"p{percent}"),
            unit="s",
            ours=percentile(lateness, percent),
            bar=bar,
            sentence=f"At {A_SECOND} a second for {scale.steady_seconds} s, the messages of {NAMES[percent]} "
            f"are on Redis within {{value}} of their due second.",
        )


def measure_lateness(stage: Stage, *, seconds: int) -> list[float]:
    """Return the lateness of every message in seconds, in the order of arrival."""
    service = Service(stage, A_SECOND)
    service.make_due_every_second()
    with QueueReader(stage.redis_url) as reader, service.start_beat() as beat:
        reader.wait_for(1, count=service.count_runs, seconds=30)
        began = time.time() + START_SECONDS
        time.sleep(START_SECONDS + seconds)
        beat.check()
    return [lateness for due, lateness in service.read_lateness(reader.arrivals) if began <= due < began + seconds]
