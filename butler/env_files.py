"""Files of `NAME=value` lines, such as .env: every line is read, a comment, or an error with its number.

A parser of our own, because those of libraries pass over lines that they cannot read, take `$` for a reference, or turn
`"COMPANY\\butler"` into something else. Nothing is ever replaced in a value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from butler.text_files import TextFileError, read_text_file

MAX_BYTES = 1024 * 1024

_LINE = re.compile(r"[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*(?P<value>.*?)[ \t]*")
_IGNORED = re.compile(r"[ \t]*(?:#.*)?")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_SINGLE = re.compile(r"'(?P<text>[^']*)'(?:[ \t]+#.*)?")
_DOUBLE = re.compile(r'"(?P<text>(?:[^"\\]|\\.)*)"(?:[ \t]+#.*)?')
_ESCAPE = re.compile(r'\\(["\\])')
_COMMENT_LIKE = re.compile(r"(?:^|[ \t])#")

_HINTS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"[ \t]*set[ \t]", re.IGNORECASE), " Leave out `set`."),
    (re.compile(r"[ \t]*[A-Za-z0-9_]+[ \t]*:"), " Write = in place of the colon."),
    (re.compile(r"[^=]*$"), " It has no =."),
    (re.compile(r"[^=]*="), " Names are made of letters, digits and _."),
)


class EnvFileError(Exception):
    """The file cannot be read; the message names it, the line, and what to do, and shows no value."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """What one line says."""

    name: str
    value: str
    line: int


def read_env_file(path: Path) -> list[Assignment]:
    """Return what the lines of the file say, in their order. Raises EnvFileError."""
    try:
        return parse_env_text(read_text_file(path, most_bytes=MAX_BYTES))
    except TextFileError as error:
        raise EnvFileError(f"{path} {error}.") from error
    except EnvFileError as error:
        raise EnvFileError(f"{path}, {error}") from error


def parse_env_text(text: str) -> list[Assignment]:
    """Return what the lines say; docs/configuration.md has the rules. Raises EnvFileError."""
    found: dict[str, Assignment] = {}
    # Not splitlines, which cuts values at characters that no editor takes for the end of a line
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        try:
            assignment = _parse_line(line, number)
        except ValueError as error:
            raise EnvFileError(f"line {number}: {error}") from error
        if assignment is None:
            continue
        if earlier := found.get(assignment.name):
            raise EnvFileError(
                f"line {number}: {assignment.name} stands in line {earlier.line} already. Take one of the two away."
            )
        found[assignment.name] = assignment
    return list(found.values())


def format_assignment(name: str, value: str) -> str:
    """Return the line that is read as this value again, with its end. The value has no control characters."""
    if re.fullmatch(r"[^\s'\"#]*", value):
        return f"{name}={value}\n"
    if "'" in value:
        escaped = re.sub(r'(["\\])', r"\\\1", value)
        return f'{name}="{escaped}"\n'
    return f"{name}='{value}'\n"


def _parse_line(line: str, number: int) -> Assignment | None:
    """Return what the line says, None for nothing; raise ValueError with the reason."""
    if _CONTROL.search(line):
        raise ValueError("it has a control character. Take it away; lines end with LF or CRLF.")
    if _IGNORED.fullmatch(line):
        return None
    match = _LINE.fullmatch(line)
    if match is None:
        hint = next(hint for pattern, hint in _HINTS if pattern.match(line))
        raise ValueError(f"it must read NAME=value, or begin with # as a comment.{hint}")
    return Assignment(match["name"], _parse_value(match["value"]), number)


def _parse_value(text: str) -> str:
    if text.startswith("'"):
        return _match_quoted(
            _SINGLE, text, "Single quotes end at the next one, so a value with one needs double quotes."
        )
    if text.startswith('"'):
        quoted = _match_quoted(_DOUBLE, text, r'Within double quotes, " is written \" and a \ before it \\.')
        return _ESCAPE.sub(r"\1", quoted)
    if _COMMENT_LIKE.search(text):
        raise ValueError("a # after a blank may be part of the value or a comment. Put the value in quotes.")
    return text


def _match_quoted(pattern: re.Pattern[str], text: str, advice: str) -> str:
    match = pattern.fullmatch(text)
    if match is None:
        raise ValueError(
            f"the value must end, on this line, with the quote that it begins with. {advice}"
            " A value of several lines stands in a file of its own, named by NAME_FILE."
        )
    return match["text"]
