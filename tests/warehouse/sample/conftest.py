"""A small sample shop, built by dbt once for all tests of this folder, and the tools to build others."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from tests.warehouse.homes import PROJECT, query, run_dbt

from kundresa.sample import SampleSummary, generate

AS_OF = "2026-03-01 00:00:00"
PEOPLE = 800


@dataclass
class Warehouse:
    """A DuckDB file that dbt builds from the raw files of ``home``."""

    home: Path
    project: Path = PROJECT

    @property
    def raw(self) -> Path:
        return self.home / "raw"

    def dbt(self, *arguments: str, **variables: Any) -> subprocess.CompletedProcess[str]:
        """Run dbt on this warehouse; the caller looks at the result."""
        return run_dbt(self.home, *arguments, "--quiet", variables=variables, project=self.project)

    def build(self, as_of: str = AS_OF, select: str = "tag:warehouse") -> subprocess.CompletedProcess[str]:
        """Models and data tests; the unit tests run once, in the shared fixture."""
        skip = ["--exclude-resource-type", "unit_test"]
        return self.dbt("build", *skip, "--select", *select.split(), as_of=as_of)

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of a query on what was built; the schemas are ``kundresa_<folder>``."""
        return query(self.home, sql, parameters)


@dataclass
class BuiltSample:
    """The shared warehouse. Tests only read it."""

    warehouse: Warehouse
    summary: SampleSummary


@pytest.fixture(scope="session")
def sample_shop(tmp_path_factory: pytest.TempPathFactory) -> BuiltSample:
    """The sample shop of 800 people, built as of 2026-03-01."""
    warehouse = Warehouse(tmp_path_factory.mktemp("sample") / "home")
    summary = generate(warehouse.raw, people=PEOPLE, seed=5, as_of=date.fromisoformat(AS_OF[:10]))
    result = warehouse.build()
    assert result.returncode == 0, result.stdout + result.stderr
    tested = warehouse.dbt("test", "--select", "tag:warehouse", "--resource-type", "unit_test")
    assert tested.returncode == 0, tested.stdout + tested.stderr
    return BuiltSample(warehouse, summary)


@pytest.fixture
def empty_shop(tmp_path: Path, sample_shop: BuiltSample) -> Warehouse:
    """Raw files with headers only, not built yet."""
    warehouse = Warehouse(tmp_path / "home")
    warehouse.raw.mkdir(parents=True)
    for file in sample_shop.warehouse.raw.glob("*.csv"):
        with file.open(encoding="utf-8", newline="") as source:
            (warehouse.raw / file.name).write_text(source.readline(), encoding="utf-8", newline="")
    return warehouse
