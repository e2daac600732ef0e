"""Text for a terminal of 80 columns, and who sits before it."""

from __future__ import annotations

import getpass
import textwrap
from typing import BinaryIO

from django.core.management.base import CommandError, OutputWrapper

from schedules.changes import Origin
from schedules.models import ScheduleChange

WIDTH = 80


def find_origin() -> Origin:
    """Return who has typed the command."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that has no name
        user = ""
    return Origin(ScheduleChange.Source.COMMAND, make_printable(user))


def refusal(sentence: str) -> CommandError:
    """Return the error that ends a command with this text."""
    # Django prints the name of the class in front of it
    room = len("CommandError: ")
    return CommandError(wrap("x" * room + sentence)[room:])


def wrap(text: str, *, indent: int = 0) -> str:
    """Return the text in lines that fit, all but the first of them indented."""
    return textwrap.fill(make_printable(text), WIDTH, subsequent_indent=" " * indent, break_on_hyphens=False)


def cut(text: str) -> str:
    """Return one line that fits, cut off where the text is longer."""
    text = make_printable(text)
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 3]}..."


def make_printable(text: str) -> str:
    """Return the text without characters that a terminal would obey."""
    return "".join(character if character.isprintable() else "?" for character in text)


def write_utf8(output: OutputWrapper, text: str) -> None:
    """Write the content of a file as it is, whatever the terminal's encoding."""
    raw: BinaryIO | None = getattr(output, "buffer", None)
    if raw is None:
        output.write(text, ending="")
        return
    output.flush()
    raw.write(text.encode())
