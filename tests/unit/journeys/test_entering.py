"""Who is let into a journey, when and how often."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.unit.journeys.conftest import NOW, journey_of
from tests.unit.journeys.steps import MESSAGE, SECOND

from kundresa.journeys.versions import JUMP
from kundresa.spec.vocabulary import JourneySkip


class TestEntering:
    STEPS = "{a: {kind: wait, duration: 1h}}"

    @pytest.mark.parametrize(
        ("reentrance", "hours", "enters"),
        [("never", 999, False), ("always", 1, True), ("3h", 2.99, False), ("3h", 3, True)],
    )
    def test_again_as_the_rule_allows(self, world, reentrance, hours, enters):
        world.start(journey_of(self.STEPS, reentrance=reentrance))
        world.event("anna")
        world.event("anna", value=2)
        world.advance()
        assert world.store.journey_positions.skips("cart") == {JourneySkip.INSIDE_ALREADY: 1}
        world.after(hours=1)
        world.now = NOW + timedelta(hours=hours)
        world.event("anna", value=3)
        world.advance()
        assert world.at("anna").entry == (2 if enters else 1)
        skips = world.store.journey_positions.skips("cart")
        assert skips.get(JourneySkip.TOO_SOON, 0) == (0 if enters else 1)

    def test_who_was_forgotten_enters_as_if_for_the_first_time(self, world):
        world.start(journey_of(MESSAGE, reentrance="always"))
        for _ in range(2):
            world.event("anna")
            world.advance()
            world.settle("not_sent", "consent_denied")
            world.advance()
            world.now += timedelta(days=1)
            assert world.store.retention.forget_positions("cart", world.now) == 1
        assert len(list(world.store.journey_messages.of("anna", "cart"))) == 2

    def test_by_a_trait_that_the_same_advance_has_set(self, world):
        steps = "{a: {kind: update, trait: level, value: 1}, b: {kind: wait, duration: 1h}}"
        where = {"profile": {"level": 1}}
        world.start(journey_of(steps, entry={"event": "cart", "where": where}, instance_key="key"))
        world.event("anna", JUMP + "cart", key="x")
        world.event("anna", key="y")
        world.event("bo", key="y")
        world.advance()
        assert world.at("anna", "x").step == world.at("anna", "y").step == "b"
        assert world.store.journey_positions.skips("cart") == {JourneySkip.CONDITION: 1}

    def test_an_event_of_while_they_were_inside_does_not_let_them_in_again(self, world):
        world.start(journey_of(self.STEPS, reentrance="always"))
        world.event("anna")
        world.advance()
        world.after(hours=2)
        world.event("anna", at=NOW + timedelta(minutes=30))
        world.advance()
        assert world.at("anna").entry == 1

    def test_leaving_and_entering_in_one_advance_are_two_entries(self, world):
        world.start(journey_of(self.STEPS, exit=[{"event": "order"}], reentrance="always"))
        for kind in ("cart", "order", "cart", "order", "cart"):
            world.event("anna", kind=kind)
        done = world.advance()
        assert (done.entered, done.ended, done.moved) == (3, 2, 1)
        assert (world.at("anna").entry, world.at("anna").step) == (3, "a")
        rows = world.store.journey_positions.moves("cart", "anna")
        assert [row.entry for row in rows] == [1, 2, 3]

    def test_each_key_is_an_instance_of_its_own(self, world):
        world.start(journey_of(self.STEPS, instance_key="booking"))
        for booking in ("x", "y", "x", None):
            world.event("anna", booking=booking)
        world.event("anna")
        world.advance()
        assert world.at("anna", "x").step == world.at("anna", "y").step == "a"
        assert world.store.journey_positions.skips("cart") == {
            JourneySkip.INSIDE_ALREADY: 1,
            JourneySkip.KEY_MISSING: 2,
        }

    def test_under_so_many_keys_at_once_and_no_more(self, world):
        world.start(journey_of(self.STEPS, instance_key="booking", max_instances=2))
        for booking in "xyz":
            world.event("anna", booking=booking)
        world.advance()
        assert {each.instance_key for each in world.store.journey_positions.of("cart", ["anna"])} == {
            "x",
            "y",
        }
        assert world.store.journey_positions.skips("cart") == {JourneySkip.TOO_MANY_INSTANCES: 1}
        world.after(hours=1)
        world.event("anna", booking="z")
        world.advance()
        assert world.at("anna", "z").step == "a"

    def test_a_condition_on_event_and_person_and_people_whom_nobody_knows(self, world):
        where = {"event": {"value": {"at_least": 5}}, "profile": {"country": "SE"}}
        world.start(journey_of(self.STEPS, entry={"event": "cart", "where": where}))
        world.people.profiles |= {"anna": {"country": "SE"}, "bo": {"country": "NO"}}
        world.people.strangers = {"stranger"}
        for who, value in (("anna", 5), ("bo", 5), ("eva", 5), ("stranger", 5)):
            world.event(who, value=value)
        world.event("ida", value=4)
        world.advance()
        found = world.store.journey_positions.of("cart", ["anna", "bo", "eva", "ida", "stranger"])
        assert [each.profile_id for each in found] == ["anna"]
        assert world.store.journey_positions.skips("cart") == {
            JourneySkip.CONDITION: 3,
            JourneySkip.PERSON_UNKNOWN: 1,
        }

    @pytest.mark.parametrize("change", ["entered", "left"])
    def test_by_a_segment(self, world, change):
        world.start(journey_of(self.STEPS, entry={"segment": "lapsed", "change": change}))
        world.people.change("lapsed", "anna", NOW - SECOND, is_entry=change == "entered")
        world.people.change("lapsed", "bo", NOW, is_entry=change != "entered")
        world.people.change("other", "eva", NOW)
        world.advance()
        found = world.store.journey_positions.of("cart", ["anna", "bo", "eva"])
        assert [(each.profile_id, each.entered_at) for each in found] == [("anna", NOW - SECOND)]
        assert world.store.journeys.require("cart").segment_cursor == "000001"
        assert world.advance().events == 0
