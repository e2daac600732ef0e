"""The tasks of Qlik Sense as they were last told: read now and then, kept while QRS is down."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Max, QuerySet
from django.utils import timezone

from qlik.documents import ReloadTask
from schedules.allow_list import SETTINGS, AllowList, read_allow_list
from schedules.bulk_rows import split
from schedules.changes import Origin, changes_since, newest_change, record_differences
from schedules.editing import editing
from schedules.models import QlikTask, Schedule, ScheduleChange
from schedules.qrs import qrs_client, waiting_for_qrs
from schedules.targets import Target, TaskIndex, describe_target, has_target
from schedules.validators import NO_TASK_ID

_ORIGIN = Origin(ScheduleChange.Source.QLIK)
#: So many tasks are named in the record of a change
_NAMES_SHOWN = 20
#: The greatest small integer of PostgreSQL
_GREATEST_STATUS = 32_767
#: Rows in one statement, and keys
_PART_SIZE, _KEYS_SIZE = 200, 5000
#: What is not compared: when a task was seen, and what follows from comparing
_COMPARED = (
    "name",
    "app_id",
    "app_name",
    "is_enabled",
    "tags",
    "custom_properties",
    "max_retries",
    "last_status",
    "last_ended_at",
    "gone_at",
)
#: What decides which tasks a schedule with a target starts
_TARGETED = ("is_enabled", "tags", "custom_properties", "gone_at")
_WRITTEN = (*_COMPARED, "previous_name", "renamed_at", "seen_at")


class NoTasksError(Exception):
    """QRS answered that there is no task at all, where there were some; that looks like a lack of rights."""

    def __init__(self) -> None:
        super().__init__(
            "QRS told of no task at all, though there were some: perhaps its user has lost the right to see them. "
            "What was known before is kept. Check the rights of QRS_USER in the Qlik Management Console."
        )


@dataclass(frozen=True, slots=True)
class Refresh:
    """What a look at the tasks has found: how many there are, and what was new, other or gone."""

    total: int
    new: int
    changed: int
    gone: int


def refresh_tasks() -> Refresh:
    """Read all reload tasks in one call of QRS, and keep what is new of them.

    Raises QrsError, and NoTasksError; then what is known stays as it is.
    """
    asked_at = timezone.now()
    with waiting_for_qrs():
        documents = qrs_client().list_reload_tasks()
    known = QlikTask.objects.in_bulk()
    if known and not documents:
        raise NoTasksError
    found = [_row_of(document, known.get(str(document.id)), at=asked_at) for document in documents]
    new = [task for task in found if task.pk not in known]
    changed = [task for task in found if task.pk in known and _differs(task, known[task.pk])]
    present = {task.pk for task in found}
    gone = [_missed(task, at=asked_at) for task in known.values() if task.gone_at is None and task.pk not in present]
    written = [*new, *changed, *gone]
    if any(task.pk not in known or _differs(task, known[task.pk], _TARGETED) for task in written):
        _write_and_retarget(written, known)
    else:
        _write(written)
    _note_seen(asked_at)
    return Refresh(total=len(found), new=len(new), changed=len(changed), gone=len(gone))


def _note_seen(asked_at: datetime) -> None:
    """Note when the list of tasks was last read from QRS."""
    with transaction.atomic(savepoint=False):
        # In the order of their keys, as another refresh writes them
        there = QlikTask.objects.filter(gone_at=None).order_by("pk").select_for_update().values_list("pk", flat=True)
        if len(there):
            QlikTask.objects.filter(gone_at=None).update(seen_at=asked_at)


def refresh_old_tasks(*, older_than: timedelta) -> Refresh | None:
    """Do as refresh_tasks does, unless the tasks were read so short a time ago; then return None."""
    read_at = last_read_at()
    if read_at is not None and timezone.now() - read_at < older_than:
        return None
    return refresh_tasks()


def last_read_at() -> datetime | None:
    """Return when QRS last told of its tasks; None when it never has, or had none."""
    read_at: datetime | None = QlikTask.objects.aggregate(Max("seen_at"))["seen_at__max"]
    return read_at


def find_task(task_id: str) -> QlikTask | None:
    """Return what is known of the task with this id, in whichever case it is written; None when nothing is."""
    return QlikTask.objects.filter(pk=task_id.lower()).first()


def find_tasks(task_ids: Collection[str]) -> Mapping[str, QlikTask]:
    """Return what is known of the tasks with these ids, by the ids in lower case."""
    return QlikTask.objects.in_bulk({task_id.lower() for task_id in task_ids})


def describe_tasks(schedule: Schedule) -> str:
    """Return in words what a schedule starts: its task by name and app, or its target with the tasks that meet it."""
    if not has_target(schedule):
        task = find_task(str(schedule.qlik_task_id))
        return f"{schedule.qlik_task_id}{f' {task.name}, app {task.app_name}' if task else ''}"
    task_ids = TaskIndex().resolve(schedule)
    own = "" if schedule.qlik_task_id == NO_TASK_ID else f"{schedule.qlik_task_id}, and "
    count = "1 task" if len(task_ids) == 1 else f"{len(task_ids):,} tasks"
    named = f": {_name_tasks(task_ids, find_tasks(task_ids))}" if task_ids else ""
    return f"{own}all with {describe_target(schedule)}; {count}{named}"


def list_forbidden(task_ids: Iterable[str]) -> dict[str, str]:
    """Return the tasks that the allow-list does not have, each with a sentence that says so and what to do."""
    allow_list = read_allow_list()
    unlisted = {task_id for task_id in task_ids if not allow_list.allows_task(task_id)}
    known = find_tasks(unlisted) if unlisted and (allow_list.tags or allow_list.custom_properties) else {}
    return {
        task_id: _explain_refusal(task_id, known.get(task_id.lower()), allow_list=allow_list)
        for task_id in unlisted
        if not _allows(allow_list, known.get(task_id.lower()))
    }


def _allows(allow_list: AllowList, task: QlikTask | None) -> bool:
    return task is not None and allow_list.allows_task(
        task.pk, tags=task.tags, custom_properties=task.custom_properties
    )


def _explain_refusal(task_id: str, task: QlikTask | None, *, allow_list: AllowList) -> str:
    name = f"{task.name} ({task_id})" if task else task_id
    unknown = ""
    if task is None and (allow_list.tags or allow_list.custom_properties):
        unknown = " What tags and properties it has is not known, for Qlik Sense has not told of it yet."
    return (
        f"Task {name} may not be started: {SETTINGS} do not have it.{unknown} "
        "Add its id there, or one of its tags or properties, and restart the service."
    )


def _row_of(document: ReloadTask, before: QlikTask | None, *, at: datetime) -> QlikTask:
    last = document.last_result
    row = QlikTask(
        id=str(document.id),
        name=document.name[:1000],
        app_id=str(document.app_id or ""),
        app_name=document.app_name[:1000],
        is_enabled=document.enabled,
        tags=list(document.tags),
        custom_properties=[list(pair) for pair in document.custom_properties],
        max_retries=document.max_retries,
        last_status=min(max(last.status_code, 0), _GREATEST_STATUS) if last else None,
        last_ended_at=last.stopped_at if last else None,
        seen_at=at,
    )
    if before is not None:
        row.previous_name, row.renamed_at = before.previous_name, before.renamed_at
        if row.name != before.name:
            row.previous_name, row.renamed_at = before.name, at
    return row


def _missed(task: QlikTask, *, at: datetime) -> QlikTask:
    """Return a task as it is now that Qlik Sense tells of it no more."""
    gone = copy(task)
    gone.gone_at = at
    return gone


def _differs(after: QlikTask, before: QlikTask, names: Iterable[str] = _COMPARED) -> bool:
    return any(getattr(after, name) != getattr(before, name) for name in names)


def _write_and_retarget(rows: Sequence[QlikTask], known: Mapping[str, QlikTask]) -> None:
    """Write the rows, and let beat know which schedules start other tasks from now on.

    Under the lock of an edit: a schedule that is created meanwhile is either seen here, or sees the rows.
    """
    tasks = {**known, **{task.pk: task for task in rows}}
    before, after = TaskIndex(known.values()), TaskIndex(tasks.values())
    seen = newest_change()
    moved = _find_moved(Schedule.objects.all(), before, after, tasks)
    with editing() as now:
        _write(rows)
        if changed := changes_since(seen):
            # Looked at once more, as they are now
            moved = {pk: values for pk, values in moved.items() if pk not in changed}
            parts = split(sorted(changed), _KEYS_SIZE)
            for part in parts:
                moved |= _find_moved(Schedule.objects.filter(pk__in=part), before, after, tasks)
        differences = [(pk, name, diff) for pk, (name, diff) in sorted(moved.items())]
        record_differences(differences, action=ScheduleChange.Action.RETARGET, origin=_ORIGIN, at=now)


def _find_moved(
    schedules: QuerySet[Schedule], before: TaskIndex, after: TaskIndex, tasks: Mapping[str, QlikTask]
) -> dict[int, tuple[str, dict[str, list[str]]]]:
    """Return the id of each of the schedules that starts other tasks, and which, by their keys.

    Those that a hand has broken are left out.
    """
    rows = schedules.exclude(target_tag="", target_property="").order_by("pk")
    columns = rows.values_list("pk", "name", "qlik_task_id", "target_tag", "target_property")
    aiming = [(pk, name, Target(*texts)) for pk, name, *texts in columns if None not in texts]
    moved = {}
    for pk, name, target in aiming:
        if before.list_meant(target) != after.list_meant(target):
            old, new = before.resolve(target), after.resolve(target)
            if old != new:
                moved[pk] = (name, {"tasks": [_name_tasks(old, tasks), _name_tasks(new, tasks)]})
    return moved


def _name_tasks(task_ids: Sequence[str], tasks: Mapping[str, QlikTask]) -> str:
    names = [tasks[task_id].name if task_id in tasks else task_id for task_id in task_ids[:_NAMES_SHOWN]]
    more = len(task_ids) - len(names)
    return ", ".join(names) + (f" and {more:,} more" if more else "")


def _write(rows: Sequence[QlikTask]) -> None:
    """Insert the rows, or replace those that are there: a refresh beside this one may have been first."""
    with transaction.atomic():
        # In the order of their keys, so that no two refreshes wait for each other
        ordered = sorted(rows, key=lambda task: task.pk)
        QlikTask.objects.bulk_create(
            ordered, batch_size=_PART_SIZE, update_conflicts=True, unique_fields=["id"], update_fields=_WRITTEN
        )
