"""Rules for one value of a schedule, the same for every door: the API, the admin, files and commands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from urllib.parse import unquote
from zoneinfo import available_timezones

from django.core.exceptions import ValidationError

from schedules.cron import CronExpression, CronSyntaxError
from schedules.timetable import parse_dates

#: Words that stand where an id stands in the API's paths
RESERVED_IDS = frozenset({"start", "stop", "startall", "stopall", "status", "pause", "resume", "backfill"})

#: Stands where a task's id does for: only what is named beside it
NO_TASK_ID = "-"

#: The longest time by which jitter may put a start off
MOST_JITTER = timedelta(days=1)
#: The longest time that late may be without being missed
MOST_GRACE = timedelta(days=366)
#: The longest time that a start may be tried again, and the most attempts
MOST_DEADLINE = timedelta(days=7)
MOST_ATTEMPTS = 1000
#: The greatest number that PostgreSQL's column holds
MOST_RUNS = 2_147_483_647
#: The longest reason for a pause or a maintenance
LONGEST_REASON = 200

#: Files and folders beside the zones: what this machine is set to, what nobody has set, and other ways to count seconds
_NO_ZONES = frozenset({"Factory", "localtime", "posix", "posixrules", "right"})

_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

_IN_BRACES = re.compile(r"\{[^{}]*\}")


def validate_cron(text: str) -> None:
    """Refuse what is no cron expression of the dialect in docs/reference/cron.md."""
    try:
        CronExpression.parse(text)
    except CronSyntaxError as error:
        raise ValidationError(str(error), code="cron") from error


def validate_time_zone(name: str) -> None:
    """Refuse a name that the IANA time zone database does not have; upper and lower case count."""
    if name not in list_time_zones():
        raise ValidationError(
            f"{name!r} is not a time zone of the IANA database. Use a name such as Europe/Stockholm or UTC."
            f"{_similar_zone(name)}",
            code="time_zone",
        )


def validate_task_of_schedule(text: str) -> None:
    """Refuse what is neither the id of a task nor the sign for none, which goes with a tag or a custom property."""
    if text != NO_TASK_ID:
        validate_task_id(text)


def is_task_id(text: str) -> bool:
    """Return whether a text is a GUID in its usual form, as the ids of tasks are."""
    return bool(_GUID.fullmatch(text))


def validate_task_id(text: str) -> None:
    """Refuse what is no GUID in its usual form; Qlik Sense shows a task's id in that form."""
    if not is_task_id(text):
        raise ValidationError(
            f"{text!r} is not a GUID. Copy the task's id from the Qlik Management Console; it looks like "
            f"0fe447a9-ba1f-44a9-ac23-68c3a1d88d8b.",
            code="task_id",
        )


def validate_public_id(text: str) -> None:
    """Refuse an id that could not be used in the API's paths, or that is too long for the database."""
    if not 1 <= len(text) <= 200 or text != text.strip() or not text.isprintable():
        raise ValidationError(
            f"{text[:60]!r} cannot be an id. Use 1 to 200 printable characters, no space at either end.",
            code="public_id",
        )
    for reading in _readings_in_path(text):
        parts = reading.split("/")
        if "." in parts or ".." in parts:
            raise ValidationError(
                f"{text[:60]!r} cannot be an id: clients take the dots for a way to another address of the API. "
                "Choose another one.",
                code="public_id",
            )
        # With a slash in it, an id could end as the paths do that start and stop the id before the slash
        if parts[-1] in RESERVED_IDS:
            raise ValidationError(
                f"{text[:60]!r} cannot be an id, its end has a meaning of its own in the API's paths. "
                "Choose another one.",
                code="public_id",
            )


def _readings_in_path(public_id: str) -> Iterator[str]:
    """Yield what a client may make of an id that it puts into a path, escaped as it should be or as it stands.

    `stop?x` as it stands is a stop of all schedules, and `%2e` is a dot.
    """
    reading = public_id
    while True:
        slashed = reading.replace("\\", "/")
        # curl takes what is in braces for alternatives: of `{.,x}` it makes a call for `.` and one for `x`
        parted = _IN_BRACES.sub(lambda found: re.sub("[{},]", "/", found[0]), slashed)
        yield from {slashed, re.split("[?#]", slashed, maxsplit=1)[0], parted}
        decoded = unquote(reading)
        if decoded == reading:
            return
        reading = decoded


def validate_target_text(text: str) -> None:
    """Refuse a tag of Qlik Sense, or a part of a custom property, that cannot be looked for."""
    if text != text.strip() or not text.isprintable():
        raise ValidationError(
            f"{text[:60]!r} cannot be looked for. Use printable characters, no space at either end.", code="target"
        )


def validate_target_property(text: str) -> None:
    """Refuse what is no custom property with its value; nothing is allowed."""
    validate_target_text(text)
    name, _, value = text.partition("=")
    if text and not (name.strip() and value.strip()):
        raise ValidationError(
            f"{text[:60]!r} is no custom property with its value. Write Name=Value, such as Department=Finance.",
            code="target",
        )


