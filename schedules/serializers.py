"""Butler's words for a schedule, and ours: the only place that knows both."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, ClassVar, TypeAlias, cast

from django.core.exceptions import ValidationError as BrokenRuleError
from django.utils import timezone
from rest_framework import serializers
from rest_framework.exceptions import ParseError, ValidationError

from schedules.fields import (
    MOST_SHOWN,
    DatesField,
    InstantField,
    SecondsField,
    StateField,
    TagsField,
    TextField,
    WholeNumberField,
    shown,
)
from schedules.models import Maintenance, Schedule
from schedules.validators import (
    validate_dates,
    validate_max_attempts,
    validate_max_runs,
    validate_public_id,
    validate_reason,
)

#: Butler's word for each text that a client sends, and the model's column for it
TEXTS = {
    "name": "title",
    "cronSchedule": "cron_schedule",
    "timezone": "timezone",
    "qlikSenseTaskId": "qlik_task_id",
    "startupState": "startup_state",
}

#: Words that Butler does not know, with their columns: clients may send them, and answers have those that differ from
#: the default
LIMITS = {
    "qlikSenseTaskTag": "target_tag",
    "qlikSenseTaskCustomProperty": "target_property",
    "misfire": "misfire",
    "misfireGrace": "misfire_grace",
    "startsAt": "starts_at",
    "endsAt": "ends_at",
    "maxRuns": "max_runs",
    "jitter": "jitter",
    "excludedDates": "excluded_dates",
    "overlap": "overlap",
    "retryDeadline": "retry_deadline",
    "maxAttempts": "max_attempts",
}

#: What is said of a schedule that is paused, and of no other
PAUSE = {"pausedUntil": "paused_until", "pauseReason": "pause_reason"}

#: What the service decides. Clients that send back what they got may send it too.
OURS = ("id", "created", "lastKnownState", *PAUSE)

_WORDS = {column: word for word, column in (TEXTS | LIMITS | PAUSE).items()}

Fields: TypeAlias = dict[str, serializers.Field[Any, Any, Any, Any]]


class BodySerializer(serializers.Serializer[Any]):
    """The body of a request: an object that has no other keys than these."""

    ignored: ClassVar[Collection[str]] = ()
    noun: ClassVar[str]

    def run_validation(self, data: Any = serializers.empty) -> Any:
        """Return the values of `data` by our names; raises ParseError where `data` is no object at all."""
        if not isinstance(data, Mapping):
            raise ParseError(f"{shown(data)} is not a JSON object. Send one with {', '.join(self.fields)}.")
        return super().run_validation(data)

    def to_internal_value(self, data: Mapping[str, object]) -> dict[str, Any]:
        """Return the values of `data` by our names; raises ValidationError with all that is wrong."""
        unknown = [key for key in data if key not in self.fields and key not in self.ignored]
        problems: dict[str, Any] = {key: [self._advise(key)] for key in unknown[:MOST_SHOWN]}
        try:
            values: dict[str, Any] = super().to_internal_value(data)
        except ValidationError as error:
            problems = cast("dict[str, Any]", error.detail) | problems
        if problems:
            raise ValidationError(problems)
        return values

    def _advise(self, key: str) -> str:
        meant = {word.casefold(): word for word in map(str, self.fields)}.get(key.casefold())
        advice = f"Did you mean {meant}?" if meant else f"Leave it out; the fields are {', '.join(self.fields)}."
        return f"{shown(key)} is not a field of a {self.noun}. {advice}"


class ScheduleSerializer(BodySerializer):
    """A schedule as clients of the API send it and get it."""

    ignored = OURS
    noun = "schedule"

    def get_fields(self) -> Fields:
        """Return a field for each word that may be sent."""
        fields: Fields = {word: _text_field(word, column) for word, column in TEXTS.items()}
        return fields | {
            "tags": TagsField(required=False),
            "qlikSenseTaskTag": _text_field("", "target_tag", required=False, allow_blank=True),
            "qlikSenseTaskCustomProperty": _text_field("", "target_property", required=False, allow_blank=True),
            "misfire": _text_field("misfire", "misfire", required=False),
            "misfireGrace": SecondsField(_column("misfire_grace"), source="misfire_grace", required=False),
            "startsAt": InstantField(source="starts_at", required=False, allow_null=True),
            "endsAt": InstantField(source="ends_at", required=False, allow_null=True),
            "maxRuns": WholeNumberField(validate_max_runs, source="max_runs", required=False, allow_null=True),
            "jitter": SecondsField(_column("jitter"), required=False),
            "excludedDates": DatesField(source="excluded_dates", required=False, validators=[validate_dates]),
            "overlap": _text_field("overlap", "overlap", required=False),
            "retryDeadline": SecondsField(_column("retry_deadline"), source="retry_deadline", required=False),
            "maxAttempts": WholeNumberField(
                validate_max_attempts, source="max_attempts", required=False, allow_null=True
            ),
        }

    def to_representation(self, schedule: Schedule) -> dict[str, Any]:
        """Return the schedule in Butler's words, in the order of Butler's answers; what it has not is left out."""
        created = {"created": _instant(schedule.created_at)} if schedule.created_at else {}
        texts = {word: getattr(schedule, column) for word, column in TEXTS.items()}
        tags = {"tags": schedule.tags} if schedule.tags else {}
        state = "started" if schedule.enabled else "stopped"
        limits = _differing(schedule, LIMITS)
        pause = _differing(schedule, PAUSE) if schedule.is_paused(at=self._now) else {}
        return {**created, **texts, **tags, **limits, "id": schedule.name, "lastKnownState": state, **pause}

    @cached_property
    def _now(self) -> datetime:
        return timezone.now()


class PauseSerializer(BodySerializer):
    """Until when a schedule is paused, and why."""

    noun = "pause"

    def get_fields(self) -> Fields:
        """Return a field for each word that may be sent."""
        return {"until": InstantField(), "reason": _reason_field("reason")}


class MaintenanceSerializer(BodySerializer):
    """Until when the site is in maintenance, where that is known, and why."""

    noun = "maintenance"

    def get_fields(self) -> Fields:
        """Return a field for each word that may be sent."""
        return {"until": InstantField(allow_null=True, default=None), "reason": _reason_field("reason")}

    def to_representation(self, maintenance: Maintenance | None) -> dict[str, Any]:
        """Return whether there is a maintenance, and what is known of it."""
        if maintenance is None:
            return {"active": False}
        until = {"until": _instant(maintenance.ended_at)} if maintenance.ended_at else {}
        reason = {"reason": maintenance.reason} if maintenance.reason else {}
        return {"active": True, "since": _instant(maintenance.began_at), **until, **reason}


class FileSerializer(ScheduleSerializer):
    """A schedule as it stands in a file: with its id, and with what the service would decide otherwise."""

    ignored = ()

    def get_fields(self) -> Fields:
        """Return a field for each word that may stand in a file."""
        own_id = _text_field("id", "name", rules=[validate_public_id])
        state = StateField(source="enabled", required=False)
        return super().get_fields() | {
            "id": own_id,
            "created": InstantField(source="created_at", required=False),
            "lastKnownState": state,
            "pausedUntil": InstantField(source="paused_until", required=False),
            "pauseReason": _reason_field("pause_reason", rules=[validate_reason]),
        }


class StatusSerializer(serializers.BaseSerializer[Schedule]):
    """Whether a schedule runs, in the words of Butler's status page."""

    def to_representation(self, schedule: Schedule) -> dict[str, str]:
        """Return id, cron text and status."""
        status = "Running" if schedule.enabled else "Stopped"
        return {"id": schedule.name, "cronSchedule": schedule.cron_schedule, "status": status}


