"""The folder where the service keeps everything, and what `manage.py up` itself keeps there."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from butler.env_files import format_assignment
from butler.errors import DataFolderError, StartError
from butler.private_files import write_private
from butler.processes.ports import choose_free


class DataFolder:
    """One service's folder. No second service may use it at the same time."""

    def __init__(self, path: Path, *, run_file: Path) -> None:
        self.path = path
        self._run_file = run_file
        self._lock_file = path / "lock"
        self._ports_file = path / "ports.json"

    @contextmanager
    def claim(self, *, address: str) -> Iterator[int]:
        """Make the folder where it is missing and keep every other service out of it.

        Gives the descriptor of the lock file: the claim lasts as long as any process holds that open. Raises
        StartError when another service has the folder, or when it cannot be written to.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self._lock_file, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise DataFolderError(self.path, error) from error
        try:
            self._take(lock, address)
            yield lock
        finally:
            os.close(lock)

    def subfolder(self, name: str) -> Path:
        """Return the folder `name` in this one, made where it is missing; raises DataFolderError."""
        path = self.path / name
        try:
            path.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise DataFolderError(path, error) from error
        return path

    def choose_ports(self, names: Sequence[str], *, besides: int) -> dict[str, int]:
        """Return a free port for each of the names, the one of last time where possible, and never `besides`."""
        known = self._read_ports()
        chosen: dict[str, int] = {}
        for name in names:
            chosen[name] = choose_free(preferred=known.get(name), besides={besides, *chosen.values()})
        write_private(self._ports_file, json.dumps(known | chosen))
        return chosen

    def publish(self, settings: Mapping[str, str]) -> None:
        """Leave the settings in the run file, where commands typed in another terminal find them."""
        write_private(self._run_file, "".join(format_assignment(name, value) for name, value in settings.items()))

    def withdraw(self) -> None:
        """Take the run file away."""
        self._run_file.unlink(missing_ok=True)

    def _take(self, lock: int, address: str) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(lock, 0)
            os.write(lock, f"{address}, process {os.getpid()}".encode())
        except BlockingIOError as error:
            raise StartError(
                f"Butler runs already with the data folder {self.path}: {self._lock_file.read_text()}.\n"
                "Stop that one, or start another beside it:  BUTLER_DATA_DIR=data2 BUTLER_PORT=8081 make run"
            ) from error
        except OSError as error:
            raise DataFolderError(self._lock_file, error) from error

    def _read_ports(self) -> dict[str, int]:
        try:
            return {str(name): int(port) for name, port in json.loads(self._ports_file.read_text()).items()}
        except (OSError, ValueError, TypeError, AttributeError):
            # Not there yet, or edited by hand: any free port will do
            return {}
