"""Memory of beat: what a schedule adds to it, after beat has planned for a while."""

from __future__ import annotations

import time
from collections.abc import Iterator

from tests.benchmarks.contenders import Service
from tests.benchmarks.figures import Figure
from tests.benchmarks.reader import QueueReader
from tests.benchmarks.scale import Scale
from tests.benchmarks.stage import Stage

FEW = 100
PLANNING_SECONDS = 5


def measure(stage: Stage, scale: Scale) -> Iterator[Figure]:
    """Yield the memory of one schedule among many, and that of the whole process."""
    few, many = measure_resident(stage, FEW), measure_resident(stage, scale.many)
    yield Figure(
        f"{scale.many:,}: memory of each",
        unit="MB",
        ours=(many - few) / (scale.many - FEW) / 1024**2,
        bar=1 / 1024,
        sentence=f"A schedule takes {{value}} of beat's memory, {scale.many:,} being loaded.",
    )
    yield Figure(
        f"{scale.many:,}: memory of beat",
        unit="MB",
        ours=many / 1024**2,
        sentence=f"Beat with {scale.many:,} schedules holds {{value}}, with {FEW} {few / 1024**2:.0f} MB.",
    )


def measure_resident(stage: Stage, number: int) -> int:
    """Return the bytes that beat holds with so many schedules, one of which is due every second."""
    service = Service(stage, number)
    service.make_one_due()
    with QueueReader(stage.redis_url) as reader, service.start_beat() as beat:
        reader.wait_for(1, count=service.count_runs, seconds=90)
        time.sleep(PLANNING_SECONDS)
        return beat.resident_bytes()
