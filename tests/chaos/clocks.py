"""Scenario 7: the wall clock steps, or beat stands still for a while. Clocks of QRS and of the harness are right."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise

from tests.chaos.journal import Start
from tests.chaos.measuring import tally_site, warm_up
from tests.chaos.oracle import Fate
from tests.chaos.report import Line, judge
from tests.chaos.site import EVERY_SECOND, Job, Site
from tests.chaos.tally import Tally, compare
from tests.chaos.terms import Terms
from tests.chaos.workers import once_at
from tests.waiting import wait_for

MINUTE, HOUR = 60, 3600
#: Up to here, late is not missed
GRACE = 10
#: Planning may take its time, and workers look at the age of a run again
SLACK = 8
#: The longest time without a start of a schedule that is due each second
SILENCE = 3.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step of the clock by so many seconds; all moments are by the right clock."""

    seconds: int
    begin: float
    stepped_at: float
    end: float


def step_clock(terms: Terms) -> Iterator[Line]:
    """The wall clock of the service's machine steps; beat alone is suspended."""
    yield _step_all(terms, "+2 h", 2 * HOUR)
    yield _step_all(terms, "-2 h", -2 * HOUR)
    yield _leap(terms, "+2 h for 5 s", 2 * HOUR, lasting=5)
    if not terms.is_short:
        yield _suspend_beat(terms, seconds=20)
        yield _step_all(terms, "-8 s", -8)
        yield _step_all(terms, "+1 day", 24 * HOUR)
        yield _step_all(terms, "+2 h, beat alone", 2 * HOUR, is_alone=True)
        yield _step_all(terms, "-2 h, beat alone", -2 * HOUR, is_alone=True)
        yield _leap(terms, "+2 h for 1 s", 2 * HOUR, lasting=1)
        yield _leap(terms, "-2 h for 1 s", -2 * HOUR, lasting=1)
        yield _leap(terms, "+3 days for 10 s", 72 * HOUR, lasting=10)
        yield _leap(terms, "+3 days for 25 s", 72 * HOUR, lasting=25)
        yield _leap(terms, "+9 years for 25 s", 9 * 365 * 24 * HOUR, lasting=25)


def _step_all(terms: Terms, name: str, seconds: int, *, is_alone: bool = False) -> Line:
    random = terms.make_random(f"clock {name}")
    # To a worker whose clock is right, what a beat in the past plans is hours late
    grace = 10 * HOUR if is_alone and seconds < 0 else GRACE
    with Site(terms.workshop, database=terms.database, random=random, has_clock=True) as site:
        wild = site.create([EVERY_SECOND] * 3, grace=grace)
        site.start_worker(has_clock=not is_alone)
        site.start_beat()
        begin = warm_up(site)
        (fixed,) = site.create([once_at(int(time.time()) + 4)], grace=10 * HOUR)
        wait_for(lambda: any(start.task_id == fixed.task_id for start in site.starts()), seconds=20, pause=0.1)
        time.sleep(random.uniform(1, 2))
        stepped_at = time.time()
        site.clock_file.write_text(str(seconds))
        # Long enough for a clock that was set back by a little to come to the same instant again
        time.sleep(12 - seconds if -MINUTE < seconds < 0 else 12)
        step = Step(seconds=seconds, begin=begin, stepped_at=stepped_at, end=time.time())
        site.rest()
        site.wait_until_closed(seconds=20)
        starts = site.starts()
        fates = expect_step(step, grace=grace)
        tally = _tally_step(site, {job.task_id: fates for job in wild}, fixed=fixed, step=step)
        tally.worst_gap = longest_silence(starts, wild, since=stepped_at, until=step.end)
        # A clock that was set back by a little may be waited out
        silence = SILENCE + (-seconds if -MINUTE < seconds < 0 else 0)
        failures = _watch_starts(starts, wild, since=stepped_at, until=step.end, grace=grace, silence=silence)
    return judge(f"clock {name}", tally, failures=failures, notes=["gap: the longest time without a start"])


def _leap(terms: Terms, name: str, seconds: int, *, lasting: int) -> Line:
    """Let the clock leap and come back after some seconds: whatever is due then and later starts, and starts once."""
    random = terms.make_random(f"leap {name}")
    with Site(terms.workshop, database=terms.database, random=random, has_clock=True) as site:
        wild = site.create([EVERY_SECOND] * 3)
        site.start_worker()
        site.start_beat()
        begin = warm_up(site)
        leap_at = int(time.time()) + 4
        later = [leap_at + 1, leap_at + lasting, leap_at + lasting + 8, leap_at + lasting + 9]
        fixed = site.create([once_at(due) for due in later], misfire="skip", grace=HOUR - 1)
        time.sleep(leap_at + random.random() - time.time())
        site.clock_file.write_text(str(seconds))
        time.sleep(lasting)
        site.clock_file.write_text("0")
        # Rows of days to come are in the ledger, so it does not tell how far beat is
        with suppress(AssertionError):
            wait_for(lambda: _has_gone_on(site, fixed=fixed, wild=wild, since=later[-1]), seconds=60, pause=0.1)
        end = site.settle()
        expected = {job.task_id: dict.fromkeys(range(int(begin) + 1, int(end) + 1), Fate.START) for job in wild}
        expected |= {job.task_id: {due: Fate.START} for job, due in zip(fixed, later, strict=True)}
        # What was due by the clock that was ahead lies outside of what is compared
        tally = compare(expected, site.rows(), site.starts(), begin=begin, end=end)
        failures = list(site.complaints)
        if skipped := [row for row in site.rows() if row.state == "skipped" and row.due_at > begin]:
            failures.append(f"{len(skipped)} rows are skipped: {skipped[0].message}")
    return judge(f"clock {name}", tally, gap=lasting + 10, failures=failures)


