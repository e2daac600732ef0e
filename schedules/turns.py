"""Turns: of the runs of a Qlik task that must not overlap, one at a time may go on, whichever worker has it."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import connection
from django.utils import timezone

from schedules.closing import is_overdue
from schedules.models import QrsSite, Run, TaskTurn
from schedules.policies import FOLLOW_TOLERANCE

_TAKE_FIRST = f"""
    INSERT INTO {TaskTurn._meta.db_table} (qlik_task_id, run_id) VALUES (%s, %s) ON CONFLICT DO NOTHING
"""  # noqa: S608 -- all of it is constant


def take_turn(run_id: UUID, *, task_id: str) -> Run | None:
    """Give a run the turn to start a task; return the run that has it still, None where the turn is taken now.

    For a transaction: the turn is locked until its end, so who does not get it may decide in peace what becomes of
    the run. A turn ends when its run is closed, or gone, or past its limit; that of a started run also when nobody
    follows reloads, for who has the turn asks QRS what runs.
    """
    # A GUID may be written in capitals too
    task_id = task_id.lower()
    with connection.cursor() as cursor:
        run_column = TaskTurn._meta.get_field("run_id")
        cursor.execute(_TAKE_FIRST, [task_id, run_column.get_db_prep_save(run_id, connection)])
    turn = TaskTurn.objects.select_for_update().get(pk=task_id)
    if turn.run_id == run_id:
        return None
    holder = Run.objects.filter(pk=turn.run_id, closed_at=None).first()
    if holder is not None and _holds_on(holder, now=timezone.now()):
        return holder
    TaskTurn.objects.filter(pk=task_id).update(run_id=run_id)
    return None


def _holds_on(run: Run, *, now: datetime) -> bool:
    """Return whether an open run keeps its turn."""
    if is_overdue(run.pk, now=now):
        return False
    return run.state != Run.State.STARTED or _is_watched(run, now=now)


def _is_watched(run: Run, *, now: datetime) -> bool:
    """Return whether the end of a reload would be noticed; one that has just begun need not have been seen yet."""
    followed_at = QrsSite.objects.filter(pk=1).values_list("followed_at", flat=True).first()
    # Further ahead they only are where the clock was set back
    return any(abs(now - moment) <= FOLLOW_TOLERANCE for moment in (run.claimed_at, followed_at) if moment)
