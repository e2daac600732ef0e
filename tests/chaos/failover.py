"""Scenario 19: PostgreSQL fails over, and for some seconds there is only a server that reads."""

from __future__ import annotations

import time
from collections.abc import Iterator

import psycopg
from psycopg import sql

from tests.chaos.databases import PostgresDatabase
from tests.chaos.measuring import tally_site, warm_up
from tests.chaos.report import Line, judge
from tests.chaos.site import EVERY_SECOND, Site
from tests.chaos.terms import Terms

SETTLE_SECONDS = 90


def fail_over(terms: Terms) -> Iterator[Line]:
    """PostgreSQL's connections are cut, and for some seconds new ones only read, as those of a replica do."""
    if terms.database != "postgres":
        yield Line("read-only", absent="SQLite has no replica")
        return
    rounds = terms.rounds(short=1, full=12)
    random = terms.make_random("fail over")
    with Site(terms.workshop, database="postgres", random=random, CHAOS_HOUSEKEEPING_SECONDS="1") as site:
        site.create([EVERY_SECOND] * 20)
        site.start_worker()
        site.start_beat()
        restarted = [site.start_worker(), site.start_beat()]
        begin = warm_up(site)
        for _ in range(rounds):
            time.sleep(site.random.random())
            _turn(site, is_read_only=True)
            for program in restarted:
                program.stop()
                program.start()
            time.sleep(site.random.uniform(2, 6))
            _turn(site, is_read_only=False)
            site.wait_until_on_time(seconds=SETTLE_SECONDS)
        end = site.settle(seconds=SETTLE_SECONDS)
        dead = [program.name for program in site.programs if not program.is_running]
        tally = tally_site(site, begin=begin, end=end)
    failures = [*site.complaints, *(f"{name} has crashed" for name in dead)]
    yield judge(f"read-only {rounds} times", tally, failures=failures)


def _turn(site: Site, *, is_read_only: bool) -> None:
    """Have new connections only read, or write again, and cut those that there are."""
    assert isinstance(site.database, PostgresDatabase)
    name = site.database.url.rpartition("/")[2]
    with psycopg.connect(site.database.url.rpartition("/")[0] + "/postgres", autocommit=True) as connection:
        change = sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = {}")
        connection.execute(change.format(sql.Identifier(name), sql.Literal("on" if is_read_only else "off")))
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
