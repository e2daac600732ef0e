"""N schedules due at one second: how long until the last message is on Redis, ledger rows committed first."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

from tests.benchmarks.contenders import CONTENDERS, Contender
from tests.benchmarks.figures import PEERS, Figure
from tests.benchmarks.process import Process
from tests.benchmarks.reader import Arrivals, QueueReader, list_moments
from tests.benchmarks.scale import Scale
from tests.benchmarks.stage import Stage

#: A machine that is too busy for one start gets so many times the time for the next
PATIENCES = (1, 2, 4)
#: Time for beat to start and to load, in seconds, and schedules that it loads in a second
START_SECONDS = 4.0
LOADED_A_SECOND = 4000
#: RedBeat's schedules are saved one by one; so many a second at least
SAVED_A_SECOND = 500
#: What each sends in a second at least, on a busy machine
SENT_A_SECOND = {"ours": 300, "stock": 15, "redbeat": 50}
#: The service's bars in seconds, and the factors by which it is to be faster
BARS = {1000: 0.15, 10_000: 1.0, 100_000: 10.0}
FACTORS = {("stock", 4000): 100.0, ("redbeat", 5000): 10.0}
#: What ten times as many may take, in times as long
GROWTH = 12.0
LABELS = {"stock": "stock beat", "redbeat": "RedBeat"}


T = TypeVar("T")


class NotLoadedError(Exception):
    """A program was not ready when its schedules became due."""


@dataclass(frozen=True, slots=True)
class Burst:
    """Bursts of one size: seconds from each due second to its last message, and the check of rows."""

    seconds: tuple[float, ...]
    checked: int = 0
    missing: int = 0

    @property
    def median(self) -> float:
        """The middle one of the rounds, in seconds."""
        return median(self.seconds)


def measure(stage: Stage, scale: Scale) -> Iterator[Figure]:
    """Yield the time of each size, and what follows from all of them."""
    bursts: dict[tuple[str, int], Burst] = {}
    for number in sorted({number for sizes in scale.bursts.values() for number in sizes}):
        for name in (name for name, sizes in scale.bursts.items() if number in sizes):
            rounds = scale.burst_rounds if name == "ours" and number <= 10_000 else 1
            bursts[name, number] = measure_burst(stage, name, number, rounds=rounds)
        yield _size_figure(number, {name: burst.median for (name, n), burst in bursts.items() if n == number})
    yield from compare_bursts(bursts)


def measure_burst(stage: Stage, name: str, number: int, *, rounds: int = 1) -> Burst:
    """Return what one beat does with `rounds` bursts; more than one round is for the service alone.

    Raises NotLoadedError when even the longest time to start was too short.
    """
    return with_patience(lambda patience: _measure_burst(stage, name, number, rounds=rounds, patience=patience))


def with_patience(take: Callable[[int], T]) -> T:
    """Return what `take` returns when it gives programs so many times the usual time to start: the least that does."""
    for patience in PATIENCES[:-1]:
        with suppress(NotLoadedError):
            return take(patience)
    return take(PATIENCES[-1])


def _measure_burst(stage: Stage, name: str, number: int, *, rounds: int, patience: int) -> Burst:
    contender = CONTENDERS[name](stage, number)
    saving = number / SAVED_A_SECOND if name == "redbeat" else 0.0
    loaded_at = time.time() + patience * (START_SECONDS + number / LOADED_A_SECOND + saving)
    dues = pick_dues(loaded_at, rounds=rounds, gap=math.ceil(2 + number / 1500))
    contender.make_due(*dues)
    with QueueReader(stage.redis_url, check=contender.check_rows) as reader, contender.start_beat() as beat:
        wait_for_due(dues[0], [beat])
        limit = dues[-1] - time.time() + 20 + number * rounds / SENT_A_SECOND[name]
        reader.wait_for(number * rounds, count=contender.count_runs, seconds=limit)
    moments = list_moments(reader.arrivals, count=contender.count_runs)
    if moments[0] < dues[0]:
        raise RuntimeError(f"{name} has sent messages before they were due")
    seconds = [moments[-1] - dues[0]] if rounds == 1 else _last_lateness(contender, reader.arrivals, dues)
    return Burst(tuple(seconds), reader.checked, reader.missing)


#: How long a program is watched
QUIET_SECONDS = 0.4


def pick_dues(earliest: float, *, rounds: int, gap: int) -> list[int]:
    """Return the seconds since 1970, `gap` apart, of so many rounds: from `earliest` on, within one minute."""
    first = int(earliest) + 1
    if first % 60 + gap * (rounds - 1) > 59:
        first += 60 - first % 60
    return [first + gap * i for i in range(rounds)]


def wait_for_due(due: int, programs: Sequence[Process]) -> None:
    """Wait for the due second; raises NotLoadedError when one of the programs was still busy shortly before."""
    # Each of them is watched in turn
    time.sleep(max(due - 0.4 - QUIET_SECONDS * len(programs) - time.time(), 0))
    if not all(program.is_quiet(seconds=QUIET_SECONDS) for program in programs) or time.time() > due:
        raise NotLoadedError("what is measured was still starting when its schedules were due; the machine is too busy")
    time.sleep(max(due - time.time(), 0))


def _last_lateness(contender: Contender, arrivals: Arrivals, dues: Sequence[int]) -> list[float]:
    """Return the seconds from each due second to the last message for it."""
    last: dict[int, float] = dict.fromkeys(dues, 0.0)
    for due, lateness in contender.read_lateness(arrivals):
        last[int(due)] = max(last[int(due)], lateness)
    return list(last.values())


def _size_figure(number: int, seconds: Mapping[str, float]) -> Figure:
    return Figure(
        measure=f"{number:,} at one second",
        number=number,
        unit="s",
        ours=seconds.get("ours"),
        bar=BARS.get(number),
        sentence=f"With {number:,} schedules due at one second, the last message is on Redis {{value}} after it.",
        **{name: seconds.get(name) for name in PEERS},
    )


def compare_bursts(bursts: Mapping[tuple[str, int], Burst]) -> Iterator[Figure]:
    """Yield what bursts of several sizes and contenders say together: rate, ratios, growth, rows before messages."""
    number = max(number for name, number in bursts if name == "ours")
    ours = {size: burst for (name, size), burst in bursts.items() if name == "ours"}
    best = {name: max(n / burst.median for (k, n), burst in bursts.items() if k == name) for name in LABELS}
    yield Figure(
        "runs a second",
        unit="/s",
        ours=number / ours[number].median,
        sentence=f"Of {number:,} at one second it sends {{value}}; of the peers this is the rate of their best size.",
        **best,
    )
    for peer, label in LABELS.items():
        yield from _ratio_figure(bursts, peer, label)
    if number // 10 in ours:
        yield Figure(
            f"growth to {number:,}",
            unit="x",
            ours=ours[number].median / ours[number // 10].median,
            bar=GROWTH,
            sentence=f"{number:,} take {{value}} as long as a tenth of them.",
        )
    checked = sum(burst.checked for burst in ours.values())
    yield Figure(
        "messages before their rows",
        unit="",
        ours=sum(burst.missing for burst in ours.values()),
        bar=0,
        sentence=f"Of {checked:,} messages looked at on arrival, {{value}} had no committed row in the ledger.",
    )


def _ratio_figure(bursts: Mapping[tuple[str, int], Burst], peer: str, label: str) -> Iterator[Figure]:
    number = max(number for name, number in bursts if name == peer)
    if ("ours", number) in bursts:
        yield Figure(
            f"{number:,}: times {label}",
            unit="x",
            ours=bursts[peer, number].median / bursts["ours", number].median,
            bar=FACTORS.get((peer, number)),
            at_least=True,
            sentence=f"At {number:,} due at one second it sends {{value}} as many a second as {label}.",
        )
