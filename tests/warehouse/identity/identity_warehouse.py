"""A DuckDB file that dbt builds from records."""

from __future__ import annotations

import csv
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from identity_days import MIN_PROBABILITY, Day
from tests.warehouse.homes import query, run_dbt

from kundresa.sample.shop import HEADERS


class Warehouse:
    """A DuckDB file, and dbt on it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        (home / "raw").mkdir(parents=True)

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
        return run_dbt(self.home, *arguments, "--quiet", variables=yaml.safe_load(variables))

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
        return query(self.home, sql, schema="kundresa_identity")


@dataclass
class Built:
    """The days, from 1 on, and the warehouse as the last of them left it."""

    days: dict[int, Day]
    warehouse: Warehouse
