"""Instants as people and clients write them. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime

# Python's own reader takes any character between date and time, and week dates, offsets with seconds and, from 3.13 on,
# 24:00, which the people who read the answer would not recognise. How it reads what is left is the same everywhere.
_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,9})?)?"
_OFFSET = r"Z|[+-](?:[01][0-9]|2[0-3]):?[0-5][0-9]|[+-](?:[01][0-9]|2[0-3])"
_INSTANT = re.compile(f"{_DATE}(?:[T ]{_TIME}(?:{_OFFSET})?)?")


def parse_instant(text: str, *, naive_is_utc: bool = False) -> datetime:
    """Return the instant that a text in ISO 8601 stands for, in UTC.

    That is `2026-12-01T06:00:00+01:00`: a T or a space in the middle, seconds and their fraction or none, Z or an
    offset in hours and minutes. With `naive_is_utc` a text without an offset, or a date alone, is meant in UTC. Raises
    ValueError for any other text.
    """
    if not _INSTANT.fullmatch(text):
        raise ValueError(f"{text[:60]!r} is no instant in ISO 8601")
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None and not naive_is_utc:
            raise ValueError(f"{text!r} has no offset from UTC")
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{text!r} is outside the calendar") from error
