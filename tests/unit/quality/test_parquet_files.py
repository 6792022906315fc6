"""A Parquet source is held against the same contract as a CSV file: columns, types, key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kundresa.quality import GateReport, Severity, SourceTable, check_sources
from kundresa.quality.sql_types import UnknownType
from kundresa.settings import Settings

SOUND: dict[str, list[Any]] = {
    "crm_id": ["C1", "C2", "C3"],
    "email": ["anna.berg@shop.example", None, "c@shop.example"],
    "first_name": ["Anna", "Bo", None],
    "birth_date": [date(1990, 1, 31), None, None],
    "orders": [3, 0, None],
    "spend": [Decimal("12.50"), None, None],
    "updated_at": [datetime(2026, 1, 2, 3, 4, 5), None, None],  # noqa: DTZ001  as a file has it
}

Check = Callable[[dict[str, Any]], GateReport]


@pytest.fixture
def check(settings: Settings, clock: Callable[[], datetime], customers: SourceTable, tmp_path: Path) -> Check:
    def run(columns: dict[str, Any]) -> GateReport:
        path = tmp_path / "customers.parquet"
        pq.write_table(pa.table(columns), path)
        return check_sources(settings, [replace(customers, path=path)], clock=clock)

    return run


def names(report: GateReport) -> list[str]:
    return [failure.name for failure in report.failures]


def test_a_sound_file_passes(check: Check) -> None:
    report = check(SOUND)
    assert report.ok
    assert {each.name for each in report.results} == {
        "customers.header",
        "customers.extra_columns",
        "customers.rows",
        "customers.key_not_null",
        "customers.key_unique",
    }


def test_a_missing_column_is_named(check: Check) -> None:
    report = check({name: values for name, values in SOUND.items() if name != "email"})
    assert names(report) == ["customers.header"]
    assert report.failures[0].observed == "email is missing"


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("updated_at", ["2026-01-02", None, None]),
        ("orders", [1.5, None, None]),
        ("birth_date", [20260102, None, None]),
        ("spend", ["12,50", None, None]),
        ("first_name", [1.5, None, None]),
    ],
)
def test_a_type_that_the_cast_may_refuse_is_named(check: Check, column: str, values: list[Any]) -> None:
    report = check(SOUND | {column: values})
    assert names(report) == ["customers.header"]
    assert report.failures[0].observed.startswith(f"{column} is ")


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("crm_id", [1, 2, 3]),
        ("spend", [12.5, None, None]),
        ("updated_at", pa.array([0, None, None], pa.timestamp("us", tz="UTC"))),
        ("email", pa.array(["a", "b", "c"]).dictionary_encode()),
    ],
)
def test_a_type_that_the_cast_takes_is_no_fault(check: Check, column: str, values: Any) -> None:
    assert check(SOUND | {column: values}).ok


def test_blank_and_repeated_keys_are_counted_and_not_shown(check: Check) -> None:
    report = check(
        {name: values * 2 for name, values in SOUND.items()} | {"crm_id": ["C1", None, "", "C1", "C2", "C1"]}
    )
    assert names(report) == ["customers.key_not_null", "customers.key_unique"]
    assert [failure.failed_rows for failure in report.failures] == [2, 2]
    assert "C1" not in " ".join(report.failures[1].samples)


def test_a_column_nobody_reads_is_a_warning(check: Check) -> None:
    report = check(SOUND | {"shoe_size": [1, 2, 3]})
    assert report.ok
    assert [(each.name, each.severity) for each in report.warnings] == [
        ("customers.extra_columns", Severity.ADVISORY)
    ]


def test_a_file_that_is_no_parquet_is_a_fault(
    settings: Settings, clock: Callable[[], datetime], customers: SourceTable, tmp_path: Path
) -> None:
    path = tmp_path / "customers.parquet"
    path.write_bytes(b"crm_id,email\n")
    broken = check_sources(settings, [replace(customers, path=path)], clock=clock)
    path.unlink()
    missing = check_sources(settings, [replace(customers, path=path)], clock=clock)
    assert "cannot be read" in broken.failures[0].observed
    assert missing.failures[0].observed == "customers.parquet is missing"


def test_a_type_of_no_engine_is_refused(settings: Settings, customers: SourceTable, tmp_path: Path) -> None:
    path = tmp_path / "customers.parquet"
    pq.write_table(pa.table(SOUND), path)
    columns = (*customers.columns[:-1], replace(customers.columns[-1], data_type="moment"))
    with pytest.raises(UnknownType):
        check_sources(settings, [replace(customers, path=path, columns=columns)])
