"""The implementation against the brute-force oracle, around the changes of every zone's clocks.

An ordinary run takes one change of each zone, a nightly one (BUTLER_NIGHTLY=1 in the environment) every change from
2010 to 2037. At each instant of a walk around the change, the next occurrence must be the one that the oracle found.
"""

from __future__ import annotations

import os
import random
from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo, available_timezones

import pytest

from schedules.cron import CronExpression, CronSyntaxError
from tests.unit.cron_oracle import Walk
from tests.unit.cron_texts import random_expression

NIGHTLY = os.environ.get("BUTLER_NIGHTLY") == "1"
FIRST = int(datetime(2010, 1, 1, tzinfo=UTC).timestamp())
LAST = int(datetime(2038, 1, 1, tzinfo=UTC).timestamp())
HALF_DAY = 12 * 3600
EXPRESSIONS = 3 if NIGHTLY else 1
ZONES = sorted(available_timezones())


def offset_at(zone: ZoneInfo, instant: int) -> timedelta:
    offset = datetime.fromtimestamp(instant, zone).utcoffset()
    assert offset is not None
    return offset


def changes_of(zone: ZoneInfo, first: int, last: int) -> Iterator[int]:
    """Yield the instants at which the clocks of `zone` are set."""
    before = offset_at(zone, first)
    for instant in range(first, last, HALF_DAY):
        after = offset_at(zone, instant + HALF_DAY)
        if after != before:
            minutes = range(instant, instant + HALF_DAY + 60, 60)
            yield next(minute for minute in minutes if offset_at(zone, minute) == after)
        before = after


def interesting_instants(zone: ZoneInfo) -> list[int]:
    """Return every change if nightly; else one, or any instant of a zone whose clocks are not set that year."""
    if NIGHTLY:
        return list(changes_of(zone, FIRST, LAST)) or [random.randrange(FIRST, LAST, 60)]
    year = random.randrange(FIRST, LAST - 366 * 86_400, HALF_DAY)
    changes = list(changes_of(zone, year, year + 366 * 86_400))
    return [random.choice(changes or [year])]


def walks_around(zone: ZoneInfo, change: int) -> Iterator[Walk]:
    """Yield a walk by minutes over the whole change, and one by seconds over the moments that matter most."""
    jump = abs(offset_at(zone, change) - offset_at(zone, change - 60)).total_seconds()
    set_by = min(int(jump), 2 * 3600)
    yield Walk(zone, start=change - set_by - 1800, end=change + set_by + 1800, step=60)
    middle = change + random.choice([-set_by, 0, set_by])
    yield Walk(zone, start=middle - 60, end=middle + 60, step=1)


def compare(walk: Walk, text: str) -> None:
    """Ask the implementation for the next occurrence from each instant of the walk, and from just before it."""
    expression = CronExpression.parse(text)
    fired = walk.firing(text)
    for instant, _ in walk.clock:
        later = bisect_right(fired, instant)
        expected = fired[later] if later < len(fired) else None
        found = expression.next_timestamp(instant, walk.zone)
        if found is not None and found >= walk.end:
            found = None
        assert found == expected, f"{text!r} in {walk.zone} after {datetime.fromtimestamp(instant, UTC)}"
    if fired:
        assert expression.next_timestamp(walk.start - 1, walk.zone) == fired[0], f"{text!r} in {walk.zone}"


def compare_random_expression(walk: Walk, rng: Random) -> int:
    """Return how many instants were compared."""
    near = rng.choice(walk.clock)[1]
    text = random_expression(rng, near=near, with_seconds=walk.step == 1)
    try:
        CronExpression.parse(text)
    except CronSyntaxError:
        return 0
    compare(walk, text)
    return len(walk.clock)


@pytest.mark.timeout(3600 if NIGHTLY else 120)
def test_it_agrees_with_the_oracle_around_the_changes_of_every_zone() -> None:
    rng = Random(random.getrandbits(64))
    compared = 0
    for key in ZONES:
        zone = ZoneInfo(key)
        for change in interesting_instants(zone):
            for walk in walks_around(zone, change):
                compared += sum(compare_random_expression(walk, rng) for _ in range(EXPRESSIONS))
    print(f"{compared:,} instants compared")
    assert compared >= (1_000_000 if NIGHTLY else 50_000)
