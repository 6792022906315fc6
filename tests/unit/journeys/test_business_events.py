"""An event about nobody lets an audience in: one reading for each event, one after the other, at a rate."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.unit.journeys.conftest import NOW, World, journey_of

from kundresa.journeys import next_turn_at, turns
from kundresa.journeys.versions import Versions
from kundresa.spec.vocabulary import JourneySkip, JourneyState

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
CROWD = ("anna", "bo", "eva", "ida", "per")
STEPS = "{rest: {kind: wait, duration: 1s}}"
OTHER_STEPS = "{rest: {kind: wait, duration: 2s}}"


def entry(people: int = 2, per: str = "hour", **more: Any) -> dict[str, Any]:
    return {"event": "back", "audience": "crowd", "rate": {"people": people, "per": per}} | more


def start(world: World, steps: str = STEPS, entered_by: dict[str, Any] | None = None, **more: Any) -> None:
    world.start(journey_of(steps, entry=entered_by or entry(), **more))


def crowd(world: World, *who: str) -> None:
    world.people.segments = {each: {"crowd"} for each in who}


def positions(world: World) -> list[Any]:
    return world.store.journey_positions.of("cart", CROWD)


def readings(world: World) -> list[tuple[int, bool]]:
    """Turns, and whether it is over, of each reading in order."""
    return [(each.turns, each.ended_at is not None) for each in world.store.journey_readings.of("cart")]


def next_at(world: World) -> Any:
    row = world.store.journeys.require("cart")
    version = Versions(row.version, world.store.journeys.versions("cart")).current
    return next_turn_at(world.store, row, version, world.now)


def hours(world: World, count: int) -> list[int]:
    """How many entered in each of so many hours."""
    found = []
    for _ in range(count):
        before = sum(each.entry for each in positions(world))
        world.advance()
        found.append(sum(each.entry for each in positions(world)) - before)
        world.now += HOUR
    return found


def test_everybody_enters_at_the_rate_and_knows_the_events_data(world: World) -> None:
    crowd(world, *CROWD)
    start(world)
    assert hours(world, 1) == [0]
    world.now = NOW
    world.business(product="p1")
    assert hours(world, 4) == [2, 2, 1, 0]
    assert {each.event_json for each in positions(world)} == {'{"product": "p1", "entity_id": ""}'}
    assert {each.entered_at for each in positions(world)} == {NOW, NOW + HOUR, NOW + 2 * HOUR}
    assert readings(world) == [(5, True)]
    assert world.advance().events == 0


def test_an_event_that_is_delivered_again_starts_no_other_reading(world: World) -> None:
    crowd(world, *CROWD)
    start(world, reentrance="always", entered_by=entry(people=9))
    told = world.business(product="p1")
    assert world.advance().entered == 5
    world.store.inbox.append([told])
    assert world.after(hours=1).entered == 0
    assert readings(world) == [(5, True)]


def test_readings_come_one_after_the_other_in_the_order_of_their_events(world: World) -> None:
    crowd(world, *CROWD)
    start(world, instance_key="product")
    world.business(product="p1")
    world.business(product="p2")
    world.advance()
    assert readings(world) == [(2, False), (0, False)]
    assert next_at(world) == NOW + HOUR
    keys = []
    for _ in range(4):
        world.after(hours=1)
        keys.append(sorted(each.instance_key for each in positions(world)))
    assert keys[0] == ["p1"] * 4
    assert keys[1] == ["p1"] * 5 + ["p2"]  # the second has what the first left of its period
    assert keys[3] == ["p1"] * 5 + ["p2"] * 5
    assert world.after(hours=1).entered == 0
    assert readings(world) == [(5, True), (5, True)]
    assert next_at(world) is None


def test_many_small_readings_keep_one_rate_together(world: World) -> None:
    crowd(world, "anna")
    start(world, instance_key="product", entered_by=entry(people=3), max_instances=50)
    for number in range(8):
        world.business(product=number)
    assert hours(world, 4) == [3, 3, 2, 0]
    assert all(is_over for _, is_over in readings(world))


def test_after_a_period_without_turns_the_next_reading_begins_its_own(world: World) -> None:
    crowd(world, *CROWD)
    start(world, reentrance="always")
    world.now += 30 * MINUTE
    world.business()
    world.advance()
    assert next_at(world) == world.now + HOUR
    world.after(hours=1)
    assert world.after(hours=1).entered == 1
    world.now += 5 * HOUR + 20 * MINUTE
    world.business()
    assert world.advance().entered == 2
    assert next_at(world) == world.now + HOUR


def test_only_who_is_in_it_for_the_events_entity_enters_and_once_for_each(world: World) -> None:
    crowd(world, *CROWD)
    world.people.entities = {"anna": {"p1", "p2"}, "bo": {"p2"}, "eva": {"p3"}}
    start(world, entered_by=entry(people=9, entity="product"))
    world.business(product="p2")
    world.advance()
    world.business(product="p1")
    world.advance()
    found = {(each.profile_id, each.instance_key) for each in positions(world)}
    assert found == {("anna", "p2"), ("bo", "p2"), ("anna", "p1")}
    world.business()
    world.advance()
    assert world.store.journey_positions.skips("cart") == {JourneySkip.KEY_MISSING: 1}


def test_without_an_entity_a_person_enters_once_for_each_of_theirs(world: World) -> None:
    crowd(world, "anna")
    world.people.entities = {"anna": {"o1", "o2"}}
    start(world, entered_by=entry(people=9))
    world.business()
    world.advance()
    assert {each.instance_key for each in positions(world)} == {"o1", "o2"}


def test_what_does_not_hold_of_the_event_is_counted_once_and_of_people_for_each(world: World) -> None:
    crowd(world, *CROWD)
    world.people.profiles = {"anna": {"country": "SE"}}
    where = {"event": {"stock": {"at_least": 10}}, "profile": {"country": "SE"}}
    start(world, entered_by=entry(people=9, where=where))
    world.business(stock=3)
    world.advance()
    assert world.store.journey_positions.skips("cart") == {JourneySkip.CONDITION: 1}
    world.business(stock=30)
    world.advance()
    assert world.store.journey_positions.skips("cart") == {JourneySkip.CONDITION: 5}
    assert [each.profile_id for each in positions(world)] == ["anna"]
    assert readings(world) == [(0, True), (5, True)]


def test_one_that_is_too_late_starts_none(world: World) -> None:
    crowd(world, *CROWD)
    start(world, lateness="5m")
    world.business(at=NOW - HOUR)
    assert world.advance().entered == 0
    assert world.store.journey_positions.skips("cart") == {JourneySkip.TOO_LATE: 1}
    assert readings(world) == []


def test_a_pause_that_discards_leaves_out_what_happened_meanwhile_and_not_what_waits(world: World) -> None:
    crowd(world, *CROWD)
    start(world)
    world.business(product="p1")
    world.advance()
    world.store.journeys.pause("cart", JourneyState.DISCARDING, cursor="", at=world.now)
    world.business(product="p2")
    world.now += HOUR
    assert world.advance().entered == 0
    start(world)
    assert hours(world, 3) == [2, 1, 0]
    assert readings(world) == [(5, True)]


def test_who_stops_it_ends_what_waits(world: World) -> None:
    crowd(world, *CROWD)
    start(world)
    world.business()
    world.advance()
    world.store.journeys.stop("cart", at=world.now)
    assert readings(world) == [(2, True)]
    assert world.store.journey_readings.count("cart") == 0


def test_another_version_goes_on_and_one_that_is_entered_otherwise_ends_what_waits(world: World) -> None:
    crowd(world, *CROWD)
    start(world)
    world.business(product="p1")
    world.business(product="p2")
    world.advance()
    start(world, OTHER_STEPS, entered_by=entry(people=3))
    assert world.advance().entered == 1  # the period has given two of its three turns
    start(world, STEPS, entered_by={"event": "cart"})
    world.now += HOUR
    assert world.advance().entered == 0
    assert readings(world) == [(3, True), (0, True)]
    start(world, STEPS)
    assert hours(world, 2) == [0, 0]


def test_a_version_with_another_kind_of_period_neither_waits_for_ever_nor_hurries(world: World) -> None:
    crowd(world, *CROWD)
    start(world, entered_by=entry(people=1, per="minute"))
    world.now += HOUR
    world.business()
    world.advance()
    world.after(minutes=1)
    start(world, OTHER_STEPS, entered_by=entry(people=1, per="hour"))
    assert world.advance().entered == 0
    assert next_at(world) == NOW + 2 * HOUR
    assert world.after(hours=1).entered == 1


def test_of_more_readings_than_an_advance_takes_the_first_come_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "MOST_READINGS", 3)
    crowd(world, "anna")
    start(world, instance_key="product", entered_by=entry(people=9), max_instances=50)
    for number in range(12):
        world.business(product=number)
    world.advance(most_events=5)
    entered = sorted(int(each.instance_key) for each in positions(world))
    assert entered == list(range(9))
    world.after(hours=1)
    assert len(positions(world)) == 12
    assert all(is_over for _, is_over in readings(world))


def test_of_more_people_than_an_advance_takes_everybody_has_one_turn(world: World) -> None:
    crowd(world, *CROWD)
    start(world, entered_by=entry(people=9))
    world.business()
    world.business()
    world.advance(most_events=2)
    skips = world.store.journey_positions.skips("cart")
    assert (len(positions(world)), sum(skips.values())) == (5, 4)  # nine turns in the period
    assert readings(world) == [(5, True), (4, False)]


def test_each_event_has_an_order_of_its_own(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    crowd(world, *CROWD)
    start(world, instance_key="product", entered_by=entry(people=30))
    asked: list[str] = []
    members = world.people.members

    def seen(segment: str, salt: str, *more: Any, **which: Any) -> Any:
        asked.append(salt)
        return members(segment, salt, *more, **which)

    monkeypatch.setattr(world.people, "members", seen)
    for product in ("a", "b"):
        world.business(product=product)
    assert world.advance().entered == 10
    assert len({*asked}) == len(asked) == 2
