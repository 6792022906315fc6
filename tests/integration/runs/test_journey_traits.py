"""From a journey's step to the file that the warehouse reads, and out again when its person is nobody's."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
from sqlalchemy import update
from tests.integration.runs.shop import NOW, Shop
from tests.integration.runs.test_journey_merges import republish

from kundresa.runs import stages
from kundresa.runs.maintaining import apply_retention
from kundresa.store import Store
from kundresa.store.journey_tables import journey_traits


def put(store: Store, *people: str) -> None:
    row = {"trait": "tier", "value_json": '"gold"', "journey": "cart", "set_at": None}
    with store.database.write() as connection:
        connection.execute(
            journey_traits.insert(), [row | {"profile_id": who, "set_at": NOW} for who in people]
        )


def test_a_build_is_told_what_journeys_have_set(
    shop: Shop,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("kundresa.warehouse.build_warehouse", lambda *_, **__: SimpleNamespace(build_id="b"))
    file = shop.settings.exports / "journey_traits.parquet"
    stages.build_warehouse(shop.settings)
    assert pq.read_table(file).num_rows == 0
    with shop.store() as store:
        put(store, "p-anna", "p-nobody")
    stages.build_warehouse(shop.settings)
    told = {"trait": "tier", "value": "gold", "value_type": "text", "journey": "cart"}
    assert pq.read_table(file).to_pylist() == [
        {"profile_id": who, **told, "set_at": NOW.replace(tzinfo=None)} for who in ("p-anna", "p-nobody")
    ]


def test_of_who_is_nobody_any_more_nothing_is_kept_beyond_the_retention(shop: Shop) -> None:
    republish(shop.settings, 6, is_merged=True)
    with shop.store() as store:
        put(store, "p-anna", "p-second", "p-nobody", "p-later")
        late = update(journey_traits).where(journey_traits.c.profile_id == "p-later")
        with store.database.write() as connection:
            connection.execute(late.values(set_at=NOW + timedelta(days=1)))
    days = shop.settings.retention_days
    assert apply_retention(shop.settings, NOW + timedelta(days=days))["journey traits removed"] == 0
    past = NOW + timedelta(days=days, seconds=1)
    assert apply_retention(shop.settings, past)["journey traits removed"] == 1
    with shop.store() as store:
        left = [row["profile_id"] for row in store.journey_positions.trait_rows()]
    assert left == ["p-anna", "p-later", "p-second"]


def test_before_there_is_a_publication_nobody_is_taken_for_nobody(shop: Shop) -> None:
    (shop.settings.published / "current.json").unlink()
    with shop.store() as store:
        put(store, "p-nobody")
    past = NOW + timedelta(days=2 * shop.settings.retention_days)
    assert apply_retention(shop.settings, past)["journey traits removed"] == 0
