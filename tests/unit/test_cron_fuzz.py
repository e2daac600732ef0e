"""Texts from anywhere: only CronSyntaxError, and quickly. With BUTLER_NIGHTLY=1 in the environment, a million."""

from __future__ import annotations

import os
import random
from contextlib import suppress
from random import Random
from time import thread_time_ns

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedules.cron import MAX_LENGTH, CronExpression, CronSyntaxError
from tests.unit.cron_texts import random_text

NIGHTLY = os.environ.get("BUTLER_NIGHTLY") == "1"
COUNT = 1_000_000 if NIGHTLY else 20_000
LIMIT_NS = 1_000_000
ROUNDS = 5


def parses(text: str) -> bool:
    """Tell whether `text` is an expression, and use it if it is."""
    try:
        expression = CronExpression.parse(text)
    except CronSyntaxError:
        return False
    assert expression.describe()
    assert len(expression.five_field_projection()) == 5
    return True


def time_to_parse(text: str) -> int:
    """Return the processor time of one call in nanoseconds."""
    start = thread_time_ns()
    with suppress(CronSyntaxError):
        CronExpression.parse(text)
    return thread_time_ns() - start


def is_slow(text: str) -> bool:
    """Tell whether the limit is passed each time: a collection of garbage may hit any one call."""
    # The text must be new, and white space at its end keeps leading past the cache.
    return all(time_to_parse(text + " " * number) > LIMIT_NS for number in range(ROUNDS))


@pytest.mark.timeout(3600 if NIGHTLY else 120)
def test_it_refuses_random_texts_quickly_and_with_its_own_error() -> None:
    numbers = Random(random.getrandbits(64))
    expressions = 0
    for _ in range(COUNT):
        text = random_text(numbers)
        assert not is_slow(text), f"{text!r} takes more than a millisecond"
        expressions += parses(text)
    print(f"{COUNT:,} texts, {expressions:,} of them expressions")
    assert COUNT // 100 < expressions < COUNT // 2


@given(st.text(max_size=50) | st.lists(st.text(min_size=1, max_size=5), min_size=5, max_size=6).map(" ".join))
def test_it_raises_nothing_but_its_own_error(text: str) -> None:
    parses(text)


def fill(item: str, before: str, after: str) -> str:
    """Return as many items as an expression may have between the fields `before` and `after`."""
    room = MAX_LENGTH - ROUNDS - len(before) - len(after) - len("59")
    return f"{before}{item * (room // len(item))}59{after}"


@pytest.mark.parametrize(
    "text",
    [
        "x" * 1_000_000,
        " " * 1_000_000,
        "*," * 500_000,
        "9" * 1_000_000,
        "\0" * 1_000_000,
        "\ud800" * 1_000_000,
        f"{'9' * 500} * * * *",
        f"*/{'9' * 500} * * * *",
        f"0-{'0' * 500}9 * * * *",
        fill("*,", "", " * * * *"),
        fill("*/1,", "", " * * * *"),
        fill("*/2,", "", " * * * *"),
        fill("0/2,", "", " * * * *"),
        fill("0-59,", "* * * * ", ""),
        fill("0,", "* ", " * * * *"),
        fill(",", "", " * * * *"),
        fill("31W,", "* * ", " 2 *").replace("59", "30"),
        fill("L-30,", "* * ", " 2 *").replace("59", "30"),
        fill("1#5,", "* * * * ", "").replace("59", "1"),
        fill("fril,", "* * * * ", "").replace("59", "1"),
        fill("2,", "* * 30 ", " *").replace("59", "2"),
        fill("1-2-", "", " * * * *"),
        fill("1 ", "", ""),
        "* * 30,31,30W,31W,L-29,L-30 2 *",
    ],
    ids=lambda text: text[:12].encode("unicode_escape").decode(),
)
def test_hostile_texts_take_less_than_a_millisecond(text: str) -> None:
    assert not is_slow(text)
    parses(text)
