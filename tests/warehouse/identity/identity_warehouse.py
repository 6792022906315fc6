"""A DuckDB file that dbt builds from records."""

from __future__ import annotations

import csv
import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from identity_days import MIN_PROBABILITY, Day
from warm_dbt import WARM

from kundresa import settings as configuration
from kundresa.sample.shop import HEADERS
from kundresa.warehouse import ensure_exports

PROJECT = Path(__file__).resolve().parents[3] / "dbt_project"


class Warehouse:
    """A DuckDB file, and dbt on it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        (home / "raw").mkdir(parents=True)
        ensure_exports(configuration.load({"KUNDRESA_HOME": str(home)}))

    def write(self, day: Day) -> None:
        """The day's raw files."""
        rows: dict[str, list[dict[str, str]]] = {table: [] for table in HEADERS}
        for record in day.records.values():
            values = {
                "email": record.email,
                "phone": record.phone,
                "device_id": record.device_id,
                "first_name": record.first_name,
                "country": "SE",
                "created_at": record.created_at,
            }
            table, key = {
                "crm": ("crm_customers", "crm_id"),
                "shop": ("shop_accounts", "account_id"),
                "order": ("orders", "order_id"),
            }[record.source]
            if record.source == "order":
                order = {"status": "placed", "currency": "EUR", "total_amount": "1"}
                values |= {"ordered_at": record.created_at, **order}
            rows[table].append(values | {key: record.source_id})
        for table, header in HEADERS.items():
            self._write(table, header, rows[table])
        header = ("source_dataset_l", "unique_id_l", "source_dataset_r", "unique_id_r", "match_probability")
        links = [
            dict(zip(header, (*left.split("|"), *right.split("|"), str(probability)), strict=True))
            for (left, right), probability in day.links.items()
        ]
        self._write("identity_links", header, links)

    def _write(self, table: str, header: Iterable[str], rows: list[dict[str, str]]) -> None:
        with (self.home / "raw" / f"{table}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(
                file, list(header), restval="", extrasaction="ignore", lineterminator="\n"
            )
            writer.writeheader()
            writer.writerows(rows)

    def dbt(self, *arguments: str, variables: str = "{}") -> subprocess.CompletedProcess[str]:
        """Run dbt; the caller looks at the result."""
        environ = os.environ | {
            "KUNDRESA_RAW": str(self.home / "raw"),
            "KUNDRESA_EXPORTS": str(self.home / "exports"),
            "KUNDRESA_WAREHOUSE_PATH": str(self.home / "warehouse.duckdb"),
            "DBT_PROJECT_DIR": str(PROJECT),
            "DBT_PROFILES_DIR": str(PROJECT),
            "DBT_TARGET_PATH": str(self.home / "dbt"),
            "DBT_LOG_PATH": str(self.home / "dbt" / "logs"),
        }
        return WARM.run(*arguments, "--quiet", "--vars", variables, environ=environ)

    def build(
        self, as_of: str, *, only: str = "identity", variables: str = "", check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Models and tests of identity as of an instant, with links."""
        given = f"as_of: '{as_of}', identity_links: {{enabled: true, min_probability: {MIN_PROBABILITY}}}"
        select = [
            "--select",
            "stg_shop__crm_customers",
            "stg_shop__shop_accounts",
            "stg_shop__orders",
            *only.split(),
        ]
        result = self.dbt(
            "build",
            "--exclude-resource-type",
            "unit_test",
            *select,
            "stg_identity__links",
            variables=f"{{{given}{', ' if variables else ''}{variables}}}",
        )
        assert result.returncode == 0 or not check, result.stdout + result.stderr
        return result

    def tables(self) -> set[str]:
        """The names of what was built."""
        found = self.query("select table_name from information_schema.tables")
        return {name for (name,) in found}

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows; the tables of identity need no schema."""
        import duckdb

        with duckdb.connect(str(self.home / "warehouse.duckdb"), read_only=True) as connection:
            connection.execute("use warehouse.kundresa_identity")
            return connection.execute(sql).fetchall()


@dataclass
class Built:
    """The days, from 1 on, and the warehouse as the last of them left it."""

    days: dict[int, Day]
    warehouse: Warehouse
