"""Many rows in one statement, past SQLAlchemy's work for each of them.

Binding a row of a dozen values through SQLAlchemy costs some 40 µs; the driver alone takes 2 to 5. The rows
are tuples in the order of the columns that are named.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, String, Table, any_, func, literal, select
from sqlalchemy.dialects import postgresql

from kundresa.store.engine import Database
from kundresa.store.tables import UtcDateTime

Rows = Sequence[tuple[Any, ...]]


def insert_rows(
    database: Database, connection: Connection, table: Table, columns: Sequence[str], rows: Rows
) -> None:
    """Insert rows; a key that exists is an error (``IntegrityError``)."""
    _run(database, connection, table, tuple(columns), rows, ending="")


def insert_new_rows(
    database: Database, connection: Connection, table: Table, columns: Sequence[str], rows: Rows
) -> int:
    """Insert rows, but for those whose key exists, in their order; returns how many."""
    return _run(database, connection, table, tuple(columns), rows, ending=" on conflict do nothing")


def put_rows(
    database: Database,
    connection: Connection,
    table: Table,
    columns: Sequence[str],
    rows: Rows,
    *,
    newest: str | None = None,
) -> None:
    """Insert rows, or put them in the place of those with the same primary key. No key may be twice.

    Args:
        newest: a column; a row that has more there than the new one stays.
    """
    keys = [each.name for each in table.primary_key]
    others = [name for name in columns if name not in keys]
    sets = ", ".join(f"{name} = excluded.{name}" for name in others)
    older = f" where {table.name}.{newest} <= excluded.{newest}" if newest else ""
    _run(
        database,
        connection,
        table,
        tuple(columns),
        rows,
        ending=f" on conflict ({', '.join(keys)}) do update set {sets}{older}",
    )


def among(database: Database, column: Column[str], values: Iterable[str]) -> ColumnElement[bool]:
    """Whether a text column is one of any number of values, bound as one parameter."""
    if database.is_sqlite:
        each = func.json_each(json.dumps([*values])).table_valued("value")
        return column.in_(select(each.c.value))
    return column == any_(literal([*values], postgresql.ARRAY(String)))


def as_table(
    database: Database, table: Table, columns: Sequence[str], rows: Rows
) -> tuple[str, dict[str, Any]]:
    """Rows as what a statement can select from: its SQL, and the parameters that it names. The columns are of
    ``table``, whose types they have.

    One statement for all rows is one step of the driver: another thread of the process has Python to itself
    meanwhile, where ``executemany`` asks for it back at every row.
    """
    names = tuple(columns)
    if database.is_sqlite:
        picked = ", ".join(f"json_extract(value, '$[{index}]') as {name}" for index, name in enumerate(names))
        return f"(select {picked} from json_each(:given))", {"given": json.dumps(_plain(table, names, rows))}
    arrays = ", ".join(
        f"cast(:given_{name} as {kind}[])" for name, kind in zip(names, _kinds(table, names), strict=True)
    )
    values = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in names]
    return (
        f"(select * from unnest({arrays}) as each_row ({', '.join(names)}))",
        {f"given_{name}": column for name, column in zip(names, values, strict=True)},
    )


def _run(
    database: Database,
    connection: Connection,
    table: Table,
    columns: tuple[str, ...],
    rows: Rows,
    *,
    ending: str,
) -> int:
    """Returns how many rows were written."""
    if not rows:
        return 0
    head = f"insert into {table.name} ({', '.join(columns)})"
    if database.is_sqlite:
        marks = ", ".join("?" for _ in columns)
        statement = f"{head} values ({marks}){ending}"
        values: list[tuple[Any, ...]] | tuple[list[Any], ...] = _plain(table, columns, rows)
    else:
        arrays = ", ".join(f"%s::{kind}[]" for kind in _kinds(table, columns))
        statement = f"{head} select * from unnest({arrays}){ending}"
        values = tuple([*column] for column in zip(*rows, strict=True))
    options = {"preserve_rowcount": True}  # psycopg has forgotten it when the cursor is closed
    return connection.exec_driver_sql(statement, values, execution_options=options).rowcount


def _plain(table: Table, columns: tuple[str, ...], rows: Rows) -> list[tuple[Any, ...]]:
    """Instants as SQLAlchemy writes them into SQLite: text in UTC that sorts by time."""
    instants = frozenset(
        index for index, name in enumerate(columns) if isinstance(table.c[name].type, UtcDateTime)
    )
    if not instants:
        return list(rows)
    return [
        tuple(
            _text(value) if index in instants and value is not None else value
            for index, value in enumerate(row)
        )
        for row in rows
    ]


def _text(value: datetime) -> str:
    if value.tzinfo is not UTC:
        value = value.astimezone(UTC)  # a naive one would be taken for the machine's: none is written here
    return value.isoformat(" ", "microseconds")[:26]


@cache
def _kinds(table: Table, columns: tuple[str, ...]) -> tuple[str, ...]:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    return tuple(table.c[name].type.compile(dialect) for name in columns)
