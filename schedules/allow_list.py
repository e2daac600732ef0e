"""The allow-list: which Qlik tasks may be started at all, whoever or whatever asks for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.conf import settings

Property = tuple[str, str]

#: The settings that make it up, as messages name them
SETTINGS = "BUTLER_ALLOWED_TASKS, BUTLER_ALLOWED_TAGS and BUTLER_ALLOWED_CUSTOM_PROPERTIES"


@dataclass(frozen=True, slots=True)
class AllowList:
    """Ids, tags and custom properties, all in lower case: a task with one of them may be started.

    Without any, every task may. Upper and lower case do not count, as in QRS.
    """

    task_ids: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    custom_properties: frozenset[Property] = frozenset()

    @property
    def allows_all(self) -> bool:
        """Whether nothing is restricted."""
        return not (self.task_ids or self.tags or self.custom_properties)

    def allows_tag(self, tag: str) -> bool:
        """Return whether all tasks with the tag may be started by it."""
        return self.allows_all or tag.casefold() in self.tags

    def allows_property(self, name: str, value: str) -> bool:
        """Return whether all tasks with this value of the property may be started by it."""
        return self.allows_all or fold_property(name, value) in self.custom_properties

    def may_allow_task(self, task_id: str) -> bool:
        """Return whether a task with this id may be started, whatever tags and properties it has."""
        return self.allows_task(task_id) or bool(self.tags or self.custom_properties)

    def allows_task(
        self, task_id: str, *, tags: Iterable[str] = (), custom_properties: Iterable[Iterable[str]] = ()
    ) -> bool:
        """Return whether a task with this id, and these tags and properties, may be started."""
        return (
            self.allows_all
            or task_id.casefold() in self.task_ids
            or any(self.allows_tag(tag) for tag in tags)
            or any(self.allows_property(*item) for item in custom_properties)
        )


def read_allow_list() -> AllowList:
    """Return the allow-list of the settings; a property without its value is kept, and allows nothing."""
    return AllowList(
        task_ids=frozenset(task_id.casefold() for task_id in settings.BUTLER_ALLOWED_TASKS),
        tags=frozenset(tag.casefold() for tag in settings.BUTLER_ALLOWED_TAGS),
        custom_properties=frozenset(map(_read_property, settings.BUTLER_ALLOWED_CUSTOM_PROPERTIES)),
    )


def fold_property(name: str, value: str) -> Property:
    """Return name and value of a property as they are compared."""
    return name.casefold(), value.casefold()


def _read_property(text: str) -> Property:
    name, _, value = text.partition("=")
    return fold_property(name.strip(), value.strip())
