"""Many rows of the ledger, each with values of its own, in one statement.

The ORM's bulk_update makes a CASE of every column, which both databases take much longer to read than to carry out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, islice
from typing import Any

from django.db import connection, connections
from django.db.models import Field

from schedules.models import Run

#: Rows in one statement
_SIZE = 500
_TABLE = Run._meta.db_table
_FIELDS: dict[str, Field[Any, Any]] = {field.name: field for field in Run._meta.concrete_fields}


def to_column(name: str, value: object) -> Any:
    """Return a value as this column of the ledger takes it, for SQL that is written out."""
    return _FIELDS[name].get_db_prep_save(value, connection)


def change_runs(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, states: Iterable[str], counts: str = ""
) -> int:
    """Write rows, whose first column is the key, where the run is still in one of the states; return how many were.

    They are written in the order of their keys, so that no two statements wait for each other. Of the column `counts`
    one more is counted.
    """
    # Itself, and not what stands for each thread's own, which costs more than the conversion
    database = connections[connection.alias]
    prepare = [_FIELDS[name].get_db_prep_save for name in columns]
    in_order = iter(sorted(rows, key=lambda row: str(row[0])))
    changed = 0
    with connection.cursor() as cursor:
        while part := list(islice(in_order, _SIZE)):
            values = [[convert(value, database) for convert, value in zip(prepare, row, strict=True)] for row in part]
            source, flat = _make_source(columns, values, vendor=database.vendor)
            cursor.execute(_make_update(columns, source, states=states, counts=counts), flat)
            changed += cursor.rowcount
    return changed


def _make_update(columns: Sequence[str], source: str, *, states: Iterable[str], counts: str) -> str:
    changes = [f"{_FIELDS[name].column} = given.column{place}" for place, name in enumerate(columns[1:], 2)]
    changes += [f"{counts} = {counts} + 1"] if counts else []
    names = ", ".join(f"'{state}'" for state in states)
    return (
        f"UPDATE {_TABLE} SET {', '.join(changes)} FROM {source} AS given"  # noqa: S608 -- names of columns and states
        f" WHERE {_TABLE}.id = given.column1 AND {_TABLE}.state IN ({names})"
    )


def _make_source(columns: Sequence[str], values: Sequence[Sequence[Any]], *, vendor: str) -> tuple[str, list[Any]]:
    """Return the SQL that makes a table of the values, and the values."""
    if vendor != "postgresql":
        row = f"({', '.join(['%s'] * len(columns))})"
        return f"(VALUES {', '.join([row] * len(values))})", list(chain.from_iterable(values))
    # It reads as many arrays as there are columns in half the time of the rows
    arrays = ", ".join(f"%s::{_FIELDS[name].db_type(connection)}[]" for name in columns)
    names = ", ".join(f"column{place}" for place in range(1, len(columns) + 1))
    source = f"(SELECT * FROM unnest({arrays}) AS arrays({names}))"  # noqa: S608 -- names of columns and types
    return source, [list(column) for column in zip(*values, strict=True)]
