"""Small files that only their owner may read."""

from __future__ import annotations

import os
from pathlib import Path

from butler.errors import DataFolderError


def write_private(path: Path, text: str) -> None:
    """Write `text` to `path`, readable by its owner only; a reader sees the old file or the new one, whole.

    Raises DataFolderError.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.touch(mode=0o600)
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise DataFolderError(path, error) from error
