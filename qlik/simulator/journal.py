"""What was asked of the simulator, when, and what came of it; and the runs that are over."""

from __future__ import annotations

import json
import threading
from collections import deque
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from qlik.simulator.tasks import Session


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


class RunFile:
    """The runs that are over, one JSON object a line: what a restart has forgotten is told here, too."""

    def __init__(self, file: Path) -> None:
        """Append to `file`."""
        self._file = file.open("a", buffering=1)

    def add(self, session: Session, at: datetime) -> None:
        """Append a run that was over at that moment, with the attempts that QRS remembers."""
        attempts = [
            {"status": attempt.status.value, "started_at": attempt.started_at, "stopped_at": attempt.stopped_at}
            for attempt in session.attempts
        ]
        line = {"session_id": session.id, "task_id": session.task.id, "over_at": at, "is_lost": session.is_lost}
        self._file.write(f"{json.dumps(line | {'attempts': attempts}, default=str)}\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()
