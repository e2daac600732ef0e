"""The ledger: what was due, what was sent to the workers, what came of it. Claims have a module of their own.

A step locks the rows that it moves, in the order of their keys so that no two steps wait for each other, and moves
those that are still in the state that it expects. Steps of many rows are single statements written out: the ORM would
take several times as long to compose them as the database to carry them out.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q, QuerySet, TextField, UUIDField, Value
from django.db.models.functions import Coalesce, Concat
from django.utils import timezone

from qlik.errors import Availability
from schedules.bulk import change_runs, to_column
from schedules.bulk_rows import split
from schedules.models import Run, Schedule, from_epoch
from schedules.policies import LONGEST_WAIT

logger = logging.getLogger(__name__)

#: A message that no worker took for this long is published again; see docs/design.md.
QUEUE_LIMIT = timedelta(seconds=30)

#: What beat sends again when its time has come
POSTPONED = (Run.State.RETRYING, Run.State.WAITING)
#: No worker has taken them in hand
UNCLAIMED = (Run.State.PLANNED, Run.State.QUEUED, *POSTPONED)
_ENDS = (
    Run.State.SUCCEEDED,
    Run.State.FAILED,
    Run.State.ABORTED,
    Run.State.SKIPPED,
    Run.State.REFUSED,
    Run.State.UNREACHABLE,
    Run.State.UNKNOWN,
)
#: The states of what was surely not started, and will not be; in any other it was, may have been, or is about to be
NOT_STARTED = (Run.State.SKIPPED, Run.State.REFUSED, Run.State.UNREACHABLE)
#: The reasons of runs that beat planned
OCCURRENCES = (Run.Reason.SCHEDULED, Run.Reason.CATCH_UP, Run.Reason.REPEATED)
#: The reasons of runs of a schedule that somebody asked for
ASKED_FOR = (Run.Reason.MANUAL, Run.Reason.BACKFILL)
#: What does not start any more when its schedule is stopped, paused or deleted
_LEFT_WITH_SCHEDULE = ~Q(reason=Run.Reason.MANUAL) | Q(state__in=POSTPONED)
#: Rows that are moved at a time
_MOVE_SIZE = 5000
#: Schedules of one query; of more, all runs that wait are looked through
_MOST_NAMED = 500

_TABLE = Run._meta.db_table
_PLAN = f"""
    INSERT INTO {_TABLE} (
        id, schedule_id, schedule_name, qlik_task_id, due_at, reason, repeat, message, occurrences, state,
        planned_at, queued_at, closed_at, attempts, worker, reload_attempts, node, reload_details
    ) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 0, '', 0, '', '') ON CONFLICT DO NOTHING
"""  # noqa: S608 -- all of it is constant
_TAKE = f"""
    UPDATE {_TABLE} SET state = '{Run.State.QUEUED}', queued_at = %s
    WHERE state = '{Run.State.PLANNED}'
    AND id IN (SELECT id FROM {_TABLE} WHERE state = '{Run.State.PLANNED}' ORDER BY due_at LIMIT %s)
    RETURNING due_at, id
"""  # noqa: S608 -- all of it is constant
# The longest due are taken, but locked in the order of their keys
_LOCK_AND_TAKE = f"""
    UPDATE {_TABLE} SET state = '{Run.State.QUEUED}', queued_at = %s FROM (
        SELECT id FROM {_TABLE} WHERE state = '{Run.State.PLANNED}'
        AND id IN (SELECT id FROM {_TABLE} WHERE state = '{Run.State.PLANNED}' ORDER BY due_at LIMIT %s)
        ORDER BY id FOR UPDATE
    ) AS taken WHERE {_TABLE}.id = taken.id
    RETURNING due_at, {_TABLE}.id
"""  # noqa: S608 -- all of it is constant
_OUTCOME_COLUMNS = (
    "id",
    "state",
    "called_at",
    "answered_at",
    "qrs_session",
    "message",
    "next_try_at",
    "closed_at",
    "claimed_at",
)
#: Where a start whose answer comes late may still be written: nobody has claimed the run since
_UNCLAIMED_SINCE = (Run.State.UNSURE, Run.State.RETRYING, Run.State.PLANNED, Run.State.QUEUED)
_COUNT_RUNS = f"""
    UPDATE {Schedule._meta.db_table} SET runs_planned = runs_planned + %s WHERE periodictask_ptr_id = %s
