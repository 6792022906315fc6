"""Importing the room costs nothing: Airflow parses files that import it."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("great_expectations", "pandas", "pyarrow", "numpy", "dbt", "duckdb", "airflow")


def _loaded(statement: str) -> list[str]:
    program = f"import sys\n{statement}\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_no_heavy_package_is_loaded() -> None:
    assert _loaded("import kundresa.quality, kundresa.quality.validation, kundresa.quality.pages") == []


def test_the_test_would_see_one() -> None:
    assert "pyarrow" in _loaded("import pyarrow")
