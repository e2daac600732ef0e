"""How rows of schedules are written, one or a hundred thousand: prepared before the lock of an edit, written under it.

A schedule is two rows, django-celery-beat's and ours. None of these functions marks the library's tables as changed:
our record of changes tells beat.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connection
from django_celery_beat.models import PeriodicTask

from schedules.bulk_rows import Row, change_rows, insert_rows, prepare_rows, split
from schedules.crontabs import Crontabs, Projection, keep_crontabs, look_up_crontabs, project
from schedules.models import AlertChannel, Schedule

#: Keys or names in one statement
PART_SIZE = 5000

_PARENT_KEY, _CHILD_KEY = "id", "periodictask_ptr"
#: What is known under the lock only
_PARENT_LATE, _CHILD_LATE = ("crontab", "date_changed"), ("armed_at", _CHILD_KEY)
#: What a crontab is made from
_TIMES = frozenset({"cron_schedule", "timezone"})
_PARENT_FIELDS = tuple(field.name for field in PeriodicTask._meta.concrete_fields)
_CHILD_FIELDS = tuple(field.name for field in Schedule._meta.local_concrete_fields)
_PARENT_EARLY = tuple(name for name in _PARENT_FIELDS if name not in (_PARENT_KEY, *_PARENT_LATE))
_CHILD_EARLY = tuple(name for name in _CHILD_FIELDS if name not in _CHILD_LATE)


@dataclass(frozen=True, slots=True)
class NewRows:
    """New schedules with what is to be written of them, but for what only the lock can tell."""

    schedules: Sequence[Schedule]
    projections: Sequence[Projection]
    crontabs: Crontabs
    parents: Sequence[Row]
    children: Sequence[Row]


@dataclass(frozen=True, slots=True)
class ChangedRows:
    """Schedules with what is to be written of them: by the columns, the rows of those of which these change."""

    schedules: Sequence[Schedule]
    timed: Sequence[Schedule]
    projections: Sequence[Projection]
    crontabs: Crontabs
    rows: Mapping[tuple[str, ...], Sequence[Row]]


def prepare_new(schedules: Sequence[Schedule]) -> NewRows:
    """Return the rows of new, valid schedules."""
    projections = _project(schedules)
    return NewRows(
        schedules=schedules,
        projections=projections,
        crontabs=look_up_crontabs(projections),
        parents=_prepare_all(PeriodicTask, _PARENT_EARLY, schedules),
        children=_prepare_all(Schedule, _CHILD_EARLY, schedules),
    )


def insert_new(new: NewRows, *, at: datetime) -> None:
    """Write new schedules, armed from `at` on; raises ValidationError where an id is taken."""
    _refuse_taken_ids(new.schedules)
    crontabs = keep_crontabs(new.crontabs)
    moment = _prepare(PeriodicTask, "date_changed", at)
    late = ((crontabs[projection], moment) for projection in new.projections)
    rows = [(*row, *values) for row, values in zip(new.parents, late, strict=True)]
    insert_rows(PeriodicTask, (*_PARENT_EARLY, *_PARENT_LATE), rows)
    keys = find_keys(schedule.name for schedule in new.schedules)
    moment = _prepare(Schedule, "armed_at", at)
    own = [(*row, moment, keys[one.name]) for row, one in zip(new.children, new.schedules, strict=True)]
    insert_rows(Schedule, (*_CHILD_EARLY, *_CHILD_LATE), own)
    for schedule, projection in zip(new.schedules, new.projections, strict=True):
        schedule.id = schedule.periodictask_ptr_id = keys[schedule.name]
        schedule.crontab_id = crontabs[projection]
        schedule.armed_at = schedule.date_changed = at
        schedule._state.adding, schedule._state.db = False, connection.alias


def prepare_changed(schedules: Sequence[tuple[Schedule, Collection[str]]]) -> ChangedRows:
    """Return the rows of schedules of which the columns of our own that are named with each get other values."""
    timed = [schedule for schedule, columns in schedules if not _TIMES.isdisjoint(columns)]
    projections = _project(timed)
    alike: dict[tuple[str, ...], list[Schedule]] = {}
    for schedule, columns in schedules:
        alike.setdefault((_CHILD_KEY, *sorted(columns)), []).append(schedule)
    return ChangedRows(
        schedules=[schedule for schedule, _ in schedules],
        timed=timed,
        projections=projections,
        crontabs=look_up_crontabs(projections),
        rows={columns: _prepare_all(Schedule, columns, group) for columns, group in alike.items()},
    )


def change_prepared(changed: ChangedRows, *, at: datetime) -> None:
    """Write what was prepared, and the crontabs of schedules whose times are among it."""
    crontabs = keep_crontabs(changed.crontabs)
    for schedule, projection in zip(changed.timed, changed.projections, strict=True):
        schedule.crontab_id = crontabs[projection]
    for columns, rows in changed.rows.items():
        change_rows(Schedule, columns, rows)
    moment = _prepare(PeriodicTask, "date_changed", at)
    change_rows(PeriodicTask, (_PARENT_KEY, "crontab"), [(one.pk, one.crontab_id) for one in changed.timed])
    change_rows(PeriodicTask, (_PARENT_KEY, "date_changed"), [(one.pk, moment) for one in changed.schedules])


def set_values(pks: Sequence[int], **values: object) -> None:
    """Give all of these schedules the same values."""
    own = {name: value for name, value in values.items() if name in _CHILD_FIELDS}
    of_parent = {name: value for name, value in values.items() if name not in _CHILD_FIELDS}
    for part in split(pks, PART_SIZE):
        if of_parent:
            PeriodicTask.objects.filter(pk__in=part).update(**of_parent)
        if own:
            Schedule.objects.filter(pk__in=part).update(**own)


def delete_rows(pks: Sequence[int]) -> None:
    """Delete these schedules; alerts for them alone go with them."""
    with connection.cursor() as cursor:
        for part in split(pks, PART_SIZE):
            keys = ", ".join(map(str, part))
            for model, column in _HOLDERS:
                cursor.execute(f"DELETE FROM {model._meta.db_table} WHERE {column} IN ({keys})")  # noqa: S608 -- numbers


def find_keys(names: Iterable[str]) -> dict[str, int]:
    """Return the keys of the periodic tasks with these names, as far as there are such."""
    rows = PeriodicTask.objects.order_by()
    parts = split(names, PART_SIZE)
    return {name: pk for part in parts for name, pk in rows.filter(name__in=part).values_list("name", "pk")}


#: Where the key of a schedule stands, its own row last
_HOLDERS: Sequence[tuple[Any, str]] = (
    (AlertChannel.schedules.through, "schedule_id"),
    (Schedule, "periodictask_ptr_id"),
    (PeriodicTask, "id"),
)


def _project(schedules: Iterable[Schedule]) -> list[Projection]:
    return [project(schedule.cron_schedule, schedule.timezone) for schedule in schedules]


def _prepare_all(model: type[Any], columns: Sequence[str], schedules: Iterable[Schedule]) -> list[Row]:
    names = [model._meta.get_field(column).attname for column in columns]
    return prepare_rows(model, columns, ([getattr(schedule, name) for name in names] for schedule in schedules))


def _prepare(model: type[Any], column: str, value: object) -> object:
    return prepare_rows(model, [column], [[value]])[0][0]


def _refuse_taken_ids(schedules: Sequence[Schedule]) -> None:
    taken = set(find_keys(schedule.name for schedule in schedules))
    for schedule in schedules:
        if schedule.name in taken:
            problem = schedule.unique_error_message(PeriodicTask, ("name",))
            raise ValidationError({"name": [problem]})
        taken.add(schedule.name)
