"""Profiles that a publication has merged while people are inside a journey, through the real publication."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.integration.runs.shop import MARTS, NOW, Shop, rows

from kundresa.delivery import StoreGuard
from kundresa.runs.journey_people import JourneyPeople
from kundresa.runs.journey_reports import explain_journey
from kundresa.settings import Settings
from kundresa.spec.vocabulary import DeliveryReason, JourneyEnd
from kundresa.warehouse.people_index import write_index

SECOND = "second@shop.example"
MERGED = {"profile_id": "p-second", "current_profile_id": "p-anna", "redirected_at": NOW.replace(tzinfo=None)}


def republish(settings: Settings, hour: int, *, is_merged: bool) -> None:
    """Anna is two people, or one of two addresses."""
    some: dict[str, list[dict[str, Any]]] = rows()
    some["profile_redirects"] = [MERGED] if is_merged else []
    who = "p-anna" if is_merged else "p-second"
    some["profile_identifiers"].append({"profile_id": who, "namespace": "email", "identifier": SECOND})
    if not is_merged:
        some["profiles"].append({**some["profiles"][0], "profile_id": who})
        point = {"profile_id": who, "channel": "email", "address": SECOND, "is_valid": True}
        some["contact_points"].append(point)
        some["consents"].append({**some["consents"][0], "profile_id": who})
    build = f"20261123T{hour:02}0000.000000Z"
    folder = settings.published / "builds" / build
    for name, items in some.items():
        (folder / name).mkdir(parents=True)
        schema = pa.schema(list(MARTS[name].items()))
        table = pa.Table.from_pylist([dict.fromkeys(schema.names) | each for each in items], schema)
        pq.write_table(table, folder / name / "data_0.parquet")
    write_index(folder, ["language", "country"])
    current = {"build_id": build, "published_at": NOW.isoformat()}
    (settings.published / "current.json").write_text(json.dumps(current))


@pytest.fixture
def two(shop: Shop) -> Shop:
    """Anna is inside under the id that she is about to lose."""
    republish(shop.settings, 5, is_merged=False)
    shop.start()
    shop.event("second", value=60)
    assert shop.run().entered == 1
    return shop


def ended(shop: Shop) -> list[tuple[str, str | None, str | None]]:
    with shop.store() as store:
        found = store.journey_positions.of("cart", ["p-second", "p-anna"])
        return [(each.profile_id, each.step, each.end_reason) for each in found]


def test_an_order_after_the_merge_lets_out(two: Shop) -> None:
    before = len(two.arrived())
    republish(two.settings, 6, is_merged=True)
    two.now += timedelta(minutes=10)
    two.event("second", "order")
    two.run()
    two.run(hours=1)
    assert ended(two) == [("p-anna", None, "exit")]
    assert len(two.arrived()) == before


def test_nobody_is_reminded_twice(two: Shop) -> None:
    two.event("anna", value=60)
    two.run()
    before = len(two.arrived())
    republish(two.settings, 6, is_merged=True)
    two.run(hours=1)
    assert [each.recipient for each in two.arrived()[before:]] == ["anna@shop.example"]
    told = explain_journey(two.settings, SECOND, "cart")
    assert [each.moves[-1]["why"] for each in told.entries][:1] == [JourneyEnd.MERGED.value]
    assert sum(len(each.messages) for each in told.entries) == 1 + before


def test_who_was_in_it_never_enters_again(two: Shop) -> None:
    two.run(hours=1)
    two.run(days=1)
    republish(two.settings, 6, is_merged=True)
    two.now += timedelta(days=1)
    two.event("second", value=60)
    assert two.run().entered == 0


@pytest.mark.parametrize("former", ["p-anna", "p-second"])
@pytest.mark.parametrize("address", ["anna@shop.example", "former@shop.example"])
@pytest.mark.parametrize("is_known", [True, False], ids=["of one person", "of two"])
def test_a_no_under_either_id_holds(two: Shop, former: str, address: str, *, is_known: bool) -> None:
    before = len(two.arrived())
    if is_known:
        republish(two.settings, 6, is_merged=True)
    with two.store() as store:
        store.answers.say_no(
            profile_id=former, channel="email", address=address, topic="offers", source="t", at=two.now
        )
    if not is_known:
        republish(two.settings, 6, is_merged=True)
    two.run(hours=1)
    assert len(two.arrived()) == before


@pytest.mark.parametrize(("refused", "decided"), [("p-anna", "p-second"), ("p-second", "p-anna")])
def test_the_last_look_knows_every_id_of_a_person(two: Shop, refused: str, decided: str) -> None:
    republish(two.settings, 6, is_merged=True)
    row = {"message_id": "m", "profile_id": decided, "address": "anna@shop.example"}
    other = {"message_id": "n", "profile_id": "p-bo", "address": "bo@shop.example"}
    with two.store() as store, JourneyPeople(two.settings) as people:
        store.opt_outs.record(
            profile_id=refused, channel="email", address="x@x.example", source="t", recorded_at=two.now
        )
        about: dict[str, Any] = {"channel": "email", "topic": "offers", "decided_at": two.now}
        held = StoreGuard(store, **about, people=people).held([row, other])
        assert held == {"m": DeliveryReason.OPTED_OUT_SINCE_DECISION}
        assert StoreGuard(store, **about).held([row, other]) == {}


def test_the_explanation_finds_what_the_journey_has_under_the_former_id(two: Shop) -> None:
    republish(two.settings, 6, is_merged=True)
    told = explain_journey(two.settings, SECOND, "cart")  # before any advance has heard of the merge
    assert told.profile_id == "p-anna"
    assert [each["step"] for each in told.positions] == [two.step("second")]
    assert [each.moves[0]["why"] for each in told.entries] == ["entered"]
