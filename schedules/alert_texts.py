"""The words of alerts, plain text for mail and chat alike, and the templates that people put around them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from string import Formatter
from typing import NamedTuple
from zoneinfo import ZoneInfo

from schedules.alert_rules import SITE_EVENTS, AlertEvent

#: Of many matters so many are listed in a message
MOST_LISTED = 20
#: Of what QRS has answered so much is shown; in a list less
LONGEST_WHAT = 600
LONGEST_LINE = 200
#: The longest title and body that a template may make; services cut off or refuse longer ones
LONGEST_TITLE = 200
LONGEST_BODY = 8_000

#: What a template may have in braces, and what stands there
PLACEHOLDERS: Mapping[str, str] = {
    "title": "the title as it is without a template",
    "text": "the text as it is without a template",
    "event": "what has happened, such as Start failed",
    "status": "problem, or well again",
    "names": "the schedules, with commas between them",
    "number": "how many schedules the message tells of",
    "count": "how often it has happened, in all of them",
    "schedule_id": "the id of the schedule in the API; empty where there are several",
    "task": "the name of the Qlik task, as far as it is known; empty where there are several",
    "task_id": "the id of the Qlik task; empty where there are several",
    "due": "when the last run was due; empty where there are several",
    "since": "since when it is so",
    "what": "what happened; empty where there are several",
    "advice": "what to do",
}


class TemplateError(ValueError):
    """A template that no message can be made with; the message says why."""


class Text(NamedTuple):
    """A message: title and body."""

    title: str
    body: str


@dataclass(frozen=True, slots=True)
class ToldMatter:
    """A matter as a message tells of it."""

    name: str
    schedule_id: str
    task_id: str
    zone: str
    due_at: datetime | None
    what: str
    advice: str
    since_at: datetime
    count: int
    ended_at: datetime | None = None
    is_repeat: bool = False
    task_name: str = ""


class _Words(NamedTuple):
    headline: str
    still: str
    well: str
    one: str
    many: str


WORDS: Mapping[AlertEvent, _Words] = {
    AlertEvent.QRS_UNREACHABLE: _Words(
        "Qlik Sense is out of reach", "Qlik Sense is still out of reach", "Qlik Sense is back", "", ""
    ),
    AlertEvent.CERTIFICATE: _Words(
        "Certificate expires", "Certificate still expires", "Certificate renewed", "certificate", "certificates"
    ),
    AlertEvent.START_FAILED: _Words(
        "Start failed", "Starts still fail", "Starts again", "start had failed", "starts had failed"
    ),
    AlertEvent.RELOAD_FAILED: _Words(
        "Reload failed", "Reloads still fail", "Reloads well again", "reload had failed", "reloads had failed"
    ),
    AlertEvent.MISSED: _Words("Run missed", "Runs still missed", "Runs again", "run was missed", "runs were missed"),
    AlertEvent.LATE: _Words("Started late", "Still starts late", "On time again", "run was late", "runs were late"),
    AlertEvent.SLOW: _Words(
        "Reload takes long",
        "Reloads still take long",
        "Reload as fast as usual",
        "reload took long",
        "reloads took long",
    ),
}


def compose(event: AlertEvent, matters: Sequence[ToldMatter], *, is_recovery: bool) -> Text:
    """Return the message that tells of these matters, at least one, all of the event."""
    words = WORDS[event]
    headline = words.headline
    if is_recovery:
        headline = words.well
    elif all(matter.is_repeat for matter in matters):
        headline = words.still
    tell = _tell_recovery if is_recovery else _tell_problem
    if len(matters) == 1:
        (matter,) = matters
        title = headline if event is AlertEvent.QRS_UNREACHABLE else f"{headline}: {matter.name}"
        return Text(_shorten(title, LONGEST_TITLE), tell(event, matter))
    thing = "certificates" if event is AlertEvent.CERTIFICATE else "schedules"
    lines = [f"- {_line_of(event, matter, is_recovery=is_recovery)}" for matter in matters[:MOST_LISTED]]
    if len(matters) > MOST_LISTED:
        lines.append(f"- and {len(matters) - MOST_LISTED:,} more; the admin lists all of them under Alert conditions.")
    advice = [] if is_recovery else ["", f"What to do: {_join_advice(matters)}"]
    return Text(f"{headline}: {len(matters):,} {thing}", "\n".join([*lines, *advice]))


def render(
    text: Text, event: AlertEvent, matters: Sequence[ToldMatter], *, is_recovery: bool, title: str, body: str
) -> Text:
    """Put the templates of a channel around a message; an empty template leaves it as it is."""
    values = _values_of(text, event, matters, is_recovery=is_recovery)
    new_title = fill(title, values) if title else text.title
    new_body = fill(body, values) if body else text.body
    return Text(_shorten(" ".join(new_title.split()), LONGEST_TITLE), _shorten(new_body, LONGEST_BODY))


def check_template(template: str) -> None:
    """Raise TemplateError for what no message can be made with, naming the mistake and what is possible."""
    fill(template, dict.fromkeys(PLACEHOLDERS, ""))


def fill(template: str, values: Mapping[str, str]) -> str:
    """Return the template with values in place of the names in braces; a doubled brace stands for one."""
    try:
        pieces = list(Formatter().parse(template))
    except ValueError as error:
        raise TemplateError(f"A brace has no counterpart ({error}). For a brace itself write it twice.") from error
    return "".join(f"{text}{_look_up(name, options, values)}" for text, name, *options in pieces)


def describe_duration(span: timedelta) -> str:
    """Return a span as people say it, to two units: 25 minutes, 1 hour 5 minutes, 3 days 2 hours."""
    seconds = max(round(span.total_seconds()), 0)
    if seconds < 60:
        return _count(seconds, "second")
    minutes = seconds // 60
    units = ((minutes // 1440, "day"), (minutes // 60 % 24, "hour"), (minutes % 60, "minute"))
    first = next(index for index, (number, _) in enumerate(units) if number)
    return " ".join(_count(number, unit) for number, unit in units[first : first + 2] if number)


def describe_moment(moment: datetime, zone: str) -> str:
    """Return an instant by the clock of a zone and in UTC: Tue 24 Nov 2026, 06:00 CET (05:00 UTC)."""
    universal = moment.astimezone(UTC)
    try:
        local = moment.astimezone(ZoneInfo(zone))
    except (KeyError, ValueError, OSError, OverflowError):
        # A zone that was broken by hand, or whose clocks are beyond the calendar's last day
        local = universal
    in_utc = f" ({_clock(universal)} UTC)" if local.utcoffset() else ""
    name = local.tzname() or ""
    # Zones without an abbreviation of their own are called +03 and the like
    return f"{local:%a} {local.day} {local:%b %Y}, {_clock(local)} {name if name.isalpha() else f'UTC{name}'}{in_utc}"


def _look_up(name: str | None, options: Sequence[str | None], values: Mapping[str, str]) -> str:
    if name is None:
        return ""
    if name not in values or any(options):
        written = f"{{{name}}}" if name else "{}"
        raise TemplateError(
            f"{written} is no placeholder. Possible are {', '.join(f'{{{known}}}' for known in values)}."
        )
    return values[name]


def _values_of(text: Text, event: AlertEvent, matters: Sequence[ToldMatter], *, is_recovery: bool) -> dict[str, str]:
    words, first = WORDS[event], matters[0]
    alone = first if len(matters) == 1 else None
    return {
        "title": text.title,
        "text": text.body,
        "event": words.headline,
        "status": "well again" if is_recovery else "problem",
        "names": ", ".join(matter.name for matter in matters[:MOST_LISTED]),
        "number": f"{len(matters)}",
        "count": f"{sum(matter.count for matter in matters)}",
        "schedule_id": alone.schedule_id if alone else "",
        "task": alone.task_name if alone else "",
        "task_id": alone.task_id if alone else "",
        "due": describe_moment(alone.due_at, alone.zone) if alone and alone.due_at else "",
        "since": describe_moment(min(matter.since_at for matter in matters), first.zone),
        "what": alone.what if alone else "",
        "advice": "" if is_recovery else _join_advice(matters),
    }


def _tell_problem(event: AlertEvent, matter: ToldMatter) -> str:
    lines = [_shorten(matter.what, LONGEST_WHAT), *_facts_of(matter)]
    if event not in SITE_EVENTS and matter.count > 1:
        lines.append(f"How often: {matter.count:,} times since {describe_moment(matter.since_at, matter.zone)}")
    if matter.ended_at:
        lines.append(f"Well again since {describe_moment(matter.ended_at, matter.zone)}.")
    return "\n".join([*lines, "", f"What to do: {matter.advice}"])


def _tell_recovery(event: AlertEvent, matter: ToldMatter) -> str:
    return "\n".join([_capital(_well_again(event, matter)), *_facts_of(matter, is_recovery=True)])


def _facts_of(matter: ToldMatter, *, is_recovery: bool = False) -> list[str]:
    due = matter.due_at and describe_moment(matter.due_at, matter.zone)
    name = matter.name if matter.schedule_id else ""
    facts = {
        "Schedule": f"{name} ({matter.schedule_id})" if name else "",
        "Qlik task": f"{matter.task_name} ({matter.task_id})" if matter.task_name else matter.task_id,
        "The bad run was due" if is_recovery else "Due": due,
    }
    return [f"{label}: {value}" for label, value in facts.items() if value]


def _line_of(event: AlertEvent, matter: ToldMatter, *, is_recovery: bool) -> str:
    if is_recovery:
        return f"{matter.name}: {_well_again(event, matter)}"
    due = f", due {describe_moment(matter.due_at, matter.zone)}" if matter.due_at else ""
    often = f", {matter.count:,} times" if event not in SITE_EVENTS and matter.count > 1 else ""
    well = f" Well again since {describe_moment(matter.ended_at, matter.zone)}." if matter.ended_at else ""
    return f"{matter.name}{due}{often}: {_shorten(matter.what, LONGEST_LINE)}{well}"


def _well_again(event: AlertEvent, matter: ToldMatter) -> str:
    words = WORDS[event]
    lasted = describe_duration((matter.ended_at or matter.since_at) - matter.since_at)
    if event in SITE_EVENTS:
        return f"well again after {lasted}."
    return f"well again after {lasted}; {matter.count:,} {words.one if matter.count == 1 else words.many}."


def _join_advice(matters: Sequence[ToldMatter]) -> str:
    """Return what to do, each advice once."""
    return " ".join(dict.fromkeys(matter.advice for matter in matters if matter.advice))


def _clock(moment: datetime) -> str:
    return f"{moment:%H:%M:%S}" if moment.second else f"{moment:%H:%M}"


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}{'' if number == 1 else 's'}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _shorten(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1].rstrip()}…"
