"""What QRS knows of tasks that somebody names, asked for at that moment, in as few calls as there may be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias
from uuid import UUID

from django.core.exceptions import ValidationError

from qlik.documents import ReloadTask, Task
from qlik.filters import any_of, one_of
from schedules.allow_list import AllowList, Property, fold_property
from schedules.qrs import qrs_client
from schedules.validators import validate_task_id

AnyTask: TypeAlias = ReloadTask | Task


class CallFailedError(Exception):
    """What somebody asked of QRS was not done, for no task at all; `is_reached` tells whether QRS answered.

    `retry_after` is in how many seconds it may be asked for again, where that is known.
    """

    def __init__(self, problem: str, *, is_reached: bool, retry_after: int | None = None) -> None:
        super().__init__(problem)
        self.is_reached = is_reached
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class NamedTask:
    """A task of Qlik Sense as answers tell it."""

    id: str
    name: str

    @classmethod
    def of(cls, task: AnyTask) -> NamedTask:
        """Return the task with its id as a text."""
        return cls(str(task.id), task.name)


def look_up_tasks(
    ids: Iterable[UUID], *, tags: Iterable[str] = (), custom_properties: Iterable[Property] = ()
) -> Mapping[UUID, AnyTask]:
    """Return the tasks with these ids, and reload tasks with one of the tags or properties; raises QrsError.

    One call for all, and a second one only where an id is not that of a reload task. Tasks with another value of a
    property may be among them, for QRS cannot be asked for name and value of the same property.
    """
    wanted = list(ids)
    values = dict.fromkeys(value for _, value in custom_properties)
    where = any_of(one_of("id", wanted), one_of("tags.name", tags), one_of("customProperties.value", values))
    if where.is_never_met:
        return {}
    found: dict[UUID, AnyTask] = {task.id: task for task in qrs_client().list_reload_tasks(where=where)}
    if others := [task_id for task_id in wanted if task_id not in found]:
        found |= {task.id: task for task in qrs_client().find_tasks(one_of("id", others))}
    return found


def has_tag(task: AnyTask, tags: Iterable[str]) -> bool:
    """Return whether a task has one of the tags; upper and lower case do not count, as in QRS."""
    return not {tag.casefold() for tag in tags}.isdisjoint(tag.casefold() for tag in task.tags)


def has_property(task: AnyTask, custom_properties: Iterable[Property]) -> bool:
    """Return whether a task has one of the properties with its value; upper and lower case do not count."""
    if not isinstance(task, ReloadTask):
        return False
    wanted = {fold_property(*item) for item in custom_properties}
    return not wanted.isdisjoint(fold_property(*item) for item in task.custom_properties)


def is_allowed(task_id: UUID, task: AnyTask | None, *, allow_list: AllowList) -> bool:
    """Return whether a task may be started, one that QRS does not know by its id alone."""
    return allow_list.allows_task(
        str(task_id),
        tags=task.tags if task else (),
        custom_properties=task.custom_properties if isinstance(task, ReloadTask) else (),
    )


def read_ids(texts: Iterable[str]) -> dict[str, UUID]:
    """Return the ids that the texts stand for, each text once; what is no GUID is left out."""
    return {text: UUID(text) for text in texts if _is_id(text)}


def _is_id(text: str) -> bool:
    try:
        validate_task_id(text)
    except ValidationError:
        return False
    return True
