"""What a cron expression and a time zone mean, before or after they are saved: in words, and as the next starts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from schedules.admin.moments import format_in_zone, format_offset
from schedules.cron import CronExpression
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
    """Either `words` and `starts`, or what is wrong with the expression or the zone; empty for no expression."""

    words: str = ""
    starts: tuple[Start, ...] = ()
    problems: tuple[str, ...] = ()

    @classmethod
    def of(cls, cron_schedule: str, timezone: str, *, now: datetime) -> Preview:
        """Judge the texts as the form and the API do; nothing is raised."""
        if not cron_schedule:
            return cls()
        if problems := tuple(_find_problems(cron_schedule, timezone)):
            return cls(problems=problems)
        expression, zone = CronExpression.parse(cron_schedule), ZoneInfo(timezone)
        return cls(words=expression.describe(), starts=tuple(_next_starts(expression, zone, now=now)))

    def render(self) -> SafeString:
        """Return it as a piece of HTML."""
        return render_to_string("schedules/preview.html", {"preview": self})


def _find_problems(cron_schedule: str, timezone: str) -> Iterator[str]:
    for validate, text in ((validate_cron, cron_schedule), (validate_time_zone, timezone)):
        try:
            validate(text)
        except ValidationError as error:
            yield from error.messages


def _next_starts(expression: CronExpression, zone: ZoneInfo, *, now: datetime) -> list[Start]:
    starts: list[Start] = []
    due_at = expression.next_after(now, zone)
    while due_at and len(starts) < STARTS_SHOWN:
        starts.append(Start.at(due_at, zone, now=now))
        due_at = expression.next_after(due_at, zone)
    return starts
