"""Filters for the lists of QRS, safe for every value: `str()` of one is what QRS reads.

The grammar is QRS's own: https://help.qlik.com, Repository Service API, "Filtering".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias
from urllib.parse import quote
from uuid import UUID

Value: TypeAlias = UUID | str | bool | int | datetime

PROPERTY = re.compile(r"[A-Za-z][A-Za-z0-9]*(\.[A-Za-z][A-Za-z0-9]*)*")


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition that rows must meet: all that is `required`, and one of the `alternatives`.

    Without both it lets everything through; with no alternative but an empty tuple of them, nothing.
    """

    required: tuple[str, ...] = ()
    alternatives: tuple[str, ...] | None = None

    def __str__(self) -> str:
        """Return the condition as QRS reads it; of one that nothing meets there is no such text."""
        if self.alternatives is None:
            return " and ".join(self.required)
        return " and ".join([*self.required, _join_alternatives(self.alternatives, alone=not self.required)])

    @property
    def is_never_met(self) -> bool:
        """Whether QRS need not be asked, for no row can pass."""
        return self.alternatives == ()

    def split(self, length: int) -> Iterator[Filter]:
        """Return filters that together let the same through, none longer than `length` characters of a URL.

        Raises ValueError when there are no alternatives to make it shorter by.
        """
        if self.is_never_met:
            return
        if _encoded_length(str(self)) <= length:
            yield self
            return
        if self.alternatives is None or len(self.alternatives) == 1:
            raise ValueError(f"The filter is longer than {length} characters and cannot be split: {str(self)[:100]}…")
        middle = len(self.alternatives) // 2
        for half in (self.alternatives[:middle], self.alternatives[middle:]):
            yield from Filter(self.required, half).split(length)


def equals(name: str, value: Value) -> Filter:
    """Let through what has this value; of a list such as `tags.name`, what has it among others."""
    return _compare(name, "eq", value)


def differs(name: str, value: Value) -> Filter:
    """Let through what has another value."""
    return _compare(name, "ne", value)


def since(name: str, moment: datetime) -> Filter:
    """Let through what happened at this moment or later."""
    return _compare(name, "ge", moment)


def before(name: str, moment: datetime) -> Filter:
    """Let through what happened earlier than this moment."""
    return _compare(name, "lt", moment)


def one_of(name: str, values: Iterable[Value]) -> Filter:
    """Let through what has one of these values; of no values, nothing."""
    return any_of(*(equals(name, value) for value in values))


def any_of(*filters: Filter) -> Filter:
    """Let through what one of the filters lets through; of no filters, nothing."""
    if Filter() in filters:
        return Filter()
    return Filter(alternatives=tuple(text for part in filters for text in _alternatives_of(part)))


def all_of(*filters: Filter) -> Filter:
    """Let through what all of the filters let through; of no filters, everything."""
    groups = [part.alternatives for part in filters if part.alternatives is not None]
    if () in groups:
        return Filter(alternatives=())
    required = [text for part in filters for text in part.required]
    # The longest stays what the filter can be split by
    groups.sort(key=len)
    required += [_join_alternatives(group, alone=False) for group in groups[:-1]]
    return Filter(tuple(required), groups[-1] if groups else None)


def _compare(name: str, operator: str, value: Value) -> Filter:
    if not PROPERTY.fullmatch(name):
        raise ValueError(f"{name!r} is no property of QRS: it must read name or name.name.")
    return Filter((f"{name} {operator} {_write(value)}",))


def _write(value: Value) -> str:
    match value:
        case bool():
            return str(value).lower()
        case UUID():
            return str(value)
        case int():
            return str(int(value))
        case datetime():
            return f"'{_write_moment(value)}'"
        case str():
            return "'{}'".format(value.replace("'", "''"))


def _write_moment(moment: datetime) -> str:
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone, so QRS would not know which moment it is.")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _alternatives_of(part: Filter) -> tuple[str, ...]:
    if part.alternatives is not None and not (part.required and part.alternatives):
        return part.alternatives
    return (str(part) if len(part.required) == 1 and part.alternatives is None else f"({part})",)


def _join_alternatives(alternatives: tuple[str, ...], *, alone: bool) -> str:
    text = " or ".join(alternatives)
    return text if alone or len(alternatives) == 1 else f"({text})"


def _encoded_length(text: str) -> int:
    return len(quote(text, safe=""))
