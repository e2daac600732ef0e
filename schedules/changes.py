"""The record of changes to schedules: for people, who did what; for beat, which rows to read again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Max

from schedules.models import Schedule, ScheduleChange


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a change comes from: the door, and the person or address behind it, as far as known."""

    source: ScheduleChange.Source
    actor: str = ""


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


def last_change_id() -> int:
    """Return the id of the newest change; 0 when there is none."""
    return ScheduleChange.objects.aggregate(last=Max("pk"))["last"] or 0


def changes_since(change_id: int) -> tuple[int, set[int]]:
    """Return the id of the newest change and the keys of the schedules changed after `change_id`."""
    rows = list(ScheduleChange.objects.filter(pk__gt=change_id).values_list("pk", "schedule_pk"))
    return max((pk for pk, _ in rows), default=change_id), {schedule_pk for _, schedule_pk in rows}
