"""How the service is: who leads, what waits, what stands still. Read by health checks, commands and metrics."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import Count
from django.db.models.functions import Coalesce
from django.utils import timezone

from qlik.errors import CertificateError
from qlik.expiry import CertificateExpiry, list_expiries
from schedules.alert_queue import AlertTrouble, list_troubles
from schedules.closing import find_overdue
from schedules.housekeeping import Health, read_health
from schedules.models import Absence, Lease, Maintenance, QrsSite, Run, Schedule
from schedules.policies import OPEN_LIMIT
from schedules.qrs import qrs_settings
from schedules.redis_state import RedisState, read_redis
from schedules.task_warnings import count_misdirected
from schedules.zone_data import ZoneData, use_newest

#: A leader renews its lease each second or two, and a standby takes over within five
LONGEST_WITHOUT_LEADER = timedelta(seconds=10)
#: A worker takes a run within a second where there are enough of them
LONGEST_WAIT = timedelta(seconds=60)
#: Clocks that are further apart are told; a run is late by its schedule's grace, a minute by default
CLOCK_TOLERANCE = timedelta(seconds=10)
#: From when on a certificate that expires is told: time enough to find who may export a new one
EXPIRY_NOTICE = timedelta(days=30)

#: The sweeper closes a run within seconds of its limit
OVERDUE_TOLERANCE = timedelta(hours=1)

_OPEN = (
    Run.State.PLANNED,
    Run.State.QUEUED,
    Run.State.CLAIMED,
    Run.State.RETRYING,
    Run.State.WAITING,
    Run.State.UNSURE,
)
#: What to do about a certificate
RENEWAL = "Export new certificates in the QMC and put them in its place; a restart is not needed."
_UNCLAIMED = (Run.State.PLANNED, Run.State.QUEUED)


@dataclass(frozen=True, slots=True)
class Leader:
    """The lease: whose it is, empty for nobody, and when it was last renewed; `age` is by the reader's clock.

    `zone_data` is the edition of the time zone database that the leader computes with, empty where it is not known.
    """

    holder: str = ""
    token: int = 0
    renewals: int = 0
    renewed_at: datetime | None = None
    age: timedelta | None = None
    zone_data: str = ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The run that has waited for a worker the longest, `wait` being counted since it was planned."""

    due_at: datetime
    wait: timedelta


