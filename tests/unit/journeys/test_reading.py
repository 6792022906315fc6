"""Reading an audience at a rate: whose turn it is, when, and once in each reading."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.unit.journeys.conftest import NOW, World, journey_of

from kundresa.journeys import Reading
from kundresa.spec.journey import AudienceEntry
from kundresa.spec.vocabulary import JourneySkip, JourneyState

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
CROWD = ("anna", "bo", "eva", "ida", "per")
STEPS = "{rest: {kind: wait, duration: 1s}}"


def entry(every: str = "once", people: int = 2, per: str = "hour", **more: Any) -> dict[str, Any]:
    return {"audience": "crowd", "every": every, "rate": {"people": people, "per": per}} | more


def inside(world: World) -> list[str]:
    return [each.profile_id for each in sorted(positions(world), key=lambda each: each.entered_at)]


def positions(world: World) -> list[Any]:
    return world.store.journey_positions.of("cart", CROWD)


def crowd(world: World, *who: str) -> None:
    world.people.segments = {each: {"crowd"} for each in who}


def turns_of(world: World, count: int) -> list[set[str]]:
    """Who came new in each of so many hours."""
    found, known = [], set[str]()
    for _ in range(count):
        world.advance()
        now = {*inside(world)}
        found.append(now - known)
        known = now
        world.now += HOUR
    return found


def test_so_many_enter_in_each_period_until_everybody_has(world: World) -> None:
    crowd(world, *CROWD)
    world.start(journey_of(STEPS, entry=entry()))
    found = turns_of(world, 4)
    assert [len(each) for each in found] == [2, 2, 1, 0]
    assert {each.entered_at for each in positions(world)} == {NOW, NOW + HOUR, NOW + 2 * HOUR}
    assert world.advance().events == 0


def test_a_period_gives_its_turns_once_however_often_it_is_looked_at(world: World) -> None:
    crowd(world, *CROWD)
    world.start(journey_of(STEPS, entry=entry()))
    for _ in range(3):
        world.advance(most_events=1)  # also in several advances
        world.now += 19 * MINUTE
    assert len(inside(world)) == 2


def test_the_order_is_the_same_whenever_it_is_asked_for(new_world: Any) -> None:
    orders = []
    for people in (CROWD, tuple(reversed(CROWD))):
        world = new_world()
        crowd(world, *people)
        world.start(journey_of(STEPS, entry=entry(people=1)))
        orders.append(turns_of(world, 5))
    assert orders[0] == orders[1]
    assert orders[0] != [{each} for each in CROWD]


def test_what_a_period_has_left_over_is_not_added_to_the_next(world: World) -> None:
    crowd(world, *CROWD)
    world.start(journey_of(STEPS, entry=entry()))
    world.after(hours=5)
    assert len(inside(world)) == 2


def test_who_leaves_before_their_turn_does_not_enter_and_who_joins_before_it_does(world: World) -> None:
    crowd(world, *CROWD)
    world.start(journey_of(STEPS, entry=entry(people=1)))
    order = [each for turn in turns_of(world, 2) for each in turn]
    waiting = sorted({*CROWD} - {*order})
    crowd(world, *order, *waiting[1:])
    turns_of(world, 4)
    assert {*inside(world)} == {*CROWD} - {waiting[0]}
    crowd(world, *CROWD)  # too late: the reading is over
    assert turns_of(world, 2)[1] == set()
    assert waiting[0] not in inside(world)


def test_once_is_once_and_every_begins_again(world: World) -> None:
    crowd(world, "anna", "bo")
    world.start(journey_of(STEPS, entry=entry("1d", people=5), reentrance="always"))
    for day in range(3):
        world.now = NOW + day * DAY
        assert world.advance().entered == 2
        assert world.after(hours=1).entered == 0
    assert {each.entry for each in positions(world)} == {3}


def test_a_reading_that_takes_longer_is_ended_first_and_missed_ones_are_left_out(world: World) -> None:
    crowd(world, *CROWD)
    world.start(journey_of(STEPS, entry=entry("2h", people=2), reentrance="always"))
    found = []
    for _ in range(6):
        found.append(world.advance().entered)
        world.now += HOUR
    # Five people take three hours; the reading of the second hour begins when they have entered.
    assert found == [2, 2, 1, 2, 2, 1]
    world.now += 3 * DAY
    assert world.advance().entered == 2


def test_conditions_and_reentrance_hold_and_are_counted_by_reason(world: World) -> None:
    crowd(world, *CROWD)
    world.people.profiles = {"anna": {"country": "SE"}, "bo": {"country": "SE"}}
    where = {"profile": {"country": "SE"}}
    world.start(journey_of(STEPS, entry=entry("1h", people=9, where=where)))
    assert world.advance().entered == 2
    assert world.after(hours=1).entered == 0
    skips = world.store.journey_positions.skips("cart")
    assert skips == {JourneySkip.CONDITION: 6, JourneySkip.TOO_SOON: 2}


def test_another_version_goes_on_with_the_reading_and_another_audience_begins_one(world: World) -> None:
    crowd(world, *CROWD)
    world.start(journey_of(STEPS, entry=entry()))
    world.advance()
    world.start(journey_of("{rest: {kind: wait, duration: 2s}}", entry=entry(people=3)))
    assert world.advance().entered == 1  # the period has given two of its three turns
    assert world.after(hours=1).entered == 2
    world.people.segments = {each: {"others"} for each in CROWD}
    others = entry(people=9) | {"audience": "others"}
    world.start(journey_of(STEPS, entry=others, reentrance="always"))
    assert world.after(minutes=1).entered == 5


def test_nobody_has_a_turn_while_it_is_paused(world: World) -> None:
    crowd(world, *CROWD)
    journey = journey_of(STEPS, entry=entry())
    world.start(journey)
    world.store.journeys.pause("cart", JourneyState.HELD, cursor="", at=NOW)
    assert world.advance().entered == 0
    world.now += HOUR
    world.start(journey)
    assert world.advance().entered == 2


@pytest.mark.parametrize(
    ("every", "per", "after", "turns", "is_over", "expected"),
    [
        ("once", "hour", timedelta(0), 0, False, timedelta(0)),
        ("once", "hour", 20 * MINUTE, 1, False, 20 * MINUTE),
        ("once", "hour", 20 * MINUTE, 2, False, HOUR),
        ("once", "minute", 20 * MINUTE, 2, False, 21 * MINUTE),
        ("once", "hour", 20 * MINUTE, 1, True, None),
        ("1d", "hour", 20 * MINUTE, 1, True, DAY),
        ("1d", "hour", DAY + HOUR, 1, True, DAY + HOUR),
    ],
)
def test_when_the_next_turn_comes(
    every: str, per: str, after: timedelta, turns: int, is_over: bool, expected: timedelta | None
) -> None:
    said = AudienceEntry.model_validate(entry(every, per=per))
    at = min(after, HOUR - MINUTE)
    reading = Reading.first(said, NOW).moved(said, NOW + at, turns, "5", is_over=is_over)
    assert Reading.from_text(reading.text, said, NOW) == reading
    found = reading.next_turn_at(said, NOW + after)
    assert (found and found - NOW) == expected


def test_a_clock_that_is_set_back_gives_no_turn_twice(world: World) -> None:
    crowd(world, *CROWD)
    world.start(journey_of(STEPS, entry=entry()))
    world.after(hours=2)
    world.now -= HOUR
    assert world.advance().entered == 0
    assert world.after(hours=2).entered == 2


def test_a_rate_by_another_period_counts_anew(world: World) -> None:
    """So many minutes are not so many hours: neither a crowd at once nor a standstill of days."""
    crowd(world, *(f"p{number}" for number in range(30)))
    world.start(journey_of(STEPS, entry=entry(people=1, per="minute")))
    for _ in range(5):
        world.advance()
        world.now += MINUTE
    entered = world.store.journey_positions.counts("cart")
    assert sum(each.people for each in entered) == 5
    world.now += DAY
    world.start(journey_of(STEPS, entry=entry(people=3, per="hour")))
    counts = []
    for _ in range(4):
        world.advance()
        counts.append(sum(each.people for each in world.store.journey_positions.counts("cart")))
        world.now += HOUR
    assert counts == [8, 11, 14, 17]
