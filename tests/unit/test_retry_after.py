"""How long a server asks to be left alone: seconds or a moment, capped."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from qlik.retry_after import MAX_RETRY_AFTER, read_retry_after

NOW = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
DATE = "Mon, 23 Nov 2026 06:00:00 GMT"


def read(text: str | None, *, date: str | None = None) -> float | None:
    wait = read_retry_after(text, date=date, now=NOW)
    return None if wait is None else wait.total_seconds()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("1", 1),
        (" 20 ", 20),
        ("0030", 30),
        ("3599", 3599),
        ("3601", 3600),
        ("99999999999999999999", 3600),
        ("9" * 5000, 3600),
        ("0" * 5000, 0),
        ("Mon, 23 Nov 2026 06:01:30 GMT", 90),
        # The two obsolete forms that a client still has to read
        ("Monday, 23-Nov-26 06:01:30 GMT", 90),
        ("Mon Nov 23 06:01:30 2026", 90),
        ("Mon, 23 Nov 2026 07:01:30 +0100", 90),
        ("Mon, 23 Nov 2026 05:00:00 GMT", 0),
        ("Mon, 23 Nov 2099 06:00:00 GMT", 3600),
    ],
)
def test_it_is_read_and_capped(text: str, seconds: float) -> None:
    assert read(text) == seconds


@pytest.mark.parametrize(
    "text",
    [None, "", " ", "soon", "-5", "1.5", "+5", "5 s", "٣", "1e3", "Mon, 99 Nov 2026 06:00:00 GMT", "\x00", "1,2"],
)
def test_what_cannot_be_read_is_no_wish(text: str | None) -> None:
    assert read(text) is None


def test_a_moment_is_measured_by_the_clock_that_named_it() -> None:
    assert read("Mon, 23 Nov 2026 08:00:20 GMT", date="Mon, 23 Nov 2026 08:00:00 GMT") == 20
    assert read("Mon, 23 Nov 2026 06:00:20 GMT", date="nonsense") == 20


def test_the_cap_is_an_hour() -> None:
    assert timedelta(hours=1) == MAX_RETRY_AFTER
