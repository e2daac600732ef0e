"""Scenario 11: no power for three hours, and the service is back before QRS."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.chaos.oracle import Fate
from tests.chaos.report import Line, judge
from tests.chaos.site import Job, Site
from tests.chaos.tally import compare
from tests.chaos.terms import Terms
from tests.chaos.workers import once_at
from tests.waiting import wait_for

MINUTE, HOUR = 60, 3600
AWAY = 3 * HOUR
#: Up to here, late is not missed
GRACE = 60
#: How long QRS takes no connection, and then no start, after the service is back: short, in full
REFUSED, BUSY = (3, 30), (3, 30)
#: Within so many seconds of its return all that waited has started; QRS is looked for every ten
BACK_SECONDS = 60
IN_HAND = frozenset({"planned", "queued", "claimed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Jobs:
    """The schedules of the site: each is due once, those of `tried` before the power fails, the others in the gap.

    Those of `caught_up` are made up for by themselves, those of `filled` by a backfill, and those of `hopeless` by a
    second one, for the first is not to be tried twice.
    """

    tried: Sequence[Job]
    caught_up: Sequence[Job]
    filled: Sequence[Job]
    hopeless: Sequence[Job]


def lose_power(terms: Terms) -> Iterator[Line]:
    """Three hours without power, and QRS is back after the service: every catch-up and every backfill runs once."""
    with Site(terms.workshop, database=terms.database, random=terms.make_random("power"), has_clock=True) as site:
        jobs = _create(site, count=4 if terms.is_short else 40)
        worker, beat = site.start_worker(), site.start_beat()
        site.wait_for_leader()
        site.control("/faults", {"kind": "refuse", "status": 503})
        begin = time.time()
        _wait_for_states(site, jobs.tried, {"retrying"})
        for program in (beat, worker):
            program.kill()
        site.redis.stop()
        site.control("/faults", method="DELETE")
        site.control("/outage", {"seconds": 10 * MINUTE})
        site.clock_file.write_text(str(AWAY))
        site.redis.start()
        worker.start()
        beat.start()
        planned = _make_up_for(site, jobs, begin=begin)
        _let_qrs_return(site, seconds=(REFUSED[not terms.is_short], BUSY[not terms.is_short]))
        returned_at = time.time()
        limit = BACK_SECONDS * terms.patience
        site.wait_until_closed(seconds=limit)
        closed_after = time.time() - returned_at
        planned += [_fill(site, jobs.hopeless, begin=begin), _fill(site, jobs.hopeless, begin=begin)]
        site.wait_until_closed(seconds=limit)
        yield _judge(site, jobs, planned=planned, begin=begin, closed_after=closed_after, limit=limit)


def _create(site: Site, *, count: int) -> _Jobs:
    now = int(time.time())

    def in_gap(kind: int) -> list[str]:
        spots = site.random.sample(range(10 * MINUTE, AWAY - 10 * MINUTE), count)
        return [once_at(now + spot + kind) for spot in spots]

    return _Jobs(
        tried=site.create([once_at(now + 8)] * count, grace=10 * HOUR),
        caught_up=site.create(in_gap(0), misfire="once", grace=GRACE),
        filled=site.create(in_gap(1), misfire="skip", grace=GRACE),
        hopeless=site.create(in_gap(2), misfire="skip", grace=GRACE, retry_deadline=0),
    )


def _make_up_for(site: Site, jobs: _Jobs, *, begin: float) -> list[int]:
    """Wait for the catch-ups and ask for backfills, while QRS is away; return how many runs these have planned."""
    _wait_for_states(site, jobs.caught_up, {"retrying"})
    _wait_for_states(site, [*jobs.filled, *jobs.hopeless], {"skipped"})
    planned = [_fill(site, jobs.filled, begin=begin), _fill(site, jobs.hopeless, begin=begin)]
    _wait_for_states(site, jobs.filled, {"skipped", "retrying"})
    _wait_for_states(site, jobs.hopeless, {"skipped", "unreachable"})
    return planned


def _wait_for_states(site: Site, jobs: Sequence[Job], states: set[str]) -> None:
    """Wait until the runs of each of the schedules have these states, all of them."""
    names = {job.name for job in jobs}

    def have_states() -> bool:
        pairs = {(row.schedule_name, row.state) for row in site.rows() if row.schedule_name in names}
        return pairs == {(name, state) for name in names for state in states}

    wait_for(have_states, seconds=60, what=f"{len(names)} schedules with runs that are {states}", pause=0.1)


def _fill(site: Site, jobs: Sequence[Job], *, begin: float) -> int:
    return int(site.clerk.ask("backfill", [job.name for job in jobs], begin, begin + AWAY))


def _let_qrs_return(site: Site, *, seconds: tuple[int, int]) -> None:
    """Let QRS refuse connections for a while, then answer 503, and then be well."""
    refused, busy = seconds
    time.sleep(refused)
    site.control("/faults", {"kind": "refuse", "status": 503})
    site.control("/outage", method="DELETE")
    time.sleep(busy)
    site.control("/faults", method="DELETE")


def _judge(site: Site, jobs: _Jobs, *, planned: Sequence[int], begin: float, closed_after: float, limit: float) -> Line:
    rows, starts = site.rows(), site.starts()
    fates = {
        job.task_id: {round(row.due_at): Fate.START for row in rows if row.task_id == job.task_id} for job in site.jobs
    }
    tally = compare(fates, rows, starts, begin=begin - MINUTE, end=begin + AWAY + HOUR)
    # From the due instant it would be the three hours
    tally.worst_gap = closed_after
    counts = Counter(start.task_id for start in starts)
    failures = [f"{job.cron} was started {counts[job.task_id]} times" for job in site.jobs if counts[job.task_id] != 1]
    count = len(jobs.filled)
    if (wanted := [count, count, count, 0]) != list(planned):
        failures.append(f"the backfills have planned {list(planned)} runs, not {wanted}")
    return judge(
        "3 h without power",
        tally,
        gap=limit,
        allowed=("unreachable",),
        failures=failures[:4],
        notes=["gap: from the return of QRS until all had ended"],
    )
