"""Links to years, months and days between two instants.

Django's own date hierarchy asks the database which days occur, and so reads every row of a ledger. The first and
the last instant cost two looks into an index, and the calendar knows the rest.
"""

from __future__ import annotations

from calendar import month_name, monthrange
from dataclasses import dataclass
from datetime import date, datetime

from django.contrib.admin.views.main import PAGE_VAR
from django.http import QueryDict


@dataclass(frozen=True, slots=True)
class Link:
    """A choice of a period; without `link` it is the chosen one."""

    title: str
    link: str = ""


@dataclass(frozen=True, slots=True)
class CalendarLinks:
    """The way back to the greater period, and the smaller periods to choose from."""

    back: Link | None
    choices: tuple[Link, ...]


Period = tuple[int, ...]
"""A year, a year and month, or a year, month and day; empty for all of time."""

_PARTS = ("year", "month", "day")


def list_calendar_links(
    field: str, *, first: datetime | None, last: datetime | None, query: QueryDict
) -> CalendarLinks | None:
    """Return links in the parameters of Django's date_hierarchy on `field`; None where there is nothing to choose.

    `first` and `last` are the bounds of what there is, `query` the parameters of the page.
    """
    if first is None or last is None:
        return None
    chosen = shown = _read_period(field, query)
    while len(shown) < 2 and len(only := _list_parts(shown, first, last)) == 1:
        shown = only[0]
    choices = [Link(_name_of(part), _write_query(field, query, part)) for part in _list_parts(shown, first, last)]
    if len(chosen) == len(_PARTS):
        choices = [Link(_name_of(chosen))]
    wider = chosen[:-1]
    back = Link(_name_of(wider), _write_query(field, query, wider)) if chosen else None
    return CalendarLinks(back, tuple(choices)) if back or len(choices) > 1 else None


def _read_period(field: str, query: QueryDict) -> Period:
    """Return the period in the query; all of time for what is no date, which Django answers in its own way."""
    try:
        texts = [text for part in _PARTS if (text := query.get(f"{field}__{part}"))]
        period = tuple(int(text) for text in texts)
        date(*period, *(1,) * (len(_PARTS) - len(period)))
    except (ValueError, OverflowError):
        return ()
    return period


def _write_query(field: str, query: QueryDict, period: Period) -> str:
    parameters = query.copy()
    for name in (*(f"{field}__{part}" for part in _PARTS), PAGE_VAR):
        parameters.pop(name, None)
    for part, number in zip(_PARTS, period, strict=False):
        parameters[f"{field}__{part}"] = str(number)
    return f"?{parameters.urlencode()}"


def _list_parts(period: Period, first: datetime, last: datetime) -> list[Period]:
    """Return the years of all time, the months of a year or the days of a month that lie within the bounds."""
    if len(period) == len(_PARTS):
        return []
    numbers = {
        0: range(first.year, last.year + 1),
        1: range(1, 13),
        2: range(1, monthrange(*period)[1] + 1) if len(period) == 2 else (),
    }[len(period)]
    parts = [(*period, number) for number in numbers]
    size = len(period) + 1
    return [part for part in parts if first.timetuple()[:size] <= part <= last.timetuple()[:size]]


def _name_of(period: Period) -> str:
    match period:
        case year, month, day:
            return f"{date(year, month, day):%A} {day} {month_name[month]} {year}"
        case year, month:
            return f"{month_name[month]} {year}"
        case (year,):
            return str(year)
        case _:
            return "All"
