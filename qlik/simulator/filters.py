"""QRS's filter expressions, such as `tags.name eq 'Finance' and (enabled eq true or maxRetries ne 0)`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Predicate = Callable[[Mapping[str, Any]], bool]

TOKEN = re.compile(r"\s*([()]|'(?:[^']|'')*'|[^\s()']+)")
BARE_VALUE = re.compile(r"true|false|-?\d+|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
NAME = re.compile(r"[A-Za-z@]\w*(\.[A-Za-z@]\w*)*")


class FilterError(Exception):
    """The filter cannot be understood."""


def parse_filter(text: str) -> Predicate:
    """Return a function that tells whether a document passes. Raises FilterError.

    Knows `eq`, `ne`, `and`, `or`, parentheses, dotted names, bare guids, numbers and booleans, and texts in
    single quotes with quotes doubled. A name that leads into a list holds when it holds for one element.
    """
    parser = _Parser(text)
    predicate = parser.parse_or()
    parser.expect("")
    return predicate


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = _split_tokens(text)
        self._next = next(self._tokens, "")

    def parse_or(self) -> Predicate:
        return self._parse_chain("or", any, self._parse_and)

    def _parse_and(self) -> Predicate:
        return self._parse_chain("and", all, self._parse_term)

    def _parse_chain(
        self, word: str, combine: Callable[[Iterator[bool]], bool], parse: Callable[[], Predicate]
    ) -> Predicate:
        parts = [parse()]
        while self._next.lower() == word:
            self._take()
            parts.append(parse())
        return parts[0] if len(parts) == 1 else lambda document: combine(part(document) for part in parts)

    def _parse_term(self) -> Predicate:
        if self._next != "(":
            return self._parse_comparison()
        self._take()
        predicate = self.parse_or()
        self.expect(")")
        return predicate

    def _parse_comparison(self) -> Predicate:
        name, operator, value = self._take(), self._take().lower(), self._take()
        if not NAME.fullmatch(name) or operator not in {"eq", "ne"}:
            raise FilterError(f"'{name} {operator} {value}' is no comparison.")
        path, wanted, equal = name.split("."), _parse_value(value), operator == "eq"
        return lambda document: any((_comparable(found) == wanted) is equal for found in find(document, path))

    def _take(self) -> str:
        token, self._next = self._next, next(self._tokens, "")
        return token

    def expect(self, token: str) -> None:
        if (found := self._take()) != token:
            raise FilterError(f"{found or 'the end'!r} stands where {token or 'the end'!r} should.")


def _split_tokens(text: str) -> Iterator[str]:
    position, text = 0, text.rstrip()
    while position < len(text):
        match = TOKEN.match(text, position)
        if not match:
            raise FilterError(f"A quote is not closed in {text[position:]!r}.")
        yield match[1]
        position = match.end()


def _parse_value(token: str) -> str:
    if token.startswith("'"):
        return token[1:-1].replace("''", "'")
    if not BARE_VALUE.fullmatch(token):
        raise FilterError(f"{token or 'the end'!r} is no value: texts stand in single quotes.")
    return token.lower()


def _comparable(value: object) -> str:
    """Return guids and texts as they are, numbers and booleans as a filter writes them."""
    return value if isinstance(value, str) else str(value).lower()


def find(document: object, path: list[str]) -> Iterator[object]:
    """Yield each value that a dotted name leads to, in any letter case. Raises FilterError if none."""
    if isinstance(document, list):
        for element in document:
            yield from find(element, path)
    elif not path:
        yield document
    elif isinstance(document, Mapping):
        yield from find(_get(document, path[0]), path[1:])


def _get(document: Mapping[str, Any], name: str) -> object:
    if name in document:
        return document[name]
    for key, value in document.items():
        if key.lower() == name.lower():
            return value
    raise FilterError(f"{name!r} is no property.")
