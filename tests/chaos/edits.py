"""Scenario 8: many edits a second, and edits in the last moment before a due instant."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from random import Random

import requests

from tests.chaos.ledger import Row
from tests.chaos.measuring import expect_starts, sent_at, tally_site, warm_up
from tests.chaos.oracle import Fate
from tests.chaos.report import Line, judge
from tests.chaos.site import EVERY_SECOND, REST, Job, Site
from tests.chaos.tally import compare
from tests.chaos.terms import Terms
from tests.chaos.workers import once_at

#: How late the 99th of a hundred may be, planned and on Redis
LATE_SECONDS = 0.1
#: The short tests may run on a machine that has much else to do
SHORT_LATE_SECONDS = 1.0
EDITS_A_SECOND = 10
CHUNK = 1000


def edit_many(terms: Terms) -> Iterator[Line]:
    """Schedules are edited ten times a second while 200 others are due each second."""
    yield _edit_beside(terms)
    yield _edit_last_moment(terms)


def _edit_beside(terms: Terms) -> Line:
    others, seconds = (300, 4) if terms.is_short else (9800, 60)
    random = terms.make_random("edit many")
    with Site(terms.workshop, database=terms.database, random=random) as site:
        for _ in range(0, others, CHUNK):
            site.create([REST] * min(CHUNK, others))
        edited = list(site.jobs)
        busy = site.create([EVERY_SECOND] * (50 if terms.is_short else 200))
        site.jobs = list(busy)
        site.start_worker()
        site.start_beat()
        url = site.start_web()
        begin = warm_up(site)
        time.sleep(seconds / 2)
        calm = time.time()
        editor = Editor(site, url, edited, random=random)
        editor.run(seconds=seconds)
        end = time.time()
        site.settle()
        tally = tally_site(site, begin=begin, end=end - 1)
        rows = site.rows()
        before, during = (late_at_99(rows, *span) for span in ((begin, calm), (calm, end - 1)))
    failures = [*site.complaints, *editor.failures]
    allowed = SHORT_LATE_SECONDS if terms.is_short else LATE_SECONDS
    if during[0] > allowed:
        failures.append(f"on Redis {during[0] * 1000:.0f} ms late at p99, at most {allowed * 1000:.0f} are allowed")
    return judge(
        f"{editor.count / (end - calm):.0f} edits a second",
        tally,
        failures=failures,
        notes=[_compare_lateness(before, during), f"an edit took {editor.slowest * 1000:.0f} ms at most"],
    )


def _compare_lateness(before: tuple[float, float], during: tuple[float, float]) -> str:
    (sent, called), (sent_then, called_then) = before, during
    return (
        f"late at p99 without edits and with them: on Redis {sent * 1000:.0f} and {sent_then * 1000:.0f} ms,"
        f" called {called * 1000:.0f} and {called_then * 1000:.0f} ms"
    )


def late_at_99(rows: Sequence[Row], begin: float, end: float) -> tuple[float, float]:
    """Return by how much the 99th of a hundred runs due in (begin, end] was late: on Redis, and called."""
    within = [row for row in rows if begin < row.due_at <= end]
    sent = sorted(moment - row.due_at for row in within if (moment := sent_at(row)))
    called = sorted(row.called_at - row.due_at for row in within if row.called_at)
    return _percentile(sent), _percentile(called)


def _percentile(values: Sequence[float]) -> float:
    return values[int(len(values) * 0.99)] if values else 0.0


class Editor:
    """Edits by all doors, ten a second: start, stop, create and delete by the API, values by the services."""

    def __init__(self, site: Site, url: str, jobs: Sequence[Job], *, random: Random) -> None:
        self.count = 0
        self.slowest = 0.0
        self.failures: list[str] = []
        self._site = site
        self._url = f"{url}/v4/schedules"
        self._names = [job.name for job in jobs]
        self._random = random
        self._browser = requests.Session()

    def run(self, *, seconds: float) -> None:
        """Edit for so many seconds; an edit that takes longer than its tenth of a second delays the next."""
        began = time.monotonic()
        ticks = threading.Event()
        for number in range(int(seconds * EDITS_A_SECOND)):
            ticks.wait(max(began + number / EDITS_A_SECOND - time.monotonic(), 0))
            if time.monotonic() - began > seconds:
                break
            self._edit(number)

    def _edit(self, number: int) -> None:
        asked_at = time.monotonic()
        name = self._random.choice(self._names)
        kind = ("stop", "start", "values", "create", "values")[number % 5]
        if kind == "values":
            self._site.clerk.ask("edit", [name], {"cron_schedule": f"{number % 60} 0 29 2 *"})
        elif kind == "create":
            self._create_and_delete()
        else:
            self._call("PUT", f"{self._url}/{name}/{kind}")
        self.count += 1
        self.slowest = max(self.slowest, time.monotonic() - asked_at)

    def _create_and_delete(self) -> None:
        values = {
            "name": "New",
            "cronSchedule": REST,
            "timezone": "UTC",
            "qlikSenseTaskId": "0fe447a9-ba1f-44a9-ac23-68c3a1d88d8b",
            "startupState": "started",
            "tags": [],
        }
        answer = self._call("POST", self._url, json.dumps(values))
        if answer.ok:
            self._call("DELETE", f"{self._url}/{answer.json()['id']}")
            self.count += 1

    def _call(self, method: str, url: str, body: str | None = None) -> requests.Response:
        headers = {"Content-Type": "application/json"}
        answer = self._browser.request(method, url, data=body, headers=headers, timeout=30)
        if not answer.ok:
            self.failures.append(f"{method} {url.rpartition('/')[2]}: {answer.status_code} {answer.text[:100]}")
        return answer


def _edit_last_moment(terms: Terms) -> Line:
    """Move schedules from one second to the next in the last tenth of a second before the first of them."""
    rounds = terms.rounds(short=2, full=20)
    with Site(terms.workshop, database=terms.database, random=terms.make_random("last moment")) as site:
        jobs = site.create([REST] * 20)
        witness = site.create([EVERY_SECOND])
        site.start_worker()
        site.start_beat()
        expected: dict[str, dict[int, Fate]] = {job.task_id: {} for job in jobs}
        begin, in_time = warm_up(site, witness), 0
        for _ in range(rounds):
            in_time += _move_by_a_second(site, jobs, expected)
        end = site.settle()
        expected |= expect_starts(witness, begin=begin, end=end)
        tally = compare(expected, site.rows(), site.starts(), begin=begin, end=end)
    return judge(
        f"edit at :59.9, {rounds} times",
        tally,
        gap=2,
        failures=[] if in_time else ["no edit was in time"],
        notes=[f"{in_time} of {rounds * len(jobs)} edits were in force before the first of the two seconds"],
    )


def _move_by_a_second(site: Site, jobs: Sequence[Job], expected: dict[str, dict[int, Fate]]) -> int:
    """Edit the jobs just before they are due; note what has to happen; return how many edits were in time."""
    names = [job.name for job in jobs]
    due = int(time.time()) + 3
    site.clerk.ask("edit", names, {"cron_schedule": once_at(due)})
    time.sleep(max(due - site.random.uniform(0.1, 0.3) - time.time(), 0))
    in_force = site.clerk.ask("edit", names, {"cron_schedule": once_at(due + 1)})
    for job, moment in zip(jobs, in_force, strict=True):
        expected[job.task_id][due + 1] = Fate.START
        if moment >= due:
            # Whether the first second was planned before the edit came is a matter of milliseconds
            expected[job.task_id][due] = Fate.MAYBE
    time.sleep(max(due + 1.5 - time.time(), 0))
    return sum(moment < due for moment in in_force)