def validate_target(*, qlik_task_id: str, tag: str, custom_property: str) -> None:
    """Refuse a schedule that aims at nothing at all."""
    if qlik_task_id == NO_TASK_ID and not tag and not custom_property:
        raise ValidationError(
            {
                "qlik_task_id": f"No task is named ({NO_TASK_ID}), so a tag or a custom property must say which "
                "tasks to start. Give one of them, or the id of a task."
            },
            code="target",
        )


def validate_tags(tags: object) -> None:
    """Refuse tags that are not a list of texts that can be stored."""
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise ValidationError(f'{tags!r} is not a list of texts. Use one such as ["Sales", "Finance"].', code="tags")
    for tag in tags:
        if (character := find_unstorable(tag)) is not None:
            problem = f"{tag[:60]!r} has the character U+{ord(character):04X}, which cannot be stored."
            raise ValidationError(f"{problem} Leave it out.", code="tags")


def find_unstorable(text: str) -> str | None:
    """Return the first character that a database refuses: NUL, or half of a surrogate pair."""
    return next((character for character in text if character == "\0" or "\ud800" <= character <= "\udfff"), None)


def validate_dates(texts: object) -> None:
    """Refuse excluded dates that are not a list of dates or ranges of dates."""
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValidationError(f'{texts!r} is not a list of dates. Use one such as ["2026-12-24"].', code="dates")
    try:
        parse_dates(texts)
    except ValueError as error:
        raise ValidationError(str(error), code="dates") from error


def validate_jitter(jitter: timedelta) -> None:
    """Refuse a jitter that is negative or longer than a day."""
    if not timedelta(0) <= jitter <= MOST_JITTER:
        raise ValidationError(f"{jitter} cannot be the jitter. Use 0 to 24 hours.", code="jitter")


def validate_grace(grace: timedelta) -> None:
    """Refuse a misfire grace that is negative or longer than a year."""
    if not timedelta(0) <= grace <= MOST_GRACE:
        raise ValidationError(f"{grace} cannot be the misfire grace. Use 0 seconds to 366 days.", code="grace")


def validate_retry_deadline(deadline: timedelta) -> None:
    """Refuse a time for further attempts that is negative or longer than a week; none is a single attempt."""
    if not timedelta(0) <= deadline <= MOST_DEADLINE:
        raise ValidationError(f"{deadline} cannot be the retry deadline. Use 0 seconds to 7 days.", code="deadline")


def validate_max_attempts(number: int) -> None:
    """Refuse a greatest number of attempts that is none at all, or absurd."""
    if not 1 <= number <= MOST_ATTEMPTS:
        raise ValidationError(
            f"{number} cannot be the greatest number of attempts. Use 1 to {MOST_ATTEMPTS:,}, or none.",
            code="max_attempts",
        )


def validate_max_runs(number: int) -> None:
    """Refuse a greatest number of runs that is none at all, or that the database cannot hold."""
    if not 1 <= number <= MOST_RUNS:
        raise ValidationError(
            f"{number} cannot be the greatest number of runs. Use a whole number from 1 to {MOST_RUNS:,}, or none.",
            code="max_runs",
        )


def validate_period(starts_at: datetime | None, ends_at: datetime | None) -> None:
    """Refuse an end that is not later than the beginning; None is no limit."""
    if starts_at is not None and ends_at is not None and ends_at <= starts_at:
        problem = f"The end, {_in_utc(ends_at)}, is not later than the beginning, {_in_utc(starts_at)}."
        raise ValidationError({"ends_at": f"{problem} Give a later end, or leave one of them out."}, code="period")


def validate_until(until: datetime, *, now: datetime) -> None:
    """Refuse an end of a pause or a maintenance that has passed."""
    if until <= now:
        raise ValidationError(
            f"{_in_utc(until)} has passed, it is {_in_utc(now)} now. Give an instant in the future.", code="until"
        )


def validate_reason(reason: str) -> None:
    """Refuse a reason that is no line of text, or too long for the database."""
    if len(reason) > LONGEST_REASON or not reason.isprintable():
        rule = f"Use at most {LONGEST_REASON} printable characters on one line."
        raise ValidationError(f"{reason[:60]!r} cannot be the reason. {rule}", code="reason")


def validate_closure(*, until: datetime | None, reason: str, now: datetime) -> None:
    """Refuse a pause or a maintenance by the rules for its end, None where it has none, and for its reason."""
    problems: dict[str, ValidationError] = {}
    try:
        if until is not None:
            validate_until(until, now=now)
    except ValidationError as error:
        problems["until"] = error
    try:
        validate_reason(reason)
    except ValidationError as error:
        problems["reason"] = error
    if problems:
        raise ValidationError(problems)


def _in_utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _similar_zone(name: str) -> str:
    by_folded = {zone.casefold(): zone for zone in list_time_zones()}
    wanted = name.strip().casefold().replace(" ", "_")
    return f" Did you mean {by_folded[wanted]}?" if wanted in by_folded else ""


@cache
def list_time_zones() -> frozenset[str]:
    """Return the names of the IANA database that mean the same on every machine."""
    kept = (name for name in available_timezones() if name.partition("/")[0] not in _NO_ZONES)
    return frozenset(kept)
