"""SQL over everything that is published, in a DuckDB that lives for one question."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kundresa.settings import Settings
from kundresa.warehouse.build import current_build
from kundresa.warehouse.errors import NothingPublished
from kundresa.warehouse.schemas import PUBLISHED, Columns

PER_RUN: Mapping[str, str] = {
    "decisions": "runs/*/decisions/*.parquet",
    "decided_runs": "runs/*/run.parquet",
    "deliveries": "measurement/deliveries/*.parquet",
    "account_lines": "measurement/account_lines/*.parquet",
    "account_summary": "measurement/account_summary/*.parquet",
    "campaign_performance": "measurement/campaign_performance/*.parquet",
    "journey_messages": "measurement/journey_messages/*.parquet",
    "journey_performance": "measurement/journey_performance/*.parquet",
}
"""Where each table that grows with the runs is published, as a glob under ``published``."""


def query(settings: Settings, sql: str, **parameters: Any) -> list[dict[str, Any]]:
    """The rows of one SELECT over the current marts (by name) and the tables of ``PER_RUN``.

    Values go in as named parameters (``where profile_id = $profile_id``). Instants come out aware.
    Tables without any run are empty; before the first build there are no marts.
    """
    with published_database(settings) as connection:
        return fetch(connection, sql, parameters)


@contextmanager
def published_database(settings: Settings) -> Iterator[Any]:
    """A DuckDB connection in which each published table is a view."""
    import duckdb

    with duckdb.connect() as connection:
        for name, columns in PUBLISHED.items():
            files = settings.published / PER_RUN[name]
            found = next(settings.published.glob(PER_RUN[name]), None)
            _view(connection, name, contracted(files, columns) if found else empty(columns))
        for mart in _marts(settings):
            _view(connection, mart.name, parquet(mart / "*.parquet"))
        yield connection


def fetch(connection: Any, sql: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of a query as dicts; instants are aware."""
    cursor = connection.execute(sql, dict(parameters))
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, map(_aware, row), strict=True)) for row in cursor.fetchall()]


def parquet(files: Path) -> str:
    """The SQL that reads Parquet files; ``=`` in a folder's name means nothing."""
    return f"select * from read_parquet({literal(files)}, hive_partitioning = false)"


def contracted(files: Path, columns: Columns) -> str:
    """The SQL that reads Parquet files of several releases: a column that a file lacks is null."""
    read = f"read_parquet({literal(files)}, hive_partitioning = false, union_by_name = true)"
    return f"{empty(columns)} union all by name select * from {read}"


def empty(columns: Columns) -> str:
    """The SQL of a table with these columns and no rows."""
    selected = ", ".join(f"cast(null as {data_type}) as {name}" for name, data_type in columns.items())
    return f"select {selected} where false"


def _view(connection: Any, name: str, sql: str) -> None:
    connection.execute(f'create view "{name}" as {sql}')


def _marts(settings: Settings) -> list[Path]:
    try:
        build = current_build(settings)
    except NothingPublished:
        return []
    return sorted(path for path in build.path.iterdir() if path.is_dir())


def literal(path: Path) -> str:
    """A path as an SQL text."""
    escaped = str(path).replace("'", "''")
    return f"'{escaped}'"


def _aware(value: Any) -> Any:
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    return value
