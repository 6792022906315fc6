"""Who leaves a journey wherever they are: by an event, a segment or a reaction, or at its time-out."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.unit.journeys.conftest import NOW, journey_of
from tests.unit.journeys.steps import CHANNEL, MESSAGE, SECOND, WAIT_FOR

from kundresa.spec.machines import KNOWN_AFTER
from kundresa.spec.vocabulary import Automation

OUT = f"""
say: {{kind: message, channel: {CHANNEL}}}
pause: {{kind: wait, duration: 1h}}
more: {{kind: message, channel: {CHANNEL}}}
clicked: {{kind: wait_for, reaction: clicked, to: more, within: 1h, timeout: end}}
last: {{kind: wait, duration: 1d}}
"""


class TestReactionsThatLetOut:
    def arrive(self, world, **more):
        world.start(journey_of(OUT, **more))
        world.event("anna")
        world.advance()

    def go_on(self, world):
        """One message further."""
        world.settle("sent")
        world.advance()
        world.after(hours=1)

    def left(self, world):
        return (world.at("anna").end_reason, world.at("anna").ended_at)

    def test_who_reacts_leaves_at_that_moment_wherever_they_are(self, world):
        self.arrive(world, exit=[{"reaction": "unsubscribed"}])
        world.settle("sent")
        world.advance()
        world.react("anna", "opened")
        world.advance()
        assert world.at("anna").step == "pause"
        world.now += timedelta(minutes=10)
        world.react("anna", "unsubscribed", NOW + timedelta(minutes=5))
        world.advance()
        assert self.left(world) == ("exit", NOW + timedelta(minutes=5))
        assert world.advance().events == 0

    def test_who_waits_for_the_same_reaction_leaves(self, world):
        """As with events: what lets out is asked first."""
        self.arrive(world, exit=[{"reaction": "clicked", "to": "more"}])
        self.go_on(world)
        world.settle("sent")
        world.advance()
        assert world.at("anna").step == "clicked"
        world.react("anna", "clicked")
        world.now += KNOWN_AFTER
        world.advance()
        assert self.left(world) == ("exit", world.now - KNOWN_AFTER)

    def test_one_to_another_message_lets_nobody_out(self, world):
        self.arrive(world, exit=[{"reaction": "clicked", "to": "more"}])
        world.settle("sent")
        world.advance()
        world.react("anna", "clicked")
        world.now += KNOWN_AFTER
        world.advance()
        assert world.at("anna").step == "pause"

    def test_a_machines_lets_nobody_out(self, world):
        self.arrive(world, exit=[{"reaction": "opened"}])
        world.react("anna", "opened", automation=Automation.PREFETCH)
        world.advance()
        assert world.at("anna").step == "say"

    def test_one_that_is_quicker_than_the_outcome_lets_out(self, world):
        self.arrive(world, exit=[{"reaction": "complained"}])
        world.react("anna", "complained")
        world.advance()
        assert self.left(world) == ("exit", NOW)
        world.settle("sent")
        world.advance()
        assert world.way("anna") == [("say", "entered"), ("end", "exit")]

    def test_one_that_comes_after_the_end_of_a_wait_is_asked_at_the_step_that_was_reached(self, world):
        self.arrive(world, exit=[{"reaction": "clicked"}])
        world.settle("sent")
        world.advance()
        world.now += timedelta(hours=2)
        world.react("anna", "clicked", NOW + timedelta(minutes=90))
        world.now += KNOWN_AFTER
        world.advance()
        assert world.way("anna")[-2:] == [("more", "waited"), ("end", "exit")]
        # What had not left does not leave any more.
        assert world.store.journey_messages.open("cart", world.now, 10) == []

    def test_one_to_the_message_of_an_earlier_entry_lets_nobody_out(self, world):
        self.arrive(world, reentrance="always", exit=[{"event": "order"}, {"reaction": "unsubscribed"}])
        world.event("anna", kind="order")
        world.advance()
        world.react("anna", "unsubscribed")
        world.event("anna")
        world.advance()
        assert (world.at("anna").entry, world.at("anna").step) == (2, "say")

    def test_who_is_on_an_earlier_version_stays_on_its_criteria(self, world):
        self.arrive(world)
        world.start(journey_of(OUT, exit=[{"reaction": "clicked"}]))
        world.react("anna", "clicked")
        world.now += KNOWN_AFTER
        world.advance()
        assert world.at("anna").step == "say"


class TestLeaving:
    def test_an_event_lets_people_out_wherever_they_are(self, world):
        world.start(
            journey_of(
                "{a: {kind: wait, duration: 1h}}", exit=[{"event": "order", "where": {"event": {"n": 1}}}]
            )
        )
        world.event("anna")
        world.event("bo")
        world.event("eva", at=NOW - SECOND)
        world.advance()
        world.event("anna", kind="order", n=1)
        world.event("bo", kind="order", n=2)
        world.event("eva", kind="order", at=NOW - 2 * SECOND, n=1)
        world.advance()
        assert (world.at("anna").end_reason, world.at("anna").ended_at) == ("exit", NOW)
        assert world.at("bo").step == world.at("eva").step == "a"

    def test_a_segment_lets_people_out_when_they_enter_it_and_at_their_next_step(self, world):
        steps = "{a: {kind: wait, duration: 1h}, b: {kind: wait, duration: 1h}}"
        world.start(journey_of(steps, exit=[{"segment": "bought"}]))
        world.event("anna")
        world.event("bo")
        world.advance()
        world.people.change("bought", "anna", NOW)
        world.people.change("bought", "bo", NOW, is_entry=False)
        world.advance()
        assert (world.at("anna").end_reason, world.at("bo").step) == ("exit", "a")
        world.people.segments["bo"] = {"bought"}
        world.after(hours=1)
        assert world.at("bo").end_reason == "exit"
        world.people.segments["eva"] = {"bought"}
        world.event("eva")
        world.advance()
        assert world.store.journey_positions.of("cart", ["eva"]) == []

    @pytest.mark.parametrize(
        "written", [MESSAGE, WAIT_FOR.replace("1h", "3h"), "{a: {kind: wait, duration: 3h}}"]
    )
    def test_a_time_out_ends_it_wherever_they_are(self, world, written):
        world.start(journey_of(written, time_out="2h"))
        world.event("anna")
        world.advance()
        assert world.at("anna").due_at == NOW + timedelta(hours=2)
        world.after(hours=3)
        assert (world.at("anna").end_reason, world.at("anna").ended_at) == (
            "time_out",
            NOW + timedelta(hours=2),
        )
        assert [each.reason for each in world.store.journey_messages.of("anna", "cart")] in (
            [],
            ["run_cancelled"],
        )

    def test_a_moment_beyond_the_time_out_is_not_taken_for_it(self, world):
        steps = "{a: {kind: wait_until, event: when}, b: {kind: wait, duration: 1d}}"
        world.start(journey_of(steps, time_out="2h"))
        world.event("anna", when="2026-11-30")
        world.advance()
        world.after(hours=2)
        assert world.at("anna").end_reason == "time_out"
