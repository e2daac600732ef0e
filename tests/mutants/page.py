"""What a run has found: kept in a file, and told in a table and a page."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from tests.mutants.finding import ROOT
from tests.mutants.workshop import Verdict

FOLDER = ROOT / "docs/mutants"
#: Why a mutant that outlives the tests is left alone, by its name
REASONS = Path(__file__).with_name("reasons.yaml")

#: What was found in a module, by its path, and of all locks: how many were tried, and the names of those left
Results: TypeAlias = dict[str, dict[str, Any]]

HEADINGS = ("module", "tried", "killed", "%", "timed out", "left")
_WIDTHS = (28, 6, 7, 5, 10, 5)


def read_reasons() -> dict[str, str]:
    """Return why mutants are left alone, by their names."""
    entries = yaml.safe_load(REASONS.read_text(encoding="utf-8")) or []
    return {entry["mutant"]: entry["reason"] for entry in entries}


def summarize(verdicts: Sequence[Verdict], *, seed: int, began: str) -> dict[str, Any]:
    """Return what was found in a module."""
    return {
        "tried": len(verdicts),
        "timed_out": sum(verdict.killer.startswith("time-out") for verdict in verdicts),
        "left": [verdict.mutant.name for verdict in verdicts if not verdict.is_killed],
        "seed": seed,
        "began": began,
    }


def read_results() -> Results:
    """Return what was found by runs before."""
    file = FOLDER / "results.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def strike_out(found: Sequence[Verdict], *, order: Sequence[str]) -> None:
    """Take those that are killed now from those that were left before, and keep the rest of what was found."""
    results = read_results()
    killed = {verdict.mutant.name for verdict in found if verdict.is_killed}
    for part in results.values():
        part["left"] = [name for name in part["left"] if name not in killed]
    keep(results, order=order)


def keep(fresh: Results, *, order: Sequence[str]) -> None:
    """Put what was found into the file and the page."""
    results = keep_results(fresh, order=order)
    (FOLDER / "README.md").write_text(write_page(results, read_reasons()), encoding="utf-8")


def keep_results(fresh: Results, *, order: Sequence[str]) -> Results:
    """Put what was found into the place of what was said of the same modules before, and return all of it."""
    known = read_results() | fresh
    results = {module: known[module] for module in order if module in known}
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "results.json").write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return results


def format_table(results: Results) -> list[str]:
    """Return the lines of the table, with the sum of all."""
    total = Counter({"tried": 0, "timed_out": 0, "left": 0})
    rows = [_format_row(HEADINGS)]
    for module, found in results.items():
        counts = {"tried": found["tried"], "timed_out": found["timed_out"], "left": len(found["left"])}
        total.update(counts)
        rows.append(_format_counts(module, counts))
    return [*rows, _format_counts("all", total)]


def _format_counts(name: str, counts: Mapping[str, int]) -> str:
    killed = counts["tried"] - counts["left"]
    share = 100 * killed // max(counts["tried"], 1)
    return _format_row((name, *map(str, (counts["tried"], killed, share, counts["timed_out"], counts["left"]))))


def _format_row(cells: Sequence[str]) -> str:
    first, *others = cells
    return first.ljust(_WIDTHS[0]) + "".join(cell.rjust(width) for cell, width in zip(others, _WIDTHS[1:], strict=True))


def list_unexplained(results: Results, reasons: Mapping[str, str]) -> list[str]:
    """Return the mutants that were left and that nobody has given a reason for."""
    return [name for found in results.values() for name in found["left"] if name not in reasons]


def write_page(results: Results, reasons: Mapping[str, str]) -> str:
    """Return the page for docs/mutants."""
    left = [name for found in results.values() for name in found["left"]]
    runs = sorted({(found["began"], found["seed"]) for found in results.values()})
    return "\n".join(
        [
            "# Which faults the tests notice",
            "",
            _PREFACE,
            "",
            "```",
            *format_table(results),
            "```",
            "",
            f"Tried: {'; '.join(f'{began}, seed {seed}' for began, seed in runs)}.",
            "",
            _METHOD,
            "",
            "## What was left",
            "",
            *(f"- `{name}`: {reasons.get(name, '**no reason is known yet**')}" for name in left),
            "",
        ]
    )


_PREFACE = """\
Made by `make mutants`. Each *mutant* is the code with one fault in it, of the kinds that would mean a run that is lost,
doubled or stuck: a step left out, a filter loosened, a lock not taken, a border moved by one, a state exchanged. It is
*killed* when a test of its module fails, and *left* when none does. What hangs is killed by its time-out."""

_METHOD = """\
The tests of a module are named in `tests/mutants/choice.py`. Of each module a part is tried, by chance and of every
kind as many; of `locks` each: every lock, order of locks and transaction of all modules is left out once, on PostgreSQL
first. `--seed`, `--number` and `--only planner,lease` choose which mutants are tried, `--all` tries every one, and
`--left` those again that were left; a module that was tried again has taken the place of what was said of it before.
Tests that have noticed something must pass on the code as it is, or the module does not count. What is left has its
reason in `tests/mutants/reasons.yaml`, and is not tried again. A run that was broken off has tried fewer than there
are, and modules that are not in the table were not tried yet.

It is a tool of our own, in `tests/mutants/`, because neither of the well-kept ones does what is needed here. mutmut has
the operators of the language only, and forks a process that has everything loaded: the faults that matter here are a
keyword of `filter()`, a lock, a transaction, a condition within SQL, and the tests start threads and processes of their
own. cosmic-ray takes operators of one's own, but has one command of tests for all modules. Neither tries a mutant on
two databases."""
