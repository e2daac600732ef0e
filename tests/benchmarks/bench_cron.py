"""How fast the cron dialect is, beside cronsim and croniter. Run: python -m tests.benchmarks.bench_cron

*From a moment* is what a planner does: it has an expression, a zone and the present moment. cronsim binds an
expression to its start, so that a new moment means a new object and parsing again; croniter is given a parsed object.
*Walking on* takes one occurrence after the other from one object, the kindest use for all three.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from random import Random
from statistics import mean
from time import perf_counter
from zoneinfo import ZoneInfo

from croniter import croniter
from cronsim import CronSim

from schedules.cron import CronExpression

TEXTS = [
    *("* * * * *", "*/5 * * * *", "*/15 8-17 * * 1-5", "0-30/5 6-18 * * 1-5", "0 * * * *", "15 */2 * * *"),
    *("30 2 * * *", "0 6 * * *", "0 6,18 * * *", "45 23 * * *", "5 4 * * 0", "0 22 * * 1-5"),
    *("0 0 1 * *", "30 7 1,15 * *", "0 12 13 * 5", "0 3 L * *", "0 9 * * 5#2", "0 0 1 1 *"),
    *("0 0 29 2 *", "15 10 31 3,5,7 *", "0 0 * 2,8 1", "7,37 1-5 * * *", "10-20 3 * * 6", "0 */6 1-7 * *"),
    *(
        "*/5 * * * * *",
        "*/30 * * * * *",
        "0 0 * * * *",
        "10 30 6 * * *",
        "0,20,40 */10 9-17 * * 1-5",
        "59 59 23 31 12 *",
    ),
]
KEYS = [
    *("UTC", "Europe/Stockholm", "Europe/London", "America/New_York", "America/Sao_Paulo", "Asia/Tokyo"),
    *("Asia/Kolkata", "Australia/Lord_Howe", "Africa/Casablanca", "Pacific/Auckland"),
]
START = datetime(2026, 1, 1, tzinfo=UTC)
MOMENTS = 5
STEPS = 20
ROUNDS = 5

Case = tuple[str, ZoneInfo, list[datetime]]
Contender = Callable[[str, ZoneInfo, list[datetime]], Iterator[object]]


def main() -> None:
    """Print the tables."""
    numbers = Random(1)
    cases = [
        (text, ZoneInfo(key), [START + timedelta(seconds=numbers.randrange(2 * 365 * 86_400)) for _ in range(MOMENTS)])
        for text, key in product(TEXTS, KEYS)
    ]
    print(f"Mean microseconds of one occurrence, {len(TEXTS)} expressions in {len(KEYS)} zones:")
    print_row("", "ours", "cronsim", "croniter", "ratios")
    print_comparison("from a moment", cases, [start_ours, start_cronsim, start_croniter])
    print_comparison("walking on", cases, [walk_ours, walk_cronsim, walk_croniter])
    print(f"\n29 February on a Monday in 40 years: {seldom_warm():.0f} us, in a new zone {seldom_cold():.0f} us")
    print(f"Parsing: mean {mean(map(time_to_parse, TEXTS)):.1f} us, worst {worst_parse():.0f} us")


def print_comparison(name: str, cases: list[Case], contenders: list[Contender]) -> None:
    """Print a row of means; the contenders take turns, so that other work on the machine hits all of them."""
    times = [[best_time(contender, case) for contender in contenders] for case in cases]
    means = [mean(column) for column in zip(*times, strict=True)]
    ratios = " ".join(f"{other / means[0]:.1f}x" for other in means[1:])
    print_row(name, *(f"{value:.2f}" for value in means), ratios)


def print_row(name: str, *cells: str) -> None:
    """Print one line of the table."""
    print(f"{name:16}", *(f"{cell:>12}" for cell in cells))


def best_time(contender: Contender, case: Case) -> float:
    """Return the mean time of an occurrence in microseconds, in the best of some rounds."""
    return min(time_round(contender(*case)) for _ in range(ROUNDS))


def time_round(occurrences: Iterator[object]) -> float:
    """Return the mean time of an occurrence; what happens before the first `yield` is not counted."""
    next(occurrences)
    start = perf_counter()
    count = sum(1 for _ in occurrences)
    return (perf_counter() - start) / count * 1e6


def start_ours(text: str, zone: ZoneInfo, moments: list[datetime]) -> Iterator[object]:
    expression = CronExpression.parse(text)
    yield None
    for moment in moments:
        yield expression.next_after(moment, zone)


def start_cronsim(text: str, zone: ZoneInfo, moments: list[datetime]) -> Iterator[object]:
    local = [moment.astimezone(zone) for moment in moments]
    yield None
    for moment in local:
        yield next(CronSim(text, moment))


def start_croniter(text: str, zone: ZoneInfo, moments: list[datetime]) -> Iterator[object]:
    local = [moment.astimezone(zone) for moment in moments]
    expression = croniter(text, local[0], second_at_beginning=True)
    yield None
    for moment in local:
        yield expression.get_next(datetime, start_time=moment)


def walk_ours(text: str, zone: ZoneInfo, moments: list[datetime]) -> Iterator[object]:
    expression = CronExpression.parse(text)
    moment = moments[0]
    yield None
    for _ in range(STEPS):
        moment = expression.next_after(moment, zone) or moment
        yield moment


def walk_cronsim(text: str, zone: ZoneInfo, moments: list[datetime]) -> Iterator[object]:
    iterator = CronSim(text, moments[0].astimezone(zone))
    yield None
    for _ in range(STEPS):
        yield next(iterator)


def walk_croniter(text: str, zone: ZoneInfo, moments: list[datetime]) -> Iterator[object]:
    iterator = croniter(text, moments[0].astimezone(zone), second_at_beginning=True)
    yield None
    for _ in range(STEPS):
        yield iterator.get_next(datetime)


def best_of(function: Callable[[], object], *, rounds: int) -> float:
    """Return the shortest time of `function` in microseconds."""
    times = []
    for _ in range(rounds):
        start = perf_counter()
        function()
        times.append(perf_counter() - start)
    return min(times) * 1e6


def seldom_warm() -> float:
    """Return the time to find a 29 February 40 years ahead, 2100 having none, in a zone in use."""
    expression, zone = CronExpression.parse("0 0 * 2 1#5"), ZoneInfo("Europe/Stockholm")
    return best_of(lambda: expression.next_after(datetime(2072, 3, 1, tzinfo=UTC), zone), rounds=100)


def seldom_cold() -> float:
    """Return the time to find it with nothing known about the zone."""
    expression = CronExpression.parse("0 0 * 2 1#5")
    return min(
        best_of(lambda zone=zone: expression.next_after(datetime(2072, 3, 1, tzinfo=UTC), zone), rounds=1)
        for zone in [ZoneInfo.no_cache("Europe/Stockholm") for _ in range(20)]
    )


def time_to_parse(text: str) -> float:
    """Return the time to parse `text` unseen; white space at the end leads past the cache."""
    texts = iter([text + " " * number for number in range(1, 21)])
    return best_of(lambda: CronExpression.parse(next(texts)), rounds=20)


def worst_parse() -> float:
    """Return the longest time that one of the hardest texts takes, of those found."""
    numbers = ",".join(f"{first}-59/2" for first in range(60))
    steps = ",".join(f"*/{step}" for step in range(1, 110))
    days = ",".join(f"{day}W,L-{day}" for day in range(1, 31))
    weekdays = ",".join(f"{day}#{week}" for day in range(8) for week in range(1, 6))
    return max(map(time_to_parse, [f"{numbers} * * * *", f"{steps} * * * *", f"* * {days} 2 {weekdays}"]))


if __name__ == "__main__":
    gc.disable()
    main()
