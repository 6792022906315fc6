"""A column that arrives empty loses nobody, from its first row on or from the middle (field report 11)."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import pytest

CLEARED = {
    "crm_customers": (
        "email",
        "phone",
        "first_name",
        "language",
        "country",
        "region",
        "time_zone",
        "updated_at",
    ),
    "shop_accounts": ("email", "phone", "first_name", "language", "country", "device_id", "updated_at"),
}


def _clear(file: Path, columns: tuple[str, ...], start: int) -> None:
    with file.open(newline="", encoding="utf-8") as source:
        reader = csv.DictReader(source)
        rows = list(reader)
    for row in rows[start:]:
        row.update(dict.fromkeys(columns, ""))
    with file.open("w", newline="", encoding="utf-8") as target:
        writer = csv.DictWriter(target, reader.fieldnames or (), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.parametrize("start", [0, 200])
def test_an_empty_column_loses_nobody(sample_shop: Any, empty_shop: Any, start: int) -> None:
    shutil.copytree(sample_shop.warehouse.raw, empty_shop.raw, dirs_exist_ok=True)
    for table, columns in CLEARED.items():
        _clear(empty_shop.raw / f"{table}.csv", columns, start)
    models = ["+profiles", "+contact_points", "+consents", "+profile_identifiers"]
    skip = ["--indirect-selection", "cautious", "--exclude-resource-type", "unit_test"]
    result = empty_shop.dbt("build", *skip, "--select", *models, as_of="2026-03-01 00:00:00")
    assert result.returncode == 0, result.stdout
    everybody = """
        select crm_id as id, 'crm_id' as namespace from kundresa_staging.stg_shop__crm_customers
        union all
        select account_id, 'account_id' from kundresa_staging.stg_shop__shop_accounts"""
    lost = empty_shop.query(
        f"""select count(*) from ({everybody}) as sources
        left join kundresa_identity.profile_identifiers as found
            on sources.id = found.identifier and sources.namespace = found.namespace
        left join kundresa_profiles.profiles using (profile_id)
        where profiles.profile_id is null"""
    )
    assert lost == [(0,)]
    # What an order or an answer is attributed by is its id, which is still there.
    bought = "select count(distinct profile_id) from kundresa_profiles.int_profiles__orders"
    assert empty_shop.query(bought)[0][0] > 0.5 * sample_shop.warehouse.query(bought)[0][0]
