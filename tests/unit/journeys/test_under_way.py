"""A journey under way: its versions, pauses and clocks, and what disturbs an advance."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.unit.journeys.conftest import NOW, journey_of
from tests.unit.journeys.steps import SECOND

from kundresa.spec.vocabulary import JourneySkip, JourneyState
from kundresa.store import JourneyMoved, JourneyNotFound


class TestTheJourneyAsAWhole:
    def test_people_inside_stay_on_their_version(self, world):
        world.start(journey_of("{a: {kind: wait, duration: 1h}, b: {kind: wait, duration: 1h}}"))
        world.event("anna")
        world.advance()
        world.start(journey_of("{c: {kind: wait, duration: 2h}}"))
        world.event("bo")
        world.after(hours=1)
        assert (world.at("anna").step, world.at("anna").version) == ("b", 1)
        assert (world.at("bo").step, world.at("bo").version) == ("c", 2)

    def test_how_late_is_too_late_says_the_version_that_somebody_is_on(self, world):
        steps = "{b: {kind: wait_for, event: order, within: 1h, timeout: end}, a: {kind: wait, duration: 1d}}"
        more = {"exit": [{"event": "left"}], "instance_key": "key", "reentrance": "always"}
        world.start(journey_of(steps, lateness="10m", **more))
        world.event("anna", key="x")
        world.event("ida", key="x")
        world.advance()
        world.start(journey_of(steps, lateness="1m", **more))
        world.event("anna", key="y")
        world.event("bo", key="y")
        world.advance()
        world.now += timedelta(minutes=30)
        late = world.now - timedelta(minutes=5)
        world.event("anna", "order", late)
        world.event("ida", "left", late)
        world.event("bo", "order", late)
        world.event("eva", "cart", late, key="y")
        world.event("anna", "cart", late, key="z")
        world.event("ida", "order", late - timedelta(minutes=6))
        world.advance()
        assert (world.at("anna", "x").step, world.at("anna", "y").step) == ("a", "b")
        assert (world.at("ida", "x").end_reason, world.at("bo", "y").step) == ("exit", "b")
        assert world.store.journey_positions.of("cart", ["eva"]) == []
        assert len(world.store.journey_positions.of("cart", ["anna"])) == 2
        # bo's order, two carts, and what was too late for both.
        assert world.store.journey_positions.skips("cart") == {JourneySkip.TOO_LATE: 4}

    def test_who_had_left_by_an_event_that_they_do_not_hear_may_enter_by_it(self, world):
        more = {"reentrance": "always"}
        world.start(journey_of("{a: {kind: wait, duration: 10m}}", lateness="1m", **more))
        world.event("anna")
        world.advance()
        world.start(journey_of("{a: {kind: wait, duration: 10m}}", lateness="10m", **more))
        world.now += timedelta(minutes=25)
        world.event("anna", at=world.now - timedelta(minutes=5))
        world.advance()
        assert (world.at("anna").entry, world.at("anna").version) == (2, 2)
        assert world.at("anna").entered_at == NOW + timedelta(minutes=20)

    def test_what_only_a_later_version_names_counts_from_its_start_on(self, world):
        world.start(journey_of("{a: {kind: wait, duration: 1h}}"))
        world.event("anna", "order")
        world.people.change("lapsed", "eva", NOW)
        world.advance()
        world.after(hours=1)
        world.start(journey_of("{a: {kind: wait, duration: 1h}}", entry={"event": "order"}))
        world.event("bo", "order")
        assert world.advance().entered == 1
        assert world.at("bo").version == 2
        row = world.store.journeys.require("cart")
        assert row.event_position == world.store.inbox.end()
        world.after(hours=1)
        world.start(journey_of("{a: {kind: wait, duration: 1h}}", entry={"segment": "lapsed"}))
        world.people.change("lapsed", "ida", world.now + SECOND)
        assert world.advance().entered == 1
        assert world.at("ida").version == 3
        found = world.store.journey_positions.of("cart", ["anna", "eva"])
        assert found == []

    def test_a_pause_holds_everything_back(self, world):
        journey = journey_of("{a: {kind: wait, duration: 1h}}")
        world.start(journey)
        world.event("anna")
        world.advance()
        world.store.journeys.pause("cart", JourneyState.HELD, cursor="", at=world.now)
        world.event("bo")
        assert world.after(hours=2).state is JourneyState.HELD
        assert world.at("anna").step == "a"
        world.start(journey)
        world.advance()
        assert world.at("anna").ended_at == NOW + timedelta(hours=1)
        assert world.at("bo").entered_at == NOW

    def test_a_clock_that_is_set_back_moves_nobody_twice_and_loses_nothing(self, world):
        steps = "{a: {kind: wait, duration: 1h}, b: {kind: wait_for, event: order, within: 1h, timeout: end}}"
        world.start(journey_of(steps))
        world.event("anna")
        world.advance()
        world.after(hours=1)
        assert world.at("anna").step == "b"
        way = world.way("anna")
        world.event("bo")
        world.after(hours=-3)
        world.event("anna", "order")  # of before she entered, by this clock
        world.event("eva")
        world.advance()
        assert (world.at("anna").step_at, world.way("anna")) == (NOW + timedelta(hours=1), way)
        assert world.at("bo").due_at == NOW + timedelta(hours=2)
        assert world.at("eva").due_at == NOW - timedelta(hours=1)
        world.after(hours=1)
        assert (world.at("eva").step, world.at("bo").step) == ("b", "a")
        world.now = NOW + timedelta(hours=1, minutes=30)
        world.event("anna", "order")
        world.advance()
        assert world.way("anna") == [*way, ("end", "finished")]
        assert world.at("anna").ended_at == world.now
        world.after(hours=2)
        assert world.at("bo").ended_at == NOW + timedelta(hours=3)
        assert world.at("eva").ended_at == NOW
        assert [world.at(who).moves for who in ("anna", "bo", "eva")] == [2, 2, 2]

    def test_one_that_was_never_started_is_not_there(self, world):
        with pytest.raises(JourneyNotFound):
            world.advance()

    def test_an_advance_that_was_overtaken_writes_nothing(self, world):
        world.start(journey_of("{a: {kind: wait, duration: 1h}}"))
        world.event("anna")
        resolve = world.people.resolve

        def overtaken(identifiers):
            world.people.resolve = resolve
            world.advance()
            return resolve(identifiers)

        world.people.resolve = overtaken
        with pytest.raises(JourneyMoved):
            world.advance()
        assert world.at("anna").entry == 1
        assert world.advance().events == 0

    def test_events_of_others_are_passed_by_without_a_write_each_time(self, world):
        world.start(journey_of("{a: {kind: wait, duration: 1h}}"))
        before = world.store.journeys.require("cart").generation
        world.event("anna", kind="something_else")
        assert world.advance().events == 0
        assert world.store.journeys.require("cart").generation == before

    def test_in_small_steps_the_same_comes_out(self, world):
        world.start(journey_of("{a: {kind: wait, duration: 1h}}"))
        for number in range(7):
            world.event(f"p{number}")
        assert world.advance(most_events=2).is_behind is False
        world.now += timedelta(hours=1)
        assert world.advance(most_due=3).is_behind is False
        assert {
            each.end_reason for each in world.store.journey_positions.of("cart", [f"p{n}" for n in range(7)])
        } == {"finished"}
