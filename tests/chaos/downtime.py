"""Scenario 10: the service is down, and its schedules' misfire policies decide what becomes of the time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from tests.chaos.ledger import Row, count_rows, read_lease, to_epoch
from tests.chaos.measuring import warm_up
from tests.chaos.oracle import Fate, due_instants, settle_missed
from tests.chaos.report import Line, judge
from tests.chaos.site import EVERY_SECOND, Job, Site
from tests.chaos.tally import compare
from tests.chaos.terms import Terms
from tests.waiting import wait_for

POLICIES = ("once", "all", "skip")
#: Up to here, late is not missed
GRACE = 60
#: A worker looks at the age of a run again, a moment later
SLACK = 30
MINUTE, HOUR, DAY = 60, 3600, 86_400

#: For each time down the expressions, and the policies that can be asked for so many occurrences
GAPS = {
    "1 minute": (MINUTE, {"*/2 * * * * *": POLICIES, "*/20 * * * * *": POLICIES, "0 * * * *": POLICIES}),
    "2 hours": (2 * HOUR, {"*/5 * * * *": POLICIES, "0 * * * *": POLICIES, EVERY_SECOND: ("once", "skip")}),
    "3 days": (3 * DAY, {"*/30 * * * *": POLICIES, "0 */6 * * *": POLICIES, "*/10 * * * * *": ("once", "skip")}),
}


def go_down(terms: Terms) -> Iterator[Line]:
    """The service was down for a minute, two hours, three days; counts and moments are the policies'."""
    for name, (seconds, crons) in GAPS.items():
        if terms.is_short and name != "2 hours":
            continue
        yield _pretend(terms, name, seconds, crons)
    if not terms.is_short:
        yield _really_stop(terms)


def _pretend(terms: Terms, name: str, seconds: int, crons: dict[str, Sequence[str]]) -> Line:
    """Turn back the database's notes of how far was planned, and start beat."""
    with Site(terms.workshop, database=terms.database, random=terms.make_random(name)) as site:
        for cron, policies in crons.items():
            for misfire in policies:
                site.create([cron], misfire=misfire, grace=GRACE)
        down_at = int(time.time()) - seconds
        turn_back(site, to=down_at)
        site.start_worker()
        site.start_beat()
        began = time.time()
        return _watch(site, f"down for {name}", down_at=down_at, began=began)


def _really_stop(terms: Terms) -> Line:
    with Site(terms.workshop, database=terms.database, random=terms.make_random("really")) as site:
        for misfire in POLICIES:
            site.create(["*/2 * * * * *", EVERY_SECOND], misfire=misfire, grace=GRACE)
        worker = site.start_worker()
        beat = site.start_beat()
        warm_up(site)
        beat.stop()
        worker.stop()
        down_at = site.newest_due()
        time.sleep(MINUTE)
        worker.start()
        beat.start()
        return _watch(site, "stopped for 1 minute", down_at=down_at, began=time.time())


def _watch(site: Site, name: str, *, down_at: float, began: float) -> Line:
    """Wait until the time down is made up for, and compare."""
    wait_for(lambda: site.newest_due() > down_at, seconds=120, what="the first rows", pause=0.2)
    # Planning goes on in parts; it is over when the leader has noted so
    wait_for(lambda: _is_caught_up(site, began), seconds=180, what="an end of the planning", pause=1)
    site.rest()
    site.wait_until_closed(seconds=90)
    rows = site.rows()
    expected, wrong = {}, []
    for job in site.jobs:
        its_rows = [row for row in rows if row.schedule_name == job.name and down_at < row.due_at]
        expected[job.task_id] = _expect(job, its_rows, down_at=down_at, began=began)
        wrong += _check_reasons(job, its_rows, expected[job.task_id])
    tally = compare(expected, rows, site.starts(), begin=down_at, end=began)
    planned_at = max((row.planned_at for row in rows if down_at < row.due_at <= began), default=began)
    tally.worst_gap = planned_at - began
    notes = [f"gap: planned {planned_at - began:.1f} s after beat's start"]
    return judge(name, tally, failures=wrong[:4], notes=notes)


def _is_caught_up(site: Site, began: float) -> bool:
    """Return whether it is planned up to now, nothing due before is open, and no row was added for three seconds."""
    planned_through = to_epoch(read_lease(site.database).get("planned_through")) or 0.0
    if planned_through <= began or site.count_open(due_until=began):
        return False
    count = count_rows(site.database, due_until=began)
    time.sleep(3)
    return count == count_rows(site.database, due_until=began)


def _expect(job: Job, rows: Sequence[Row], *, down_at: float, began: float) -> dict[int, Fate]:
    """Return the fates of what was due while the service was down, as decided at the moment of the first pass."""
    now = max((row.planned_at for row in rows if row.due_at <= began), default=began)
    due = due_instants(job.cron, after=down_at, until=now)
    fates = settle_missed(due, now=now, misfire=job.misfire, grace=job.grace, slack=SLACK)
    return {instant: fate for instant, fate in fates.items() if instant <= began}


def _check_reasons(job: Job, rows: Sequence[Row], fates: dict[int, Fate]) -> list[str]:
    """Return which runs give a wrong reason: what was missed and runs is a catch-up, all else is scheduled."""
    findings = []
    for row in rows:
        age = row.planned_at - row.due_at
        if abs(age - job.grace) <= SLACK:
            continue
        is_catch_up = age > job.grace and fates.get(round(row.due_at)) is Fate.START
        wanted = "catch-up" if is_catch_up else "scheduled"
        if round(row.due_at) in fates and row.reason != wanted:
            findings.append(f"{job.cron} ({job.misfire}): due {age:.0f} s ago is {row.reason}, not {wanted}")
    return findings


def turn_back(site: Site, *, to: float) -> None:
    """Write into the database that planning ended at that moment, and that all schedules are older."""
    zone = "+00" if site.database.kind == "postgres" else ""
    moment = datetime.fromtimestamp(to, UTC).strftime(f"%Y-%m-%d %H:%M:%S{zone}")
    # The row is there: whoever creates schedules locks it
    site.database.write(
        f"UPDATE schedules_lease SET planned_through = '{moment}'",  # noqa: S608
        f"UPDATE schedules_schedule SET armed_at = '{moment}'",  # noqa: S608
    )
