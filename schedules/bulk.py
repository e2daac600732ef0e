"""Many rows of the ledger, each with values of its own, in one statement.

The ORM's bulk_update makes a CASE of every column, which both databases take much longer to read than to carry out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import islice
from operator import itemgetter
from typing import Any

from django.db import connection, connections
from django.db.models import Field

from schedules.models import Run

#: Rows in one statement
_SIZE = 500
_TABLE = Run._meta.db_table
# As an expression: rows are to be found by their keys, and not by an index of all that are in a state, which is full of
# rows that have left it
_STATE = f"({_TABLE}.state || '')"
_FIELDS: dict[str, Field[Any, Any]] = {field.name: field for field in Run._meta.concrete_fields}


def to_column(name: str, value: object) -> Any:
    """Return a value as this column of the ledger takes it, for SQL that is written out."""
    return _FIELDS[name].get_db_prep_save(value, connection)


def change_runs(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    states: Iterable[str] = (),
    counts: str = "",
    until: str = "",
    compared: Sequence[str] = (),
) -> int:
    """Write rows, whose first column is the key, where the run is still in one of the states; return how many were.

    They are written in the order of their keys, so that no two statements wait for each other. Of the column `counts`
    one more is counted. The column `until`, one of `columns`, is not written: where a row has a value for it, that of
    the run must not be later. With `compared`, a row ends in the values that these columns must still have, None too.
    """
    # UUIDs are in the order of their digits, as in both databases
    in_order = iter(sorted(rows, key=itemgetter(0)))
    give_values = _give_json if connection.vendor == "postgresql" else _give_rows
    changed = 0
    with connection.cursor() as cursor:
        while part := list(islice(in_order, _SIZE)):
            shape = (tuple(columns), tuple(compared), tuple(states), counts, until)
            update = _make_update(*shape, size=len(part), vendor=connection.vendor)
            cursor.execute(update, give_values((*columns, *compared), part))
            changed += cursor.rowcount
    return changed


@lru_cache
def _make_update(
    columns: Sequence[str],
    compared: Sequence[str],
    states: Sequence[str],
    counts: str,
    until: str,
    *,
    size: int,
    vendor: str,
) -> str:
    given = {name: f"given.column{place}" for place, name in enumerate(columns[1:], 2)}
    conditions = [f"{_TABLE}.id = given.column1"]
    if until:
        limit = given.pop(until)
        conditions.append(f"({limit} IS NULL OR {_TABLE}.{_FIELDS[until].column} <= {limit})")
    if states:
        names = ", ".join(f"'{state}'" for state in states)
        conditions.append(f"{_STATE} IN ({names})")
    conditions += _make_conditions(compared, len(columns) + 1, vendor)
    changes = [f"{_FIELDS[name].column} = {value}" for name, value in given.items()]
    changes += [f"{counts} = {counts} + 1"] if counts else []
    where = " AND ".join(conditions)
    source = f"{(_json_source if vendor == 'postgresql' else _rows_source)((*columns, *compared), size)} AS given"
    if vendor == "postgresql":
        # Which of the rows an UPDATE would lock first is up to the database
        locked = f"{source} JOIN {_TABLE} ON {where} ORDER BY {_TABLE}.id FOR UPDATE OF {_TABLE}"
        source = f"(SELECT given.* FROM {locked}) AS given"  # noqa: S608 -- names of columns and states
    return f"UPDATE {_TABLE} SET {', '.join(changes)} FROM {source} WHERE {where}"  # noqa: S608 -- names


def _make_conditions(compared: Sequence[str], place: int, vendor: str) -> list[str]:
    """Return that columns have the given values, from this place on; None is a value like others."""
    equals = "IS NOT DISTINCT FROM" if vendor == "postgresql" else "IS"
    own = [_STATE if name == "state" else f"{_TABLE}.{_FIELDS[name].column}" for name in compared]
    return [f"{column} {equals} given.column{place + number}" for number, column in enumerate(own)]


def _rows_source(columns: Sequence[str], size: int) -> str:
    """Return the SQL that makes a table of as many rows of values."""
    row = f"({', '.join(['%s'] * len(columns))})"
    return f"(VALUES {', '.join([row] * size)})"


def _give_rows(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> list[Any]:
    # Itself, and not what stands for each thread's own, which costs more than the conversion
    database = connections[connection.alias]
    prepare = [_FIELDS[name].get_db_prep_save for name in columns]
    return [convert(value, database) for row in rows for convert, value in zip(prepare, row, strict=True)]


def _json_source(columns: Sequence[str], size: int) -> str:
    """Return the SQL that makes a table of one text, which PostgreSQL and its driver read much sooner than values."""
    types = (_FIELDS[name].db_type(connection) for name in columns)
    items = ", ".join(f"(item ->> {place})::{kind} AS column{place + 1}" for place, kind in enumerate(types))
    # The limit tells its planner how few rows there are, and that it need not go through the whole ledger for them
    return f"(SELECT {items} FROM jsonb_array_elements(%s::jsonb) AS item LIMIT {size})"  # noqa: S608 -- names


def _give_json(_columns: Sequence[str], rows: Sequence[Sequence[object]]) -> list[Any]:
    return [json.dumps(rows, default=str)]
