"""`python -m tests.chaos`: every scenario many times, a table as it goes, and a page in docs/chaos at the end."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from random import SystemRandom

from tests.chaos.beats import kill_beat, many_beats
from tests.chaos.broken import break_rows
from tests.chaos.clocks import step_clock
from tests.chaos.cuts import cut_database
from tests.chaos.disks import cut_power, fill_disk
from tests.chaos.doubts import begin_late, freeze_follower
from tests.chaos.downtime import go_down
from tests.chaos.edits import edit_many
from tests.chaos.failover import fail_over
from tests.chaos.masses import edit_masses
from tests.chaos.outages import stop_database, stop_redis
from tests.chaos.postgres import NoPostgresError
from tests.chaos.power import lose_power
from tests.chaos.programs import ROOT
from tests.chaos.report import HEADINGS, Line, format_line, format_remarks, keep_results, write_page
from tests.chaos.standbys import start_standbys
from tests.chaos.terms import Terms
from tests.chaos.workers import kill_worker, redeliver
from tests.chaos.workshop import Workshop

FOLDER = ROOT / "docs/chaos"

SCENARIOS: Mapping[int, Callable[[Terms], Iterator[Line]]] = {
    1: kill_beat,
    2: many_beats,
    3: stop_redis,
    4: stop_database,
    5: kill_worker,
    6: redeliver,
    7: step_clock,
    8: edit_many,
    9: break_rows,
    10: go_down,
    11: lose_power,
    12: begin_late,
    13: freeze_follower,
    14: edit_masses,
    15: cut_database,
    16: cut_power,
    17: fill_disk,
    18: start_standbys,
    19: fail_over,
}
#: Where the database has a part in it
ON_POSTGRES = frozenset({1, 2, 4, 5, 8, 9, 10, 11, 13, 14, 15, 18, 19})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for; returns 1 when a promise was broken."""
    options = read_options(arguments)
    # So that whoever stops it leaves nothing running
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    began, clock = datetime.now(UTC), time.monotonic()
    print(f"seed {options.seed}\n\n{format_line(HEADINGS)}", flush=True)
    lines = []
    with make_folder(options.keep) as folder:
        workshop = Workshop(Path(folder))
        try:
            for line in run_all(workshop, options):
                lines.append(line)
                print("\n".join(filter(None, [format_line(line.cells()), format_remarks(line)])), flush=True)
        finally:
            workshop.close()
    minutes = (time.monotonic() - clock) / 60
    print(f"\n{minutes:.0f} minutes, seed {options.seed}")
    if not options.short and not options.rounds:
        sentences = {str(number): scenario.__doc__ or "" for number, scenario in SCENARIOS.items()}
        results = keep_results(FOLDER / "results.json", lines, seed=options.seed, began=f"{began:%Y-%m-%d}")
        (FOLDER / "README.md").write_text(write_page(results, sentences))
    return int(any(line.failures for line in lines))


def make_folder(keep: Path | None) -> AbstractContextManager[str]:
    """Return a folder for the sites: one that stays where it is asked for, else one that goes in the end."""
    if keep is None:
        return tempfile.TemporaryDirectory(prefix="butler-chaos-", ignore_cleanup_errors=True)
    keep.mkdir(parents=True, exist_ok=True)
    return nullcontext(str(keep.resolve()))


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    add = parser.add_argument
    add("--only", type=lambda text: [int(part) for part in text.split(",")], default=[], help="scenarios, such as 1,3")
    add("--rounds", type=int, help="how often a fault strikes, where that can be chosen")
    add("--seed", type=int, default=SystemRandom().randrange(10_000), help="of the random moments")
    add("--database", choices=("sqlite", "postgres"), help="one of the two alone")
    add("--keep", type=Path, metavar="FOLDER", help="where to leave the logs, databases and journals of all sites")
    add("--short", action="store_true", help="what the tests do: some seconds each")
    return parser.parse_args(arguments)


def run_all(workshop: Workshop, options: argparse.Namespace) -> Iterator[Line]:
    """Run the scenarios one after the other, on SQLite and where it matters on PostgreSQL."""
    for number, scenario in SCENARIOS.items():
        if options.only and number not in options.only:
            continue
        for database in ("sqlite", "postgres"):
            if options.database in (None, database) and (database == "sqlite" or number in ON_POSTGRES):
                terms = Terms(
                    workshop=workshop,
                    seed=options.seed,
                    database=database,
                    is_short=options.short,
                    count=options.rounds,
                )
                yield from run_scenario(number, scenario, terms)


def run_scenario(number: int, scenario: Callable[[Terms], Iterator[Line]], terms: Terms) -> Iterator[Line]:
    """Yield the lines of a scenario, named for its number and database; what breaks it is a line too."""
    mark = "p" if terms.database == "postgres" else " "
    try:
        for line in scenario(terms):
            line.scenario = f"{number:>2}{mark} {line.scenario}"
            yield line
    except NoPostgresError as error:
        failures = [str(error)] if "CI" in os.environ else []
        yield Line(f"{number:>2}{mark} {scenario.__name__}", failures=failures, absent=str(error))
    except Exception as error:
        traceback.print_exc()
        yield Line(f"{number:>2}{mark} {scenario.__name__}", failures=[f"ended early: {error}"])


if __name__ == "__main__":
    sys.exit(main())
