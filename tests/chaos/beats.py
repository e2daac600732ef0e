"""Scenarios 1 and 2: beats that are killed and frozen."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress

from tests.chaos.measuring import describe_lateness, tally_site, warm_up
from tests.chaos.report import Line, judge
from tests.chaos.site import EVERY_SECOND, Site
from tests.chaos.terms import Terms
from tests.waiting import wait_for

#: A supervisor starts beat at once, and it has to load
GAP = 5.0
#: A standby takes over after four seconds without a sign of the leader, and then has to load
FREEZE_GAP = 8.0


def kill_beat(terms: Terms) -> Iterator[Line]:
    """Beat is killed, and started at once as a supervisor would, while 200 schedules are due each second."""
    random = terms.make_random("kill beat")
    rounds = terms.rounds(short=1, full=100)
    with Site(terms.workshop, database=terms.database, random=random) as site:
        site.create([EVERY_SECOND] * (50 if terms.is_short else 200))
        site.start_worker()
        beat = site.start_beat()
        begin = warm_up(site)
        for number in range(rounds):
            time.sleep(random.uniform(0, 2))
            beat.kill()
            beat.start()
            if number % 10 == 9:
                # Once more, while it starts
                time.sleep(random.uniform(0, 1))
                beat.kill()
                beat.start()
            site.wait_until_on_time()
        end = site.settle()
        tally = tally_site(site, begin=begin, end=end)
        notes = [describe_lateness(site.rows(), begin=begin, end=end)]
        yield judge(f"kill beat {rounds} times", tally, gap=GAP * terms.patience, failures=site.complaints, notes=notes)


def many_beats(terms: Terms) -> Iterator[Line]:
    """Of two and three beats the leader is killed, or frozen past its lease and woken."""
    for count in [2] if terms.is_short else [2, 3]:
        yield _strike_leaders(terms, count)


def _strike_leaders(terms: Terms, count: int) -> Line:
    random = terms.make_random(f"{count} beats")
    rounds = terms.rounds(short=2, full=12)
    with Site(terms.workshop, database=terms.database, random=random) as site:
        site.create([EVERY_SECOND] * 20)
        site.start_worker()
        for _ in range(count):
            site.start_beat()
        begin = warm_up(site)
        for number in range(rounds):
            time.sleep(random.uniform(0, 1.5))
            if number % 2:
                _freeze_leader(site, seconds=random.uniform(0, 3))
            else:
                leader = site.wait_for_leader()
                leader.kill()
                time.sleep(random.uniform(0, 3))
                leader.start()
            site.wait_until_on_time()
        end = site.settle()
        tally = tally_site(site, begin=begin, end=end)
        title, notes = f"{count} beats, leader hit {rounds}x", [describe_lateness(site.rows(), begin=begin, end=end)]
        return judge(title, tally, gap=FREEZE_GAP * terms.patience, failures=site.complaints, notes=notes)


def _freeze_leader(site: Site, *, seconds: float) -> None:
    """Freeze the leader until another one leads, and for some seconds more."""
    leader = site.wait_for_leader()
    leader.freeze()
    try:
        with suppress(AssertionError):
            wait_for(lambda: site.leader() not in (leader, None), seconds=12, pause=0.05)
        time.sleep(seconds)
    finally:
        leader.wake()
