"""Scenarios 5 and 6: a worker dies in each stage of a run, and Redis delivers a message twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from tests.chaos.ledger import OPEN, Row
from tests.chaos.measuring import tally_site, warm_up
from tests.chaos.oracle import Fate
from tests.chaos.programs import Program
from tests.chaos.redeliveries import Redeliveries
from tests.chaos.report import Line, judge
from tests.chaos.site import EVERY_SECOND, Job, Site
from tests.chaos.tally import Expected, compare
from tests.chaos.terms import Terms
from tests.waiting import wait_for

#: Within what time docs/design.md promises a start, and two seconds for the measuring
UNCLAIMED_LIMIT = 30 + 10 + 2
#: On one machine: the sweeper, what QRS is given to begin a run, the follower twice, the pause before the next attempt
CLAIMED_LIMIT = 10 + 15 + 15 + 15 + 7 + 2
#: A write that is kept waiting shows itself by nothing; by then it has been tried
BLOCKED_SECONDS = 0.5
#: After how long QRS answers where the answer is to find the database locked
ANSWER_MS = 700

Stage = Callable[[Site, Program, Job], None]


def once_at(due: int) -> str:
    """Return a cron text for one instant, in UTC."""
    return datetime.fromtimestamp(due, UTC).strftime("%S %M %H %d %m *")


def kill_worker(terms: Terms) -> Iterator[Line]:
    """A worker is killed in every stage of a run, and at random moments of a busy time."""
    stages = {stage: limit for stage, limit in STAGES.items() if stage in SHORT_STAGES or not terms.is_short}
    with Site(terms.workshop, database=terms.database, random=terms.make_random("stages")) as site:
        site.start_beat()
        worker = site.start_worker()
        site.wait_for_leader()
        due: dict[Stage, dict[str, int]] = {stage: {} for stage in stages}
        for number in range(terms.rounds(short=1, full=5)):
            for place, stage in enumerate(stages):
                worker.wait_until_says("ready", times=number * len(stages) + place + 1)
                job, due_at = _kill_in_stage(site, worker, stage)
                due[stage][job.task_id] = due_at
        killed_at = time.time()
        if terms.is_short:
            _age_messages(site)
        closed_after = _watch_final_states(site, killed_at, seconds=CLAIMED_LIMIT + 20)
        for stage, limit in stages.items():
            slowest = max(closed_after.get(task_id, 0.0) for task_id in due[stage])
            yield _judge_stage(site, stage, due[stage], slowest=slowest, limit=limit)
    if not terms.is_short:
        yield _kill_at_random(terms)


def _kill_in_stage(site: Site, worker: Program, stage: Stage) -> tuple[Job, int]:
    """Make a schedule that is due once, in a moment, kill the worker in a stage of its run, and start it again."""
    due_at = int(time.time()) + 5
    (job,) = site.create([once_at(due_at)])
    stage(site, worker, job)
    assert not worker.is_running
    worker.start()
    site.control("/faults", method="DELETE")
    return job, due_at


def _judge_stage(site: Site, stage: Stage, due: dict[str, int], *, slowest: float, limit: float) -> Line:
    expected = {task_id: {due_at: Fate.START} for task_id, due_at in due.items()}
    rows = [row for row in site.rows() if row.task_id in due]
    starts = [start for start in site.starts() if start.task_id in due]
    tally = compare(expected, rows, starts, begin=0, end=time.time())
    return judge(
        f"killed: {(stage.__doc__ or '').strip('. ')}",
        tally,
        failures=[f"final after {slowest:.0f} s, promised are {limit} s"] if slowest > limit else [],
        notes=[f"final states within {slowest:.0f} s after the last kill, promised are {limit} s"],
    )


def _freeze_without_lock(site: Site, worker: Program) -> None:
    """Freeze a worker where it does not hold SQLite's lock: nobody could plan until it is killed."""
    worker.freeze()
    while not site.database.is_free():
        worker.wake()
        time.sleep(0.1)
        worker.freeze()


def _kill_on_its_way(site: Site, worker: Program, job: Job) -> None:
    """message sent."""
    _freeze_without_lock(site, worker)
    _wait_for_state(site, job, {"queued"})
    worker.kill()


def _kill_before_claim(site: Site, worker: Program, job: Job) -> None:
    """message taken."""
    _freeze_without_lock(site, worker)
    _wait_for_state(site, job, {"queued"})
    with site.database.lock():
        worker.wake()
        time.sleep(BLOCKED_SECONDS)
        worker.kill()


def _kill_before_call(site: Site, worker: Program, job: Job) -> None:
    """run claimed."""
    site.simulator.freeze()
    try:
        _wait_for_state(site, job, {"claimed"})
        time.sleep(site.random.uniform(0, 0.3))
        worker.kill()
    finally:
        site.simulator.wake()


def _kill_in_call(site: Site, worker: Program, job: Job) -> None:
    """call out."""
    site.control("/faults", {"kind": "delay", "delay_ms": 1500})
    _wait_for_call(site, job)
    time.sleep(site.random.uniform(0, 0.5))
    worker.kill()


