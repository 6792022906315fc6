"""The shipped journey that a business event lets an audience into: who is told, of what, and when."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.journeys.conftest import World

from kundresa.spec.journey_loading import load_journey
from kundresa.spec.vocabulary import JourneySkip

DAGS = Path(__file__).resolve().parents[3] / "dags"
SEGMENT = "waiting_for_product"
BACK = "product_back_in_stock"


@pytest.fixture
def shop(world: World) -> World:
    """Anna waits for two products, Bo and Eva for one each."""
    world.start(load_journey(DAGS / "journeys" / "back_in_stock").model_copy(update={"name": "cart"}))
    world.people.entities = {"anna": {"P1", "P2"}, "bo": {"P1"}, "eva": {"P2"}}
    world.people.segments = {who: {SEGMENT} for who in world.people.entities}
    return world


def inside(world: World) -> set[tuple[str, str, str | None]]:
    found = world.store.journey_positions.of("cart", ["anna", "bo", "eva"])
    return {(each.profile_id, each.instance_key, each.step) for each in found}


def test_who_waits_for_this_product_is_told_and_nobody_else(shop: World) -> None:
    shop.business(BACK, product_id="P1", product_name="A lamp", stock=5)
    shop.advance()
    assert inside(shop) == {("anna", "P1", "push"), ("bo", "P1", "push")}
    shop.business(BACK, product_id="P2", stock=40)
    shop.advance()
    assert inside(shop) == {
        ("anna", "P1", "push"),
        ("bo", "P1", "push"),
        ("anna", "P2", "push"),
        ("eva", "P2", "push"),
    }


def test_of_a_few_nobody_is_told(shop: World) -> None:
    shop.business(BACK, product_id="P1", stock=4)
    shop.business(BACK, product_id="P2")
    shop.advance()
    assert inside(shop) == set()
    assert shop.store.journey_positions.skips("cart") == {JourneySkip.CONDITION: 2}


def test_a_notification_is_enough_and_without_an_app_it_is_a_letter(shop: World) -> None:
    shop.business(BACK, product_id="P1", stock=5)
    shop.advance()
    assert shop.settle("sent") == 2
    shop.advance()
    assert [step for step, _ in shop.way("anna")] == ["push", "end"]
    shop.business(BACK, product_id="P2", stock=5)
    shop.advance()
    shop.settle("not_sent", "contact_point_missing")
    shop.advance()
    assert ("eva", "P2", "letter") in inside(shop)
    shop.settle("sent")
    shop.advance()
    assert [step for step, _ in shop.way("eva")] == ["push", "letter", "end"]


def test_the_same_product_again_is_told_after_a_month(shop: World) -> None:
    for days, entries in ((0, 1), (5, 1), (31, 2)):
        shop.now += timedelta(days=days)
        shop.business(BACK, product_id="P1", stock=5)
        shop.advance()
        shop.settle("sent")
        shop.advance()
        assert shop.store.journey_positions.of("cart", ["bo"])[0].entry == entries


def test_who_has_ordered_meanwhile_gets_no_letter(shop: World) -> None:
    shop.business(BACK, product_id="P1", stock=5)
    shop.advance()
    shop.event("bo", "order_placed", order_id="1", order_value=10)
    shop.advance()
    [message] = shop.store.journey_messages.of("bo", "cart")
    assert (message.outcome, message.reason) == ("not_sent", "run_cancelled")


def test_so_many_an_hour(shop: World) -> None:
    crowd = [f"p{number:04}" for number in range(1_100)]
    shop.people.segments = {who: {SEGMENT} for who in crowd}
    shop.people.entities = {who: {"P1"} for who in crowd}
    shop.business(BACK, product_id="P1", stock=900)
    entered = []
    for _ in range(4):
        before = shop.store.journey_counts.of("cart").passages.get(("", ""), 0)
        shop.advance()
        entered.append(shop.store.journey_counts.of("cart").passages[("", "")] - before)
        shop.now += timedelta(hours=1)
    assert entered == [500, 500, 100, 0]
