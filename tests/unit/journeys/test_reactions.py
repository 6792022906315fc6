"""What people do about a message, where a step waits for it, and of whom it is not known."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.unit.journeys.conftest import NOW, journey_of
from tests.unit.journeys.steps import CHANNEL, SECOND

from kundresa.spec.machines import KNOWN_AFTER
from kundresa.spec.vocabulary import Automation, JourneyState

REACTION = f"""
say: {{kind: message, channel: {CHANNEL}}}
clicked: {{kind: wait_for, reaction: clicked, to: say, within: 1h, timeout: again}}
thanks: {{kind: wait, duration: 1d, next: end}}
again: {{kind: wait, duration: 1d}}
"""


class TestReactions:
    def arrive(self, world, written=REACTION, **more):
        world.start(journey_of(written, **more))
        world.event("anna")
        world.advance()
        world.settle("sent")
        world.advance()

    @pytest.mark.parametrize(
        ("kind", "minutes", "more", "step"),
        [
            ("clicked", 60, {}, "thanks"),
            ("clicked", 61, {}, "again"),
            ("opened", 5, {}, "again"),
            ("clicked", 5, {"automation": Automation.SCANNER}, "again"),
        ],
    )
    def test_what_a_person_does_in_time_counts(self, world, kind, minutes, more, step):
        self.arrive(world)
        at = NOW + timedelta(minutes=minutes)
        world.now += timedelta(hours=2)
        world.react("anna", kind, at, **more)
        world.now += KNOWN_AFTER
        world.advance()
        assert world.at("anna").step == step
        assert world.at("anna").step_at == (at if step == "thanks" else NOW + timedelta(hours=1))
        assert world.advance().events == 0

    def test_what_they_did_before_it_is_asked_counts_too(self, world):
        written = REACTION.replace("clicked:", "pause: {kind: wait, duration: 1h}\nclicked:", 1)
        self.arrive(world, written)
        world.react("anna", "clicked")
        world.now += KNOWN_AFTER
        world.advance()
        assert world.at("anna").step == "pause"
        world.after(hours=1)
        assert world.way("anna")[-1] == ("thanks", "clicked")

    def test_a_reaction_that_is_quicker_than_the_outcome_is_not_lost(self, world):
        world.start(journey_of(REACTION))
        world.event("anna")
        world.advance()
        world.react("anna", "clicked")
        world.now += KNOWN_AFTER
        world.advance()
        assert world.at("anna").step == "say"
        world.settle("sent")
        world.advance()
        assert world.at("anna").step == "thanks"

    @pytest.mark.parametrize(("seconds", "step"), [(10, "thanks"), (3601, "thanks"), (3602, "again")])
    def test_one_that_was_read_before_the_outcome_is_known_counts_at_its_time(self, world, seconds, step):
        world.start(journey_of(REACTION))
        world.event("anna")
        world.advance()
        world.after(seconds=seconds)
        world.react("anna", "clicked")
        world.now += KNOWN_AFTER
        world.advance()
        assert world.at("anna").step == "say"
        world.after(seconds=10)
        world.settle("sent", at=NOW + SECOND)
        world.advance()
        assert world.at("anna").step == step
        assert world.at("anna").step_at == NOW + min(seconds, 3601) * SECOND

    def test_a_pause_that_discards_leaves_out_reactions_too(self, world):
        self.arrive(world)
        world.store.journeys.pause("cart", JourneyState.DISCARDING, cursor="", at=world.now)
        world.react("anna", "clicked")
        world.now += KNOWN_AFTER
        world.event("anna", kind="other")
        world.start(journey_of(REACTION))
        world.advance()
        assert world.at("anna").step == "clicked"
        world.react("anna", "clicked")
        world.now += KNOWN_AFTER
        world.advance()
        assert world.at("anna").step == "thanks"

    @pytest.mark.parametrize("is_held_after", [False, True])
    def test_nor_does_one_of_meanwhile_count_at_a_step_that_is_reached_later(self, world, is_held_after):
        written = REACTION.replace("clicked:", "pause: {kind: wait, duration: 1h}\nclicked:", 1)
        self.arrive(world, written)
        world.store.journeys.pause("cart", JourneyState.DISCARDING, cursor="", at=world.now)
        world.react("anna", "clicked")
        world.now += KNOWN_AFTER
        if is_held_after:
            world.store.journeys.pause("cart", JourneyState.HELD, cursor="", at=world.now)
            world.event("bo")
        world.start(journey_of(written))
        world.after(hours=1)
        assert world.at("anna").step == "clicked"
        assert [each.profile_id for each in world.store.journey_positions.of("cart", ["bo"])] == (
            ["bo"] if is_held_after else []
        )
        world.react("anna", "clicked")
        world.now += KNOWN_AFTER
        world.advance()
        assert world.at("anna").step == "thanks"

    def test_a_reaction_to_the_message_of_an_earlier_entry_moves_nobody(self, world):
        self.arrive(world, reentrance="always", exit=[{"event": "order"}])
        world.event("anna", kind="order")
        world.event("anna")
        world.react("anna", "clicked")
        world.now += KNOWN_AFTER
        world.advance()
        world.settle("sent")
        world.advance()
        assert (world.at("anna").entry, world.at("anna").step) == (2, "clicked")
        world.react("anna", "clicked")
        world.now += KNOWN_AFTER
        world.advance()
        assert world.at("anna").step == "thanks"


class TestClicksOfWhomItIsNotKnown:
    """A scanner shows itself after its first click: until it would have, nobody has clicked."""

    def arrive(self, world, steps, **more):
        TestReactions().arrive(world, steps, **more)

    def test_a_click_is_heard_when_it_is_known_and_counts_at_its_time(self, world):
        self.arrive(world, REACTION)
        world.after(minutes=5)
        world.react("anna", "clicked")
        world.now += KNOWN_AFTER - SECOND
        assert world.advance().events == 0
        assert world.at("anna").step == "clicked"
        world.after(seconds=1)
        assert (world.at("anna").step, world.at("anna").step_at) == ("thanks", NOW + timedelta(minutes=5))

    def test_a_scanners_first_click_moves_nobody(self, world):
        self.arrive(world, REACTION, exit=[{"reaction": "clicked", "to": "say"}])
        world.react("anna", "clicked")
        world.advance()
        first = world.store.feedback.end()
        world.store.feedback.record_hits([], lambda _: ([], [first]))
        world.now += KNOWN_AFTER
        assert world.advance().events == 0
        assert world.at("anna").step == "clicked"
        assert world.after(hours=1).ended == 0
        assert world.at("anna").step == "again"

    def test_everything_else_is_heard_at_once(self, world):
        self.arrive(world, REACTION, exit=[{"reaction": "unsubscribed"}])
        world.react("anna", "clicked")
        world.react("anna", "unsubscribed")
        world.advance()
        assert (world.at("anna").end_reason, world.at("anna").ended_at) == ("exit", NOW)

    def test_the_time_out_waits_until_it_is_known_that_nobody_has_clicked_and_is_of_its_own_time(self, world):
        self.arrive(world, REACTION)
        ends = NOW + timedelta(hours=1)
        assert world.at("anna").due_at == ends + KNOWN_AFTER
        world.now = ends + KNOWN_AFTER - SECOND
        world.advance()
        assert world.at("anna").step == "clicked"
        world.after(seconds=1)
        assert (world.at("anna").step, world.at("anna").step_at) == ("again", ends)

    @pytest.mark.parametrize("is_scanned", [False, True])
    def test_one_of_the_last_second_is_in_time(self, world, is_scanned):
        self.arrive(world, REACTION)
        world.now = NOW + timedelta(hours=1)
        world.react("anna", "clicked")
        world.advance()
        # What happens then says that the time is over, and not that nobody has clicked.
        world.now += SECOND
        world.event("anna")
        world.advance()
        assert world.at("anna").step == "clicked"
        if is_scanned:
            first = world.store.feedback.end()
            world.store.feedback.record_hits([], lambda _: ([], [first]))
        world.now += KNOWN_AFTER
        world.advance()
        assert world.at("anna").step == ("again" if is_scanned else "thanks")
        assert world.at("anna").step_at == NOW + timedelta(hours=1)

    @pytest.mark.parametrize(
        ("clicked_at", "ordered_at", "way"),
        [
            (60, 70, [("bought", "clicked"), ("thanks", "event")]),
            (60, 50, [("bought", "clicked")]),
            (None, 3_601, [("late", "timeout"), ("thanks", "event")]),
            (None, 3_599, [("late", "timeout")]),
            (3_600, 3_601, [("bought", "clicked"), ("thanks", "event")]),
        ],
    )
    def test_what_happens_before_a_click_is_known_is_heard_by_the_step_that_it_led_to(
        self, world, clicked_at, ordered_at, way
    ):
        awaiting = "kind: wait_for, event: order, within: 1d"
        self.arrive(
            world,
            f"""
            say: {{kind: message, channel: {CHANNEL}}}
            clicked: {{kind: wait_for, reaction: clicked, to: say, within: 1h, timeout: late}}
            bought: {{{awaiting}, timeout: end, next: thanks}}
            late: {{{awaiting}, timeout: end}}
            thanks: {{kind: wait, duration: 9d}}
            """,
        )
        for second in sorted({clicked_at or 0, ordered_at}):
            world.now = NOW + second * SECOND
            if second == clicked_at:
                world.react("anna", "clicked")
            if second == ordered_at:
                world.event("anna", "order")
            world.advance()
        assert world.at("anna").step == "clicked"
        world.now = NOW + 3_600 * SECOND + KNOWN_AFTER
        world.advance()
        assert world.way("anna")[2:] == way
        if len(way) == 2:
            assert world.at("anna").step_at == NOW + ordered_at * SECOND
