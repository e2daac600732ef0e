"""The simulator's journal: which starts QRS has accepted, and when it was asked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.ledger import to_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """One start that QRS accepted; `at` is epoch seconds by the real clock."""

    task_id: str
    session: str
    at: float


def read_starts(file: Path) -> list[Start]:
    """Return the accepted starts in the journal's file, in their order; a line half written is left out."""
    starts = []
    for line in file.read_text().split("\n")[:-1] if file.exists() else []:
        entry = json.loads(line)
        if entry["outcome"] == "started":
            starts.append(
                Start(task_id=to_id(entry["task_id"]), session=to_id(entry["session_id"]), at=entry["at_ns"] / 1e9)
            )
    return starts
