"""The kinds of values in a body: what may be sent, what is made of it, and what is said of anything else."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import models
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from schedules.instants import parse_instant
from schedules.validators import find_unstorable

Rule = Callable[[str], None]

#: A client can repeat a mistake without end; this many are shown
MOST_SHOWN = 10


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
            self.fail("no_text", value=shown(data))
        if (character := find_unstorable(data)) is not None:
            self.fail("character", code=ord(character))
        if self.choices and data not in self.choices:
            self.fail("unknown", value=shown(data), choices=", ".join(self.choices))
        if len(data) > self.longest:
            self.fail("too_long", length=len(data), longest=self.longest)
        return data


class TagsField(serializers.Field[list[str], object, list[str], Any]):
    """A list of texts."""

    default_error_messages = {
        "null": "null is not a list of texts. Give one such as {example}, or leave the field out.",
        "no_list": "{value} is not a list of texts. Give one such as {example}.",
    }
    example = '["Sales","Finance"]'

    def validate_empty_values(self, data: object) -> tuple[bool, Any]:
        """Refuse null by its own message."""
        if data is None:
            self.fail("null", example=self.example)
        return super().validate_empty_values(data)

    def to_internal_value(self, data: object) -> list[str]:
        """Return `data` when it is a list of texts that can be stored; raises ValidationError."""
        if not isinstance(data, list):
            self.fail("no_list", value=shown(data), example=self.example)
        problems = [f"Item {number}, {shown(tag)}, {why}." for number, tag in enumerate(data, 1) if (why := _flaw(tag))]
        if problems:
            raise ValidationError(problems[:MOST_SHOWN])
        return data


class DatesField(TagsField):
    """A list of days and ranges of days."""

    example = '["2026-12-24","2026-12-31/2027-01-01"]'


class InstantField(serializers.Field[datetime, object, str, Any]):
    """An instant in ISO 8601 with its offset from UTC."""

    default_error_messages = {
        "required": "This field is missing. Add it, as an instant such as 2020-10-15T05:31:16.123Z.",
        "null": "null is no instant. Write it as 2020-10-15T05:31:16.123Z.",
    }

    def to_internal_value(self, data: object) -> datetime:
        """Return the instant in UTC; raises ValidationError."""
        try:
            return parse_instant(data if isinstance(data, str) else "")
        except ValueError as error:
            raise ValidationError(f"{shown(data)} is no instant. Write it as 2020-10-15T05:31:16.123Z.") from error


class StateField(serializers.Field[bool, object, str, Any]):
    """Whether a schedule is started, in Butler's words."""

    default_error_messages = {"no_state": "{value} is not a state. Write started or stopped."}

    def to_internal_value(self, data: object) -> bool:
        """Return whether `data` says started; raises ValidationError."""
        if data not in ("started", "stopped"):
            self.fail("no_state", value=shown(data))
        return data == "started"


class SecondsField(serializers.Field[timedelta, object, float, Any]):
    """A span of time as a number of seconds, fractions allowed, under the rules of its column."""

    default_error_messages = {
        "null": "null is not a number of seconds. Give one such as 30, or leave the field out.",
        "no_number": "{value} is not a number of seconds. Give one such as 30, without quotes.",
        "too_great": "{value} seconds are more than any schedule may have. Give fewer.",
    }

    def __init__(self, column: models.DurationField[Any, Any], **options: Any) -> None:
        super().__init__(validators=column.validators, **options)

    def to_internal_value(self, data: object) -> timedelta:
        """Return the span; raises ValidationError."""
        if not isinstance(data, int | float) or isinstance(data, bool):
            self.fail("no_number", value=shown(data))
        try:
            return timedelta(seconds=data)
        except (OverflowError, ValueError):
            self.fail("too_great", value=shown(data))


class WholeNumberField(serializers.Field[int, object, int, Any]):
    """A whole number under the rules of its column."""

    default_error_messages = {"no_number": "{value} is not a whole number. Give one such as 10, without quotes."}

    def __init__(self, rule: Callable[[int], None], **options: Any) -> None:
        super().__init__(validators=[rule], **options)

    def to_internal_value(self, data: object) -> int:
        """Return `data` when it is a whole number; raises ValidationError."""
        if not isinstance(data, int) or isinstance(data, bool):
            self.fail("no_number", value=shown(data))
        return data


def shown(value: object) -> str:
    """Return what a client has sent, as it stands in a message."""
    text = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _flaw(tag: object) -> str:
    """Return why `tag` cannot be a tag; empty when it can."""
    if not isinstance(tag, str):
        return "is not a text"
    character = find_unstorable(tag)
    return "" if character is None else f"has the character U+{ord(character):04X}, which cannot be stored"
