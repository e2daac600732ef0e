"""QRS's filter expressions, such as `tags.name eq 'Finance' and (enabled eq true or maxRetries ge 1)`.

Operators and letter case as in Qlik's Repository Service API, "Filtering".
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from qlik.execution import ExecutionStatus

Predicate = Callable[[Mapping[str, Any]], bool]
Test = Callable[[Any], bool]

TOKEN = re.compile(r"\s*([()]|'(?:[^']|'')*'|[^\s()']+)")
BARE_VALUE = re.compile(r"true|false|-?\d+|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
NAME = re.compile(r"[A-Za-z@]\w*(\.[A-Za-z@]\w*)*")
DATE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?", re.IGNORECASE)
# How the names of properties end that are dates
DATE_NAMES = ("time", "date", "execution")
EQUALITIES = {"eq", "ne"}
ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
}
PARTS: dict[str, Callable[[str, str], bool]] = {"sw": str.startswith, "ew": str.endswith, "so": operator.contains}
STATUS_NAMES = {status.name.replace("_", "").lower(): str(status.value) for status in ExecutionStatus if status >= 0}


class FilterError(Exception):
    """The filter cannot be understood."""


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter that is understood: called with a document it tells whether that passes."""

    test: Predicate
    # By dotted name in lower case: a document that has none of these values there cannot pass.
    pinned: Mapping[str, frozenset[str]] = field(default_factory=dict)
    # Where it looks, if `pinned` is all there is to it.
    path: tuple[str, ...] = ()

    def __call__(self, document: Mapping[str, Any]) -> bool:
        return self.test(document)


EVERYTHING = Filter(lambda _: True)


def parse_filter(text: str) -> Filter:
    """Return what a filter means. Raises FilterError.

    Knows `eq`, `ne`, `gt`, `ge`, `lt`, `le`, `sw`, `ew`, `so`, `and`, `or`, parentheses, dotted names, bare guids,
    numbers, booleans and names of a status, and texts and dates in single quotes with quotes doubled. Letter case
    does not count. A name that leads into a list holds when it holds for one element.
    """
    parser = _Parser(text)
    found = parser.parse_or()
    parser.expect("")
    return found


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = _split_tokens(text)
        self._next = next(self._tokens, "")

    def parse_or(self) -> Filter:
        return _join_alternatives(self._parse_chain("or", self._parse_and))

    def _parse_and(self) -> Filter:
        return _join_conditions(self._parse_chain("and", self._parse_term))

    def _parse_chain(self, word: str, parse: Callable[[], Filter]) -> list[Filter]:
        parts = [parse()]
        while self._next.lower() == word:
            self._take()
            parts.append(parse())
        return parts

    def _parse_term(self) -> Filter:
        if self._next != "(":
            return self._parse_comparison()
        self._take()
        found = self.parse_or()
        self.expect(")")
        return found

    def _parse_comparison(self) -> Filter:
        name, word, value = self._take(), self._take().lower(), self._take()
        if not NAME.fullmatch(name) or word not in EQUALITIES | ORDERS.keys() | PARTS.keys():
            raise FilterError(f"'{name} {word} {value}' is no comparison.")
        path, wanted = tuple(name.split(".")), _parse_value(value, name)
        if word == "eq":
            return _make_choice(path, frozenset([wanted]))
        test = _make_test(word, wanted)
        return Filter(lambda document: any(map(test, find(document, path))))

    def _take(self) -> str:
        token, self._next = self._next, next(self._tokens, "")
        return token

    def expect(self, token: str) -> None:
        if (found := self._take()) != token:
            raise FilterError(f"{found or 'the end'!r} stands where {token or 'the end'!r} should.")


def _make_choice(path: tuple[str, ...], wanted: frozenset[str]) -> Filter:
    return Filter(
        lambda document: any(_comparable(found) in wanted for found in find(document, path)),
        {".".join(path).lower(): wanted},
        path,
    )


def _make_test(word: str, wanted: str) -> Test:
    if word == "ne":
        return lambda found: _comparable(found) != wanted
    if word in PARTS:
        return lambda found: PARTS[word](_comparable(found), wanted)
    compare = ORDERS[word]
    if DATE.match(wanted):
        # Dates of QRS have one length, so that their texts are in their order.
        return lambda found: compare(_comparable(found), wanted)
    if not wanted.lstrip("-").isdecimal():
        raise FilterError(f"{wanted!r} has no order: only dates and numbers have.")
    number = int(wanted)
    return lambda found: isinstance(found, int) and compare(found, number)


