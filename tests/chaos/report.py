"""Lines of the table, their verdicts, and the page that the full run writes."""

from __future__ import annotations

import os
import platform
import textwrap
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.chaos.tally import Tally

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


def write_page(lines: Iterable[Line], sentences: Mapping[str, str], *, seed: int, began: str, minutes: float) -> str:
    """Return the page for docs/chaos: the table, where and when it was made, and what each scenario is."""
    lines = list(lines)
    table = [format_line(HEADINGS), *(format_line(line.cells()) for line in lines)]
    remarks = [f"{line.scenario}:\n{text}" for line in lines if (text := format_remarks(line))]
    scenarios = [f"| {number} | {sentence} |" for number, sentence in sentences.items()]
    return "\n".join(
        [
            "# What chaos does to it",
            "",
            f"Made by `make chaos` on {began} in {minutes:.0f} minutes: {describe_machine()}, seed {seed}.",
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


def describe_machine() -> str:
    """Return processors, system and Python in a few words."""
    return f"{os.cpu_count()} processors, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
