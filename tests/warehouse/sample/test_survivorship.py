"""Survivorship as a brand may declare it: every rule on the sample, and mistakes in the declaration."""

from __future__ import annotations

import shutil
from collections import defaultdict
from datetime import datetime
from typing import Any

import pytest

AS_OF = "2026-03-01 00:00:00"
NEVER = datetime.min  # noqa: DTZ901  as the warehouse's timestamps, without a zone
RULES = {
    "first_name": "most_trusted",
    "last_name": "first_known",
    "language": "most_recent",
    "country": "first_known",
    "region": "most_recent",
    "time_zone": "most_recent",
    "email": "first_known",
    "phone": "most_trusted",
    "push_token": "most_recent",
    "postal_address": "most_recent",
}
TRUST = ["shop", "order", "crm"]


@pytest.fixture
def copy(sample_shop: Any, empty_shop: Any) -> Any:
    """The sample's raw files and built warehouse, to be changed."""
    shutil.copytree(sample_shop.warehouse.raw, empty_shop.raw, dirs_exist_ok=True)
    shutil.copy(sample_shop.warehouse.home / "warehouse.duckdb", empty_shop.home / "warehouse.duckdb")
    return empty_shop


def _run(warehouse: Any, command: str, **declared: Any) -> Any:
    select = ["int_profiles__records", "int_profiles__addresses", "profiles", "contact_points"]
    return warehouse.dbt(command, "--select", *select, as_of=AS_OF, **declared)


def test_each_attribute_follows_its_rule(copy: Any) -> None:
    result = _run(copy, "run", survivorship=RULES, source_trust=TRUST)
    assert result.returncode == 0, result.stdout
    records = defaultdict(list)
    for profile_id, *record in copy.query(
        """select profile_id, source, record_id, created_at, updated_at,
            first_name, last_name, language, country
        from kundresa_identity.int_identity__source_records
        join kundresa_identity.int_identity__record_profiles using (record_id)"""
    ):
        records[profile_id].append(record)

    def first(found: list[Any], column: int, key: Any) -> Any:
        known = [record for record in sorted(found, key=lambda each: each[1]) if record[column] is not None]
        return max(known, key=key)[column] if known else None

    def trust(record: Any) -> int:
        return -TRUST.index(record[0])

    expected = {}
    for profile_id, found in records.items():
        expected[profile_id] = (
            first(found, 4, lambda each: (trust(each), each[3] or NEVER)),
            first(found, 5, lambda each: (-(each[2] or datetime.max).timestamp(), trust(each))),  # noqa: DTZ901
            first(found, 6, lambda each: (each[3] or NEVER, trust(each))),
            first(found, 7, lambda each: (-(each[2] or datetime.max).timestamp(), trust(each))),  # noqa: DTZ901
        )
    rows = copy.query(
        "select profile_id, first_name, last_name, language, country from kundresa_profiles.profiles"
    )
    assert {profile_id: tuple(rest) for profile_id, *rest in rows} == expected
    by_default = copy.query("select count(*) from kundresa_profiles.profiles where first_name is not null")
    assert by_default[0][0] > 100


@pytest.mark.parametrize(
    ("declared", "shown"),
    [
        (
            {"survivorship": RULES | {"fist_name": "most_recent"}},
            "fist_name is not an attribute of a profile",
        ),
        ({"survivorship": RULES | {"email": "newest"}}, "email: there is no rule newest"),
        ({"survivorship": {"email": "most_recent"}}, "first_name has no rule"),
        (
            {"source_trust": ["crm", "shop"]},
            "source_trust: crm, shop must name each of crm, shop, order once",
        ),
    ],
)
def test_a_mistake_in_the_declaration_is_named(copy: Any, declared: dict[str, Any], shown: str) -> None:
    result = _run(copy, "compile", **declared)
    assert result.returncode != 0
    assert shown in result.stdout