@contextmanager
def refusing_by_words() -> Iterator[None]:
    """Tell of a rule that is broken by the words of the body, not by our columns."""
    try:
        yield
    except BrokenRuleError as error:
        raise ValidationError({_WORDS.get(name, name): told for name, told in error.message_dict.items()}) from error


def _text_field(word: str, column: str, **options: Any) -> TextField:
    # The framework wants no source where both have the same name
    source = None if word == column else column
    return TextField(_column(column), source=source, **options)


def _reason_field(source: str, **options: Any) -> TextField:
    options |= {} if source == "reason" else {"source": source}
    return TextField(_column("pause_reason"), allow_blank=True, default="", **options)


def _column(name: str) -> Any:
    return Schedule._meta.get_field(name)


def _differing(schedule: Schedule, columns: Mapping[str, str]) -> dict[str, Any]:
    """Return the values that are not the default ones, by their words."""
    found = {word: (getattr(schedule, column), _column(column).get_default()) for word, column in columns.items()}
    return {word: _plain(value) for word, (value, default) in found.items() if value != default}


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return _instant(value)
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
        return int(seconds) if seconds.is_integer() else seconds
    return value


def _instant(moment: datetime) -> str:
    """Return the text that JavaScript makes of an instant: UTC, milliseconds, Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
