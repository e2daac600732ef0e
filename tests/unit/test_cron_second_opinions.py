"""cronsim and croniter on the part of the dialect where they agree with it."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import dropwhile, islice
from random import Random
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from cronsim import CronSim

from schedules.cron import CronExpression, CronSyntaxError
from tests.unit.cron_oracle import is_fixed_time
from tests.unit.cron_texts import random_expression

ZONES = ["UTC", "Europe/Stockholm", "America/New_York", "Australia/Lord_Howe", "Antarctica/Troll", "America/Sao_Paulo"]
COUNT = 20


def ours(text: str, start: datetime, zone: ZoneInfo) -> list[datetime]:
    expression = CronExpression.parse(text)
    found: list[datetime] = []
    while len(found) < COUNT:
        following = expression.next_after(found[-1] if found else start, zone)
        assert following is not None
        found.append(following)
    return found


def by_cronsim(text: str, start: datetime, zone: ZoneInfo) -> list[datetime]:
    """Return what cronsim finds; it gives every time inside a gap an occurrence of its own at the gap's end."""
    moments = (moment.astimezone(UTC) for moment in CronSim(text, start.astimezone(zone)))
    return list(islice(without_repeats(moments, start), COUNT))


def without_repeats(moments: Iterator[datetime], start: datetime) -> Iterator[datetime]:
    last = start
    for moment in dropwhile(lambda moment: moment <= start, moments):
        if moment != last:
            yield moment
        last = moment


def by_croniter(text: str, start: datetime) -> list[datetime]:
    moments = croniter(text, start, second_at_beginning=True, max_years_between_matches=100)
    return [moments.get_next(datetime) for _ in range(COUNT)]


def agreed_texts(numbers: Random, *, with_seconds: bool = False) -> Iterator[str]:
    """Yield expressions that all three read alike."""
    while True:
        near = datetime(2026, numbers.randint(1, 12), numbers.randint(1, 28), numbers.randrange(24))  # noqa: DTZ001
        text = random_expression(numbers, near=near, with_seconds=with_seconds).replace("?", "*")
        with suppress(CronSyntaxError):
            CronExpression.parse(text)
            if is_read_alike(text):
                yield text


def is_read_alike(text: str) -> bool:
    """Tell whether no known difference is in `text`.

    A day field with a star asks for both days in cronsim. L, W and # are written differently, `fri-sun` is known to
    none of them. A range of one value, `5-5`, is 5 here, everything in croniter and 5 and later in cronsim if it has
    a step. The week ends with 6 in croniter, so that `1/3` leaves out 7.
    """
    *_, day, _, weekday = text.split()
    is_plain = "*" in (day, weekday) and not set((day + weekday).upper()) & set("LW#") and "sun" not in weekday
    return is_plain and not re.search(r"\b(\w+)-\1\b", text) and not re.search(r"(^|,)\w+/", weekday)


@pytest.mark.parametrize("key", ZONES)
def test_cronsim_agrees_on_five_fields_in_every_kind_of_zone(key: str) -> None:
    numbers = Random(random.getrandbits(64))
    zone = ZoneInfo(key)
    # Where clocks are set by half an hour, cronsim steps over some full hours of a wildcard expression.
    texts = (text for text in agreed_texts(numbers) if "Lord_Howe" not in key or is_fixed_time(text))
    for text in islice(texts, 60):
        start = datetime(2018, 1, 1, tzinfo=UTC) + timedelta(minutes=numbers.randrange(8 * 366 * 1440))
        assert ours(text, start, zone) == by_cronsim(text, start, zone), f"{text!r} in {key} after {start}"


@pytest.mark.parametrize("with_seconds", [False, True])
def test_croniter_agrees_where_clocks_are_never_set(with_seconds: bool) -> None:
    numbers = Random(random.getrandbits(64))
    for text in islice(agreed_texts(numbers, with_seconds=with_seconds), 100):
        start = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=numbers.randrange(8 * 366 * 86_400))
        assert ours(text, start, ZoneInfo("UTC")) == by_croniter(text, start), f"{text!r} after {start}"


@pytest.mark.parametrize(
    ("text", "croniter_text"),
    [
        ("0 9 L * *", "0 9 L * *"),
        ("0 9 * * 5L", "0 9 * * L5"),
        ("0 9 * * 5#2", "0 9 * * 5#2"),
        ("0 9 13 * 5", "0 9 13 * 5"),
        ("0 9 */2 * 5", "0 9 */2 * 5"),
        ("0 9 * 2 1#5", "0 9 * 2 1#5"),
    ],
)
def test_they_agree_on_last_and_nth_days_and_on_either_day(text: str, croniter_text: str) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    found = ours(text, start, ZoneInfo("UTC"))
    assert found == by_croniter(croniter_text, start)
    if "*/2" not in text:
        assert found == by_cronsim(text, start, ZoneInfo("UTC"))
