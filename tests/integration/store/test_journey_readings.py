"""Readings of an audience by events, on each engine: written with their advance, forgotten when over."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.unit.journeys.conftest import World, journey_of

from kundresa.journeys import advance
from kundresa.spec.vocabulary import JourneyState
from kundresa.store import JourneyMoved, Store

HOUR = timedelta(hours=1)
ENTRY = {"event": "back", "audience": "crowd", "rate": {"people": 2, "per": "hour"}}
STEPS = "{rest: {kind: wait, duration: 1s}}"


@pytest.fixture
def world(store: Store) -> World:
    made = World(store)
    made.people.segments = {each: {"crowd"} for each in ("anna", "bo", "eva")}
    made.start(journey_of(STEPS, entry=ENTRY, instance_key="product"))
    return made


def readings(world: World) -> list[tuple[str, int, bool]]:
    found = world.store.journey_readings.of("cart")
    return [(each.event_json, each.turns, each.ended_at is not None) for each in found]


def test_one_reading_after_the_other_until_all_are_over(world: World) -> None:
    told = [world.business(product=product) for product in ("a", "b")]
    world.advance()
    assert [each.turns for each in world.store.journey_readings.under_way("cart", 9)] == [2, 0]
    assert len(world.store.journey_readings.under_way("cart", 1)) == 1
    world.store.inbox.append(told)  # once more: each event is one reading
    for _ in range(3):
        world.after(hours=1)
    assert readings(world) == [('{"product": "a"}', 3, True), ('{"product": "b"}', 3, True)]
    assert world.store.journey_readings.count("cart") == 0
    found = world.store.journey_positions.of("cart", ["anna", "bo", "eva"])
    assert sorted(each.instance_key for each in found) == ["a"] * 3 + ["b"] * 3


def test_who_comes_second_has_read_nothing(world: World) -> None:
    world.business(product="a")
    members = world.people.members

    def overtaken(*asked: object, **which: object) -> object:
        world.people.members = members  # type: ignore[method-assign]
        advance(world.store, world.people, "cart", now=world.now)
        return members(*asked, **which)  # type: ignore[arg-type]

    world.people.members = overtaken  # type: ignore[method-assign, assignment]
    with pytest.raises(JourneyMoved):
        advance(world.store, world.people, "cart", now=world.now)
    assert readings(world) == [('{"product": "a"}', 2, False)]


def test_what_is_over_is_forgotten_a_little_at_a_time_and_what_waits_is_not(world: World) -> None:
    world.people.segments = {"anna": {"crowd"}}
    for number in range(9):
        world.business(product=number)
    world.advance()
    for _ in range(2):
        world.after(hours=1)
    over = sum(is_over for *_, is_over in readings(world))
    # The sixth has had its one turn too; that nobody follows is seen in the next period.
    assert (over, world.store.journey_readings.count("cart")) == (5, 4)
    assert world.store.retention.forget_readings(world.now + HOUR, chunk=2) == 5
    assert world.store.retention.forget_readings(world.now + HOUR, chunk=2) == 0
    assert [is_over for *_, is_over in readings(world)] == [False] * 4


def test_stopping_a_journey_ends_its_readings_and_no_other_ones(world: World) -> None:
    world.start(journey_of(STEPS, name="other", entry=ENTRY))
    world.business(product="a")
    for name in ("cart", "other"):
        world.advance(name)
    world.store.journeys.stop("cart", at=world.now)
    assert world.store.journey_readings.count("cart") == 0
    assert world.store.journey_readings.count("other") == 1
    assert world.store.journeys.require("other").state is JourneyState.RUNNING
