"""Scenarios 12 and 13: QRS begins what it was asked for long after, and the worker that follows is frozen."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress

from tests.chaos.ledger import Row
from tests.chaos.oracle import Fate
from tests.chaos.programs import Program
from tests.chaos.report import Line, judge
from tests.chaos.site import Job, Site
from tests.chaos.tally import compare
from tests.chaos.terms import Terms
from tests.chaos.workers import once_at
from tests.waiting import wait_for

#: A call is given up after a second; QRS is asked each second what came of it
QUICK = {"qrs_timeout": "1,1", "CHAOS_HOUSEKEEPING_SECONDS": "1"}
#: How long a call without an answer is given before QRS's silence counts for the first time
SETTLE_SECONDS = 15
#: How long QRS takes to tell a frozen worker what it knew when it was asked
ANSWER_MS = 2000
#: So long a worker that wakes up may take to write what it has seen
WAKE_SECONDS = 15


def begin_late(terms: Terms) -> Iterator[Line]:
    """QRS takes starts, and begins them seconds after the caller gave up; no task may run twice."""
    for number in range(terms.rounds(short=1, full=3)):
        with Site(terms.workshop, database=terms.database, random=terms.make_random(f"late {number}"), **QUICK) as site:
            site.start_beat()
            site.start_worker().wait_until_says("ready")
            site.wait_for_leader()
            # Without the short test's turn of the moments, a session must begin after the first silence that counts
            delays = [4.0, 4.5] if terms.is_short else [site.random.uniform(0.5, SETTLE_SECONDS + 5) for _ in range(12)]
            jobs, due = _make_jobs(site, len(delays))
            for job, delay in zip(jobs, delays, strict=True):
                site.control("/faults", _late(job, delay))
            if terms.is_short:
                _wait_for_states(site, jobs, {"unsure"})
                _age_calls(site, seconds=SETTLE_SECONDS)
            begun_at = max(due.values()) + max(delays)
            wait_for(lambda: time.time() > begun_at, seconds=60, what="the sessions", pause=0.2)  # noqa: B023
            with suppress(AssertionError):
                _wait_for_states(site, jobs, {"started", "succeeded"})
            yield _judge(site, f"begun up to {max(delays):.0f} s late", jobs, due)


def freeze_follower(terms: Terms) -> Iterator[Line]:
    """The worker that follows is frozen between its look and its write, and another one goes on."""
    for number in range(terms.rounds(short=1, full=4)):
        name = f"follower {number}"
        settings = {"qrs_timeout": "1,60", "CHAOS_HOUSEKEEPING_SECONDS": "1"}
        with Site(terms.workshop, database=terms.database, random=terms.make_random(name), **settings) as site:
            site.start_beat()
            first = site.start_worker()
            first.wait_until_says("ready")
            site.wait_for_leader()
            (job,), _ = _make_jobs(site, 1)
            # Or else it is over, and nothing is written of it any more
            site.control("/tasks", [{"id": job.task_id, "reload_seconds": 100_000}], method="PATCH")
            _lose_call(site, job)
            _freeze_in_look(site, first)
            # What the frozen one has been told is not true any more
            site.control(f"/start?task_id={job.task_id}")
            second = site.start_worker()
            second.wait_until_says("ready")
            _free_turn(site)
            _wait_for_states(site, [job], {"started", "succeeded"})
            found = _row_of(site, job)
            first.wake()
            failures = _wait_until_noticed(first)
            now = _row_of(site, job)
            if (now.state, now.session) != ("started", found.session):
                failures.append(f"{found.state} with its session became {now.state}: {now.message}")
            starts = [start for start in site.starts() if start.task_id == job.task_id]
            failures += [f"{len(starts)} calls began the task once more"] if starts else []
            yield judge("follower frozen in its look", compare({}, [], [], begin=0, end=0), failures=failures)


def _wait_until_noticed(worker: Program) -> list[str]:
    """Wait until a worker that was frozen has found that another one follows; return what is wrong."""
    try:
        worker.wait_until_says("another worker follows since", seconds=WAKE_SECONDS)
    except AssertionError:
        return ["the worker that woke up did not notice that another one follows"]
    return []


def _make_jobs(site: Site, count: int) -> tuple[list[Job], dict[str, int]]:
    """Make schedules that are due once, in some seconds; return them with their instants by their tasks."""
    due_at = int(time.time()) + 5
    jobs = site.create([once_at(due_at)] * count)
    return jobs, dict.fromkeys((job.task_id for job in jobs), due_at)


def _late(job: Job, delay: float) -> dict[str, object]:
    calls = ["start synchronous"]
    return {"kind": "late", "task_id": job.task_id, "delay_ms": round(delay * 1000), "count": 1, "calls": calls}


def _lose_call(site: Site, job: Job) -> None:
    """Let the call of a job have no effect and no answer, and be so long ago that the next silence settles it."""
    site.control("/faults", {"kind": "reset", "takes_effect": False, "count": 1, "calls": ["start synchronous"]})
    _wait_for_states(site, [job], {"unsure"})


def _freeze_in_look(site: Site, worker: Program) -> None:
    """Freeze a worker in the look that settles a run: QRS knows what to answer, and has not answered yet."""
    _freeze_between_looks(site, worker)
    site.control("/faults", {"kind": "delay", "delay_ms": ANSWER_MS, "calls": ["results"], "count": 1})
    _age_calls(site, seconds=300)
    # The first of two silences
    silent = "answered_at = datetime(answered_at, '-100 seconds')"
    if site.database.kind == "postgres":
        silent = "answered_at = answered_at - interval '100 seconds'"
    site.database.write(
        "UPDATE schedules_run SET silent_at = answered_at, in_doubt_since = called_at WHERE state = 'unsure'",
        f"UPDATE schedules_run SET {silent} WHERE state = 'unsure'",  # noqa: S608 -- constants
    )
    asked = _count_lists(site)
    worker.wake()
    wait_for(lambda: _count_lists(site) > asked, seconds=30, what="a look")
    worker.freeze()


def _freeze_between_looks(site: Site, worker: Program) -> None:
    worker.freeze()
    while site.database.read("SELECT 1 FROM schedules_qrssite WHERE follower_until IS NOT NULL")[1]:
        worker.wake()
        time.sleep(0.1)
        worker.freeze()


def _age_calls(site: Site, *, seconds: int) -> None:
    """Let calls in doubt look longer ago than they are: the short tests do not wait for that."""
    is_sqlite = site.database.kind == "sqlite"
    earlier = f"datetime({{0}}, '-{seconds} seconds')" if is_sqlite else f"{{0}} - interval '{seconds} seconds'"
    changes = ", ".join(f"{name} = {earlier.format(name)}" for name in ("claimed_at", "called_at", "answered_at"))
    site.database.write(f"UPDATE schedules_run SET {changes} WHERE state = 'unsure'")  # noqa: S608 -- constants


def _free_turn(site: Site) -> None:
    """Let the turn of the worker that follows be over: the tests do not wait for that."""
    site.database.write("UPDATE schedules_qrssite SET follower_until = NULL")


def _count_lists(site: Site) -> int:
    """Return how often QRS was asked for results: the last list of a look."""
    lines = site.journal_file.read_text().splitlines() if site.journal_file.exists() else []
    return sum('"results"' in line for line in lines)


def _rows_of(site: Site, jobs: Sequence[Job]) -> list[Row]:
    names = {job.name for job in jobs}
    return [row for row in site.rows() if row.schedule_name in names]


def _row_of(site: Site, job: Job) -> Row:
    (row,) = _rows_of(site, [job])
    return row


def _wait_for_states(site: Site, jobs: Sequence[Job], states: set[str]) -> None:
    def have_come() -> bool:
        rows = _rows_of(site, jobs)
        return len(rows) == len(jobs) and {row.state for row in rows} <= states

    wait_for(have_come, seconds=60, what=f"{states}", pause=0.1)


def _judge(site: Site, name: str, jobs: Sequence[Job], due: dict[str, int]) -> Line:
    expected = {job.task_id: {due[job.task_id]: Fate.START} for job in jobs}
    return judge(name, compare(expected, site.rows(), site.starts(), begin=0, end=time.time()))
