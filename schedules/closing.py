"""The end of runs that are past their limit: every run is closed in time, whatever is switched off or away.

Runs come to their ends by themselves: workers start them, and what Qlik Sense says of them is followed. This closes
those that did not: no worker for a week, a session that nobody can ask about, a clock that was set. Such a run would
block its task for ever where the runs of the task must not overlap.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db.models import F, Q, TextField, Value
from django.db.models.functions import Concat, Trim

from schedules.models import Run
from schedules.policies import MISFIRE_MARK, OPEN_LIMIT
from schedules.runs import move_runs

logger = logging.getLogger(__name__)

#: Runs that are closed at a time; the others are the next time
_MAX_CLOSED = 5000

_DAYS = f"{OPEN_LIMIT.days} days"
_LOOK = "Look in the Qlik Management Console."


@dataclass(frozen=True, slots=True)
class _End:
    """The end of a run that is past its limit: its new state, and what its message says first."""

    state: Run.State
    message: str


_NEVER_TAKEN = _End(Run.State.SKIPPED, f"{MISFIRE_MARK} no worker took it within {_DAYS}.")
_ENDS: Mapping[str, _End] = {
    Run.State.PLANNED: _NEVER_TAKEN,
    Run.State.QUEUED: _NEVER_TAKEN,
    Run.State.RETRYING: _End(Run.State.UNREACHABLE, f"It could not be started within {_DAYS}."),
    Run.State.WAITING: _End(Run.State.SKIPPED, f"Overlap: the task did not end within {_DAYS}."),
    Run.State.CLAIMED: _End(Run.State.UNKNOWN, f"Its worker recorded no outcome within {_DAYS}. {_LOOK}"),
    Run.State.UNSURE: _End(Run.State.UNKNOWN, f"Nobody could say within {_DAYS} whether it was started. {_LOOK}"),
    Run.State.STARTED: _End(Run.State.UNKNOWN, f"Nobody could say within {_DAYS} how it ended. {_LOOK}"),
}
_NOT_FOLLOWED = _End(Run.State.STARTED, "Reloads are not followed any more, so how it ended is not known.")
_CALLED = (Run.State.CLAIMED, Run.State.UNSURE, Run.State.STARTED)


def close_overdue(*, now: datetime) -> int:
    """Close the runs that are past their limits, each with the reason; return how many.

    A run that moves on meanwhile stays as it is. Where reloads are not followed a start is an end, so runs that were
    started while they were are closed, too.
    """
    overdue: dict[str, list[UUID]] = defaultdict(list)
    for pk, state in _list_overdue(now=now):
        overdue[state].append(pk)
    closed = sum(_close(pks, state=state, now=now) for state, pks in overdue.items())
    if closed:
        logger.warning("%d runs were closed because they were past their limits", closed)
    return closed


def find_overdue(*, now: datetime) -> Run | None:
    """Return the run that was planned first of those that a worker has had and that are past their limit, or None."""
    return Run.objects.filter(_WITHOUT_END, _is_past(now)).order_by("planned_at").first()


def is_overdue(run_id: UUID, *, now: datetime) -> bool:
    """Return whether a run that is open is past its limit, or stands for a reload that is not followed."""
    return Run.objects.filter(_is_past(now) | _is_not_followed(), pk=run_id).exists()


# Of runs that a worker has had, and of those that are on their way to a call
_WITHOUT_END = Q(closed_at__isnull=True, claimed_at__isnull=False)
_WITHOUT_CALL = Q(state__in=[state for state in _ENDS if state != Run.State.STARTED])


def _is_past(now: datetime) -> Q:
    """Return what a run is that is past its limit.

    Further ahead than its limit it only is where the clock was set back, and then its limit would be years away.
    """
    limit = now - OPEN_LIMIT
    is_old = Q(planned_at__lt=limit)
    # One that was tried for days has as long from then on, but not for ever
    is_tried = Q(tried_from__gte=limit) & Q(planned_at__gte=limit - OPEN_LIMIT) & ~Q(state=Run.State.WAITING)
    is_called = Q(attempts__gt=1, claimed_at__gte=limit, state__in=_CALLED)
    return (is_old & ~is_tried & ~is_called) | Q(planned_at__gt=now + OPEN_LIMIT)


def _is_not_followed() -> Q:
    return Q(pk__in=[]) if settings.BUTLER_FOLLOW_RELOADS else Q(state=Run.State.STARTED)


def _list_overdue(*, now: datetime) -> Iterable[tuple[UUID, str]]:
    """Return the keys and states of the runs to be closed; it locks nothing, for nearly always there are none."""
    had = Run.objects.filter(_WITHOUT_END, _is_past(now) | _is_not_followed())
    had_not = Run.objects.filter(_WITHOUT_CALL, _is_past(now))
    return {row for rows in (had, had_not) for row in rows.order_by().values_list("pk", "state")[:_MAX_CLOSED]}


def _close(pks: Iterable[UUID], *, state: str, now: datetime) -> int:
    is_end = state == Run.State.STARTED and not settings.BUTLER_FOLLOW_RELOADS
    end = _NOT_FOLLOWED if is_end else _ENDS[state]
    still_there = Run.objects.filter(_is_past(now) | _is_not_followed(), pk__in=pks, state=state, closed_at=None)
    message = Trim(Concat(Value(f"{end.message} "), F("message"), output_field=TextField()))
    return move_runs(still_there, state=end.state, message=message)
