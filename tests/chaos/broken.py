"""Scenario 9: rows that a hand has broken in the database."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from uuid import UUID

from tests.chaos.measuring import expect_starts, warm_up
from tests.chaos.programs import Program
from tests.chaos.report import Line, judge
from tests.chaos.site import EVERY_SECOND, Job, Site
from tests.chaos.tally import Tally, compare
from tests.chaos.terms import Terms

#: What a hand writes into a column, as SQL; some of it only SQLite lets in
BREAKS: Mapping[str, str] = {
    "cron text": "cron_schedule = 'every now and then'",
    "no cron text": "cron_schedule = ''",
    "impossible day": "cron_schedule = '0 0 31 2 *'",
    "unknown zone": "timezone = 'Mars/Olympus'",
    "zone is a path": "timezone = '../../etc/passwd'",
    "unknown misfire": "misfire = 'meh'",
    "task id": "qlik_task_id = 'no guid'",
    "negative grace": "misfire_grace = {minus}",
    "tags of a wrong kind": "tags = '{{\"a\": 1}}'",
}
SQLITE_BREAKS: Mapping[str, str] = {
    "tags are no JSON": "tags = 'a, b'",
    "NUL in the cron text": "cron_schedule = '* * * * *' || char(0)",
    "NUL in the task id": "qlik_task_id = 'a' || char(0)",
    "bytes for a cron text": "cron_schedule = x'ff00fe'",
    "word for a grace": "misfire_grace = 'long'",
    "word for a moment": "armed_at = 'yesterday'",
    "no misfire": "misfire = ''",
}
#: Beat is killed once
GAP = 5.0
#: When to run such a row can be told all the same; it may run
STILL_COMPUTED = frozenset({"tags of a wrong kind", "tags are no JSON", "negative grace", "no misfire"})
#: Makes a row sound again
SOUND = (
    "cron_schedule = '* * * * * *', timezone = 'UTC', misfire = 'once', qlik_task_id = '{task_id}', tags = '[]',"
    " misfire_grace = {hour}, armed_at = CURRENT_TIMESTAMP"
)
MINUS = {"sqlite": "-1", "postgres": "interval '-1 second'"}
AN_HOUR = {"sqlite": "3600000000", "postgres": "interval '1 hour'"}


def break_rows(terms: Terms) -> Iterator[Line]:
    """Rows are made unreadable by hand, one at a time: set aside with a reason, the others untouched."""
    with Site(terms.workshop, database=terms.database, random=terms.make_random("broken")) as site:
        breaks = dict(BREAKS) | (SQLITE_BREAKS if terms.database == "sqlite" else {})
        sound = site.create([EVERY_SECOND] * 20)
        broken = dict(zip(breaks, site.create([EVERY_SECOND] * len(breaks)), strict=True))
        site.start_worker()
        beat = site.start_beat()
        begin = warm_up(site)
        findings: list[str] = []
        for kind, sql in breaks.items():
            _write(site, broken[kind], sql.format(minus=MINUS[terms.database]))
            # The short tests break all of them before they look
            if not terms.is_short and not _others_go_on(site, beat, kind, findings):
                job = broken.pop(kind)
                _write(site, job, SOUND.format(task_id=str(UUID(job.task_id)), hour=AN_HOUR[terms.database]))
                site.wait_until_on_time()
        _others_go_on(site, beat, "all of them", findings)
        broken_at = time.time()
        beat.kill()
        beat.start()
        _others_go_on(site, beat, "after a restart", findings)
        time.sleep(2)
        end = time.time()
        # Nothing new between a look at the ledger and one at the journal
        beat.stop()
        site.wait_until_closed(seconds=10)
        tally = _tally_sound(site, sound, begin=begin, end=end - 1)
        findings += _check_shown(site, broken) + _check_silent(site, broken, since=broken_at + 2)
    yield judge(f"{len(breaks)} kinds of broken rows", tally, gap=GAP * terms.patience, failures=findings)


def _write(site: Site, job: Job, assignments: str) -> None:
    site.database.write(
        f"UPDATE schedules_schedule SET {assignments} WHERE periodictask_ptr_id = {job.pk}",  # noqa: S608
        # The library's mark, by which beat learns that somebody wrote past the services
        "UPDATE django_celery_beat_periodictasks SET last_update = CURRENT_TIMESTAMP",
    )


def _others_go_on(site: Site, beat: Program, kind: str, findings: list[str]) -> bool:
    """Return whether all is on time; where beat has died it is started again, as a supervisor would."""
    time.sleep(1.5)
    complaints = []
    if not beat.is_running:
        complaints.append("beat has crashed")
        beat.start()
    site.wait_until_on_time(seconds=8)
    complaints += site.complaints
    site.complaints.clear()
    findings += [f"{kind}: {complaint}" for complaint in complaints]
    return not complaints


def _tally_sound(site: Site, sound: Sequence[Job], *, begin: float, end: float) -> Tally:
    """Count the sound schedules alone."""
    tasks = {job.task_id for job in sound}
    rows = [row for row in site.rows() if row.task_id in tasks]
    starts = [start for start in site.starts() if start.task_id in tasks]
    return compare(expect_starts(sound, begin=begin, end=end), rows, starts, begin=begin, end=end)


def _check_shown(site: Site, broken: Mapping[str, Job]) -> list[str]:
    """Return which rows do not say what is wrong with them, and which lists cannot be shown."""
    findings = []
    for kind, job in broken.items():
        try:
            if not site.clerk.ask("problem", job.pk):
                findings.append(f"{kind}: the row has no problem")
        except RuntimeError as error:
            findings.append(f"{kind}: asked for its problem: {str(error)[:90]}")
    for what in ("admin_list", "api_list"):
        try:
            answer = site.clerk.ask(what)
            status = answer[0] if isinstance(answer, list) else answer
            if status != 200:
                findings.append(f"{what}: status {status}")
        except RuntimeError as error:
            findings.append(str(error)[:100])
    return findings


def _check_silent(site: Site, broken: Mapping[str, Job], *, since: float) -> list[str]:
    """Return which broken schedules are planned all the same, and what became of that."""
    kinds = {job.name: kind for kind, job in broken.items() if kind not in STILL_COMPUTED}
    states: dict[str, list[str]] = {}
    for row in site.rows():
        if row.schedule_name in kinds and row.due_at > since:
            states.setdefault(kinds[row.schedule_name], []).append(row.state)
    return [f"{kind}: planned {len(ends)} times, {', '.join(sorted(set(ends)))}" for kind, ends in states.items()]
