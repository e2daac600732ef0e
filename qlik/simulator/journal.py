"""What was asked of the simulator, when, and what came of it."""

from __future__ import annotations

import json
import threading
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Entry:
    """One call, or one task of a call that names several."""

    # The moment when the whole request had been read, by the system's clock.
    at_ns: int
    call: str
    # The HTTP status sent, None when the caller got no answer.
    status: int | None
    outcome: str
    task_id: UUID | None = None
    session_id: UUID | None = None
    fault: str | None = None


class Journal:
    """The last entries, numbered from 1 on; the oldest are forgotten."""

    def __init__(self, size: int, file: Path | None = None) -> None:
        """Keep `size` entries; append every entry to `file` as a line of JSON, if there is one."""
        self._lock = threading.Lock()
        self._entries: deque[Entry] = deque(maxlen=size)
        self._count = 0
        self._file = file.open("a", buffering=1) if file else None

    def add(self, *entries: Entry) -> None:
        """Append."""
        with self._lock:
            self._entries.extend(entries)
            self._count += len(entries)
            if self._file:
                self._file.writelines(f"{json.dumps(asdict(entry), default=str)}\n" for entry in entries)

    def read(self, *, since: int = 0) -> tuple[list[Entry], int]:
        """Return the entries numbered above `since`, and the number of the last."""
        with self._lock:
            wanted = max(self._count - since, 0)
            entries = list(self._entries)
            return entries[max(len(entries) - wanted, 0) :], self._count

    def clear(self) -> None:
        """Forget the entries; numbers go on."""
        with self._lock:
            self._entries.clear()

    def close(self) -> None:
        """Close the file."""
        if self._file:
            self._file.close()
