"""What schedules start that aim at all tasks with a tag or a custom property.

The answer comes from what Qlik Sense last told of its tasks; tasks that are disabled there are left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from schedules.allow_list import fold_property
from schedules.models import QlikTask
from schedules.validators import NO_TASK_ID


class Aim(Protocol):
    """A schedule, or as much of one as says what it starts; without tag and property it is the task alone."""

    @property
    def qlik_task_id(self) -> str:
        """The id of a task, or NO_TASK_ID."""

    @property
    def target_tag(self) -> str:
        """A tag, or nothing."""

    @property
    def target_property(self) -> str:
        """A custom property as Name=Value, or nothing."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a schedule aims at."""

    qlik_task_id: str
    target_tag: str
    target_property: str


class TaskIndex:
    """The tasks by their tags and properties, read when they are first asked for."""

    def __init__(self, tasks: Iterable[QlikTask] | None = None) -> None:
        """Take the tasks that there are, or read what is known of them."""
        self._tasks = tasks
        self._meant: dict[tuple[str, str], tuple[str, ...]] = {}

    def resolve(self, aim: Aim) -> tuple[str, ...]:
        """Return the ids of the tasks that the schedule starts, each once: its own, then the others in their order."""
        others = self.list_meant(aim)
        if aim.qlik_task_id == NO_TASK_ID:
            return others
        return tuple(dict.fromkeys((aim.qlik_task_id.lower(), *others)))

    def list_meant(self, aim: Aim) -> tuple[str, ...]:
        """Return the ids of the tasks with the tag or the property, in their order."""
        key = aim.target_tag, aim.target_property
        if key not in self._meant:
            # Many schedules may aim at the same, and thousands of tasks have it
            name, _, value = aim.target_property.partition("=")
            having = fold_property(name.strip(), value.strip())
            tagged = self._by_tag.get(aim.target_tag.casefold(), ()) if aim.target_tag else ()
            found = self._by_property.get(having, ()) if aim.target_property else ()
            self._meant[key] = tuple(sorted({*tagged, *found}))
        return self._meant[key]

    @cached_property
    def _by_tag(self) -> dict[str, list[str]]:
        found: defaultdict[str, list[str]] = defaultdict(list)
        for task_id, tags, _ in self._rows:
            for tag in tags:
                found[tag.casefold()].append(task_id)
        return found

    @cached_property
    def _by_property(self) -> dict[tuple[str, str], list[str]]:
        found: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        for task_id, _, custom_properties in self._rows:
            for name, value in custom_properties:
                found[fold_property(name, value)].append(task_id)
        return found

    @cached_property
    def _rows(self) -> list[tuple[str, list[str], list[list[str]]]]:
        if self._tasks is None:
            startable = QlikTask.objects.filter(gone_at=None, is_enabled=True).order_by()
            return list(startable.values_list("pk", "tags", "custom_properties"))
        startable_here = (task for task in self._tasks if task.gone_at is None and task.is_enabled)
        return [(task.pk, task.tags, task.custom_properties) for task in startable_here]


def has_target(aim: Aim) -> bool:
    """Return whether a schedule aims at more than the task whose id it has."""
    return bool(aim.target_tag or aim.target_property)


def describe_target(aim: Aim) -> str:
    """Return in words what a schedule aims at beside its own task; empty for nothing."""
    tag = f"the tag {aim.target_tag!r}" if aim.target_tag else ""
    custom_property = f"the custom property {aim.target_property!r}" if aim.target_property else ""
    return " or ".join(filter(None, (tag, custom_property)))


def explain_no_tasks(aim: Aim) -> str:
    """Return why a schedule with a target starts nothing."""
    return (
        f"No enabled task has {describe_target(aim)}, as far as Qlik Sense has told. Give it to a task in the Qlik "
        "Management Console, or edit the schedule; the tasks are read every five minutes."
    )
