"""Cold start of beat: from starting its process to its first message, many schedules loaded."""

from __future__ import annotations

import time
from collections.abc import Iterator
from statistics import median

from tests.benchmarks.contenders import CONTENDERS, Contender
from tests.benchmarks.figures import PEERS, Figure
from tests.benchmarks.idle import DAY
from tests.benchmarks.reader import QueueReader, list_moments
from tests.benchmarks.scale import Scale
from tests.benchmarks.stage import Stage

BARS = {10_000: 2.0, 100_000: 12.0}


def measure(stage: Stage, scale: Scale) -> Iterator[Figure]:
    """Yield the time of each size; that of the peers at the size that they can do in a reasonable time."""
    for number in scale.starts:
        names = ("ours", *PEERS) if number <= scale.loaded else ("ours",)
        yield Figure(
            f"start with {number:,}",
            unit="s",
            bar=BARS.get(number),
            sentence=f"A beat with {number:,} schedules sends the first message {{value}} after its start.",
            **{name: measure_start(stage, name, number, rounds=scale.start_rounds) for name in names},
        )


def measure_start(stage: Stage, name: str, number: int, *, rounds: int) -> float:
    """Return the seconds to the first message, the median of some starts.

    One schedule is overdue, so that the message need not wait for a second to begin. The service makes up for what
    it missed since it ran last: so it runs once before, and pauses.
    """
    contender = CONTENDERS[name](stage, number)
    if name != "ours":
        contender.make_due(int(time.time()) + DAY // 2)
    else:
        contender.make_one_due()
        _start_once(stage, contender)
    return median(_start_once(stage, contender, is_overdue=name == "ours") for _ in range(rounds))


def _start_once(stage: Stage, contender: Contender, *, is_overdue: bool = False) -> float:
    if not is_overdue:
        contender.make_one_due()
    time.sleep(2)
    with QueueReader(stage.redis_url) as reader, contender.start_beat() as beat:
        reader.wait_for(1, count=contender.count_runs, seconds=90)
        beat.check()
    return list_moments(reader.arrivals, count=contender.count_runs)[0] - beat.started_ns / 1e9
