"""Butler's words for a schedule, and ours: the only place that knows both."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias, cast

from django.db import models
from rest_framework import serializers
from rest_framework.exceptions import ParseError, ValidationError

from schedules.models import Schedule
from schedules.validators import validate_public_id

#: Butler's word for each text that a client sends, and the model's column for it
TEXTS = {
    "name": "title",
    "cronSchedule": "cron_schedule",
    "timezone": "timezone",
    "qlikSenseTaskId": "qlik_task_id",
    "startupState": "startup_state",
}

#: What the service decides. Clients that send back what they got may send it too.
OURS = ("id", "created", "lastKnownState")

Rule: TypeAlias = Callable[[str], None]
Fields: TypeAlias = dict[str, serializers.Field[Any, Any, Any, Any]]

# A client can repeat a mistake without end; this many are shown.
_MOST_SHOWN = 10


class TextField(serializers.CharField):
    """A text exactly as it was sent, under the rules of its column: nothing is trimmed, no number becomes a text."""

    default_error_messages = {
        "required": "This field is missing. Add it, as a text.",
        "null": "null is not a text. Give a text.",
        "blank": "The text is empty. Give at least one character.",
        "no_text": "{value} is not a text. Put it in quotes.",
        "unknown": "{value} is not one of {choices}. Give one of them.",
        "too_long": "The text has {length:,} characters, and {longest:,} are possible. Shorten it.",
        "character": "The text has the character U+{code:04X}, which cannot be stored. Leave it out.",
    }

    def __init__(self, column: models.CharField[str, str], *, rules: Sequence[Rule] = (), **options: Any) -> None:
        super().__init__(trim_whitespace=False, validators=[*column.validators, *rules], **options)
        self.longest = column.max_length or 0
        self.choices = [value for value, _ in column.choices or ()]

    def to_internal_value(self, data: object) -> str:
        """Return `data` when it is a text that can be stored; raises ValidationError."""
        if not isinstance(data, str):
            self.fail("no_text", value=_shown(data))
        if len(data) > self.longest:
            self.fail("too_long", length=len(data), longest=self.longest)
        if (character := _unstorable(data)) is not None:
            self.fail("character", code=ord(character))
        if self.choices and data not in self.choices:
            self.fail("unknown", value=_shown(data), choices=", ".join(self.choices))
        return data


class TagsField(serializers.Field[list[str], object, list[str], Any]):
    """A list of texts."""

    default_error_messages = {
        "null": 'null is not a list of texts. Give one such as ["Sales","Finance"], or leave the field out.',
        "no_list": '{value} is not a list of texts. Give one such as ["Sales","Finance"].',
    }

    def to_internal_value(self, data: object) -> list[str]:
        """Return `data` when it is a list of texts that can be stored; raises ValidationError."""
        if not isinstance(data, list):
            self.fail("no_list", value=_shown(data))
        problems = [
            f"Item {number}, {_shown(tag)}, {why}." for number, tag in enumerate(data, 1) if (why := _flaw(tag))
        ]
        if problems:
            raise ValidationError(problems[:_MOST_SHOWN])
        return data


class InstantField(serializers.Field[datetime, object, str, Any]):
    """An instant in ISO 8601 with its offset from UTC."""

    def to_internal_value(self, data: object) -> datetime:
        """Return the instant in UTC; raises ValidationError."""
        try:
            instant = datetime.fromisoformat(str(data))
            if instant.tzinfo is None:
                raise ValueError("no offset")
            return instant.astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise ValidationError(f"{_shown(data)} is no instant. Write it as 2020-10-15T05:31:16.123Z.") from error


class StateField(serializers.Field[bool, object, str, Any]):
    """Whether a schedule is started, in Butler's words."""

    default_error_messages = {"no_state": "{value} is not a state. Write started or stopped."}

    def to_internal_value(self, data: object) -> bool:
        """Return whether `data` says started; raises ValidationError."""
        if data not in ("started", "stopped"):
            self.fail("no_state", value=_shown(data))
        return data == "started"


class ScheduleSerializer(serializers.Serializer[Schedule]):
    """A schedule as clients of the API send it and get it."""

    ignored: Collection[str] = OURS

    def get_fields(self) -> Fields:
        """Return a field for each word that may be sent."""
        fields: Fields = {word: _text_field(word, column) for word, column in TEXTS.items()}
        return fields | {"tags": TagsField(required=False)}

    def run_validation(self, data: Any = serializers.empty) -> Any:
        """Return the values of `data` for the model; raises ParseError where `data` is no object at all."""
        if not isinstance(data, Mapping):
            raise ParseError(f"{_shown(data)} is not a JSON object. Send one with {', '.join(self.fields)}.")
        return super().run_validation(data)

    def to_internal_value(self, data: Mapping[str, object]) -> dict[str, Any]:
        """Return the values of `data` for the model; raises ValidationError with all that is wrong."""
        unknown = [key for key in data if key not in self.fields and key not in self.ignored]
        problems: dict[str, Any] = {key: [self._advise(key)] for key in unknown[:_MOST_SHOWN]}
        try:
            values: dict[str, Any] = super().to_internal_value(data)
        except ValidationError as error:
            problems = cast("dict[str, Any]", error.detail) | problems
        if problems:
            raise ValidationError(problems)
        return values

    def to_representation(self, schedule: Schedule) -> dict[str, Any]:
        """Return the schedule in Butler's words, in the order of Butler's answers; what it has not is left out."""
        created = {"created": _instant(schedule.created_at)} if schedule.created_at else {}
        texts = {word: getattr(schedule, column) for word, column in TEXTS.items()}
        tags = {"tags": schedule.tags} if schedule.tags else {}
        state = "started" if schedule.enabled else "stopped"
        return {**created, **texts, **tags, "id": schedule.name, "lastKnownState": state}

    def _advise(self, key: str) -> str:
        meant = {word.casefold(): word for word in map(str, self.fields)}.get(key.casefold())
        advice = f"Did you mean {meant}?" if meant else f"Leave it out; the fields are {', '.join(self.fields)}."
        return f"{_shown(key)} is not a field of a schedule. {advice}"


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
        }


class StatusSerializer(serializers.BaseSerializer[Schedule]):
    """Whether a schedule runs, in the words of Butler's status page."""

    def to_representation(self, schedule: Schedule) -> dict[str, str]:
        """Return id, cron text and status."""
        status = "Running" if schedule.enabled else "Stopped"
        return {"id": schedule.name, "cronSchedule": schedule.cron_schedule, "status": status}


def _text_field(word: str, column: str, **options: Any) -> TextField:
    # The framework wants no source where both have the same name
    source = None if word == column else column
    return TextField(cast("models.CharField[str, str]", Schedule._meta.get_field(column)), source=source, **options)


def _shown(value: object) -> str:
    text = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _flaw(tag: object) -> str:
    """Return why `tag` cannot be a tag; empty when it can."""
    if not isinstance(tag, str):
        return "is not a text"
    character = _unstorable(tag)
    return "" if character is None else f"has the character U+{ord(character):04X}, which cannot be stored"


def _unstorable(text: str) -> str | None:
    """Return the first character that a database refuses: NUL, or half of a surrogate pair."""
    return next((character for character in text if character == "\0" or "\ud800" <= character <= "\udfff"), None)


def _instant(moment: datetime) -> str:
    """Return the text that JavaScript makes of an instant: UTC, milliseconds, Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
