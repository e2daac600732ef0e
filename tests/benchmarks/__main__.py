"""`python -m tests.benchmarks`: measure the service beside its peers, show a table, write docs/benchmarks."""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import io
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.benchmarks import bench_cron
from tests.benchmarks.figures import Figure
from tests.benchmarks.machine import describe_machine, warn_when_busy
from tests.benchmarks.process import ROOT
from tests.benchmarks.report import HEADINGS, Report, table_lines, write_report
from tests.benchmarks.scale import FULL, QUICK, Scale
from tests.benchmarks.stage import Stage

MEASURES = (*HEADINGS, "cron")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is asked for; the exit code tells whether everything could be measured, not whether bars hold."""
    options = make_parser().parse_args(arguments)
    # Ends as by Ctrl-C: nothing is left running
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    scale = QUICK if options.quick else FULL
    folder = options.output or (None if options.quick else ROOT / "docs/benchmarks")
    warn_when_busy()
    with Stage() as stage:
        with stage.client() as client:
            report = Report(describe_machine(client))
        failed = [name for name in options.only if not measure(name, stage, scale, report)]
    figures = [figure for part in report.figures.values() for figure in part]
    print("\nAll of it:\n", *table_lines(figures), sep="\n")
    if folder is not None:
        whole = write_report(report, folder)
        if "burst" in whole.figures:
            # Only requirements/bench.txt brings what it draws with
            from tests.benchmarks.plots import draw_plots

            draw_plots(whole.figures["burst"], folder)
        print(f"\nWritten to {folder}.")
    if failed:
        print(f"\nCould not be measured: {', '.join(failed)}.", file=sys.stderr)
    return 1 if failed else 0


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller numbers, some minutes; writes no documents")
    parser.add_argument("--only", type=read_names, default=MEASURES, metavar="NAMES", help=f"of {','.join(MEASURES)}")
    parser.add_argument("--output", type=Path, help="folder for the document, instead of docs/benchmarks")
    return parser


def read_names(text: str) -> list[str]:
    """Return the measures that a list with commas names; for argparse, which makes ValueError a message."""
    names = text.split(",")
    if unknown := set(names) - set(MEASURES):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: not among {', '.join(MEASURES)}")
    return [name for name in MEASURES if name in names]


def measure(name: str, stage: Stage, scale: Scale, report: Report) -> bool:
    """Take one measure into the report and show it; return whether it could be taken."""
    began = time.monotonic()
    print(f"\n{HEADINGS.get(name, 'Cron expressions')}", flush=True)
    try:
        if name == "cron":
            report.cron = compare_cron()
            print(report.cron)
        else:
            report.figures[name] = list(show(importlib.import_module(f"tests.benchmarks.{name}").measure(stage, scale)))
    except Exception:
        # The others can be measured all the same
        traceback.print_exc()
        report.figures.pop(name, None)
        return False
    print(f"({time.monotonic() - began:.0f} s)", flush=True)
    return True


def show(figures: Iterator[Figure]) -> Iterator[Figure]:
    """Print each figure as soon as it is there."""
    heading, *_ = table_lines([])
    print(heading, flush=True)
    for figure in figures:
        print([*table_lines([figure])][1], flush=True)
        yield figure


def compare_cron() -> str:
    """Return what the comparison of cron libraries prints."""
    gc.disable()
    with contextlib.redirect_stdout(io.StringIO()) as output:
        bench_cron.main()
    gc.enable()
    return output.getvalue()


if __name__ == "__main__":
    sys.exit(main())
