"""Traits that journeys set, from the store to a column of `profiles` as the page says it."""

from __future__ import annotations

import json
import re
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kundresa import settings as configuration
from kundresa.store import open_store
from kundresa.store.journey_tables import journey_traits
from kundresa.warehouse import export_journey_traits

AS_OF = datetime(2026, 3, 1, tzinfo=UTC)
LATER = "2026-03-02 00:00:00"
PROJECT = Path(__file__).resolve().parents[3] / "dbt_project"
PAGE = PROJECT / "models" / "profiles" / "README.md"


@pytest.fixture
def told(sample_shop: Any, empty_shop: Any) -> Any:
    """A built shop whose first three people have traits, and somebody who is not known."""
    shutil.copytree(sample_shop.warehouse.raw, empty_shop.raw, dirs_exist_ok=True)
    shutil.copy(sample_shop.warehouse.home / "warehouse.duckdb", empty_shop.home / "warehouse.duckdb")
    people = empty_shop.query("select profile_id from kundresa_profiles.profiles order by profile_id limit 3")
    empty_shop.people = [row[0] for row in people]
    first, second, third = empty_shop.people
    traits = [
        (first, "has_reviewed", True, 0),
        (second, "has_reviewed", False, 0),
        (third, "has_reviewed", True, 24 * 9),
        ("nobody", "has_reviewed", True, 0),
        (first, "likes", ["a", "b"], 1),
    ]
    with open_store(f"sqlite:///{empty_shop.home / 'store.sqlite'}") as store:
        with store.database.write() as connection:
            connection.execute(
                journey_traits.insert(),
                [
                    {
                        "profile_id": who,
                        "trait": trait,
                        "value_json": json.dumps(value),
                        "journey": "review_request",
                        "set_at": AS_OF + timedelta(hours=hours),
                    }
                    for who, trait, value, hours in traits
                ],
            )
        settings = configuration.load({"KUNDRESA_HOME": str(empty_shop.home)})
        assert export_journey_traits(settings, store.journey_positions.trait_rows()) == 5
    return empty_shop


def test_the_mart_has_what_people_of_now_had_been_set_by_the_build(told: Any) -> None:
    result = told.build(as_of=LATER, select="stg_operations__journey_traits journey_traits")
    assert result.returncode == 0, result.stdout
    rows = told.query("from kundresa_profiles.journey_traits order by profile_id, trait")
    at = AS_OF.replace(tzinfo=None)
    first, second, _ = told.people
    assert rows == [
        (first, "has_reviewed", "true", "truth", "review_request", at),
        (first, "likes", '["a", "b"]', "texts", "review_request", at + timedelta(hours=1)),
        (second, "has_reviewed", "false", "truth", "review_request", at),
    ]


def edit(file: Path, *changes: tuple[str, str]) -> None:
    """Put a text before another, wherever that is."""
    text = file.read_text()
    for before, added in changes:
        assert before in text, before
        text = text.replace(before, added + before)
    file.write_text(text)


def test_one_is_made_a_column_of_profiles_as_the_page_says(told: Any, tmp_path: Path) -> None:
    join, known, cast = re.findall(r"```sql\n(.*?)```", PAGE.read_text(), re.DOTALL)
    [contract] = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    project = tmp_path / "project"
    shutil.copytree(PROJECT, project, ignore=shutil.ignore_patterns("target", "logs"))
    models = project / "models" / "profiles"
    edit(
        models / "profiles.sql",
        ("    left join favourites\n", join),
        ("        cast(customer_since_date as date)", cast),
        ("        cast(least(placed.first_recorded_at", known),
    )
    edit(
        models / "_profiles__models.yml",
        ("      - &customer_since_date\n", contract),
        ("      - *customer_since_date\n", contract),
    )
    edit(project / "macros" / "traits.sql", ("'customer_since_date'", "'has_reviewed', "))
    told.project = project
    result = told.build(
        as_of=LATER, select="stg_operations__journey_traits journey_traits profiles profile_history"
    )
    assert result.returncode == 0, result.stdout
    for table, which in (("profiles", "true"), ("profile_history", "valid_to is null")):
        rows = told.query(
            f"""select profile_id, has_reviewed from kundresa_profiles.{table}
            where {which} and has_reviewed is not null order by profile_id"""
        )
        assert rows == [*zip(told.people[:2], (True, False), strict=True)]
    [(people,)] = told.query("select count(*) from kundresa_profiles.profiles")
    assert people > 500
