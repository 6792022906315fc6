"""dbt and DuckDB in homes that tests put together, each with ``raw`` files and a ``warehouse.duckdb``."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.warm import WARM

from kundresa import settings as configuration
from kundresa.warehouse import ensure_exports
from kundresa.warehouse.runner import parsed_with

PROJECT = Path(__file__).resolve().parents[2] / "dbt_project"
_FOLDER = tempfile.TemporaryDirectory()
_PARSED = "partial_parse.msgpack"


@contextmanager
def placed(home: Path) -> Iterator[Path]:
    """The home at the one place where each is while it is worked on: dbt parses the project anew for
    another, which takes five seconds, and writes its path into views."""
    place = Path(_FOLDER.name) / "home"
    place.symlink_to(home.absolute())
    try:
        yield place
    finally:
        place.unlink()


def run_dbt(
    home: Path, *arguments: str, variables: Mapping[str, Any] | None = None, project: Path = PROJECT
) -> subprocess.CompletedProcess[str]:
    """``dbt`` with arguments and variables; the caller looks at the result."""
    with placed(home) as place:
        ensure_exports(configuration.load({"KUNDRESA_HOME": str(place)}))
        environ = os.environ | {
            "KUNDRESA_RAW": str(place / "raw"),
            "KUNDRESA_EXPORTS": str(place / "exports"),
            "KUNDRESA_WAREHOUSE_PATH": str(place / "warehouse.duckdb"),
            "DBT_PROJECT_DIR": str(project),
            "DBT_PROFILES_DIR": str(project),
            "DBT_TARGET_PATH": str(place / "dbt"),
            "DBT_LOG_PATH": str(place / "dbt" / "logs"),
        }
        parsed = home / "dbt" / _PARSED
        parsed.parent.mkdir(exist_ok=True)
        # What dbt has parsed is of use to whoever has the same project and variables.
        early = json.dumps(parsed_with(variables or {}), sort_keys=True)
        kept = Path(_FOLDER.name) / hashlib.sha256(f"{project} {early}".encode()).hexdigest()
        if kept.exists():
            shutil.copy(kept, parsed)
        done = WARM.dbt(*arguments, variables=variables or {}, environ=environ)
        if parsed.exists():
            shutil.copy(parsed, kept)
        return done


def query(
    home: Path, sql: str, parameters: Sequence[Any] = (), *, schema: str = "main"
) -> list[tuple[Any, ...]]:
    """Rows of a query on what was built; the schemas are ``kundresa_<folder>``."""
    import duckdb

    with (
        placed(home) as place,
        duckdb.connect(str(place / "warehouse.duckdb"), read_only=True) as connection,
    ):
        connection.execute(f"use warehouse.{schema}")
        return connection.execute(sql, list(parameters)).fetchall()
