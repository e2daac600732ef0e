"""Which runs are meant, found without going through the whole ledger."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from django.db import connection
from django.db.models import BigIntegerField, ExpressionWrapper, F, Q, QuerySet, TextField
from django.db.models.functions import Cast

from schedules.models import Run, Schedule, ScheduleChange

#: More schedules than these are not looked up one by one
_MAX_SCHEDULES = 500
#: More runs than these are not read to be sorted
_MAX_RUNS = 10_000

Action = ScheduleChange.Action


def narrow_to(runs: QuerySet[Run], term: str) -> QuerySet[Run]:
    """Keep the runs of the schedules with this id or with a part of this name, and of the Qlik task with this id."""
    if schedule_pks := _find_schedules(term):
        return _keep(runs, schedule_pks)
    if not _is_guid(term):
        return runs.none()
    # Of a task, then, which may have been started without a schedule, too
    of_task = runs.filter(qlik_task_id__in=_spellings(term))
    asked_for = list(of_task.filter(schedule_id__isnull=True).values_list("pk", flat=True)[:_MAX_RUNS])
    schedule_pks = _find_starting(term)
    if len(schedule_pks) <= _MAX_SCHEDULES and _have_few_runs(schedule_pks):
        found = of_task.filter(schedule_id__in=schedule_pks).order_by().values_list("pk", flat=True)
        return runs.filter(pk__in=[*asked_for, *found])
    return of_task


def _keep(runs: QuerySet[Run], schedule_pks: Collection[int]) -> QuerySet[Run]:
    """Keep the runs of these schedules; of many runs, the newest are soon found among all."""
    if connection.vendor == "sqlite" and not _have_few_runs(schedule_pks):
        # SQLite would rather read and sort them all
        own = ExpressionWrapper(F("schedule_id") + 0, output_field=BigIntegerField())
        return runs.alias(schedule_key=own).filter(schedule_key__in=schedule_pks)
    return runs.filter(schedule_id__in=schedule_pks)


def _find_schedules(term: str) -> set[int]:
    """Return the keys of the schedules that a person may mean, those that were deleted among them."""
    there = Schedule.objects.filter(Q(title__icontains=term) | Q(name=term)).order_by()
    gone = ScheduleChange.objects.filter(schedule_name=term).order_by()
    return {*there.values_list("pk", flat=True), *gone.values_list("schedule_pk", flat=True)}


def _find_starting(task_id: str) -> set[int]:
    """Return the keys of the schedules that start a task, did so before an edit, or may have and are gone."""
    aims = ~Q(target_tag="", target_property="")
    there = Schedule.objects.filter(Q(qlik_task_id__in=_spellings(task_id)) | aims).order_by()
    changes = ScheduleChange.objects.order_by().annotate(text=Cast("diff", TextField()))
    edited = changes.filter(Q(action=Action.DELETE) | Q(action=Action.EDIT, text__icontains=task_id))
    return {*there.values_list("pk", flat=True), *edited.values_list("schedule_pk", flat=True)}


def _have_few_runs(schedule_pks: Collection[int]) -> bool:
    rows = Run.objects.filter(schedule_id__in=schedule_pks).order_by().values_list("schedule_id", flat=True)
    return len(rows[: _MAX_RUNS + 1]) <= _MAX_RUNS


def _spellings(task_id: str) -> set[str]:
    return {task_id, task_id.lower(), task_id.upper()}


def _is_guid(term: str) -> bool:
    try:
        return str(UUID(term)) == term.lower()
    except ValueError:
        return False
