"""Builds that are not the ordinary first one: empty, bad or changed input, a second day, a new segment."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

CHANGED = "stg_shop__complaints int_profiles__complaints path:models/segments"
"""What a change in the complaints reaches; the rest stands as the shared fixture built it."""


def _edit(file: Path, edit) -> None:
    """Apply ``edit(header, rows)`` to a raw file; it changes both in place."""
    with file.open(newline="", encoding="utf-8") as source:
        header, *rows = list(csv.reader(source))
    edit(header, rows)
    with file.open("w", newline="", encoding="utf-8") as target:
        csv.writer(target, lineterminator="\n").writerows([header, *rows])


@pytest.fixture
def copy(sample_shop, empty_shop):
    """The sample's raw files and built warehouse, to be changed."""
    shutil.copytree(sample_shop.warehouse.raw, empty_shop.raw, dirs_exist_ok=True)
    shutil.copy(sample_shop.warehouse.home / "warehouse.duckdb", empty_shop.home / "warehouse.duckdb")
    return empty_shop


def test_empty_tables_build(empty_shop) -> None:
    result = empty_shop.build()
    assert result.returncode == 0, result.stdout
    assert empty_shop.query("select count(*) from kundresa_profiles.profiles") == [(0,)]
    assert empty_shop.query("select count(*) from kundresa_segments.segment_memberships") == [(0,)]


@pytest.mark.parametrize(
    ("edits", "select", "shown"),
    [
        (
            {
                "orders": lambda header, _: header.__setitem__(4, "day"),
                "order_items": lambda _, rows: rows[5].pop(),
                "crm_customers": lambda _, rows: rows.append(rows[0]),
                "shop_accounts": lambda _, rows: rows[0].__setitem__(0, ""),
            },
            "stg_shop__orders stg_shop__order_items stg_shop__crm_customers stg_shop__shop_accounts",
            [
                '"ordered_at" do not exist',
                "order_items.csv",
                "unique_stg_shop__crm_customers_crm_id",
                "not_null_stg_shop__shop_accounts_account_id",
            ],
        ),
        (
            {
                "orders": lambda _, rows: rows[5].__setitem__(7, "twelve"),
                "consents": lambda _, rows: rows[0].__setitem__(5, "maybe"),
            },
            "stg_shop__orders stg_shop__consents",
            ["orders.csv", "twelve", "accepted_values_stg_shop__consents_consent_status"],
        ),
        (
            {"orders": lambda _, rows: rows[0].__setitem__(6, "SEK")},
            "stg_shop__orders",
            ["one_value_stg_shop__orders_currency"],
        ),
    ],
    ids=["header_short_line_duplicate_and_empty_key", "type_and_status", "second_currency"],
)
def test_bad_input_fails_and_says_where(copy, edits, select: str, shown: list[str]) -> None:
    for table, edit in edits.items():
        _edit(copy.raw / f"{table}.csv", edit)
    result = copy.build(as_of="2026-03-02 00:00:00", select=select)
    assert result.returncode == 1
    for words in shown:
        assert words in result.stdout


def test_columns_in_another_order_are_the_same_data(copy) -> None:
    before = copy.query("from kundresa_profiles.profiles order by all")

    def turn(header: list[str], rows: list[list[str]]) -> None:
        for line in (header, *rows):
            line.reverse()

    for table in ("crm_customers", "orders", "consents"):
        _edit(copy.raw / f"{table}.csv", turn)
    assert copy.build().returncode == 0
    assert copy.query("from kundresa_profiles.profiles order by all") == before


def test_memberships_over_three_days(copy) -> None:
    """Who stays keeps the row, who leaves gets an end, who comes back gets a second row."""
    segment = "kundresa_segments.segment_memberships where segment = 'open_complaints'"
    first = copy.query(f"select profile_id, entered_at from {segment} order by all")
    complaints = (copy.raw / "complaints.csv").read_text(encoding="utf-8")
    assert len(first) >= 3

    _edit(copy.raw / "complaints.csv", lambda _, rows: rows.clear())
    assert copy.build("2026-03-02 00:00:00", CHANGED).returncode == 0
    assert copy.query(f"select count(*) from {segment} and exited_at is null") == [(0,)]
    assert copy.query(f"select profile_id, entered_at from {segment} order by all") == first

    (copy.raw / "complaints.csv").write_text(complaints, encoding="utf-8", newline="")
    assert copy.build("2026-03-03 00:00:00", CHANGED).returncode == 0
    rows = copy.query(
        f"""select profile_id, list(strftime(entered_at, '%d') order by entered_at), count(exited_at)
        from {segment} group by 1"""
    )
    assert sorted(rows) == [(profile_id, ["01", "03"], 1) for profile_id, _ in first]

    before = copy.query("from kundresa_segments.segment_memberships order by all")
    assert copy.build("2026-03-03 00:00:00", CHANGED).returncode == 0
    assert copy.query("from kundresa_segments.segment_memberships order by all") == before


def test_a_build_of_the_past_is_refused_and_a_full_refresh_keeps_history(copy) -> None:
    before = copy.query("from kundresa_segments.segment_memberships order by all")
    refused = copy.build(as_of="2026-02-28 00:00:00", select="segment_memberships")
    assert refused.returncode == 1
    assert "would rewrite its history" in refused.stdout
    refreshed = copy.dbt("run", "--full-refresh", "--select", "segment_memberships", as_of="2026-03-05")
    assert refreshed.returncode == 0, refreshed.stdout
    assert copy.query("from kundresa_segments.segment_memberships order by all") == before
