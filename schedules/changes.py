"""The record of changes to schedules: for people, who did what; for beat, which rows to read again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from schedules.models import Schedule, ScheduleChange

#: Stands for the whole site where a change names a schedule's key
SITE_PK = 0


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a change comes from: the door, and the person or address behind it, as far as known."""

    source: ScheduleChange.Source
    actor: str = ""


def record_site_change(*, diff: Mapping[str, object], origin: Origin, at: datetime) -> None:
    """Write a row for the whole site: its maintenance has begun or ended; `diff` is as for record_changes."""
    ScheduleChange.objects.create(
        schedule_pk=SITE_PK,
        schedule_name="",
        action=ScheduleChange.Action.MAINTENANCE,
        source=origin.source,
        actor=origin.actor[:200],
        diff=dict(diff),
        changed_at=at,
    )


def record_changes(
    schedules: Iterable[Schedule],
    *,
    action: ScheduleChange.Action,
    origin: Origin,
    at: datetime,
    diff: Mapping[str, object] | None = None,
) -> None:
    """Write one row for each of the schedules; `diff` maps a field's name to its old and new value."""
    ScheduleChange.objects.bulk_create(
        [
            ScheduleChange(
                schedule_pk=schedule.pk,
                schedule_name=schedule.name,
                action=action,
                source=origin.source,
                actor=origin.actor[:200],
                diff=dict(diff or {}),
                changed_at=at,
            )
            for schedule in schedules
        ]
    )


def changes_since(change_id: int) -> set[int]:
    """Return the keys of the schedules that were changed after the change `change_id`; SITE_PK among them."""
    return set(ScheduleChange.objects.filter(pk__gt=change_id).order_by().values_list("schedule_pk", flat=True))