@dataclass(frozen=True, slots=True)
class Vitals:
    """The state of the service at `read_at`.

    `is_idle_guarded` is whether the database ends a transaction that idles. `open_runs` has the states before a
    start is certain. `absences` are times in which nobody planned and whose settling is not done yet.
    `certificates` are those that calls of QRS need, none where this process cannot read them. `qrs` is what the
    workers know of QRS itself. `overdue` is the oldest run that a worker has had and that is open past its limit.
    `misdirected_schedules` counts those that are started and whose task cannot be. `alert_troubles` are the
    channels that alerts do not get through to. `zone_data` is what the reading process computes with.
    """

    read_at: datetime
    leader: Leader
    planned_through: datetime | None
    started_schedules: int
    is_idle_guarded: bool
    redis: RedisState
    open_runs: Mapping[str, int]
    longest_waiting: Waiting | None
    housekeeping: Health
    overdue: Run | None
    absences: Sequence[Absence]
    maintenance: Maintenance | None
    certificates: Sequence[CertificateExpiry]
    qrs: QrsSite
    misdirected_schedules: int
    alert_troubles: Sequence[AlertTrouble]
    zone_data: ZoneData

    @property
    def queue_length(self) -> int | None:
        """The messages that no worker has taken; None when Redis does not answer."""
        return self.redis.queue_length

    @property
    def problems(self) -> list[str]:
        """What is wrong, in words, each with the next step; nothing for a service in good health."""
        return [
            *self._problems_of_leader(),
            *self._problems_of_zones(),
            *self._problems_of_database(),
            *self.redis.problems,
            *self._problems_of_queue(),
            *self._problems_of_housekeeping(),
            *self._problems_of_clocks(),
            *self._problems_of_qrs(),
            *self._problems_of_certificates(),
            *self._problems_of_alerts(),
        ]

    @property
    def warnings(self) -> list[str]:
        """What will be wrong before long, in words, each with the next step."""
        soon = self.read_at + EXPIRY_NOTICE
        expiring = [
            f"{certificate.file} expires on {certificate.expires_at:%Y-%m-%d at %H:%M} UTC,"
            f" in {(certificate.expires_at - self.read_at).days} days. No task can start then. {RENEWAL}"
            for certificate in self.certificates
            if self.read_at < certificate.expires_at <= soon
        ]
        return [*expiring, *self._warnings_of_tasks()]

    @property
    def status(self) -> str:
        """Return ok or degraded."""
        return "degraded" if self.problems else "ok"

    def _warnings_of_tasks(self) -> Iterator[str]:
        if count := self.misdirected_schedules:
            who = "1 started schedule aims at a task" if count == 1 else f"{count:,} started schedules aim at tasks"
            yield (
                f"{who} that Qlik Sense does not have, or that is disabled there. "
                "GET /v4/reloadtask/warnings and the list in the admin say which."
            )

    def _problems_of_leader(self) -> Iterator[str]:
        advice = "Nothing new is started. Look whether beat runs, and what its log says."
        if self.leader.age is None:
            yield f"No beat has led yet. {advice}"
        elif self.leader.age > LONGEST_WITHOUT_LEADER:
            limit = f"{LONGEST_WITHOUT_LEADER.total_seconds():.0f} s"
            yield f"No beat has led for {self.leader.age.total_seconds():,.0f} s, more than {limit}. {advice}"

    def _problems_of_zones(self) -> Iterator[str]:
        theirs, ours = self.leader.zone_data, self.zone_data.used
        if theirs and ours and theirs != ours:
            yield (
                f"Beat computes with the time zones of {theirs}, and this process with those of {ours}, so the hours of"
                " some zones differ. Install the same version of the package tzdata on every host, and restart."
            )

    def _problems_of_queue(self) -> Iterator[str]:
        if self.longest_waiting and self.longest_waiting.wait > LONGEST_WAIT:
            wait, limit = self.longest_waiting.wait.total_seconds(), LONGEST_WAIT.total_seconds()
            yield (
                f"A run has waited {wait:,.0f} s for a worker, more than {limit:.0f} s. "
                "Look whether workers run, or start more of them."
            )
        if self.overdue:
            yield (
                f"The run of {self.overdue} is {self.overdue.get_state_display()} since it was planned at "
                f"{self.overdue.planned_at:%Y-%m-%d %H:%M} UTC, and no run may be open for more than "
                f"{OPEN_LIMIT.days} days. The workers close such runs: look whether they run, and what their log says."
            )

    def _problems_of_housekeeping(self) -> Iterator[str]:
        if self.housekeeping.delay and self.housekeeping.delay > LONGEST_WAIT:
            delay, limit = self.housekeeping.delay.total_seconds(), LONGEST_WAIT.total_seconds()
            yield (
                f"No worker has done the housekeeping for {delay:,.0f} s, more than {limit:.0f} s: runs that got stuck "
                "stay so, and reloads are not followed. Look whether workers run, and whether the queue is long."
            )

    def _problems_of_database(self) -> Iterator[str]:
        if not self.is_idle_guarded:
            yield (
                "PostgreSQL lets a transaction idle without end: a process that is frozen in one holds up all others."
                " Look what resets idle_in_transaction_session_timeout on the way from the service to the database."
            )

    def _problems_of_clocks(self) -> Iterator[str]:
        for host, ahead in sorted(self.housekeeping.clocks.items()):
            if abs(ahead) > CLOCK_TOLERANCE:
                way = "ahead of" if ahead > timedelta(0) else "behind"
                yield (
                    f"The clock of the workers on {host} is {abs(ahead).total_seconds():,.0f} s {way} that of beat: "
                    "they may take runs for late, or for early. Set the clocks of all hosts by a time server."
                )

    def _problems_of_qrs(self) -> Iterator[str]:
        if self.qrs.wait_until and self.qrs.unreachable_since:
            seconds = max(self.read_at - self.qrs.unreachable_since, timedelta(0)).total_seconds()
            yield f"QRS has not answered for {seconds:,.0f} s, runs wait until it does: {self.qrs.last_error}"

    def _problems_of_certificates(self) -> Iterator[str]:
        for certificate in self.certificates:
            if certificate.expires_at <= self.read_at:
                moment = f"{certificate.expires_at:%Y-%m-%d at %H:%M} UTC"
                yield f"{certificate.file} expired on {moment}, so no task can start. {RENEWAL}"

    def _problems_of_alerts(self) -> Iterator[str]:
        for trouble in self.alert_troubles:
            many = "An alert" if trouble.messages == 1 else f"{trouble.messages:,} alerts"
            yield (
                f"{many} for {trouble.channel!r} could not be sent since {trouble.since_at:%Y-%m-%d %H:%M} UTC:"
                f" {trouble.error.rstrip('.')}. Correct the channel, and try it:"
                f" `manage.py schedules alerts --test {shlex.quote(trouble.channel)}`."
            )


