"""What a cron expression and a time zone mean, before or after they are saved: in words, and as the next starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from math import inf
from typing import Any
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from schedules.admin.moments import format_in_zone, format_offset
from schedules.models import from_epoch, make_timetable
from schedules.validators import validate_cron, validate_time_zone

STARTS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Start:
    """One of the next starts, by the schedule's own clock, and how far that clock is from UTC where it is not said."""

    local: str
    offset: str

    @classmethod
    def at(cls, due_at: datetime, zone: ZoneInfo, *, now: datetime) -> Start:
        """Return the start that is due at the instant."""
        local = format_in_zone(due_at, zone, now=now)
        return cls(local, "" if " UTC" in local else format_offset(due_at, zone))


@dataclass(frozen=True, slots=True)
class Preview:
    """Either `words` and `starts`, or what is wrong with the expression or the zone; empty for no expression.

    The starts keep within the limits but for jitter, of which `note` tells.
    """

    words: str = ""
    starts: tuple[Start, ...] = ()
    note: str = ""
    problems: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, cron_schedule: str, timezone: str, *, now: datetime, limits: Mapping[str, Any] | None = None
    ) -> Preview:
        """Judge the texts as the form and the API do; nothing is raised. `limits` are in order, by their columns."""
        if not cron_schedule:
            return cls()
        if problems := tuple(_find_problems(cron_schedule, timezone)):
            return cls(problems=problems)
        given = limits or {}
        row = {"name": "", "cron_schedule": cron_schedule, "timezone": timezone, "jitter": timedelta(0)}
        row |= {name: given.get(name) for name in ("starts_at", "ends_at")}
        timetable = make_timetable(row | {"excluded_dates": given.get("excluded_dates") or []})
        due = islice(timetable.between(now.timestamp(), inf), STARTS_SHOWN)
        starts = tuple(Start.at(from_epoch(instant), timetable.zone, now=now) for instant in due)
        return cls(timetable.expression.describe(), starts, note=_describe_jitter(given.get("jitter")))

    def render(self) -> SafeString:
        """Return it as a piece of HTML."""
        return render_to_string("schedules/preview.html", {"preview": self})


def _find_problems(cron_schedule: str, timezone: str) -> Iterator[str]:
    for validate, text in ((validate_cron, cron_schedule), (validate_time_zone, timezone)):
        try:
            validate(text)
        except ValidationError as error:
            yield from error.messages


def _describe_jitter(jitter: timedelta | None) -> str:
    return f"Jitter puts each of them off by the same part of {jitter}." if jitter else ""