def _kill_before_outcome(site: Site, worker: Program, job: Job) -> None:
    """answered."""
    site.control("/faults", {"kind": "delay", "delay_ms": ANSWER_MS})
    _wait_for_call(site, job)
    with site.database.lock():
        time.sleep(ANSWER_MS / 1000 + site.random.uniform(0.2, BLOCKED_SECONDS))
        worker.kill()


STAGES: dict[Stage, int] = {
    _kill_on_its_way: UNCLAIMED_LIMIT,
    _kill_before_claim: UNCLAIMED_LIMIT,
    _kill_before_call: CLAIMED_LIMIT,
    _kill_in_call: CLAIMED_LIMIT,
    _kill_before_outcome: CLAIMED_LIMIT,
}
#: Those that leave a run in each of the states in which it could be lost
SHORT_STAGES = (_kill_before_claim, _kill_in_call, _kill_before_outcome)


def _rows_of(site: Site, job: Job) -> list[Row]:
    return [row for row in site.rows() if row.schedule_name == job.name]


def _wait_for_call(site: Site, job: Job) -> None:
    wait_for(lambda: any(start.task_id == job.task_id for start in site.starts()), seconds=20, what="a call")


def _wait_for_state(site: Site, job: Job, states: set[str]) -> None:
    wait_for(lambda: states & {row.state for row in _rows_of(site, job)}, seconds=20, what=f"{states}")


def _age_messages(site: Site) -> None:
    """Let runs look a minute longer on Redis than they are: the short tests do not wait for that."""
    is_sqlite = site.database.kind == "sqlite"
    earlier = "{0} = datetime({0}, '-60 seconds')" if is_sqlite else "{0} = {0} - interval '60 seconds'"
    moment = earlier.format("queued_at")
    site.database.write(f"UPDATE schedules_run SET {moment} WHERE state = 'queued'")  # noqa: S608 -- constants


def _watch_final_states(site: Site, since: float, *, seconds: float) -> dict[str, float]:
    """Return for each task after how many seconds its runs had their final states; those without are left out."""
    closed: dict[str, float] = {}
    while time.time() - since < seconds:
        rows = site.rows()
        now = time.time() - since
        still_open = {row.task_id for row in rows if row.state in OPEN}
        closed |= {row.task_id: now for row in rows if row.task_id not in closed and row.task_id not in still_open}
        if not still_open:
            break
        time.sleep(0.2)
    return closed


def _kill_at_random(terms: Terms) -> Line:
    rounds = terms.rounds(short=2, full=10)
    with Site(terms.workshop, database=terms.database, random=terms.make_random("kill worker")) as site:
        site.create([EVERY_SECOND] * 20)
        worker = site.start_worker()
        site.start_beat()
        begin = warm_up(site)
        for _ in range(rounds):
            time.sleep(site.random.uniform(0, 2))
            worker.kill()
            worker.start()
            site.wait_until_on_time(seconds=UNCLAIMED_LIMIT + 10)
        end = site.settle(seconds=CLAIMED_LIMIT + 10)
        tally = tally_site(site, begin=begin, end=end)
        failures = site.complaints
    name = f"killed {rounds}x at random"
    return judge(name, tally, gap=CLAIMED_LIMIT, failures=failures)


def redeliver(terms: Terms) -> Iterator[Line]:
    """Redis gives a message to a second worker while the first is still at it: the visibility timeout is short."""
    visibility, call, count = (1, 5, 10) if terms.is_short else (5, 20, 30)
    with Site(
        terms.workshop,
        database=terms.database,
        random=terms.make_random("redeliver"),
        qrs_timeout=f"1,{call + 10}",
        CHAOS_VISIBILITY_SECONDS=str(visibility),
    ) as site:
        site.control("/faults", {"kind": "delay", "delay_ms": call * 1000})
        workers = [site.start_worker(), site.start_worker()]
        site.start_beat()
        site.wait_for_leader()
        for worker in workers:
            worker.wait_until_says("ready")
        first = int(time.time()) + 3
        jobs = site.create([once_at(first + number) for number in range(count)])
        # Each has a second of its own, hence a message of its own
        with Redeliveries(site.redis) as redelivered:
            if not terms.is_short:
                # A worker looks for messages that nobody has confirmed when it has run for ten seconds, and then rarely
                wait_for(lambda: len(site.rows()) == count // 2, seconds=count + 15, pause=0.2)
                site.start_worker()
            wait_for(lambda: len(site.rows()) == count, seconds=count + 15, what="rows for all", pause=0.2)
            site.wait_until_closed(seconds=3 * call + 45)
        expected = _expect_each(jobs, first)
        tally = compare(expected, site.rows(), site.starts(), begin=0, end=time.time())
        busy = len({row.worker for row in site.rows() if row.worker})
    yield judge(
        f"redelivered after {visibility} s",
        tally,
        failures=[] if redelivered.count or terms.is_short else ["Redis delivered nothing twice"],
        notes=[f"a call takes {call} s; {busy} workers took part; {redelivered.count} messages came again"],
    )


def _expect_each(jobs: Sequence[Job], first: int) -> Expected:
    return {job.task_id: {first + number: Fate.START} for number, job in enumerate(jobs)}
