"""From a site to a tally: when the comparison begins, what the oracle expects, how late starts were."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from tests.chaos.journal import Start
from tests.chaos.ledger import Row
from tests.chaos.oracle import Fate, due_instants
from tests.chaos.site import Job, Site
from tests.chaos.tally import Expected, Tally, compare
from tests.waiting import wait_for


def warm_up(site: Site, jobs: Iterable[Job] | None = None) -> float:
    """Wait until each of the jobs has started once and all is on time; return the moment to compare from."""
    wanted = {job.task_id for job in (site.jobs if jobs is None else jobs)}
    site.wait_for_leader()
    wait_for(lambda: wanted <= {start.task_id for start in site.starts()}, seconds=60, what="first starts", pause=0.2)
    site.wait_until_on_time()
    return time.time()


def expect_starts(jobs: Iterable[Job], *, begin: float, end: float) -> dict[str, dict[int, Fate]]:
    """Return that each occurrence in (begin, end] has to start."""
    by_cron: dict[str, list[int]] = {}
    for job in jobs:
        by_cron.setdefault(job.cron, due_instants(job.cron, after=begin, until=end))
    return {job.task_id: dict.fromkeys(by_cron[job.cron], Fate.START) for job in jobs}


def tally_site(site: Site, *, begin: float, end: float, expected: Expected | None = None) -> Tally:
    """Compare a site's ledger and journal with what was expected: by default, that all started."""
    wanted = expect_starts(site.jobs, begin=begin, end=end) if expected is None else expected
    return compare(wanted, site.rows(), site.starts(), begin=begin, end=end)


def worst_lateness(rows: Sequence[Row], starts: Sequence[Start], *, begin: float, end: float) -> float:
    """Return the longest time from due instant to start of the runs due in (begin, end]."""
    moments = {start.session: start.at for start in starts}
    return max(
        (moments[row.session] - row.due_at for row in rows if begin < row.due_at <= end and row.session in moments),
        default=0.0,
    )


def describe_lateness(rows: Sequence[Row], *, begin: float, end: float) -> str:
    """Return in words where the time went, at worst, for the runs due in (begin, end]."""
    within = [row for row in rows if begin < row.due_at <= end]
    planned = max((row.planned_at - row.due_at for row in within), default=0.0)
    sent = max((moment - row.due_at for row in within if (moment := sent_at(row))), default=0.0)
    called = max((row.called_at - row.due_at for row in within if row.called_at), default=0.0)
    return f"at worst planned {planned:.1f} s, on Redis {sent:.1f} s, called {called:.1f} s after the due instant"


def sent_at(row: Row) -> float | None:
    """Return when a run was on Redis: noted by beat, or proved by the worker that has claimed it before."""
    return min((moment for moment in (row.queued_at, row.claimed_at) if moment is not None), default=None)
