"""The five-field projections of schedules: rows of django-celery-beat that schedules with equal times share."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from django.db.models import CharField
from django.db.models.functions import Cast
from django_celery_beat.models import CrontabSchedule

from schedules.bulk_rows import Row, insert_rows, prepare_rows, split
from schedules.cron import CronExpression

#: More than so many are looked for by reading the whole table once: it has no index
_MOST_ASKED = 10
_PART_SIZE = 5000


class Projection(NamedTuple):
    """The columns of a crontab row."""

    minute: str
    hour: str
    day_of_month: str
    month_of_year: str
    day_of_week: str
    timezone: str


@lru_cache(maxsize=4096)
def project(cron_text: str, zone: str) -> Projection:
    """Return the five fields of a sound cron text, with its zone."""
    return Projection(*CronExpression.parse(cron_text).five_field_projection(), zone)


@dataclass(frozen=True, slots=True)
class Crontabs:
    """The rows for some projections, as far as they were there, and those that are to be made, prepared."""

    wanted: frozenset[Projection]
    known: Mapping[Projection, int]
    missing: Mapping[Projection, Row]


def look_up_crontabs(projections: Iterable[Projection]) -> Crontabs:
    """Return the rows for these projections as they are now, with no lock held."""
    wanted = frozenset(projections)
    # A few are looked up under the lock just as soon
    known = {} if len(wanted) <= _MOST_ASKED else _find(wanted)
    missing = sorted(wanted - known.keys())
    return Crontabs(wanted, known, dict(zip(missing, _prepare(missing), strict=True)))


def keep_crontabs(crontabs: Crontabs) -> dict[Projection, int]:
    """Return the keys of rows for all of the projections, and make those that there are not or no longer."""
    wanted = crontabs.wanted
    kept = _find(wanted) if len(wanted) <= _MOST_ASKED else _still_there(crontabs.known)
    if missing := wanted - kept.keys():
        gone = sorted(missing - crontabs.missing.keys())
        rows = [row for projection, row in crontabs.missing.items() if projection in missing]
        # No signal is sent: the library's beat would take one for a change of every task
        insert_rows(CrontabSchedule, Projection._fields, [*rows, *_prepare(gone)])
        kept |= _find(missing)
    return kept


def _prepare(projections: Iterable[Projection]) -> list[Row]:
    return prepare_rows(CrontabSchedule, Projection._fields, projections)


def _find(projections: Collection[Projection]) -> dict[Projection, int]:
    """Return the keys of the rows that there are, of several equal ones the first."""
    rows = CrontabSchedule.objects.order_by("pk")
    if len(projections) <= _MOST_ASKED:
        asked = ((one, rows.filter(**one._asdict()).values_list("pk", flat=True)[:1]) for one in projections)
        return {one: key for one, found in asked for key in found}
    wanted = set(projections)
    # As a text: a zone that a hand has broken would fail the reading of all
    columns = (*Projection._fields[:-1], "zone", "pk")
    read = rows.annotate(zone=Cast("timezone", CharField())).order_by("-pk").values_list(*columns)
    found = ((Projection(*fields), key) for *fields, key in read)
    return {projection: key for projection, key in found if projection in wanted}


def _still_there(known: Mapping[Projection, int]) -> dict[Projection, int]:
    rows = CrontabSchedule.objects.order_by()
    parts = split(known.values(), _PART_SIZE)
    keys = {key for part in parts for key in rows.filter(pk__in=part).values_list("pk", flat=True)}
    return {projection: key for projection, key in known.items() if key in keys}
