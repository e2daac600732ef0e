"""Many rows of a table, each with values of its own, in few statements.

The ORM takes ten times as long to compose them as the database to carry them out, and whoever writes schedules holds
the lock that beat waits for. So rows are prepared before it, in any time, and written under it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from itertools import islice
from typing import Any, TypeAlias

from django.db import connection, connections
from django.db.models import Field, Model

#: Rows in one statement, where one has many
_SIZE = 1000

Row: TypeAlias = Sequence[Any]


def prepare_rows(model: type[Model], columns: Sequence[str], rows: Iterable[Row]) -> list[Row]:
    """Return the rows as the database takes them; `columns` are the names of the model's fields."""
    if connection.vendor == "postgresql":
        return list(rows)
    # Itself, and not what stands for each thread's own, which costs more than the conversion
    database = connections[connection.alias]
    prepare = [model._meta.get_field(name).get_db_prep_save for name in columns]  # type: ignore[union-attr]
    return [tuple(convert(value, database) for convert, value in zip(prepare, row, strict=True)) for row in rows]


def insert_rows(model: type[Model], columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Insert prepared rows; a constraint that is broken raises IntegrityError, and then none is written."""
    fields = _fields_of(model, columns)
    target = f"{model._meta.db_table} ({', '.join(str(field.column) for field in fields)})"
    if connection.vendor == "postgresql":
        _execute_parts(f"INSERT INTO {target} SELECT * FROM {_json_source(fields)} AS given", rows)  # noqa: S608 -- names
        return
    marks = ", ".join(["%s"] * len(fields))
    with connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {target} VALUES ({marks})", list(rows))  # noqa: S608 -- names


def change_rows(model: type[Model], columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Give existing rows the values of prepared ones, whose first column is the key."""
    key, *fields = _fields_of(model, columns)
    table = model._meta.db_table
    if connection.vendor == "postgresql":
        changes = ", ".join(f"{field.column} = given.column{place}" for place, field in enumerate(fields, 2))
        source = _json_source([key, *fields])
        _execute_parts(
            f"UPDATE {table} SET {changes} FROM {source} AS given WHERE {table}.{key.column} = given.column1",  # noqa: S608
            rows,
        )
        return
    changes = ", ".join(f"{field.column} = %s" for field in fields)
    with connection.cursor() as cursor:
        statement = f"UPDATE {table} SET {changes} WHERE {key.column} = %s"  # noqa: S608 -- names
        cursor.executemany(statement, [(*values, pk) for pk, *values in rows])


def split(rows: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Yield the rows in lists of at most `size`."""
    left = iter(rows)
    while part := list(islice(left, size)):
        yield part


def _fields_of(model: type[Model], columns: Sequence[str]) -> list[Field[Any, Any]]:
    return [model._meta.get_field(name) for name in columns]  # type: ignore[misc]


def _json_source(fields: Sequence[Field[Any, Any]]) -> str:
    """Return the SQL that makes a table of one text, which PostgreSQL and its driver read much sooner than values."""
    types = (field.db_type(connection) for field in fields)
    items = ", ".join(f"(item ->> {place})::{kind} AS column{place + 1}" for place, kind in enumerate(types))
    return f"(SELECT {items} FROM jsonb_array_elements(%s::jsonb) AS item)"  # noqa: S608 -- names


def _execute_parts(statement: str, rows: Iterable[Row]) -> None:
    with connection.cursor() as cursor:
        for part in split(rows, _SIZE):
            cursor.execute(statement, [json.dumps(part, default=_as_text)])


def _as_text(value: object) -> str:
    return f"{value.total_seconds():.6f} seconds" if isinstance(value, timedelta) else str(value)
