"""Runs of schedules that somebody asks for: one for each task, and for two requests of a moment one and the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeAlias

from django.db.models import Q

from schedules.bulk_rows import split
from schedules.models import Run, Schedule
from schedules.targets import TaskIndex, explain_no_tasks, has_target

#: A button that is pressed twice, and a request that is sent again for want of an answer, mean one run
ONE_REQUEST_WITHIN = timedelta(seconds=30)
#: Schedules of one query
_PART_SIZE = 500

_Known: TypeAlias = Mapping[tuple[int | None, str], Run]  # by schedule and task


def plan_manual_runs(
    schedules: Sequence[Schedule], *, now: datetime, message: str, within: timedelta | None = None
) -> list[Run]:
    """Insert one run, due now, for each task of the schedules and return them.

    Where one was asked for `within` this time before and is not over, it is returned instead and says so: `was_there`.
    A schedule whose target no task meets gets one that is refused. For a transaction that keeps others from asking.
    """
    tasks = TaskIndex()
    known = _list_known(schedules, now=now, within=within)
    asked = [
        known.get((run.schedule_id, run.qlik_task_id.lower()), run)
        for schedule in schedules
        for run in _make_manual_runs(schedule, tasks, now=now, message=message)
    ]
    Run.objects.bulk_create([run for run in asked if not run.was_there])
    return asked


def _list_known(schedules: Iterable[Schedule], *, now: datetime, within: timedelta | None) -> _Known:
    """Return the runs that somebody has asked for in the time up to now and that are not over."""
    known: dict[tuple[int | None, str], Run] = {}
    if within is None:
        return known
    # Where reloads are not followed, a start is an end
    is_open = Q(closed_at__isnull=True) | Q(state=Run.State.STARTED)
    for part in split((schedule.pk for schedule in schedules), _PART_SIZE):
        rows = Run.objects.filter(is_open, schedule_id__in=part, due_at__range=(now - within, now))
        for run in rows.filter(reason=Run.Reason.MANUAL).order_by():
            run.was_there = True
            known[run.schedule_id, run.qlik_task_id.lower()] = run
    return known


def _make_manual_runs(schedule: Schedule, tasks: TaskIndex, *, now: datetime, message: str) -> Iterator[Run]:
    task_ids = tasks.resolve(schedule) if has_target(schedule) else [schedule.qlik_task_id]
    for task_id in task_ids or [schedule.qlik_task_id]:
        run = Run(
            schedule=schedule,
            schedule_name=schedule.name,
            qlik_task_id=task_id,
            due_at=now,
            planned_at=now,
            reason=Run.Reason.MANUAL,
            message=message,
        )
        if not task_ids:
            run.state, run.closed_at, run.message = Run.State.REFUSED, now, explain_no_tasks(schedule)
        yield run
