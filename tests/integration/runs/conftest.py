"""A shop with one journey, and a sandbox that receives what it sends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.runs.shop import CAPPED, EVENTS, ONE_A_DAY, WITH_CART_ID, Shop, publish

from kundresa import settings as configuration
from kundresa import warehouse
from kundresa.sandbox import Sandbox


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("sandbox")) as started:
        yield started


@pytest.fixture
def shop(tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Shop:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "events.yaml").write_text(EVENTS)
    settings = configuration.load(
        {"KUNDRESA_PROJECT": str(tmp_path), "KUNDRESA_HOME": str(tmp_path / "home"), "KUNDRESA_SECRET": "s"}
    )
    columns = {"first_name": "string", "since": "date", "country": "string", "time_zone": "string"}
    profiles = {
        "resource_type": "model",
        "name": "profiles",
        "columns": {name: {"data_type": kind} for name, kind in columns.items()},
    }
    manifest = warehouse.Manifest(
        {"nodes": {"model.kundresa.profiles": profiles}},
        tmp_path,
        segments={
            "vip": {"description": "Very."},
            "waiting": {"description": "For a product.", "sql": True, "entity": "product"},
        },
        scores={},
    )
    monkeypatch.setattr(warehouse, "load_manifest", lambda _: manifest)
    publish(settings)
    made = Shop(settings, sandbox)
    made.journey()
    return made


@pytest.fixture
def capped(shop: Shop) -> Shop:
    """A shop in which a person may have several carts, and one message a day."""
    (shop.settings.project / "dags" / "events.yaml").write_text(WITH_CART_ID)
    shop.policies(ONE_A_DAY)
    shop.journey(CAPPED)
    return shop