def read_vitals() -> Vitals:
    """Return how the service is now, with a handful of queries and two questions to Redis."""
    now = timezone.now()
    lease = Lease.objects.filter(pk=1).first() or Lease()
    return Vitals(
        read_at=now,
        leader=_leader_of(lease, now=now),
        planned_through=lease.planned_through,
        started_schedules=Schedule.objects.filter(enabled=True).count(),
        is_idle_guarded=_is_idle_guarded(),
        redis=read_redis(),
        open_runs=_count_open_runs(),
        longest_waiting=_find_longest_waiting(now=now),
        housekeeping=read_health(),
        overdue=find_overdue(now=now - OVERDUE_TOLERANCE),
        absences=list(Absence.objects.all()),
        maintenance=Maintenance.current_at(now),
        certificates=list_certificates(),
        qrs=QrsSite.objects.filter(pk=1).first() or QrsSite(),
        misdirected_schedules=count_misdirected(),
        alert_troubles=list_troubles(now=now),
        zone_data=use_newest(),
    )


def _leader_of(lease: Lease, *, now: datetime) -> Leader:
    # The clock of the leader's machine may be ahead of ours
    age = None if lease.renewed_at is None else max(now - lease.renewed_at, timedelta(0))
    return Leader(lease.holder, lease.token, lease.renewals, lease.renewed_at, age, lease.zone_data)


def _is_idle_guarded() -> bool:
    if connection.vendor != "postgresql":
        return True
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SHOW idle_in_transaction_session_timeout")
        return bool(cursor.fetchone() != ("0",))


def _count_open_runs() -> dict[str, int]:
    rows = Run.objects.filter(state__in=_OPEN).order_by().values("state").annotate(number=Count("pk"))
    return dict.fromkeys(map(str, _OPEN), 0) | {row["state"]: row["number"] for row in rows}


def _find_longest_waiting(*, now: datetime) -> Waiting | None:
    # Not by the due instant: that of a backfill is long past when it is planned
    waiting = Run.objects.filter(state__in=_UNCLAIMED).annotate(ready_at=Coalesce("next_try_at", "planned_at"))
    found = waiting.order_by("ready_at").values_list("due_at", "ready_at").first()
    return None if found is None else Waiting(found[0], max(now - found[1], timedelta(0)))


def list_certificates() -> list[CertificateExpiry]:
    """Return those that calls of QRS need, with their ends; none where this process cannot read them."""
    try:
        return list_expiries(qrs_settings())
    except (CertificateError, ValueError):
        # The workers need them, and may run on another machine; the system checks tell what is wrong there
        return []
