"""Source files that keep their contract, to be spoilt one fault at a time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kundresa import settings as settings_module
from kundresa.quality import SourceColumn, SourceTable
from kundresa.settings import Settings

HEADER = "crm_id,email,first_name,birth_date,orders,spend,updated_at"
ROWS = [
    "C1,anna.berg@shop.example,Anna,1990-01-31,3,12.50,2026-01-02 03:04:05",
    'C2,bo@shop.example,"Bo ""Bosse"" \n\u0645\u062d\u0645\u062f, \U0001f600",,0,,2026-01-02T03:04:05Z',
    "C3,,,,,,",
]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_module.load({"KUNDRESA_HOME": str(tmp_path / "home")})


@pytest.fixture
def clock() -> Callable[[], datetime]:
    return lambda: datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


@pytest.fixture
def customers(tmp_path: Path) -> SourceTable:
    """A table whose file is sound."""
    path = tmp_path / "customers.csv"
    path.write_text("\n".join([HEADER, *ROWS]) + "\n", encoding="utf-8")
    types = ("varchar", "varchar", "varchar", "date", "integer", "decimal(12,2)", "timestamp")
    columns = tuple(SourceColumn(*pair) for pair in zip(HEADER.split(","), types, strict=True))
    return SourceTable("customers", path, columns, ("crm_id",))
