"""Lines of the table, their verdicts, and the page that a run in full writes."""

from __future__ import annotations

import json
import os
import platform
import textwrap
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from tests.chaos.tally import Tally

#: The lines of each scenario, by its number, as JSON keeps them
Results: TypeAlias = dict[str, list[dict[str, Any]]]

WIDTHS = (27, 7, 7, 4, 4, 7, 5, 6, 5)
HEADINGS = ("scenario", "planned", "started", "lost", "dbl", "skipped", "other", "gap s", "")
MOST_FINDINGS = 4


@dataclass(slots=True)
class Line:
    """The result of a scenario; without failures it keeps what is promised. `absent` says why it did not run."""

    scenario: str
    tally: Tally = field(default_factory=Tally)
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    absent: str = ""

    @property
    def verdict(self) -> str:
        """One word."""
        return "-" if self.absent else "FAIL" if self.failures else "ok"

    def cells(self) -> list[str]:
        """Return the texts of the table's columns."""
        tally = self.tally
        numbers = (tally.planned, tally.started, tally.lost, tally.doubled, tally.skipped, tally.others.total())
        return [self.scenario, *map(str, numbers), f"{tally.worst_gap:.1f}", self.verdict]


def judge(
    scenario: str,
    tally: Tally,
    *,
    gap: float | None = None,
    allowed: Collection[str] = (),
    failures: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Line:
    """Return the line of a scenario: nothing lost, doubled or otherwise wrong, no gap above `gap` seconds.

    Final states other than started and skipped must be among the `allowed`.
    """
    found = list(failures)
    if tally.lost or tally.doubled:
        found.append(f"{tally.lost} lost, {tally.doubled} doubled")
    found += tally.findings[:MOST_FINDINGS]
    if len(tally.findings) > MOST_FINDINGS:
        found.append(f"... and {len(tally.findings) - MOST_FINDINGS} more of these")
    if strange := {state: count for state, count in tally.others.items() if state not in allowed}:
        found.append(f"final states that must not be: {strange}")
    if gap is not None and tally.worst_gap > gap:
        found.append(f"a gap of {tally.worst_gap:.1f} s, at most {gap} s are allowed")
    remarks = [*notes, *([f"other states: {dict(tally.others)}"] if tally.others else [])]
    return Line(scenario, tally, found, remarks)


def format_line(cells: Sequence[str]) -> str:
    """Return a row of the table, 80 columns wide."""
    first, *others = cells
    numbers = [cell.rjust(width) for cell, width in zip(others, WIDTHS[1:], strict=True)]
    return " ".join([first[: WIDTHS[0]].ljust(WIDTHS[0]), *numbers])


def format_remarks(line: Line) -> str:
    """Return what is to say beside the numbers, wrapped and indented."""
    remarks = [line.absent] if line.absent else [*(f"! {failure}" for failure in line.failures), *line.notes]
    return "\n".join(
        textwrap.fill(remark, width=80, initial_indent="    ", subsequent_indent="      ") for remark in remarks
    )


def keep_results(file: Path, lines: Iterable[Line], *, seed: int, began: str) -> Results:
    """Put the lines into a file of JSON in place of those that their scenarios had, and return all of it."""
    results: Results = json.loads(file.read_text()) if file.exists() else {}
    fresh: Results = {}
    for line in lines:
        number = line.scenario[:3].strip()
        made = {"cells": line.cells(), "remarks": format_remarks(line), "seed": seed, "began": began}
        fresh.setdefault(number, []).append(made | {"machine": describe_machine()})
    results = dict(sorted((results | fresh).items(), key=lambda item: (int(item[0].strip("p")), item[0])))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(results, indent=1) + "\n")
    return results


def write_page(results: Results, sentences: Mapping[str, str]) -> str:
    """Return the page for docs/chaos: the table, where and when it was made, and what each scenario is."""
    lines = [line for lines in results.values() for line in lines]
    table = [format_line(HEADINGS), *(format_line(line["cells"]) for line in lines)]
    remarks = [f"{line['cells'][0]}:\n{line['remarks']}" for line in lines if line["remarks"]]
    scenarios = [f"| {number} | {sentence} |" for number, sentence in sentences.items()]
    return "\n".join(
        [
            "# What chaos does to it",
            "",
            "Made by `make chaos`; a scenario that was run again alone has taken the place of what it said before.",
            "",
            *_tell_runs(results),
            "",
            "`planned`: occurrences in the ledger. `started`: runs with exactly one accepted start in the journal of",
            "the simulated QRS. `lost`: due by an oracle that shares no code with the service, but without a row in",
            "the right final state. `dbl`: starts that no run answers for, or second ones. `other`: unknown and the",
            "like.",
            "`gap s`: the longest time from a due instant to its start, in seconds. p: on PostgreSQL, else on SQLite.",
            "",
            "```",
            *table,
            "```",
            "",
            "## The scenarios",
            "",
            "| | |",
            "|---|---|",
            *scenarios,
            "",
            "## Beside the numbers",
            "",
            "```",
            *remarks,
            "```",
            "",
        ]
    )


def _tell_runs(results: Results) -> list[str]:
    """Return which scenarios were run when, with which seed and where."""
    runs: dict[tuple[str, int, str], list[str]] = {}
    for number, lines in results.items():
        runs.setdefault((lines[0]["began"], lines[0]["seed"], lines[0]["machine"]), []).append(number)
    return [
        f"- {began}, seed {seed}, {machine}: {', '.join(numbers)}" for (began, seed, machine), numbers in runs.items()
    ]


def describe_machine() -> str:
    """Return processors, system and Python in a few words."""
    return f"{os.cpu_count()} processors, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
