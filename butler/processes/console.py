"""What people see: one line at a time, each behind the name of the process that wrote it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from queue import Full, Queue
from threading import Thread
from typing import Self, TextIO

#: The supervisor's own name among those of its processes
OWN_NAME = "butler"
#: So many texts wait for a terminal that is held up; what comes then is lost
MOST_WAITING = 10_000

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


def kind_of(name: str) -> str:
    """Return what kind of process has this name: worker for worker-2."""
    return name.partition("-")[0]


class Console:
    """Writes to a terminal, a pipe or a file, in a thread of its own.

    A terminal that is held up, by Ctrl-S or by a connection that went away, holds up nobody else.
    """

    def __init__(self, descriptor: int, *, encoding: str = "utf-8", colours: bool = False) -> None:
        self._descriptor = descriptor
        self._encoding = encoding
        self._colours = colours
        self._waiting: Queue[str | None] = Queue(maxsize=MOST_WAITING)
        self._lost = 0
        self._writer = Thread(target=self._write_all, daemon=True)
        self._writer.start()

    @classmethod
    def on(cls, stream: TextIO, *, environment: Mapping[str, str]) -> Self:
        """Return a console in colour where `stream` is a terminal that shows it and NO_COLOR is not set.

        NO_COLOR is the convention of https://no-color.org.
        """
        plain = environment.get("NO_COLOR") or environment.get("TERM") == "dumb"
        return cls(stream.fileno(), encoding=stream.encoding, colours=stream.isatty() and not plain)

    def show(self, name: str, line: str) -> None:
        """Write one line of the process `name`."""
        prefix = f"{name:<{_WIDTH}} |"
        if self._colours:
            prefix = f"{_COLOURS.get(kind_of(name), '')}{prefix}{_RESET}"
        self.write(f"{prefix} {without_control_codes(line)}\n")

    def say(self, line: str) -> None:
        """Write one line of the supervisor itself."""
        self.show(OWN_NAME, line)

    def write(self, text: str) -> None:
        """Write text as it is."""
        note = f"({self._lost} lines are lost here)\n" if self._lost else ""
        try:
            self._waiting.put_nowait(note + text)
            self._lost = 0
        except Full:
            self._lost += 1

    def close(self) -> None:
        """Write what waits, unless the terminal is held up now, and nothing after that."""
        with suppress(Full):
            self._waiting.put_nowait(None)
        self._writer.join(timeout=0.3)

    def _write_all(self) -> None:
        while (text := self._waiting.get()) is not None:
            self._write(text.encode(self._encoding, errors="replace"))

    def _write(self, data: bytes) -> None:
        # A terminal that was closed, or a pipe that nobody reads any more: the service goes on without them
        with suppress(OSError):
            while data:
                data = data[os.write(self._descriptor, data) :]


def without_control_codes(line: str) -> str:
    """Return `line` with a mark for each character that could move the cursor or rename the window."""
    if line.isprintable():
        return line
    return "".join(char if char.isprintable() or char == "\t" else "\N{REPLACEMENT CHARACTER}" for char in line)
