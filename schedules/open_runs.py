"""The runs that QRS is asked about: what of the ledger is needed to judge them, and what is written of them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import DataError, IntegrityError, transaction
from django.db.models import Q

from schedules.bulk import change_runs
from schedules.follower_turn import FollowerTurn, TurnLostError
from schedules.models import Run
from schedules.policies import OPEN_LIMIT
from schedules.qrs import longest_call

logger = logging.getLogger(__name__)

#: A call in doubt may have begun a session up to so long after it was given up
LATE_LIMIT = timedelta(hours=1)
#: The sessions of older calls in doubt are not looked for any more, whatever became of their runs
DOUBT_LIMIT = timedelta(days=1)
#: Rows in one transaction: beat waits no longer for it
_PART_SIZE = 500

_COLUMNS = (
    "pk",
    "qlik_task_id",
    "state",
    "claimed_at",
    "called_at",
    "attempts",
    "qrs_session",
    "answered_at",
    "reload_status",
    "message",
    "in_doubt_since",
    "silent_at",
    "closed_at",
)
#: What must be as it was read when something is written: another attempt changes one of them
_COMPARED = ("state", "claimed_at", "called_at", "attempts", "qrs_session")
# Of a run whose moments a hand has taken away
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRun:
    """A run that is started, or may be. `called_at` is when QRS was asked to start it, or might have been.

    `in_doubt_since` is when it was asked first of which nobody knows yet whether it began a session, and `silent_at`
    when it was found first that QRS knows of none.
    """

    id: UUID
    state: str
    task_id: UUID
    called_at: datetime
    answered_at: datetime | None
    session: UUID | None
    status: int | None
    attempts: int
    message: str
    in_doubt_since: datetime | None
    silent_at: datetime | None
    closed_at: datetime | None
    # The values that are compared when something is written
    as_read: tuple[object, ...]

    @property
    def is_unsure(self) -> bool:
        """Whether nobody knows, up to now, whether it was started."""
        return self.state == Run.State.UNSURE

    @property
    def is_found(self) -> bool:
        """Whether the ledger does not know its session yet."""
        return self.session is not None and self.session not in self.as_read

    @property
    def asked_until(self) -> datetime:
        """When nobody waited for QRS's answer any more."""
        return self.answered_at or self.called_at + longest_call()

    @property
    def sought_from(self) -> datetime:
        """The earliest moment at which one of its calls may have begun a session."""
        return min(self.in_doubt_since or self.called_at, self.called_at)

    @property
    def sought_until(self) -> datetime:
        """The latest moment at which one of its calls may have begun a session that is not known yet."""
        if self.session and self.in_doubt_since:
            return self.in_doubt_since + longest_call() + LATE_LIMIT
        return self.asked_until + LATE_LIMIT

    def is_sought(self, now: datetime) -> bool:
        """Return whether a session is looked for that one of its calls may have begun."""
        if self.session:
            return self.in_doubt_since is not None and now <= self.sought_until
        return self.closed_at is None or now <= self.closed_at + LATE_LIMIT


class Change(NamedTuple):
    """New values of a run's columns."""

    id: UUID
    state: str
    qrs_session: UUID | None = None
    reload_status: int | None = None
    reload_started_at: datetime | None = None
    ended_at: datetime | None = None
    reload_duration: timedelta | None = None
    reload_attempts: int = 0
    node: str = ""
    script_log: UUID | None = None
    reload_details: str = ""
    message: str = ""
    next_try_at: datetime | None = None
    closed_at: datetime | None = None
    in_doubt_since: datetime | None = None
    silent_at: datetime | None = None


def read_open_runs(*, now: datetime) -> list[OpenRun]:
    """Return the runs that are not over, and those with a call whose session may still turn up, the first call first.

    Those that are claimed are left out: their worker knows more.
    """
    states = [Run.State.UNSURE, *([Run.State.STARTED] if settings.BUTLER_FOLLOW_RELOADS else [])]
    # Those that are longer open are closed by the sweeper. Not by the due instant: that of a backfill is long past
    is_young = Q(planned_at__gte=now - OPEN_LIMIT) | Q(claimed_at__gte=now - OPEN_LIMIT)
    is_open = Run.objects.filter(is_young, state__in=states, closed_at=None)
    in_doubt = Run.objects.filter(in_doubt_since__gte=now - DOUBT_LIMIT).exclude(state=Run.State.CLAIMED)
    lately = Q(closed_at=None) | Q(closed_at__gte=now - LATE_LIMIT)
    # Two queries, each with an index of its own
    rows = {
        row[0]: row for query in (is_open, in_doubt.filter(lately)) for row in query.order_by().values_list(*_COLUMNS)
    }
    runs = (_make_open_run(*row) for row in rows.values())
    return sorted((run for run in runs if _is_looked_at(run, now=now)), key=lambda run: (run.called_at, run.id))


def _is_looked_at(run: OpenRun, *, now: datetime) -> bool:
    return run.is_unsure or (run.state == Run.State.STARTED and run.closed_at is None) or run.is_sought(now)


def _make_open_run(
    run_id: UUID,
    task_id: str,
    state: str,
    claimed_at: datetime | None,
    called_at: datetime | None,
    attempts: int,
    session: UUID | None,
    answered_at: datetime | None,
    *rest: Any,
) -> OpenRun:
    as_read = (state, claimed_at, called_at, attempts, session)
    if state == Run.State.UNSURE and (called_at is None or (claimed_at and claimed_at > called_at)):
        # Its worker was lost: whether, and when, it called is not known, and an earlier attempt does not matter
        called_at, answered_at = claimed_at, None
    status, message, in_doubt_since, silent_at, closed_at = rest
    return OpenRun(
        id=run_id,
        state=state,
        task_id=_read_task_id(task_id),
        called_at=called_at or _NEVER,
        answered_at=answered_at,
        session=session,
        status=status,
        attempts=attempts,
        message=message,
        in_doubt_since=in_doubt_since,
        silent_at=silent_at,
        closed_at=closed_at,
        as_read=as_read,
    )


def _read_task_id(text: str) -> UUID:
    """Return the id of a task; where a hand has broken it, that of none, which no session is of."""
    try:
        return UUID(text)
    except ValueError:
        return UUID(int=0)


def write_changes(changes: Sequence[Change], runs: Mapping[UUID, OpenRun], *, turn: FollowerTurn) -> int:
    """Write what is new of runs that are still as they were read; return how many were.

    Raises TurnLostError where another worker follows meanwhile: it has seen more.
    """
    parts = (changes[start : start + _PART_SIZE] for start in range(0, len(changes), _PART_SIZE))
    return sum(_write_part(part, runs, turn=turn) for part in parts)


def _write_part(part: Sequence[Change], runs: Mapping[UUID, OpenRun], *, turn: FollowerTurn) -> int:
    try:
        with transaction.atomic():
            if not turn.prove():
                raise TurnLostError
            rows = [(*change, *runs[change.id].as_read) for change in part]
            return change_runs(Change._fields, rows, compared=_COMPARED)
    except (DataError, IntegrityError, OverflowError):
        # What no database takes of one run must not keep the others waiting
        if len(part) == 1:
            logger.exception("what is new of run %s cannot be written: %s", part[0].id, part[0])
            return 0
        middle = len(part) // 2
        return sum(_write_part(half, runs, turn=turn) for half in (part[:middle], part[middle:]))
