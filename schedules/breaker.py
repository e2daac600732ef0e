"""The circuit breaker: a QRS that cannot be reached is asked now and then by one, not by every worker for every run."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.db.models import F
from django.db.models.functions import Coalesce

from schedules.models import QrsSite, Run
from schedules.runs import change_rows
from schedules.wakeup import wake_beat

logger = logging.getLogger(__name__)

#: After so many calls in a row that did not reach QRS, runs wait
MOST_FAILURES = 5
#: How often one call finds out whether QRS is back
PROBE_PAUSE = timedelta(seconds=5)


def read_site() -> QrsSite:
    """Return what is known about QRS; where nothing is, nothing is wrong."""
    return QrsSite.objects.filter(pk=1).first() or QrsSite(pk=1)


def count_admitted(wanted: int, *, now: datetime) -> int:
    """Return how many calls of so many may be made now: all, none, or the one that finds out whether QRS is back."""
    site = read_site()
    if site.wait_until is None:
        return wanted
    return int(bool(wanted) and take_probe(site, now=now))


def take_probe(site: QrsSite, *, now: datetime) -> bool:
    """Return whether the caller is the one who is to find out whether QRS is back."""
    # Further ahead than a pause it only is where the clock was set back
    if site.wait_until is None or now < site.wait_until <= now + PROBE_PAUSE:
        return False
    # Whoever changes the row first
    rivals = QrsSite.objects.filter(pk=1, wait_until=site.wait_until)
    return bool(rivals.update(wait_until=now + PROBE_PAUSE))


def note_failures(number: int, *, error: str, now: datetime) -> None:
    """Note that calls did not reach QRS, or got no answer."""
    QrsSite.objects.get_or_create(pk=1)
    QrsSite.objects.filter(pk=1).update(
        failures=F("failures") + number,
        last_error=error,
        unreachable_since=Coalesce("unreachable_since", now),
    )
    opened = QrsSite.objects.filter(pk=1, failures__gte=MOST_FAILURES)
    if opened.filter(wait_until=None).update(wait_until=now + PROBE_PAUSE):
        logger.error("QRS cannot be reached, runs wait until it can: %s", error)


def note_success(*, now: datetime) -> None:
    """Note that QRS has answered, and let all go on that waited for it while it was away.

    After a failure or two there is nothing to let go on: each run has a pause of its own, and those that succeed
    meanwhile would make a second of it.
    """
    if not read_site().failures:
        return
    back = {"failures": 0, "wait_until": None, "unreachable_since": None, "last_error": ""}
    if QrsSite.objects.filter(pk=1).exclude(wait_until=None).update(**back):
        waiting = change_rows(Run.objects.filter(state=Run.State.RETRYING), next_try_at=now)
        logger.warning("QRS can be reached again, %d runs are tried again", waiting)
        wake_beat()
    else:
        QrsSite.objects.filter(pk=1, wait_until=None).exclude(failures=0).update(**back)
