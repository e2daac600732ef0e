"""Scenario 15: connections with the database are cut in bursts, or its lock is held, while runs are due."""

from __future__ import annotations

import time
from collections.abc import Iterator

from tests.chaos.databases import PostgresDatabase
from tests.chaos.measuring import describe_lateness, tally_site
from tests.chaos.outages import SWEEP_SECONDS, busy_site
from tests.chaos.report import Line, judge
from tests.chaos.site import Site
from tests.chaos.terms import Terms

#: How long a burst lasts, and how often all connections are cut in it
BURST_SECONDS = 3.0
CUTS = 8
#: How long QRS takes for a start, so that there are always runs between claim and outcome
ANSWER_MS = 300
#: By how much a start may be late that was due in a burst
LATE_SECONDS = 6.0


def cut_database(terms: Terms) -> Iterator[Line]:
    """PostgreSQL ends all its sessions again and again while runs are due; SQLite's lock is held for three seconds."""
    rounds = terms.rounds(short=2, full=12)
    with busy_site(terms, "cut database") as (site, begin):
        site.control("/faults", {"kind": "delay", "delay_ms": ANSWER_MS})
        for _ in range(rounds):
            time.sleep(site.random.random())
            _strike(site)
            site.wait_until_on_time(seconds=SWEEP_SECONDS)
        end = site.settle(seconds=SWEEP_SECONDS)
        dead = [program.name for program in site.programs if not program.is_running]
        tally = tally_site(site, begin=begin, end=end)
        rows = site.rows()
    name = "PostgreSQL cuts off" if terms.database == "postgres" else "SQLite held"
    yield judge(
        f"{name} {rounds} times",
        tally,
        gap=LATE_SECONDS * terms.patience,
        failures=[*site.complaints, *(f"{name} has crashed" for name in dead)],
        notes=[describe_lateness(rows, begin=begin, end=end)],
    )


def _strike(site: Site) -> None:
    if not isinstance(site.database, PostgresDatabase):
        with site.database.lock():
            time.sleep(BURST_SECONDS)
        return
    for _ in range(CUTS):
        site.database.cut()
        time.sleep(site.random.uniform(0, 2 * BURST_SECONDS / CUTS))
