"""The leader's right to plan: one beat holds it, the others stand by.

It is kept in the database, beside the ledger that it protects, so Redis may be wiped and the clocks of two
machines may differ. A standby takes over when the holder has not renewed for LEASE_SECONDS by the standby's own
monotonic clock, or at once when the holder was a process of this machine that is gone.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.db import connection
from django.utils import timezone
from django_celery_beat.models import PeriodicTasks

from schedules.models import Lease, Run, ScheduleChange
from schedules.policies import LONGEST_WAIT
from schedules.zone_data import use_newest

logger = logging.getLogger(__name__)

#: How long a leader may be silent. It renews at least every 1.5 s; see beat.PULSE_SECONDS
LEASE_SECONDS = 3.0
#: How often a leader shows that it is alive in the middle of long work
_STAY_SECONDS = 0.5

# Renews and looks in one statement, for an idle beat does nothing else
_RENEW = f"""
    UPDATE {Lease._meta.db_table} SET renewals = renewals + 1, renewed_at = %s WHERE token = %s
    RETURNING
        (SELECT COALESCE(MAX(id), 0) FROM {ScheduleChange._meta.db_table}),
        (SELECT MAX(last_update) FROM {PeriodicTasks._meta.db_table}),
        EXISTS (SELECT 1 FROM {Run._meta.db_table} WHERE state = '{Run.State.PLANNED}'),
        EXISTS (
            SELECT 1 FROM {Run._meta.db_table}
            WHERE state IN ('{Run.State.RETRYING}', '{Run.State.WAITING}') AND (next_try_at <= %s OR next_try_at > %s)
        )
"""  # noqa: S608 -- all of it is constant
# What a statement reads is older than the lock that it waits for, and so would be what it sees of the edit that had it
_LOCK = f"SELECT 1 FROM {Lease._meta.db_table} WHERE token = %s FOR UPDATE"  # noqa: S608 -- all of it is constant
_ADVANCE = f"""
    UPDATE {Lease._meta.db_table} SET renewals = renewals + 1, planned_through = %s WHERE token = %s
"""  # noqa: S608 -- all of it is constant


class LeaseLostError(Exception):
    """Another beat has taken the lease."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """What a leader learns when it renews.

    The newest change, the library's own change mark, whether runs wait to be sent, and whether some are to be tried
    again.
    """

    change_id: int
    library_mark: object
    has_planned: bool
    has_postponed: bool


def lock_lease() -> Lease:
    """Lock the lease's row until the transaction ends, and return it; the first call ever makes it."""
    return Lease.objects.select_for_update().get_or_create(pk=1)[0]


class PlannerLease:
    """This process's hold on the lease, or its wait for it."""

    def __init__(self, *, holder: str | None = None) -> None:
        self.holder = holder or name_this_process()
        self.token: int | None = None
        self._seen: tuple[int, int] | None = None
        self._seen_since = 0.0
        self._shown_at = 0.0

    def keep(self) -> bool:
        """Return whether this process leads, as far as it knows; try to take the lease where it does not."""
        return self.token is not None or self._take_over()

    def renew(self) -> Pulse:
        """Show the standbys that this leader is alive, and look what is new.

        Within a transaction it locks the lease's row until the end. Raises LeaseLostError where another beat leads.
        """
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql" and connection.in_atomic_block:
                cursor.execute(_LOCK, [self.token])
            moment = timezone.now()
            now, too_far = map(connection.ops.adapt_datetimefield_value, (moment, moment + LONGEST_WAIT))
            cursor.execute(_RENEW, [now, self.token, now, too_far])
            found = cursor.fetchall()
        if not found:
            self._lose()
        self._shown_at = time.monotonic()
        return Pulse(*found[0])

    def stay(self) -> None:
        """Renew in the middle of long work where the last time was a while ago; raises LeaseLostError."""
        if time.monotonic() - self._shown_at > _STAY_SECONDS:
            self.renew()

    def advance(self, *, planned_through: datetime) -> None:
        """Note how far this leader has planned, within the transaction that inserts the runs.

        Raises LeaseLostError where another beat leads.
        """
        with connection.cursor() as cursor:
            cursor.execute(_ADVANCE, [connection.ops.adapt_datetimefield_value(planned_through), self.token])
            if not cursor.rowcount:
                self._lose()

    def release(self) -> None:
        """Give the lease back, so that the next beat need not wait."""
        if self.token is not None:
            Lease.objects.filter(token=self.token).update(holder="")
            self.token = None

    def _lose(self) -> None:
        self.token = None
        raise LeaseLostError(f"{self.holder} is no longer the leader, standing by")

    def _take_over(self) -> bool:
        lease, _ = Lease.objects.get_or_create(pk=1)
        if not self._is_free(lease):
            return False
        rival_free = Lease.objects.filter(token=lease.token, renewals=lease.renewals)
        taken = rival_free.update(
            token=lease.token + 1,
            holder=self.holder,
            renewals=lease.renewals + 1,
            renewed_at=timezone.now(),
            zone_data=use_newest().used,
        )
        if taken:
            self.token = lease.token + 1
            logger.info("leading as %s, token %s", self.holder, self.token)
        return bool(taken)

    def _is_free(self, lease: Lease) -> bool:
        if not lease.holder or is_gone(lease.holder):
            return True
        if self._seen != (lease.token, lease.renewals):
            if self._seen is None:
                logger.info("standing by for %s", lease.holder)
                _compare_zone_data(lease)
            self._seen, self._seen_since = (lease.token, lease.renewals), time.monotonic()
        return time.monotonic() - self._seen_since >= LEASE_SECONDS


def _compare_zone_data(lease: Lease) -> None:
    ours = use_newest().used
    if ours and lease.zone_data and ours != lease.zone_data:
        logger.warning(
            "%s computes with the time zones of %s, this beat would with those of %s: the hours of some zones may"
            " change when it takes over. Install the same version of the package tzdata on both.",
            lease.holder,
            lease.zone_data,
            ours,
        )


def name_this_process() -> str:
    """Return host, boot and number of this process, as `is_gone` understands it."""
    return f"{socket.gethostname()}/{_boot_id()}/{os.getpid()}"


def is_gone(holder: str) -> bool:
    """Return whether `holder` was a process of this very system that runs no more."""
    number = _number_here(holder)
    return number is not None and (number == os.getpid() or not _runs(number))


def lives_here(holder: str) -> bool:
    """Return whether `holder` is a process of this very system that runs, this one perhaps."""
    number = _number_here(holder)
    return number is not None and _runs(number)


def _number_here(holder: str) -> int | None:
    host, _, number = holder.rpartition("/")
    is_here = host == f"{socket.gethostname()}/{_boot_id()}" and number.isdigit()
    return int(number) if is_here else None


def _runs(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _boot_id() -> str:
    """Return what tells this boot, and this container's processes, from others of the same host name."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text()[:8]}-{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return "unknown"
