"""`manage.py schedules forecast`: when the load is, and who is in it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import accumulate
from typing import Any

from django.core.management.base import BaseCommand

from schedules.forecast import Forecast, Peak, Per, forecast_load
from schedules.load import find_heights
from schedules.management.terminal import WIDTH, cut, wrap
from schedules.periods import parse_moment

_MOST_LINES = 48
_LONGEST_BAR = 48
_BAR = "█"
_ROOM_FOR_NAMES = WIDTH - 20


def add_parser(actions: Any) -> None:
    """Declare the subcommand."""
    parser = actions.add_parser("forecast", help="show how many starts there will be, and when")
    parser.add_argument("--from", dest="from_text", metavar="ISO", help="such as 2026-03-29T06:00:00Z; now by default")
    parser.add_argument("--until", dest="until_text", metavar="ISO", help="a day later by default")
    parser.add_argument("--per", choices=[per.value for per in Per], default=Per.HOUR.value, help="by default hour")


def run(command: BaseCommand, *, from_text: str | None, until_text: str | None, per: str, **_: Any) -> None:
    """Print a chart of the load, and its peaks."""
    forecast = forecast_load(
        from_at=None if from_text is None else parse_moment(from_text, name="--from"),
        until_at=None if until_text is None else parse_moment(until_text, name="--until"),
        per=Per(per),
    )
    text = "\n".join(_lines_of(forecast))
    command.stdout.write(text if _knows_bars(command) else text.replace(_BAR, "#"))


def _knows_bars(command: BaseCommand) -> bool:
    try:
        _BAR.encode(getattr(command.stdout, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _lines_of(forecast: Forecast) -> Iterator[str]:
    yield wrap(
        f"{forecast.starts:,} starts from {forecast.from_at:%Y-%m-%d %H:%M} until {forecast.until_at:%Y-%m-%d %H:%M} "
        f"UTC, by {forecast.schedules:,} started schedules."
    )
    if forecast.broken:
        more = f" and {len(forecast.broken) - 5:,} more" if len(forecast.broken) > 5 else ""
        yield wrap(f"Left out, for they are broken: {', '.join(forecast.broken[:5])}{more}.")
    if not forecast.starts:
        return
    yield from _draw(forecast)
    for title, peaks in (("Busiest seconds", forecast.busiest_seconds), ("Busiest minutes", forecast.busiest_minutes)):
        yield f"\n{title}"
        for peak in peaks:
            yield from _describe(peak)


def _draw(forecast: Forecast) -> Iterator[str]:
    size, heights = find_heights(forecast.counts, most=_MOST_LINES)
    if size == 1:
        yield f"\nPer {forecast.per}"
    else:
        yield f"\nPer {forecast.per}; each line is the greatest of {size:,}"
    highest = max(heights)
    step = timedelta(seconds=size * forecast.per.seconds)
    for number, height in enumerate(heights):
        at = forecast.from_at + number * step
        bar = _BAR * -(-height * _LONGEST_BAR // highest)
        yield f"{at:%Y-%m-%d %H:%M}  {height:>10,}  {bar}".rstrip()


def _describe(peak: Peak) -> Iterator[str]:
    starts, schedules = _count(peak.starts, "start"), _count(peak.schedules, "schedule")
    yield f"{peak.at:%Y-%m-%d %H:%M:%S}  {starts} by {schedules}"
    yield cut(f"    {_name_shares(peak)}")


def _name_shares(peak: Peak) -> str:
    names = [share.title or share.name for share in peak.shares]
    lengths = accumulate(len(name) + 2 for name in names)
    shown = [name for name, length in zip(names, lengths, strict=True) if length < _ROOM_FOR_NAMES] or names[:1]
    more = peak.schedules - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more else "")


def _count(number: int, name: str) -> str:
    return f"{number:,} {name}{'' if number == 1 else 's'}"
