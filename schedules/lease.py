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
from datetime import datetime
from pathlib import Path

from django.db.models import F
from django.utils import timezone

from schedules.models import Lease

logger = logging.getLogger(__name__)

LEASE_SECONDS = 4.0
RENEW_SECONDS = 1.0


class LeaseLostError(Exception):
    """Another beat has taken the lease."""


def lock_lease() -> Lease:
    """Lock the lease's row until the transaction ends, and return it; the first call ever makes it."""
    return Lease.objects.select_for_update().get_or_create(pk=1)[0]


class PlannerLease:
    """This process's hold on the lease, or its wait for it."""

    def __init__(self, *, holder: str | None = None) -> None:
        self.holder = holder or name_this_process()
        self.token: int | None = None
        self._renewed = 0.0
        self._seen: tuple[int, int] | None = None
        self._seen_since = 0.0

    @property
    def is_held(self) -> bool:
        """Whether this process believes that it leads; `advance` is what proves it."""
        return self.token is not None

    def keep(self) -> bool:
        """Renew the lease when it is time, or try to take it; return whether this process leads."""
        if self.token is None:
            return self._take_over()
        if time.monotonic() - self._renewed >= RENEW_SECONDS:
            self.renew()
        return self.is_held

    def renew(self) -> None:
        """Show the standbys that this leader is alive."""
        self._write(renewals=F("renewals") + 1, renewed_at=timezone.now())

    def advance(self, *, planned_through: datetime) -> None:
        """Renew the lease and note how far this leader has planned, within the transaction that inserts the runs.

        It locks the row until that transaction ends. Raises LeaseLostError where another beat leads.
        """
        self._write(planned_through=planned_through, renewals=F("renewals") + 1)
        if self.token is None:
            raise LeaseLostError(f"{self.holder} was no longer the leader; it has written nothing")

    def release(self) -> None:
        """Give the lease back, so that the next beat need not wait."""
        if self.token is not None:
            self._write(holder="")
            self.token = None

    def _write(self, **values: object) -> None:
        if self.token is not None and Lease.objects.filter(token=self.token).update(**values):
            self._renewed = time.monotonic()
        else:
            logger.warning("another beat has taken the lease, standing by")
            self.token = None

    def _take_over(self) -> bool:
        lease, _ = Lease.objects.get_or_create(pk=1)
        if not self._is_free(lease):
            return False
        rival_free = Lease.objects.filter(token=lease.token, renewals=lease.renewals)
        taken = rival_free.update(
            token=lease.token + 1, holder=self.holder, renewals=lease.renewals + 1, renewed_at=timezone.now()
        )
        if taken:
            self.token, self._renewed = lease.token + 1, time.monotonic()
            logger.info("leading as %s, token %s", self.holder, self.token)
        return bool(taken)

    def _is_free(self, lease: Lease) -> bool:
        if not lease.holder or is_gone(lease.holder):
            return True
        if self._seen != (lease.token, lease.renewals):
            if self._seen is None:
                logger.info("standing by for %s", lease.holder)
            self._seen, self._seen_since = (lease.token, lease.renewals), time.monotonic()
        return time.monotonic() - self._seen_since >= LEASE_SECONDS


def name_this_process() -> str:
    """Return host, boot and number of this process, as `is_gone` understands it."""
    return f"{socket.gethostname()}/{_boot_id()}/{os.getpid()}"


def is_gone(holder: str) -> bool:
    """Return whether `holder` was a process of this very system that runs no more."""
    host, _, number = holder.rpartition("/")
    if host != f"{socket.gethostname()}/{_boot_id()}" or not number.isdigit():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return int(number) == os.getpid()


def _boot_id() -> str:
    """Return what tells this boot, and this container's processes, from others of the same host name."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text()[:8]}-{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return "unknown"
