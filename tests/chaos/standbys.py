"""Scenario 18: beats that start beside a leader with many schedules, again and again."""

from __future__ import annotations

from collections.abc import Iterator

from tests.chaos.clocks import longest_silence
from tests.chaos.measuring import describe_lateness, tally_site, warm_up
from tests.chaos.report import Line, judge
from tests.chaos.site import EVERY_SECOND, REST, Site
from tests.chaos.terms import Terms

#: From a due instant to its start, and the longest time without a start of a schedule that is due each second
GAP, SILENCE = 1.5, 2.5
#: Schedules that are made at a time
PART = 2000
_MARK = "SELECT MAX(last_update) FROM django_celery_beat_periodictasks"


def start_standbys(terms: Terms) -> Iterator[Line]:
    """Standbys start again and again beside a leader with many schedules, and somebody saves the library's tasks."""
    rounds, many = terms.rounds(short=2, full=20), 1000 if terms.is_short else 50_000
    with Site(terms.workshop, database=terms.database, random=terms.make_random("standbys")) as site:
        for start in range(0, many, PART):
            site.create([REST] * min(PART, many - start))
        # They are there to be read, and are asked nothing else
        site.jobs.clear()
        jobs = site.create([EVERY_SECOND] * 10)
        site.start_worker()
        leader = site.start_beat()
        begin = warm_up(site, jobs)
        mark = site.database.read(_MARK)[1]
        for number in range(rounds):
            standby = site.start_beat()
            standby.wait_until_says("standing by")
            if number % 2:
                standby.kill()
            else:
                standby.stop()
        moved = site.database.read(_MARK)[1] != mark
        for _ in range(rounds):
            site.database.write("UPDATE django_celery_beat_periodictasks SET last_update = CURRENT_TIMESTAMP")
            site.wait_until_on_time()
        failures = [*site.complaints, *(["a standby has moved the library's mark"] if moved else [])]
        if site.leader() is not leader:
            failures.append("the leader has lost the lease")
        end = site.settle()
        tally = tally_site(site, begin=begin, end=end)
        silence = longest_silence(site.starts(), jobs, since=begin, until=end)
        if silence > SILENCE * terms.patience:
            failures.append(f"silent for {silence:.1f} s")
        notes = [f"longest silence {silence:.1f} s", describe_lateness(site.rows(), begin=begin, end=end)]
    name = f"{rounds} standbys of {many:,}"
    yield judge(name, tally, gap=GAP * terms.patience, failures=failures, notes=notes)
