"""Small text files that people write: read whole, as UTF-8, or refused with a reason."""

from __future__ import annotations

import os
import stat
from pathlib import Path

#: By the first bytes of a file; editors of Windows write them
_BYTE_ORDER_MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


class TextFileError(Exception):
    """The file cannot be read as text; the message says why, and begins with a verb."""


def read_text_file(path: Path, *, most_bytes: int) -> str:
    """Return the text of a regular file, without a byte order mark. Raises TextFileError."""
    data = _read_bytes(path, most_bytes=most_bytes)
    if encoding := _BYTE_ORDER_MARKS.get(data[:2]):
        raise TextFileError(f"is text in {encoding}. Save it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise TextFileError(f"has bytes in line {line} that are not UTF-8. Save it as UTF-8") from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise TextFileError(f"has a NUL character in line {line}, as text in UTF-16 has. Save it as UTF-8")
    return text


def _read_bytes(path: Path, *, most_bytes: int) -> bytes:
    try:
        # Without this flag, opening a named pipe would wait for somebody who writes to it
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise TextFileError(f"cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise TextFileError(f"cannot be read ({error})") from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise TextFileError("is no regular file")
        data = b""
        while len(data) <= most_bytes and (more := os.read(descriptor, most_bytes + 1 - len(data))):
            data += more
    except OSError as error:
        raise TextFileError(f"cannot be read ({error.strerror})") from error
    finally:
        os.close(descriptor)
    if len(data) > most_bytes:
        raise TextFileError(f"is larger than {most_bytes // 1024} KiB")
    return data
