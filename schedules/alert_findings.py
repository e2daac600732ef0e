"""What is the matter now: the ledger, Qlik Sense and the certificates, looked through for what deserves an alert.

Only reads. What it finds may have been found before; alerts.py sees to that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db.models import Q, QuerySet

from schedules.alert_rules import (
    SLOW_MARGIN,
    AlertEvent,
    Finding,
    RunFacts,
    Subject,
    certificate_stage,
    is_slow,
    judge_run,
    may_be_slow,
    outage_stage,
)
from schedules.alert_texts import describe_duration, describe_moment
from schedules.models import QrsSite, Run
from schedules.runs import OCCURRENCES
from schedules.usual_durations import UsualDurations
from schedules.vitals import RENEWAL, list_certificates

#: Rows that are read at a time, and of those that are late or run at most
PART = 2_000

_OPEN = (Run.State.PLANNED, Run.State.QUEUED, Run.State.CLAIMED)
_COLUMNS = (
    "pk",
    "schedule_id",
    "schedule_name",
    "qlik_task_id",
    "due_at",
    "reason",
    "state",
    "message",
    "called_at",
    "closed_at",
    "reload_started_at",
    "reload_duration",
    "reload_details",
    "node",
    "occurrences",
    "schedule__title",
    "schedule__timezone",
    "schedule__misfire_grace",
)

_SITE = Subject("site", "Qlik Sense")


class _Row(NamedTuple):
    """A run with what of its schedule is needed; None for a schedule that is gone, or broken by hand."""

    pk: UUID
    schedule_pk: int | None
    schedule_name: str
    task_id: str
    due_at: datetime
    reason: str
    state: str
    message: str
    called_at: datetime | None
    closed_at: datetime | None
    reload_started_at: datetime | None
    duration: timedelta | None
    details: str
    node: str
    occurrences: int
    title: str | None
    zone: str | None
    grace: timedelta | None

    @property
    def subject(self) -> Subject:
        if self.schedule_pk is None:
            return Subject(f"task {self.task_id}", f"Qlik task {self.task_id}", task_id=self.task_id)
        name = self.title or f"deleted schedule {self.schedule_name}"
        key = f"schedule {self.schedule_pk}"
        return Subject(key, name, self.schedule_pk, self.schedule_name, self.task_id, self.zone or "UTC")


def find_in_closed(*, since: datetime, until: datetime) -> Iterator[Finding]:
    """Yield what the runs say that were closed in this time, the earliest first; each is of that moment."""
    key = since, UUID(int=0)
    usual = UsualDurations()
    rows: list[_Row] | None = None
    while rows is None or len(rows) == PART:
        rows = _read(_after(key).filter(closed_at__lte=until).order_by("closed_at", "pk")[:PART])
        usual.look_up(row.schedule_pk for row in rows if row.schedule_pk is not None and _needs_usual(row))
        for row in rows:
            closed_at = row.closed_at or until
            for event, is_bad in judge_run(_facts_of(row, usual), slow_factor=settings.BUTLER_ALERT_SLOW_FACTOR):
                yield _finding(row, event, is_bad=is_bad, at=closed_at, usual=usual)
            key = closed_at, row.pk


def find_overdue(*, now: datetime) -> Iterator[Finding]:
    """Yield the runs that should have been started by now, by the graces of their schedules, and were not."""
    rows = Run.objects.filter(state__in=_OPEN, called_at__isnull=True, due_at__lt=now, reason__in=OCCURRENCES)
    for row in _read(rows.order_by("due_at")[:PART]):
        if row.grace is not None and now - row.due_at > row.grace:
            yield _finding(row, AlertEvent.LATE, is_bad=True, at=now)


def find_slow(*, now: datetime) -> Iterator[Finding]:
    """Yield the reloads that go on and take longer than usual already."""
    factor, usual = settings.BUTLER_ALERT_SLOW_FACTOR, UsualDurations()
    begun = Run.objects.filter(state=Run.State.STARTED, closed_at__isnull=True, schedule__isnull=False)
    rows = _read(begun.filter(reload_started_at__lt=now - SLOW_MARGIN).order_by("due_at")[:PART])
    usual.look_up(row.schedule_pk for row in rows if row.schedule_pk is not None)
    for row in rows:
        lasts = now - (row.reload_started_at or now)
        if is_slow(lasts, usual=_usual_of(row, usual), factor=factor):
            yield _finding(row._replace(duration=lasts), AlertEvent.SLOW, is_bad=True, at=now, usual=usual)


def find_outage(*, now: datetime) -> Iterator[Finding]:
    """Yield whether QRS is out of reach, as the workers have noted it."""
    site = QrsSite.objects.first()
    # A few failures alone are none: starts are tried again, and the next call tells
    since_at = site.unreachable_since if site and site.wait_until else None
    stage = outage_stage(since_at=since_at, now=now) if since_at else 0
    if site is None or since_at is None:
        yield Finding(AlertEvent.QRS_UNREACHABLE, _SITE, is_bad=False, at=now)
    elif stage:
        error = f" The last error: {site.last_error}" if site.last_error else ""
        yield Finding(
            AlertEvent.QRS_UNREACHABLE,
            _SITE,
            is_bad=True,
            at=since_at if stage == 1 else now,
            what=f"No call has reached QRS since {describe_moment(since_at, 'UTC')}, so no task starts.{error}",
            advice="Look whether the Qlik Sense services run at QRS_URL and can be reached from here. Starts are tried "
            "again until the deadlines of their schedules; those that have failed by then are told afterwards.",
            stage=stage,
        )


def find_certificates(*, now: datetime) -> Iterator[Finding]:
    """Yield for each certificate that this process can read whether it lasts."""
    for certificate in list_certificates():
        stage = certificate_stage(expires_at=certificate.expires_at, now=now)
        left = certificate.expires_at - now
        when = f"in {describe_duration(left)}" if left > timedelta(0) else "so no task can start"
        verb = "expires" if left > timedelta(0) else "has expired"
        moment = describe_moment(certificate.expires_at, "UTC")
        yield Finding(
            AlertEvent.CERTIFICATE,
            Subject(f"certificate {certificate.file}", certificate.file.name),
            is_bad=bool(stage),
            at=now,
            what=f"{certificate.file} {verb} on {moment}, {when}.",
            advice=RENEWAL,
            stage=stage,
        )


def _after(key: tuple[datetime, UUID]) -> QuerySet[Run]:
    at, pk = key
    # The first condition alone can be looked up in the index of ends
    return Run.objects.filter(closed_at__gte=at).filter(Q(closed_at__gt=at) | Q(pk__gt=pk))


def _read(rows: QuerySet[Run]) -> list[_Row]:
    return [_Row(*values) for values in rows.values_list(*_COLUMNS)]


def _needs_usual(row: _Row) -> bool:
    return row.state == Run.State.SUCCEEDED and row.duration is not None and may_be_slow(row.duration)


def _usual_of(row: _Row, usual: UsualDurations) -> timedelta | None:
    return None if row.schedule_pk is None else usual.of(row.schedule_pk, besides=row.pk)


def _facts_of(row: _Row, usual: UsualDurations) -> RunFacts:
    return RunFacts(
        state=row.state,
        reason=row.reason,
        message=row.message,
        due_at=row.due_at,
        called_at=row.called_at,
        grace=row.grace,
        duration=row.duration,
        usual=_usual_of(row, usual) if _needs_usual(row) else None,
    )


def _finding(
    row: _Row, event: AlertEvent, *, is_bad: bool, at: datetime, usual: UsualDurations | None = None
) -> Finding:
    if not is_bad:
        return Finding(event, row.subject, is_bad=False, at=at, run_id=row.pk)
    what, advice = _WORDS[event](row, at, usual)
    return Finding(
        event,
        row.subject,
        is_bad=True,
        at=at,
        run_id=row.pk,
        state=row.state,
        due_at=row.due_at,
        what=what,
        advice=advice,
        number=row.occurrences if event is AlertEvent.MISSED else 1,
    )


# What is said of a run


def _tell_start(row: _Row, at: datetime, usual: UsualDurations | None) -> tuple[str, str]:
    what = {
        "refused": "Qlik Sense refused to start the task.",
        "unreachable": "Qlik Sense was not reached, so the task was not started.",
        "unknown": "Contact was lost in the middle of the call, so nobody knows whether the task was started.",
    }[row.state]
    return f"{what} {row.message}".rstrip(), ADVICE[row.state]


#: What to do about a start that failed, by the state of the run
ADVICE = {
    "refused": "Look in the Qlik Management Console whether the task is there and enabled, and whether the user of "
    "this service may start it. Then press “Run now” on the page of the schedule.",
    "unreachable": "Look whether the Qlik Sense services run and can be reached from here. Once they can, press “Run "
    "now” on the page of the schedule, or run all that was missed: `manage.py schedules backfill`.",
    "unknown": "Look in the Qlik Management Console whether the task runs. If it does not, press “Run now” on the "
    "page of the schedule.",
}


def _tell_reload(row: _Row, at: datetime, usual: UsualDurations | None) -> tuple[str, str]:
    where = f" on {row.node}" if row.node else ""
    lasted = f" after {describe_duration(row.duration)}" if row.duration is not None else ""
    what = f"The reload {'was aborted' if row.state == Run.State.ABORTED else 'failed'}{where}{lasted}."
    said = row.details.strip() or row.message.strip()
    cause = "find out who or what stopped it" if row.state == Run.State.ABORTED else "correct the cause"
    advice = f"Open the task in the Qlik Management Console, read its script log and {cause}. Then press “Run now”."
    return f"{what} {said}".rstrip(), advice


def _tell_missed(row: _Row, at: datetime, usual: UsualDurations | None) -> tuple[str, str]:
    times = f" It stands for {row.occurrences:,} times at which it was due." if row.occurrences > 1 else ""
    advice = "See what is missing, and run it if it is still needed: “Run what was missed” in the admin."
    return f"The task was not started at its time. {row.message}{times}", advice


def _tell_late(row: _Row, at: datetime, usual: UsualDurations | None) -> tuple[str, str]:
    late = (row.called_at or at) - row.due_at
    grace = describe_duration(row.grace or timedelta(0))
    advice = "`manage.py schedules status` tells whether workers run and what waits. A limit on starts may be too low."
    if row.called_at is None:
        return (
            f"It has not been started yet, {describe_duration(late)} after its time; up to {grace} is normal.",
            advice,
        )
    return f"It was started {describe_duration(late)} after its time; up to {grace} is normal.", advice


def _tell_slow(row: _Row, at: datetime, usual: UsualDurations | None) -> tuple[str, str]:
    lasts, known = row.duration or timedelta(0), _usual_of(row, usual) if usual else None
    often = f"; usually it takes {describe_duration(known)}" if known is not None else ""
    if row.closed_at is None:
        advice = "Look in the Qlik Management Console whether it hangs or waits, and stop it there if it does."
        return f"The reload has been running for {describe_duration(lasts)}{often}.", advice
    advice = "If this goes on, look at the script log and at what else runs at this time: the load forecast shows it."
    return f"The reload took {describe_duration(lasts)}{often}.", advice


_WORDS: Mapping[AlertEvent, Any] = {
    AlertEvent.START_FAILED: _tell_start,
    AlertEvent.RELOAD_FAILED: _tell_reload,
    AlertEvent.MISSED: _tell_missed,
    AlertEvent.LATE: _tell_late,
    AlertEvent.SLOW: _tell_slow,
}