"""  # noqa: S608 -- all of it is constant


class PlannedRun(NamedTuple):
    """A row to be: an occurrence of a schedule at `due`, in epoch seconds; `key` as both databases take it.

    A tuple, for thousands are made at a time.
    """

    key: str
    schedule_pk: int
    schedule_name: str
    qlik_task_id: str
    due: int
    reason: str
    repeat: int = 0
    message: str = ""
    occurrences: int = 1
    state: str = Run.State.PLANNED.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of an attempt to start a claimed run: when QRS was called and answered, and what is next.

    `session` is QRS's, and `next_try_at` the moment of the next attempt of a run that retries. `availability`
    and `retry_after` tell of QRS itself, and not of the task. `claimed_at` names the claim
    under which the attempt was made; without it, it is the one that the run has.
    """

    id: uuid.UUID
    state: Run.State
    called_at: datetime
    answered_at: datetime
    session: uuid.UUID | None = None
    message: str = ""
    next_try_at: datetime | None = None
    availability: Availability = Availability.UNCLEAR
    retry_after: timedelta | None = None
    claimed_at: datetime | None = None


def is_end(state: str) -> bool:
    """Return whether nothing follows this state. A start is the end where reloads are not followed."""
    return state in _ENDS or (state == Run.State.STARTED and not settings.BUTLER_FOLLOW_RELOADS)


def plan_runs(rows: Sequence[PlannedRun], *, now: datetime, is_queued: bool = False) -> list[str]:
    """Insert the rows; one whose occurrence is in the ledger already is left as it is.

    With `is_queued` those that are to run are noted to be on their way to Redis, and their keys returned: who calls
    publishes them, or gives them back.
    """
    if not rows:
        return []
    instants = {due: to_column("due_at", from_epoch(due)) for due in {row.due for row in rows}}
    now_value, planned = to_column("planned_at", now), Run.State.PLANNED.value
    # State, and when it was planned, queued and closed
    end = (Run.State.QUEUED.value, now_value, now_value, None) if is_queued else (planned, now_value, None, None)
    values = [
        (
            *row[:4],
            instants[row.due],
            *row[5:9],
            *(end if row.state == planned else (row.state, now_value, None, now_value)),
        )
        for row in rows
    ]
    with connection.cursor() as cursor:
        cursor.executemany(_PLAN, values)
    return [row.key for row in rows if row.state == planned] if is_queued else []


def count_runs(given: Mapping[int, int]) -> None:
    """Add to the number of runs that schedules, by their keys, were given; it counts towards their greatest number."""
    if given:
        with connection.cursor() as cursor:
            cursor.executemany(_COUNT_RUNS, [(count, pk) for pk, count in given.items()])


def take_planned(*, most: int, now: datetime) -> list[str]:
    """Note of planned rows that they are on their way to Redis, and return their keys, the longest due first.

    Who has taken them publishes them, or gives them back.
    """
    with connection.cursor() as cursor:
        take = _LOCK_AND_TAKE if connection.vendor == "postgresql" else _TAKE
        cursor.execute(take, [to_column("queued_at", now), most])
        taken = sorted(cursor.fetchall())
    return [key if isinstance(key, str) else key.hex for _, key in taken]


def give_back(keys: Sequence[str]) -> None:
    """Undo take_planned for rows that Redis did not take, and that no worker has claimed all the same."""
    move_runs(Run.objects.filter(pk__in=keys, state=Run.State.QUEUED), state=Run.State.PLANNED)


def requeue_all() -> int:
    """Have every row published again whose message may be lost, and return how many there are.

    A message too many does no harm: its rows are claimed already, or by the one that comes first.
    """
    return move_runs(Run.objects.filter(state=Run.State.QUEUED), state=Run.State.PLANNED)


def count_in_hand() -> int:
    """Return how many runs are on Redis or with a worker."""
    return Run.objects.filter(state__in=(Run.State.QUEUED, Run.State.CLAIMED)).count()


def record_outcomes(outcomes: Sequence[Outcome]) -> int:
    """Write what came of claimed runs; return how many were closed by someone else meanwhile and stay so.

    Where a claim was given up before its answer came, what is known is written all the same, unless the run was
    claimed again: the session of a start is never lost.
    """
    written = _write_outcomes(outcomes, states=[Run.State.CLAIMED])
    if written == len(outcomes):
        return 0
    late = [outcome for outcome in outcomes if outcome.claimed_at]
    return len(outcomes) - written - sum(map(_write_late, _list_unwritten(late)))


def _write_outcomes(outcomes: Sequence[Outcome], *, states: Sequence[str]) -> int:
    rows = [
        (
            outcome.id,
            outcome.state,
            outcome.called_at,
            outcome.answered_at,
            outcome.session,
            outcome.message,
            outcome.next_try_at,
            outcome.answered_at if is_end(outcome.state) else None,
            outcome.claimed_at,
        )
        for outcome in outcomes
    ]
    # A later claim is another. An earlier moment is the same claim after the clock was set back
    return change_runs(_OUTCOME_COLUMNS, rows, states=states, counts="attempts", until="claimed_at")


