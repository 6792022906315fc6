"""Events that are kept for late entries, on each engine: written with their advance, looked up by person, and
removed when they are over."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.unit.journeys.conftest import NOW, World, journey_of

from kundresa.journeys import advance
from kundresa.spec.vocabulary import JourneyState
from kundresa.store import Advance, EarlyEvent, JourneyMoved, Store

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
STEPS = """
bought: {kind: wait_for, event: pay, within: 1h, timeout: end}
reminder: {kind: message, channel: {kind: email, template: m, account: a, sender: a@shop.example}}
"""
ORDERED = {"lateness": "5m", "exit": [{"event": "order"}]}


@pytest.fixture
def world(store: Store) -> World:
    made = World(store)
    made.start(journey_of(STEPS, **ORDERED))
    return made


def told(world: World, who: str, kind: str, after: float, came: float | None = None) -> None:
    world.now = NOW + (after if came is None else came) * SECOND
    world.event(who, kind, NOW + after * SECOND)
    world.advance()


def test_the_order_that_was_read_first_lets_out_whom_the_late_cart_lets_in(world: World) -> None:
    told(world, "anna", "order", after=10)
    told(world, "bo", "pay", after=11)
    assert world.store.journey_early_events.count("cart") == 2
    told(world, "anna", "cart", after=0, came=20)
    told(world, "bo", "cart", after=0, came=21)
    assert world.way("anna") == [("bought", "entered"), ("end", "exit")]
    assert world.way("bo") == [("bought", "entered"), ("reminder", "event")]
    assert (world.at("anna").ended_at, world.at("bo").step_at) == (NOW + 10 * SECOND, NOW + 11 * SECOND)


def test_they_are_told_by_person_and_journey_in_the_order_in_which_they_came(world: World) -> None:
    world.start(journey_of(STEPS, name="other", **ORDERED))
    told(world, "anna", "order", after=20)
    told(world, "anna", "pay", after=10, came=21)
    told(world, "bo", "pay", after=30)
    early = world.store.journey_early_events
    found = early.of("cart", ["anna", "eva"], NOW)
    assert [(who, at, event.event_type) for who, at, event in found] == [
        ("anna", NOW + 20 * SECOND, "order"),
        ("anna", NOW + 10 * SECOND, "pay"),
    ]
    assert [event.lag for *_, event in found] == [0 * SECOND, 11 * SECOND]
    assert [at for _, at, _ in early.of("cart", ["anna"], NOW + 10 * SECOND)] == [NOW + 20 * SECOND]
    assert early.latest("cart") == NOW + 30 * SECOND
    assert (early.latest("other"), early.of("other", ["anna"], NOW)) == (None, [])


def test_what_retention_has_removed_from_the_inbox_is_not_told(world: World) -> None:
    told(world, "anna", "order", after=10)
    world.store.retention.forget_events(NOW + MINUTE)
    assert world.store.journey_early_events.of("cart", ["anna"], NOW) == []
    told(world, "anna", "cart", after=0, came=20)
    assert world.at("anna").step == "bought"


def test_who_comes_second_keeps_nothing(world: World) -> None:
    world.event("anna", "order")
    resolve = world.people.resolve

    def overtaken(*asked: object) -> object:
        world.people.resolve = resolve  # type: ignore[method-assign]
        advance(world.store, world.people, "cart", now=world.now)
        return resolve(*asked)  # type: ignore[arg-type]

    world.people.resolve = overtaken  # type: ignore[method-assign, assignment]
    with pytest.raises(JourneyMoved):
        advance(world.store, world.people, "cart", now=world.now)
    assert world.store.journey_early_events.count("cart") == 1


def test_an_advance_removes_what_is_over_a_part_at_a_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kundresa.store.journey_early_events.MOST_REMOVED", 2)
    left = []
    for number in range(5):
        world.event(f"p{number}", "order")
    world.advance()
    for late in range(4):
        told(world, "anna", "cart", after=400 + late)
        left.append(world.store.journey_early_events.count("cart"))
    assert left == [3, 1, 0, 0]


def test_of_a_journey_that_is_paused_retention_removes_what_is_old(world: World) -> None:
    world.start(journey_of(STEPS, name="other", **ORDERED))
    for number in range(5):
        told(world, f"p{number}", "order", after=number)
    world.advance("other")
    world.store.journeys.pause("cart", JourneyState.HELD, cursor=world.people.cursor, at=world.now)
    before = NOW + 3 * SECOND
    assert world.store.retention.forget_early_events("cart", before, chunk=2) == 3
    assert world.store.retention.forget_early_events("cart", before, chunk=2) == 0
    assert world.store.journey_early_events.count("cart") == 2
    assert world.store.journey_early_events.count("other") == 5


def test_stopping_a_journey_removes_its_own_and_no_others(world: World) -> None:
    world.start(journey_of(STEPS, name="other", **ORDERED))
    told(world, "anna", "order", after=0)
    world.advance("other")
    world.store.journeys.stop("cart", at=world.now)
    assert world.store.journey_early_events.count("cart") == 0
    assert world.store.journey_early_events.count("other") == 1


def test_many_are_kept_and_removed_at_once_and_no_other_moment_is_hurt(world: World) -> None:
    row = world.store.journeys.require("cart")
    early = [EarlyEvent(f"p{number:05}", number, NOW + number * SECOND) for number in range(5_000)]
    world.store.journeys.commit("cart", row.generation, Advance(0, "", early=early), at=NOW)
    over = NOW + 4_000 * SECOND
    world.store.journeys.commit("cart", row.generation + 1, Advance(0, "", early_over=over), at=NOW)
    assert world.store.journey_early_events.count("cart") == 1_000
    assert world.store.journey_early_events.latest("cart") == NOW + 4_999 * SECOND
