"""The output of a command, whatever it is connected to: a terminal that knows ASCII alone, a full disk, nothing."""

from __future__ import annotations

import errno
import os
import sys
from typing import TextIO

#: What writing to a full or broken disk says
_UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def prepare_output() -> None:
    """Have characters that the terminal does not know written as their codes; let a closed output swallow all."""
    sys.stdout = _prepared(sys.stdout)
    sys.stderr = _prepared(sys.stderr)


def finish_output() -> None:
    """Write what is left here, and not when Python ends, where nobody catches what goes wrong."""
    sys.stdout.flush()


def is_output_failure(error: OSError) -> bool:
    """Return whether the error is that of writing the output, and not one of a file that has a name."""
    return error.filename is None and error.errno in _UNWRITABLE


def give_up_output() -> None:
    """Throw away what is left to be written: Python would try again when it ends, and print a traceback."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _prepared(stream: TextIO | None) -> TextIO:
    if stream is None:
        return open(os.devnull, "w")  # noqa: PTH123 -- it stays open until the process ends
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure:
        reconfigure(errors="backslashreplace")
    return stream
