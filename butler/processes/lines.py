"""Lines of text out of the bytes of a pipe."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable

#: A line longer than this comes in parts: a process that never ends its line must not fill the memory
LONGEST_LINE = 1024 * 1024
_CHUNK = 64 * 1024


class LineCutter:
    """Takes bytes as they come and gives back the lines that are whole; invalid UTF-8 becomes a mark."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """Take more bytes; return the lines that they complete."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST_LINE:
            whole.append(self._rest)
            self._rest = b""
        return [_decode(line) for line in whole]

    def finish(self) -> list[str]:
        """Return the line that the last byte left unfinished, if there is one."""
        rest, self._rest = self._rest, b""
        return [_decode(rest)] if rest else []


class LineReader:
    """Reads a pipe beside the event loop's other work and hands over each line."""

    def __init__(self, read_end: int, take_line: Callable[[str], None]) -> None:
        self._read_end = read_end
        self._take_line = take_line
        self._cutter = LineCutter()
        self._loop = asyncio.get_running_loop()
        os.set_blocking(read_end, False)
        self._loop.add_reader(read_end, self._read)

    def close(self) -> None:
        """Hand over what is in the pipe still, and close it."""
        while self._read():
            pass
        self._hand_over(self._cutter.finish())
        self._loop.remove_reader(self._read_end)
        os.close(self._read_end)

    def _read(self) -> bool:
        """Read once; return whether there may be more."""
        try:
            data = os.read(self._read_end, _CHUNK)
        except BlockingIOError:
            return False
        if not data:
            self._loop.remove_reader(self._read_end)
        self._hand_over(self._cutter.feed(data))
        return bool(data)

    def _hand_over(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._take_line(line)


def _decode(line: bytes) -> str:
    return line.removesuffix(b"\r").decode(errors="replace")
