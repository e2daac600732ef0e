"""Stretches of time as people ask for them. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from schedules.instants import parse_instant


class PeriodError(ValueError):
    """A time, or a stretch of time, that somebody asked for cannot be used."""


def parse_moment(text: str, *, name: str) -> datetime:
    """Return the instant that an ISO 8601 text stands for, in UTC; without an offset it is UTC already.

    Raises PeriodError, in which the text is called `name`.
    """
    try:
        return parse_instant(text.strip(), naive_is_utc=True)
    except ValueError as error:
        raise PeriodError(
            f"{name}: {text[:60]!r} is not a time. Write it as 2026-03-29T06:00:00Z or 2026-03-29T08:00:00+02:00; "
            "in an address + is written %2B."
        ) from error


def check_order(*, from_at: datetime, until_at: datetime) -> None:
    """Refuse a stretch that ends before it begins; raises PeriodError."""
    if until_at < from_at:
        raise PeriodError(
            f"until: {format_moment(until_at)} is before from, {format_moment(from_at)}. Give the earlier time as from."
        )


def format_moment(moment: datetime) -> str:
    """Return the instant as people type it, in UTC: 2026-03-29T06:00:00Z, with a fraction where it has one."""
    text = moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="auto")
    return f"{text}Z"
