"""What looks wrong with the task that a schedule starts: only ever a warning, for what is known of it may be old."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef
from django.db.models.functions import Lower
from django.utils import timezone

from schedules.known_tasks import find_tasks, last_read_at
from schedules.models import QlikTask, Schedule
from schedules.targets import Target, TaskIndex, explain_no_tasks, has_target
from schedules.validators import NO_TASK_ID

_TARGET = ("qlik_task_id", "target_tag", "target_property")
#: So long after a task was renamed its schedules tell of it
RENAME_NOTICE = timedelta(days=7)
#: The tasks are read every five minutes; what is older than this says so
OLD = timedelta(minutes=15)


def list_warnings(schedules: Iterable[Schedule], known: Mapping[str, QlikTask] | None = None) -> dict[int, str]:
    """Return what looks wrong with the tasks of schedules, by the schedules' keys; nothing where tasks were never read.

    `known` is what `find_known` says of them; without it, it is asked here.
    """
    chosen = list(schedules)
    read_at = last_read_at()
    if read_at is None:
        return {}
    now = timezone.now()
    found, tasks = find_known(chosen) if known is None else known, TaskIndex()
    warnings = {schedule.pk: _warn(schedule, found, tasks, now=now) for schedule in chosen}
    age = _describe_age(read_at, now=now)
    return {pk: f"{warning}{age}" for pk, warning in warnings.items() if warning}


def find_known(schedules: Iterable[Schedule]) -> Mapping[str, QlikTask]:
    """Return what is known of the tasks of schedules, by the tasks' ids in lower case, with one query."""
    return find_tasks({task_id for schedule in schedules if (task_id := _task_id_of(schedule))})


def count_misdirected() -> int:
    """Return how many started schedules aim at a task that Qlik Sense does not have, or that is disabled there.

    None does where the tasks were never read.
    """
    if last_read_at() is None:
        return 0
    sound = QlikTask.objects.filter(pk=Lower(OuterRef("qlik_task_id")), is_enabled=True, gone_at=None)
    started = Schedule.objects.filter(enabled=True)
    misdirected: int = started.filter(~Exists(sound), target_tag="", target_property="").count()
    tasks = TaskIndex()
    aiming = started.exclude(target_tag="", target_property="").order_by()
    targets = aiming.values_list("qlik_task_id", "target_tag", "target_property").distinct()
    empty = {texts for texts in targets if None not in texts and not tasks.resolve(Target(*texts))}
    for texts in empty:
        misdirected += aiming.filter(**dict(zip(_TARGET, texts, strict=True))).count()
    return misdirected


def _task_id_of(schedule: Schedule) -> str:
    """Return the id in lower case; empty for none, and where a hand has put something else there."""
    task_id = schedule.qlik_task_id
    return task_id.lower() if isinstance(task_id, str) and task_id != NO_TASK_ID else ""


def _warn(schedule: Schedule, known: Mapping[str, QlikTask], tasks: TaskIndex, *, now: datetime) -> str:
    if schedule.qlik_task_id == NO_TASK_ID and has_target(schedule):
        return "" if tasks.resolve(schedule) else explain_no_tasks(schedule)
    task = known.get(_task_id_of(schedule))
    if task is None:
        return "Qlik Sense has no reload task with this id."
    if task.gone_at is not None:
        return f"Qlik Sense has had no task {task.name!r} since {_day(task.gone_at)}: it was deleted, or is hidden."
    if not task.is_enabled:
        return f"The task {task.name!r} is disabled in Qlik Sense, which refuses to start it."
    if task.renamed_at is not None and now - task.renamed_at <= RENAME_NOTICE:
        return f"The task {task.previous_name!r} was renamed to {task.name!r}, as seen on {_day(task.renamed_at)}."
    return ""


def _describe_age(read_at: datetime, *, now: datetime) -> str:
    if now - read_at <= OLD:
        return ""
    return f" So it was on {_day(read_at)}; it has not told of its tasks since."


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