def _has_gone_on(site: Site, *, fixed: Sequence[Job], wild: Sequence[Job], since: float) -> bool:
    """Return whether all that was due once has started, and a run of each other job that was due after a moment."""
    started = [row for row in site.rows() if row.session and row.due_at < time.time() + 1]
    recently = {row.task_id for row in started if row.due_at > since}
    return {job.task_id for job in fixed} <= {row.task_id for row in started} and {
        job.task_id for job in wild
    } <= recently


def expect_step(step: Step, *, grace: float) -> dict[int, Fate]:
    """Return the fates of each second around a step: before it, jumped over by it, after it, by the turned clock."""
    turn, new, last = int(step.stepped_at), int(step.stepped_at) + step.seconds, int(step.end) + step.seconds
    fates = dict.fromkeys(range(int(step.begin) + 1, turn - 2), Fate.START)
    fates |= {due: Fate.SKIP if new - due > grace + SLACK else Fate.EITHER for due in range(turn + 2, new)}
    fates |= {due: Fate.EITHER if due <= new + SLACK else Fate.START for due in range(new, last - 1)}
    # Due before the comparison began, and started after it had
    fates[int(step.begin)] = Fate.MAYBE
    # Just planned when the clock was turned, or not
    fates |= dict.fromkeys(range(turn - 2, turn + 2), Fate.MAYBE)
    fates |= dict.fromkeys(range(last - 1, last + 4), Fate.MAYBE)
    if step.seconds < 0:
        fates |= dict.fromkeys(range(new - 1, new + 4), Fate.MAYBE)
    return fates


def _tally_step(site: Site, wanted: Mapping[str, Mapping[int, Fate]], *, fixed: Job, step: Step) -> Tally:
    """Compare; the schedule with a fixed time has to have run once, whatever the clock did afterwards."""
    rows, starts = site.rows(), site.starts()
    its_due = {round(row.due_at): Fate.START for row in rows if row.task_id == fixed.task_id}
    # Rows from before the comparison began are due within it where the clock was set back to before that
    early_sessions = {start.session for start in starts if start.at <= step.begin}
    tally = compare(
        {**wanted, fixed.task_id: its_due},
        [row for row in rows if row.session not in early_sessions],
        [start for start in starts if start.session not in early_sessions],
        begin=min(step.begin, step.stepped_at + step.seconds - 2),
        end=max(step.stepped_at, step.end + step.seconds) + 2,
        may_repeat=step.seconds < 0,
    )
    if (runs := sum(start.task_id == fixed.task_id for start in starts)) != 1:
        tally.doubled += max(runs - 1, 0)
        tally.findings.append(f"the schedule with a fixed time was started {runs} times")
    return tally


def longest_silence(starts: Sequence[Start], jobs: Sequence[Job], *, since: float, until: float) -> float:
    """Return the longest time without a start from `since` to `until`, of the job that was silent longest."""
    longest = 0.0
    for job in jobs:
        moments = sorted(start.at for start in starts if start.task_id == job.task_id and since < start.at < until)
        line = [since, *moments, until]
        longest = max(longest, *(later - earlier for earlier, later in pairwise(line)))
    return longest


def _watch_starts(
    starts: Sequence[Start], jobs: Sequence[Job], *, since: float, until: float, grace: float, silence: float = SILENCE
) -> list[str]:
    """Return what is wrong with the starts of jobs that are due each second: silence, or a storm."""
    failures = []
    if (longest := longest_silence(starts, jobs, since=since, until=until)) > silence:
        failures.append(f"silent for {longest:.1f} s, at most {silence} s are allowed")
    tasks = {job.task_id for job in jobs}
    count = sum(since < start.at <= until for start in starts if start.task_id in tasks)
    bound = round(len(jobs) * (1 + min(grace, GRACE) + until - since + 2))
    if count > bound:
        failures.append(f"a storm: {count} starts in {until - since:.0f} s, at most {bound} are due")
    return failures


def _suspend_beat(terms: Terms, *, seconds: int) -> Line:
    """Freeze the only beat for longer than the grace, and wake it."""
    with Site(terms.workshop, database=terms.database, random=terms.make_random("suspend")) as site:
        jobs = site.create([EVERY_SECOND] * 20, grace=GRACE)
        site.start_worker()
        beat = site.start_beat()
        begin = warm_up(site)
        time.sleep(site.random.random())
        frozen_at = time.time()
        beat.freeze()
        time.sleep(seconds)
        beat.wake()
        woken_at = time.time()
        time.sleep(3)
        site.wait_until_on_time()
        end = site.settle()
        fates = dict.fromkeys(range(int(begin) + 1, int(end) + 1), Fate.START)
        for due in range(max(int(frozen_at), int(begin) + 1), int(woken_at) + 1):
            is_missed = due > frozen_at and woken_at - due > GRACE + 2
            fates[due] = Fate.SKIP if is_missed else Fate.EITHER
        tally = tally_site(site, begin=begin, end=end, expected={job.task_id: fates for job in jobs})
        watched = _watch_starts(site.starts(), jobs, since=woken_at, until=woken_at + 3, grace=GRACE)
    return judge(f"beat frozen for {seconds} s", tally, gap=GRACE + 3, failures=[*site.complaints, *watched])
