"""What a run of the benchmarks shows: a table for the terminal, a document, and results to keep."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.figures import Figure, format_value

HEADINGS = {
    "burst": "Many due at one second",
    "steady": "200 a second",
    "idle": "Nothing due",
    "edits": "Edits",
    "mass": "Edits of thousands at once",
    "start": "Cold start",
    "memory": "Memory",
    "starts": "Until QRS has accepted",
    "outcomes": "Recording outcomes",
}
_COLUMNS = ((27, "ours"), (9, "stock"), (8, "RedBeat"), (8, "ratio"), (7, "bar"), (9, "holds"))
_WORDS = {True: "yes", False: "NO", None: ""}
_WIDTH = 120

_INTRODUCTION = """\
# Benchmarks

This page is written by `make bench`, which takes half an hour; `make bench QUICK=1` takes some minutes and leaves the
page alone, and `make bench ONLY=burst,idle` measures a part. What each measure does is told at the top of its module
in `tests/benchmarks`.

*Stock* is django-celery-beat with its DatabaseScheduler, *RedBeat* is celery-redbeat. All ran on the same machine, one
after the other, with the same Redis. *Ratio* is how many times better the service is than the best of the two. A *bar*
is what the service is to reach. Nothing else should run on the machine meanwhile: the figures are those of this run,
and another run differs.
"""
_PLOTS = """\
![Seconds from the due second to the last message](lateness.png)

![Runs sent a second](rate.png)
"""


@dataclass(slots=True)
class Report:
    """The figures of a run by measure, the comparison of cron libraries, and the machine."""

    machine: Mapping[str, str]
    figures: dict[str, list[Figure]] = field(default_factory=dict)
    cron: str = ""

    def as_json(self) -> str:
        """Return the results to keep."""
        figures = {name: [figure.as_json() for figure in part] for name, part in self.figures.items()}
        return json.dumps({"machine": self.machine, "figures": figures, "cron": self.cron}, indent=1) + "\n"

    def merge(self, kept: str) -> Report:
        """Return this report with those measures of an earlier one that it lacks, if the machine is the same one."""
        earlier = json.loads(kept)
        if {**earlier["machine"], "date": ""} != {**self.machine, "date": ""}:
            return self
        figures = {name: [Figure.from_json(values) for values in part] for name, part in earlier["figures"].items()}
        merged = figures | self.figures
        in_order = {name: merged[name] for name in HEADINGS if name in merged}
        return Report(self.machine, in_order, self.cron or earlier["cron"])


def table_lines(figures: Iterable[Figure]) -> Iterator[str]:
    """Yield the lines of a table that fits a terminal of 80 columns."""
    yield _line("", [name for _, name in _COLUMNS])
    for figure in figures:
        yield _line(figure.measure, _cells(figure))


def _line(measure: str, cells: Sequence[str]) -> str:
    widths = [width for width, _ in _COLUMNS[1:]] + [5]
    cells_of_line = (f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
    return f"{measure:{_COLUMNS[0][0]}} {' '.join(cells_of_line)}".rstrip()


def _cells(figure: Figure) -> list[str]:
    return [
        format_value(figure.ours, figure.unit),
        format_value(figure.stock, figure.unit),
        format_value(figure.redbeat, figure.unit),
        format_value(figure.ratio, "x"),
        format_value(figure.bar, figure.unit),
        _WORDS[figure.holds],
    ]


def describe(figure: Figure) -> str:
    """Return a figure as sentences, with its bar and its peers."""
    text = figure.sentence.format(value=f"**{format_value(figure.ours, figure.unit)}**")
    if figure.ours is None:
        text = f"{figure.measure}, not measured of the service."
    if figure.bar is not None and figure.ours is not None:
        kind = "at least" if figure.at_least else "at most"
        text += f" The bar, {kind} {format_value(figure.bar, figure.unit)}, {'holds' if figure.holds else 'is missed'}."
    peers = [(name, getattr(figure, name)) for name in ("stock", "redbeat")]
    told = [
        f"{label} {format_value(value, figure.unit)}"
        for (_, value), label in zip(peers, ("stock", "RedBeat"), strict=True)
        if value is not None
    ]
    return f"{text} For comparison: {', '.join(told)}." if told else text


def document(report: Report) -> str:
    """Return docs/benchmarks/README.md."""
    parts = [_INTRODUCTION, _markdown_table(report)]
    for name, figures in report.figures.items():
        sentences = "\n".join(_item(describe(figure)) for figure in figures)
        parts.append(f"## {HEADINGS[name]}\n" + (f"\n{_PLOTS}" if name == "burst" else "") + f"\n{sentences}\n")
    if report.cron:
        parts.append(f"## Cron expressions\n\nBeside two libraries for Python:\n\n```\n{report.cron.strip()}\n```\n")
    machine = "\n".join(f"| {name} | {value} |" for name, value in report.machine.items())
    parts.append(f"## The machine\n\n| | |\n|---|---|\n{machine}\n")
    return "\n".join(parts)


def _markdown_table(report: Report) -> str:
    rows = [
        f"| {figure.measure} | {' | '.join(_cells(figure))} |" for part in report.figures.values() for figure in part
    ]
    head = " | ".join(name for _, name in _COLUMNS)
    return f"| | {head} |\n|---|{'---:|' * len(_COLUMNS)}\n" + "\n".join(rows) + "\n"


def _item(text: str) -> str:
    return textwrap.fill(text, _WIDTH, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False)


def write_report(report: Report, folder: Path) -> Report:
    """Write the document and the results into a folder; return the report with what was kept of earlier ones."""
    results = folder / "results.json"
    if results.exists():
        report = report.merge(results.read_text())
    folder.mkdir(parents=True, exist_ok=True)
    results.write_text(report.as_json())
    (folder / "README.md").write_text(document(report))
    return report
