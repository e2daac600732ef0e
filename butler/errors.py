"""What keeps the service from starting."""

from __future__ import annotations

from pathlib import Path


class StartError(Exception):
    """The service cannot start; the message says why and what to do."""


class DataFolderError(StartError):
    """The data folder cannot be written to."""

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__(
            f"{path} cannot be written: {error.strerror}.\n"
            "Make room or set its rights, or take another data folder:  BUTLER_DATA_DIR=/path make run"
        )
