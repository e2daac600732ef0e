"""Random texts for the tests of the cron dialect: good ones, and ones from anywhere."""

from __future__ import annotations

from datetime import datetime
from random import Random

from schedules.cron_fields import DAY_NAMES, MONTH_NAMES

# Everything the dialect is made of, and some that only looks like it.
_FRAGMENTS = [
    *("*", "?", "/", "-", ",", " ", "\t", "L", "W", "LW", "#", "@", "@daily", "@every 5m", "*/", "**", "\\", "%"),
    *("0", "1", "7", "8", "12", "13", "23", "24", "31", "32", "59", "60", "-1", "00", "1e3", "1_0", "9" * 30),
    *("sun", "MON", "fri-sun", "jan", "Dec", "jul", "5L", "5#2", "5#6", "L-3", "L-31", "15W", "32W", "*/0"),
    *("٣", "²", "½", "Ⅷ", "ſun", "İ", "é", "日", "\0", "\ud800", "\u2028", "\xa0", "\u200b", "🕛", "%s", "{}"),
]
_NEAR = datetime(2026, 2, 14, 6, 30)  # noqa: DTZ001


def random_expression(random: Random, *, near: datetime, with_seconds: bool) -> str:
    """Return an expression of five or six fields that is likely to fire around the wall time `near`.

    Few are not of the dialect, because they can never fire; `parse` tells.
    """
    fields = [
        _number_field(random, near.minute, 0, 59),
        _number_field(random, near.hour, 0, 23),
        "*" if random.random() < 0.6 else _day_field(random, near.day),
        "*" if random.random() < 0.7 else _number_field(random, near.month, 1, 12, MONTH_NAMES),
        "*" if random.random() < 0.6 else _weekday_field(random, near.isoweekday() % 7),
    ]
    return " ".join([_number_field(random, near.second, 0, 59), *fields] if with_seconds else fields)


def random_text(random: Random) -> str:
    """Return a text that is seldom an expression, though it may look like one."""
    kind = random.random()
    if kind < 0.3:
        return _spoil(random, random_expression(random, near=_NEAR, with_seconds=kind < 0.15))
    if kind < 0.6:
        return "".join(random.choices(_FRAGMENTS, k=random.randint(0, 12)))
    if kind < 0.9:
        fields = ["".join(random.choices(_FRAGMENTS, k=random.randint(1, 3))) for _ in range(random.randint(4, 7))]
        return " ".join(fields)
    return "".join(chr(random.randrange(0x110000)) for _ in range(random.randint(0, 40)))


def _spoil(random: Random, text: str) -> str:
    """Return `text` with one of its characters replaced."""
    place = random.randrange(len(text))
    return text[:place] + random.choice(_FRAGMENTS) + text[place + 1 :]


def _number_field(random: Random, near: int, first: int, last: int, names: tuple[str, ...] = ()) -> str:
    if random.random() < 0.25:
        return random.choice(["*", "*", f"*/{random.randint(1, 7)}"])
    items = [_number_item(random, near, first, last) for _ in range(random.choice([1, 1, 1, 2, 3]))]
    if names and random.random() < 0.3:
        items = [names[random.randrange(len(names))]]
    return ",".join(items)


def _number_item(random: Random, near: int, first: int, last: int) -> str:
    close = min(max(near + random.randint(-3, 3), first), last)
    value = close if random.random() < 0.6 else random.randint(first, last)
    low, high = random.randint(first, value), random.randint(value, last)
    step = random.randint(1, 1 + (last - first) // 2)
    return random.choice([f"{value}", f"{low}-{high}", f"{low}-{high}/{step}", f"{low}/{step}", f"*/{step}"])


def _day_field(random: Random, near: int) -> str:
    special = [f"{random.randint(1, 31)}W", f"{near}W", "LW", "L", f"L-{random.randint(1, 30)}", "?", "1-31"]
    return _mix(random, special, _number_field(random, near, 1, 31))


def _weekday_field(random: Random, near: int) -> str:
    low = random.randrange(6)
    special = [
        *(f"{near}L", f"{random.randint(0, 7)}L", f"{random.choice(DAY_NAMES)}L"),
        *(f"{near}#{random.randint(1, 5)}", f"{random.randint(0, 7)}#{random.randint(1, 5)}"),
        *(f"{DAY_NAMES[near].upper()}", f"{DAY_NAMES[low]}-{DAY_NAMES[random.randint(low, 6)]}"),
        *(f"{random.choice(DAY_NAMES[1:])}-sun", "?", "0-7", "7"),
    ]
    return _mix(random, special, _number_field(random, near, 0, 7))


def _mix(random: Random, special: list[str], plain: str) -> str:
    chosen = random.choice(special)
    return random.choice([chosen, plain, f"{plain},{chosen}"])