def _list_unwritten(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return those that are not in the ledger: neither was the call noted, nor is its session known."""
    found = Run.objects.filter(pk__in=[outcome.id for outcome in outcomes]).order_by()
    known = {pk: values for pk, *values in found.values_list("pk", "called_at", "qrs_session")}
    return [
        outcome
        for outcome in outcomes
        if (noted := known.get(outcome.id))
        and noted[0] != outcome.called_at
        and (outcome.session is None or noted[1] != outcome.session)
    ]


def _write_late(outcome: Outcome) -> int:
    """Write an outcome whose claim was given up; return 0 where the run has gone on without it.

    A start is written where nobody has claimed the run since. Where the run is over, or was started by another call,
    its state stays, but not without a word of the session.
    """
    is_start = outcome.state == Run.State.STARTED
    if _write_outcomes([outcome], states=_UNCLAIMED_SINCE if is_start else [Run.State.UNSURE]):
        logger.warning("run %s was given up before its answer came: %s", outcome.id, outcome)
        return 1
    if is_start:
        note = f"It was started after all, by the call of {outcome.called_at:%Y-%m-%d %H:%M:%S} UTC: {outcome.session}."
        logger.error("run %s was given up before its answer came, and has gone on: %s", outcome.id, note)
        _note_session(outcome, note)
    return 0


def _note_session(outcome: Outcome, note: str) -> None:
    """Add to the message of a run that is over, or started, what was begun for it; keep the session if it has none."""
    done = Run.objects.filter(Q(closed_at__isnull=False) | Q(state=Run.State.STARTED), pk=outcome.id)
    message = Concat(F("message"), Value(f" {note}"), output_field=TextField())
    done.update(message=message, qrs_session=Coalesce("qrs_session", outcome.session, output_field=UUIDField()))


def resume_due(*, now: datetime) -> int:
    """Plan the runs again whose next attempt is due; return how many.

    Due is also what lies further ahead than any pause: the clock was set back.
    """
    is_due = Q(next_try_at__lte=now) | Q(next_try_at__gt=now + LONGEST_WAIT)
    return move_runs(Run.objects.filter(is_due, state__in=POSTPONED), state=Run.State.PLANNED)


def skip_unclaimed(schedule_pks: Collection[int], *, message: str, which: Q | None = None) -> int:
    """Skip the runs of these schedules that no worker has claimed, backfills among them; return how many.

    A run that somebody has asked for a moment ago is left alone, but not one that waits to be tried again. `which` asks
    for others.
    """
    if not schedule_pks:
        return 0
    rows = Run.objects.filter(which or _LEFT_WITH_SCHEDULE, state__in=UNCLAIMED)
    if len(schedule_pks) <= _MOST_NAMED:
        return move_runs(rows.filter(schedule_id__in=schedule_pks), state=Run.State.SKIPPED, message=message)
    wanted = set(schedule_pks)
    keys = [key for key, pk in rows.order_by().values_list("pk", "schedule_id") if pk in wanted]
    parts = (rows.filter(pk__in=part) for part in split(keys, _MOVE_SIZE))
    return sum(move_runs(part, state=Run.State.SKIPPED, message=message) for part in parts)


def skip_all_unclaimed(*, message: str) -> int:
    """Skip every run that no worker has claimed, those asked for by hand among them; return how many."""
    return move_runs(Run.objects.filter(state__in=UNCLAIMED), state=Run.State.SKIPPED, message=message)


def requeue_lost_messages(*, now: datetime) -> int:
    """Hand rows back to beat that were published but not claimed within QUEUE_LIMIT; return how many.

    To be called only when the queue is known to be shorter than that.
    """
    lost = Run.objects.filter(state=Run.State.QUEUED, queued_at__lt=now - QUEUE_LIMIT)
    return move_runs(lost, state=Run.State.PLANNED)


def move_runs(rows: QuerySet[Run], *, state: Run.State, **values: object) -> int:
    """Lock the rows in the order of their keys, give them this state and values, and return how many there were.

    Of an end the moment is noted.
    """
    if is_end(state):
        values["closed_at"] = timezone.now()
    return change_rows(rows, state=state, **values)


def change_rows(rows: QuerySet[Run], **values: object) -> int:
    """Lock the rows in the order of their keys, give them these values, and return how many there were."""
    with transaction.atomic():
        if connection.vendor == "sqlite":
            # One writes at a time, so there is nothing to lock, and to name a hundred thousand rows takes seconds
            return rows.order_by().update(**values)
        keys = list(rows.order_by("pk").select_for_update().values_list("pk", flat=True))
        parts = (keys[start : start + _MOVE_SIZE] for start in range(0, len(keys), _MOVE_SIZE))
        return sum(Run.objects.filter(pk__in=part).update(**values) for part in parts)
