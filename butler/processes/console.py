"""What people see: one line at a time, each behind the name of the process that wrote it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Self, TextIO

#: The supervisor's own name among those of its processes
OWN_NAME = "butler"

_WIDTH = 9
_RESET = "\x1b[0m"
_COLOURS = {
    OWN_NAME: "\x1b[1m",
    "web": "\x1b[32m",
    "beat": "\x1b[33m",
    "worker": "\x1b[36m",
    "simulator": "\x1b[35m",
    "redis": "\x1b[34m",
}


class Console:
    """Writes to a terminal, a pipe or a file, also after its reader is gone."""

    def __init__(self, stream: TextIO, *, colours: bool) -> None:
        self._stream = stream
        self._colours = colours

    @classmethod
    def on(cls, stream: TextIO, *, environment: Mapping[str, str]) -> Self:
        """Return a console in colour where `stream` is a terminal that shows it and NO_COLOR is not set.

        NO_COLOR is the convention of https://no-color.org.
        """
        plain = environment.get("NO_COLOR") or environment.get("TERM") == "dumb"
        return cls(stream, colours=stream.isatty() and not plain)

    def show(self, name: str, line: str) -> None:
        """Write one line of the process `name`."""
        prefix = f"{name:<{_WIDTH}} |"
        if self._colours:
            prefix = f"{_COLOURS.get(name, '')}{prefix}{_RESET}"
        self.write(f"{prefix} {without_control_codes(line)}\n")

    def say(self, line: str) -> None:
        """Write one line of the supervisor itself."""
        self.show(OWN_NAME, line)

    def write(self, text: str) -> None:
        """Write text as it is."""
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:
            # The terminal was closed, or whoever read the pipe is gone: the service goes on without them
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


def without_control_codes(line: str) -> str:
    """Return `line` with a mark for each character that could move the cursor or rename the window."""
    if line.isprintable():
        return line
    return "".join(char if char.isprintable() or char == "\t" else "\N{REPLACEMENT CHARACTER}" for char in line)
