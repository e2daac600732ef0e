"""Scenarios 3 and 4: Redis and the database go away and come back."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import redis

from tests.chaos.databases import SqliteDatabase
from tests.chaos.measuring import tally_site, warm_up, worst_lateness
from tests.chaos.report import Line, judge
from tests.chaos.site import EVERY_SECOND, Site
from tests.chaos.terms import Terms
from tests.waiting import wait_for

#: How soon all must be as if nothing had happened
BACK_SECONDS = 2.0
#: How soon the workers, who look for Redis each second, must have started what waited
STARTED_SECONDS = 4.0
#: Lost messages are sent again after 30 seconds, by a sweeper that comes every ten
SWEEP_SECONDS = 45


@contextmanager
def busy_site(terms: Terms, name: str) -> Iterator[tuple[Site, float]]:
    """Give a site with beat, worker and twenty schedules due each second, and the moment to compare from."""
    with Site(terms.workshop, database=terms.database, random=terms.make_random(name)) as site:
        site.create([EVERY_SECOND] * 20)
        site.start_worker()
        site.start_beat()
        yield site, warm_up(site)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """Redis was away for `seconds`; what is compared lies between `begin` and `end`."""

    seconds: int
    begin: float
    stopped_at: float
    returned_at: float
    #: From the return until no run that was due before it waited to be sent
    sent_after: float
    end: float


def stop_redis(terms: Terms) -> Iterator[Line]:
    """Redis is away for 1, 10 and 60 seconds and comes back empty; connections are cut."""
    with busy_site(terms, "stop redis") as (site, begin):
        outages = []
        for seconds in [2] if terms.is_short else [1, 10, 60] * terms.rounds(short=1, full=1):
            outages.append(_stop_redis(site, seconds, begin=begin))
            begin = outages[-1].end
        rounds = terms.rounds(short=1, full=10)
        for _ in range(rounds):
            _cut_connections(site)
        last = site.settle(seconds=SWEEP_SECONDS)
        yield from [_judge_outage(site, outage, patience=terms.patience) for outage in outages]
        tally = tally_site(site, begin=begin, end=last)
        yield judge(f"Redis cut off {rounds} times", tally, gap=SWEEP_SECONDS, failures=site.complaints)


def _stop_redis(site: Site, seconds: int, *, begin: float) -> Outage:
    time.sleep(site.random.random())
    stopped_at = time.time()
    site.redis.stop()
    time.sleep(seconds)
    site.redis.start()
    returned_at = time.time()
    with suppress(AssertionError):
        wait_for(
            lambda: not site.count_open(due_until=returned_at, states=frozenset({"planned"})), seconds=SWEEP_SECONDS
        )
    sent_after = time.time() - returned_at
    site.wait_until_on_time(seconds=SWEEP_SECONDS + seconds)
    return Outage(
        seconds=seconds,
        begin=begin,
        stopped_at=stopped_at,
        returned_at=returned_at,
        sent_after=sent_after,
        end=time.time() - 1,
    )


def _judge_outage(site: Site, outage: Outage, *, patience: int) -> Line:
    rows, starts = site.rows(), site.starts()
    tally = tally_site(site, begin=outage.begin, end=outage.end)
    moments = {start.session: start.at - outage.returned_at for start in starts}
    waited = [row for row in rows if outage.stopped_at < row.due_at <= outage.returned_at and row.session in moments]
    started = sorted(moments[row.session] for row in waited) or [0.0]
    failures = []
    if outage.sent_after > BACK_SECONDS * patience:
        failures.append(f"on Redis {outage.sent_after:.1f} s after its return")
    if started[-1] > STARTED_SECONDS * patience:
        failures.append(f"the last started {started[-1]:.1f} s after its return")
    return judge(
        f"Redis away for {outage.seconds} s",
        tally,
        failures=failures,
        notes=[f"after its return: on Redis within {outage.sent_after:.1f} s; {_name_span(started)}"],
    )


def _name_span(seconds: Sequence[float]) -> str:
    return f"started after {seconds[0]:.1f} to {seconds[-1]:.1f} s"


def _cut_connections(site: Site) -> None:
    """Cut all connections of one kind at a random moment, and wait until all is well."""
    time.sleep(site.random.uniform(0, 2))
    with site.redis.client() as client, suppress(redis.RedisError):
        client.execute_command("CLIENT", "KILL", "TYPE", site.random.choice(["normal", "pubsub"]))
    site.wait_until_on_time(seconds=SWEEP_SECONDS)


def stop_database(terms: Terms) -> Iterator[Line]:
    """PostgreSQL is stopped as by a crash and started again; SQLite is locked by another process."""
    if terms.database == "postgres" and not terms.workshop.postgres.can_stop:
        yield Line("PostgreSQL away", absent="the server that DATABASE_URL names is not ours to stop")
        return
    name = "SQLite locked" if terms.database == "sqlite" else "PostgreSQL away"
    rounds = terms.rounds(short=1, full=6)
    with busy_site(terms, "stop database") as (site, begin):
        before = [program.pid for program in site.programs]
        quiet_spans = []
        for number in range(rounds):
            time.sleep(site.random.random())
            seconds = (4 if terms.is_short else 10) if terms.database == "sqlite" else site.random.uniform(0.5, 5)
            _take_database_away(terms, site, seconds=seconds, mode="EXCLUSIVE" if number % 2 else "IMMEDIATE")
            settled_at = time.time() + BACK_SECONDS
            time.sleep(BACK_SECONDS + 2)
            site.wait_until_on_time(seconds=SWEEP_SECONDS)
            quiet_spans.append((settled_at, time.time() - 1))
        end = site.settle(seconds=70)
        # Whoever has died in between was not started again
        dead = [program.name for program in site.programs if not program.is_running]
        assert before == [program.pid for program in site.programs]
        tally = tally_site(site, begin=begin, end=end)
        rows, starts = site.rows(), site.starts()
        worst = max(worst_lateness(rows, starts, begin=first, end=last) for first, last in quiet_spans)
    failures = [*site.complaints, *(f"{name} has crashed" for name in dead)]
    if worst > 1:
        failures.append(f"up to {worst:.1f} s late more than {BACK_SECONDS:.0f} s after the return")
    yield judge(
        f"{name} {rounds} times",
        tally,
        failures=failures,
        notes=[f"due later than {BACK_SECONDS:.0f} s after the return: at most {worst:.1f} s late"],
    )


def _take_database_away(terms: Terms, site: Site, *, seconds: float, mode: str) -> None:
    if isinstance(site.database, SqliteDatabase):
        with site.database.lock(mode=mode):
            time.sleep(seconds)
        return
    terms.workshop.postgres.stop()
    time.sleep(seconds)
    terms.workshop.postgres.start()
