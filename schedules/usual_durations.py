"""What reloads of schedules usually take, read for many schedules at once."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from schedules.alert_rules import RELOADS_COMPARED, usual_duration
from schedules.bulk_rows import split
from schedules.models import Run

#: Schedules of one query
_PART_SIZE = 500

_TABLE = Run._meta.db_table
# One more than is compared, for the reload that is judged may be among them. By the index of each schedule's runs
_RECENT = f"""
    SELECT id FROM {_TABLE}
    WHERE schedule_id = wanted.value AND state = '{Run.State.SUCCEEDED}' AND reload_duration IS NOT NULL
    ORDER BY due_at DESC LIMIT {RELOADS_COMPARED + 1}
"""  # noqa: S608 -- all of it is constant
_READ_SQLITE = f"""
    SELECT run.schedule_id, run.id, run.reload_duration
    FROM json_each(%s) AS wanted CROSS JOIN {_TABLE} AS run
    WHERE run.id IN ({_RECENT}) ORDER BY run.due_at DESC
"""  # noqa: S608 -- all of it is constant
_READ_POSTGRES = f"""
    SELECT run.schedule_id, run.id, run.reload_duration
    FROM (SELECT item::bigint AS value FROM jsonb_array_elements_text(%s::jsonb) AS item) AS wanted
    CROSS JOIN LATERAL ({_RECENT.replace("SELECT id", "SELECT schedule_id, id, reload_duration, due_at")}) AS run
    ORDER BY run.due_at DESC
"""  # noqa: S608 -- all of it is constant


class UsualDurations:
    """What is usual, of the schedules that were asked for; each is looked up once."""

    def __init__(self) -> None:
        self._known: dict[int, Sequence[tuple[UUID, timedelta]]] = {}

    def look_up(self, schedule_pks: Iterable[int]) -> None:
        """Read what is usual for these schedules, as far as it is not known."""
        for part in split(sorted(set(schedule_pks) - self._known.keys()), _PART_SIZE):
            self._known |= _read(part)

    def of(self, schedule_pk: int, *, besides: UUID) -> timedelta | None:
        """Return what the reloads of a schedule before this run took, as far as they succeeded; None for too few."""
        self.look_up([schedule_pk])
        others = [duration for pk, duration in self._known[schedule_pk] if pk != besides]
        return usual_duration(others[:RELOADS_COMPARED])


def _read(schedule_pks: Sequence[int]) -> dict[int, Sequence[tuple[UUID, timedelta]]]:
    """Return the last reloads of each of the schedules, the last due first."""
    found: dict[int, list[tuple[UUID, timedelta]]] = defaultdict(list, {pk: [] for pk in schedule_pks})
    with connection.cursor() as cursor:
        cursor.execute(
            _READ_POSTGRES if connection.vendor == "postgresql" else _READ_SQLITE, [json.dumps(schedule_pks)]
        )
        for schedule_pk, run_id, duration in cursor.fetchall():
            found[schedule_pk].append((_as_id(run_id), _as_duration(duration)))
    return dict(found)


def _as_id(value: Any) -> UUID:
    return value if isinstance(value, UUID) else UUID(value)


def _as_duration(value: Any) -> timedelta:
    # SQLite has microseconds
    return value if isinstance(value, timedelta) else timedelta(microseconds=value)