def _join_alternatives(parts: list[Filter]) -> Filter:
    """Return the filter that lets through what one of them does: thousands of ids cost no more than one."""
    parts = _merge_choices(parts)
    if len(parts) == 1:
        return parts[0]
    pinned = {
        name: frozenset[str]().union(*(part.pinned[name] for part in parts))
        for name in parts[0].pinned
        if all(name in part.pinned for part in parts)
    }
    return Filter(lambda document: any(part(document) for part in parts), pinned)


def _merge_choices(parts: list[Filter]) -> list[Filter]:
    """Return the filters with one for all that choose among values of the same name."""
    choices: dict[tuple[str, ...], frozenset[str]] = {}
    for part in parts:
        if part.path:
            (wanted,) = part.pinned.values()
            choices[part.path] = choices.get(part.path, frozenset()) | wanted
    merged = [_make_choice(path, wanted) for path, wanted in choices.items()]
    return [*merged, *(part for part in parts if not part.path)]


def _join_conditions(parts: list[Filter]) -> Filter:
    if len(parts) == 1:
        return parts[0]
    pinned = {name: wanted for part in parts for name, wanted in part.pinned.items()}
    return Filter(lambda document: all(part(document) for part in parts), pinned)


def _split_tokens(text: str) -> Iterator[str]:
    position, text = 0, text.rstrip()
    while position < len(text):
        match = TOKEN.match(text, position)
        if not match:
            raise FilterError(f"A quote is not closed in {text[position:]!r}.")
        yield match[1]
        position = match.end()


def _parse_value(token: str, name: str) -> str:
    """Return a value as `_comparable` writes it."""
    if token.startswith("'"):
        text = token[1:-1].replace("''", "'").lower()
        return _parse_date(text) if name.lower().endswith(DATE_NAMES) and DATE.fullmatch(text) else text
    if name.lower().endswith("status"):
        token = STATUS_NAMES.get(token.lower(), token)
    if not BARE_VALUE.fullmatch(token):
        raise FilterError(f"{token or 'the end'!r} is no value: texts stand in single quotes.")
    return token.lower()


def _parse_date(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError as error:
        raise FilterError(f"{text!r} is no date: {error}.") from error
    # One without a zone is UTC.
    return format_instant(moment if moment.tzinfo else moment.replace(tzinfo=UTC)).lower()


def format_instant(instant: datetime) -> str:
    """Return a moment as QRS writes it: UTC, milliseconds, Z."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _comparable(value: object) -> str:
    """Return guids, texts, numbers and booleans as a filter writes them, in lower case."""
    return str(value).lower()


def find(document: object, path: Sequence[str]) -> Iterator[object]:
    """Yield each value that a dotted name leads to, in any letter case. Raises FilterError if none."""
    if isinstance(document, list):
        for element in document:
            yield from find(element, path)
    elif not path:
        yield document
    elif isinstance(document, Mapping):
        yield from find(_get(document, path[0]), path[1:])


def sort_documents(documents: Iterable[dict[str, Any]], order: str) -> list[dict[str, Any]]:
    """Return documents in the order of an `orderby`, such as `startTime desc`. Raises FilterError."""
    name, _, direction = order.strip().partition(" ")
    direction = direction.strip().lower() or "asc"
    if not NAME.fullmatch(name) or direction not in {"asc", "desc"}:
        raise FilterError(f"{order!r} is no order: it must read like 'startTime desc'.")
    path = name.split(".")
    return sorted(documents, key=lambda document: _rank(document, path), reverse=direction == "desc")


def _rank(document: dict[str, Any], path: Sequence[str]) -> tuple[int, str]:
    value = next(find(document, path), "")
    return (value, "") if isinstance(value, int) else (0, str(value).lower())


def _get(document: Mapping[str, Any], name: str) -> object:
    if name in document:
        return document[name]
    for key, value in document.items():
        if key.lower() == name.lower():
            return value
    raise FilterError(f"{name!r} is no property.")
