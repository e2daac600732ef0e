"""`python -m tests.chaos.day`: the replay of a day, and docs/chaos/day.md at the end of a full one."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from random import SystemRandom

from tests.chaos.__main__ import make_folder
from tests.chaos.day.page import format_account, write_page
from tests.chaos.day.replay import replay_day
from tests.chaos.day.verdict import judge_day
from tests.chaos.programs import ROOT
from tests.chaos.terms import Terms
from tests.chaos.workshop import Workshop

PAGE = ROOT / "docs/chaos/day.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Replay a day; returns 1 when something was lost, doubled or wrongly reported."""
    options = read_options(arguments)
    # So that whoever stops it leaves nothing running
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    began, clock = datetime.now(UTC), time.monotonic()
    print(f"seed {options.seed}", flush=True)
    with make_folder(options.keep) as folder:
        workshop = Workshop(Path(folder))
        try:
            terms = Terms(workshop=workshop, seed=options.seed, database=options.database, is_short=options.short)
            evidence = replay_day(terms)
        finally:
            workshop.close()
    account = judge_day(evidence)
    print(format_account(evidence, account))
    minutes = (time.monotonic() - clock) / 60
    print(f"\n{minutes:.1f} minutes, seed {options.seed}")
    if not options.short:
        PAGE.parent.mkdir(exist_ok=True)
        page = write_page(
            evidence,
            account,
            seed=options.seed,
            database=options.database,
            began=f"{began:%Y-%m-%d}",
            minutes=minutes,
        )
        PAGE.write_text(page)
    return int(not account.is_right)


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.day", description=__doc__)
    add = parser.add_argument
    add("--seed", type=int, default=SystemRandom().randrange(10_000), help="of the schedules and the events")
    add("--short", action="store_true", help="what the test does: a quarter of an hour around 06:00")
    add("--database", choices=("sqlite", "postgres"), default="sqlite")
    add("--keep", type=Path, metavar="FOLDER", help="where to leave logs, database, journal and reloads")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
