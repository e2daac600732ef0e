"""Instants and spans of time in the words of people. Pure: what is now is an argument."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise

_UNITS = (("day", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def format_in_zone(moment: datetime, zone: tzinfo, *, now: datetime) -> str:
    """Return the instant by the wall clocks of `zone`, such as `Mon 24 Nov, 06:00 CET`.

    Seconds are left out where they are 0, and the year where it is that of `now`.
    """
    local = _to_zone(moment, zone)
    year = "" if local.year == _to_zone(now, zone).year else f" {local.year}"
    seconds = f":{local:%S}" if local.second else ""
    return f"{local:%a} {local.day} {local:%b}{year}, {local:%H:%M}{seconds} {_zone_label(local, zone)}"


def format_utc(moment: datetime) -> str:
    """Return the instant to the millisecond, such as `2025-11-24 05:00:30.012 UTC`."""
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03} UTC"


def format_offset(moment: datetime, zone: tzinfo) -> str:
    """Return how far the wall clocks of `zone` are from UTC at the instant, such as `UTC+01:00`."""
    offset = _to_zone(moment, zone).utcoffset() or timedelta()
    sign = "-" if offset < timedelta() else "+"
    hours, minutes = divmod(abs(offset) // timedelta(minutes=1), 60)
    return f"UTC{sign}{hours:02}:{minutes:02}"


def format_distance(moment: datetime, *, now: datetime) -> str:
    """Return how far off the instant is, roughly: `in 3 h 12 min`, `in 42 days`, `4 s ago`, `now`."""
    seconds = round((moment - now).total_seconds())
    if seconds == 0:
        return "now"
    span = _format_span(abs(seconds))
    return f"in {span}" if seconds > 0 else f"{span} ago"


def format_milliseconds(span: timedelta) -> str:
    """Return the span in whole milliseconds, such as `1,250 ms`."""
    return f"{round(span / timedelta(milliseconds=1)):,} ms"


def format_span(span: timedelta) -> str:
    """Return a span roughly, such as `2 h 5 min`."""
    return _format_span(round(span.total_seconds()))


def _format_span(seconds: int) -> str:
    """Return the greatest unit, and the one beneath where there are few of the greatest."""
    for (name, size), (lesser, lesser_size) in pairwise(_UNITS):
        if seconds >= size:
            count, rest = divmod(seconds, size)
            span = f"{count:,} {name}{'s' if name == 'day' and count > 1 else ''}"
            return f"{span} {rest // lesser_size} {lesser}" if count < 10 and rest >= lesser_size else span
    return f"{seconds} s"


def _to_zone(moment: datetime, zone: tzinfo) -> datetime:
    """Return the instant by the clocks of `zone`; in UTC where they are beyond the calendar."""
    try:
        return moment.astimezone(zone)
    except OverflowError:
        return moment.astimezone(UTC)


def _zone_label(local: datetime, zone: tzinfo) -> str:
    # Zones without an abbreviation of their own are called +03 and the like
    name = local.tzname() or ""
    return name if name.isalpha() else format_offset(local, zone)
