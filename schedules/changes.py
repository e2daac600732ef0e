"""The record of changes to schedules: for people, who did what; for beat, which rows to read again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Max

from schedules.bulk_rows import insert_rows, prepare_rows
from schedules.models import ScheduleChange

#: Stands for the whole site where a change names a schedule's key
SITE_PK = 0

_COLUMNS = ("schedule_pk", "schedule_name", "diff", "action", "source", "actor", "changed_at")


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
    schedules: Iterable[tuple[int, str]],
    *,
    action: ScheduleChange.Action,
    origin: Origin,
    at: datetime,
    diff: Mapping[str, object] | None = None,
) -> None:
    """Write one row for each of the schedules, given as key and id; `diff` maps a field's name to old and new value."""
    same = diff or {}
    record_differences(((pk, name, same) for pk, name in schedules), action=action, origin=origin, at=at)


def record_differences(
    schedules: Iterable[tuple[int, str, Mapping[str, object]]],
    *,
    action: ScheduleChange.Action,
    origin: Origin,
    at: datetime,
) -> None:
    """Write one row for each of the schedules, given as key, id, and what record_changes calls `diff`."""
    # Nearly all is the same in all rows, of which there may be a hundred thousand
    same = prepare_rows(ScheduleChange, _COLUMNS[3:], [(action.value, origin.source.value, origin.actor[:200], at)])[0]
    given = list(schedules)
    different = {id(diff): diff for _, _, diff in given}
    prepared = prepare_rows(ScheduleChange, ["diff"], ([diff] for diff in different.values()))
    known = {key: row[0] for key, row in zip(different, prepared, strict=True)}
    insert_rows(ScheduleChange, _COLUMNS, ((pk, name, known[id(diff)], *same) for pk, name, diff in given))


def newest_change() -> int:
    """Return the key of the newest change; 0 where there is none."""
    newest: int | None = ScheduleChange.objects.aggregate(Max("pk"))["pk__max"]
    return newest or 0


def changes_since(change_id: int) -> set[int]:
    """Return the keys of the schedules that were changed after the change `change_id`; SITE_PK among them."""
    return set(ScheduleChange.objects.filter(pk__gt=change_id).order_by().values_list("schedule_pk", flat=True))


def edited_since(change_id: int) -> set[int]:
    """Return the keys of the schedules that somebody has edited after the change `change_id`."""
    edits = ScheduleChange.objects.filter(pk__gt=change_id).exclude(action=ScheduleChange.Action.RETARGET)
    return set(edits.order_by().values_list("schedule_pk", flat=True))
