"""Each step at its boundaries: when it is left, which way, and what is told of it."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from tests.unit.journeys.conftest import NOW, journey_of

from kundresa.journeys.versions import JUMP
from kundresa.journeys.walking import MOST_HEARD
from kundresa.spec.buckets import bucket, weighted_buckets
from kundresa.spec.machines import KNOWN_AFTER
from kundresa.spec.vocabulary import Automation, JourneySkip, JourneyState
from kundresa.store import CallResult, JourneyMoved, JourneyNotFound

CHANNEL = "{kind: email, template: a, account: b, sender: a@shop.example}"
MESSAGE = f"""
say: {{kind: message, channel: {CHANNEL}, on: {{not_sent: other, consent_denied: end}}}}
done: {{kind: wait, duration: 1h, next: end}}
other: {{kind: wait, duration: 1h, next: end}}
"""
SECOND = timedelta(seconds=1)


def test_a_wait_is_left_when_it_has_elapsed_and_not_before(world):
    world.start(journey_of("{pause: {kind: wait, duration: 1h}, rest: {kind: wait, duration: 2h}}"))
    world.event("anna", value=1)
    done = world.advance()
    assert (done.events, done.entered, done.moved, done.ended) == (1, 1, 1, 0)
    assert (world.at("anna").step, world.at("anna").due_at) == ("pause", NOW + timedelta(hours=1))
    world.after(minutes=59, seconds=59)
    assert world.at("anna").step == "pause"
    world.after(seconds=1)
    assert (world.at("anna").step, world.at("anna").step_at) == ("rest", world.now)
    world.after(hours=2)
    end = world.at("anna")
    assert (end.step, end.due_at, end.ended_at, end.end_reason) == (None, None, world.now, "finished")
    assert world.way("anna") == [
        ("pause", "entered"),
        ("rest", "waited"),
        ("end", "finished"),
    ]


def test_waits_run_from_the_time_of_the_event_however_late_it_comes(world):
    world.start(journey_of("{pause: {kind: wait, duration: 1h}}"))
    world.event("anna", at=NOW - timedelta(minutes=20))
    world.advance()
    assert world.at("anna").due_at == NOW + timedelta(minutes=40)


def test_a_clock_that_is_ahead_does_not_let_time_pass(world):
    world.start(journey_of("{pause: {kind: wait, duration: 1h}}"))
    world.event("anna")
    world.event("anna", kind="other", at=NOW + timedelta(hours=5))
    world.event("bo", at=NOW + timedelta(hours=5))
    world.advance()
    assert world.at("anna").step == "pause"
    assert world.at("bo").entered_at == NOW


WAIT_FOR = """
bought: {kind: wait_for, event: order, where: {event: {value: {at_least: 10}}}, within: 1h, timeout: late}
thanks: {kind: wait, duration: 1d, next: end}
late: {kind: wait, duration: 1d}
"""


@pytest.mark.parametrize(
    ("after", "value", "step"),
    [(0, 10, "thanks"), (3600, 10, "thanks"), (3601, 10, "late"), (60, 9, "late"), (-1, 10, "late")],
)
def test_an_event_counts_from_coming_to_the_step_to_the_end_of_the_time(world, after, value, step):
    world.start(journey_of(WAIT_FOR))
    world.event("anna")
    world.advance()
    world.now += timedelta(hours=2)
    world.event("anna", kind="order", at=NOW + after * SECOND, value=value)
    world.advance()
    assert world.at("anna").step == step
    assert world.at("anna").step_at == NOW + (after if step == "thanks" else 3600) * SECOND


def test_a_time_out_is_taken_as_of_its_time_once_the_lateness_is_over(world):
    world.start(journey_of(WAIT_FOR, lateness="10m"))
    world.event("anna")
    world.advance()
    assert world.at("anna").due_at == NOW + timedelta(minutes=70)
    world.after(minutes=69)
    assert world.at("anna").step == "bought"
    world.now += timedelta(seconds=30)
    world.event("anna", kind="order", at=NOW + timedelta(minutes=60), value=10)
    world.event("bo", at=world.now - timedelta(minutes=10, seconds=1))
    world.event("eva", at=world.now - timedelta(minutes=10))
    world.advance()
    assert world.at("anna").step == "thanks"
    assert world.at("eva").step == "bought"
    assert world.store.journey_positions.of("cart", ["bo"]) == []
    assert world.store.journey_positions.skips("cart") == {JourneySkip.TOO_LATE: 1}
    world.after(minutes=60)
    assert (world.at("eva").step, world.at("eva").step_at) == ("late", NOW + timedelta(minutes=119.5))


def test_what_happened_out_of_order_in_one_advance_is_put_in_order(world):
    world.start(journey_of(WAIT_FOR))
    world.event("anna", kind="order", at=NOW - 1 * SECOND, value=10)
    world.event("anna", at=NOW - 2 * SECOND)
    world.advance()
    assert world.at("anna").step == "thanks"


CONDITION = """
which:
  kind: condition
  paths:
    - {when: {event: {value: {at_least: 100}}}, go: large}
    - {when: {profile: {country: SE}, in_segment: [vip]}, go: local}
  otherwise: end
large: {kind: wait, duration: 1h, next: end}
local: {kind: wait, duration: 1h}
"""


@pytest.mark.parametrize(
    ("value", "country", "segments", "step"),
    [
        (100, "SE", {"vip"}, "large"),
        (99, "SE", {"vip"}, "local"),
        (99, "SE", set(), None),
        (99, None, {"vip"}, None),
    ],
)
def test_the_first_path_that_fits_is_taken(world, value, country, segments, step):
    world.start(journey_of(CONDITION))
    world.people.profiles["anna"] = {"country": country}
    world.people.segments["anna"] = segments
    world.event("anna", value=value)
    world.advance()
    assert world.at("anna").step == step


def test_a_split_sends_everybody_some_way_by_weight_and_the_same_way_again(world):
    written = """
    split: {kind: split, shares: [{name: a, weight: 3, go: a}, {name: b, weight: 1, go: b}]}
    a: {kind: wait, duration: 1h, next: end}
    b: {kind: wait, duration: 1h}
    """
    world.start(journey_of(written, reentrance="always"))
    people = [f"p{number}" for number in range(200)]
    for each in people:
        world.event(each)
    world.advance()
    first = {each: world.at(each).step for each in people}
    assert 35 <= sum(step == "b" for step in first.values()) <= 65
    world.after(hours=1)
    for each in people:
        world.event(each)
    world.advance()
    assert {each: world.at(each).step for each in people} == first


EXPERIMENT = """
    try: {kind: experiment, variants: [{name: plain, weight: 3, go: a}, {name: gift, weight: 1, go: b}]}
    a: {kind: wait, duration: 1h, next: mail}
    b: {kind: wait, duration: 1h}
    mail:
      kind: message
      channel: {kind: email, template: m, account: a, sender: a@shop.example}
"""


def test_an_experiment_sends_shares_each_way_and_messages_count_under_their_variant(world):
    world.start(journey_of(EXPERIMENT, reentrance="always"))
    people = [f"p{number}" for number in range(400)]
    for each in people:
        world.event(each)
    world.advance()
    first = {each: (world.at(each).step, world.at(each).variant) for each in people}
    assert set(first.values()) == {("a", "plain"), ("b", "gift")}
    ranges = weighted_buckets([("plain", 3), ("gift", 1)])
    salt = "experiment|journey cart|try"
    assert {each: variant for each, (_, variant) in first.items()} == {
        each: next(name for name, _, end in ranges if bucket(salt, each) < end) for each in people
    }
    world.after(hours=1)
    told = {
        each: message.variant for each in people for message in world.store.journey_messages.of(each, "cart")
    }
    assert told == {each: variant for each, (_, variant) in first.items()}
    [moves] = world.store.journey_positions.moves("cart", "p0")[:1]
    assert f"variant {first['p0'][1]}" in moves.moves_json


def test_another_name_of_an_experiment_shuffles_people_anew(world):
    world.start(journey_of(EXPERIMENT.replace("variants:", "name: again, variants:")))
    world.event("anna")
    world.advance()
    expected = "plain" if bucket("experiment|journey cart|again", "anna") < 7500 else "gift"
    assert world.at("anna").variant == expected


@pytest.mark.parametrize(
    ("outcome", "reason", "step"),
    [
        ("sent", None, "done"),
        ("delayed", None, "done"),
        ("not_sent", "address_refused", "other"),
        ("not_sent", "consent_denied", None),
    ],
)
def test_a_message_waits_for_what_becomes_of_it_and_branches(world, outcome, reason, step):
    world.start(journey_of(MESSAGE))
    world.event("anna", value=7)
    assert world.advance().messages == 1
    [message] = world.store.journey_messages.of("anna", "cart")
    assert (message.step, message.reached_at, message.event_json) == ("say", NOW, '{"value": 7}')
    assert message.valid_until == NOW + timedelta(hours=24)
    world.after(minutes=5)
    assert world.at("anna").step == "say"
    assert world.settle(outcome, reason) == 1
    world.advance()
    assert world.at("anna").step == step
    assert world.way("anna")[1][1] == ("finished" if step is None else reason or outcome)
    assert world.store.journey_messages.known("cart", 10) == []


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


HEARD = f"""
say: {{kind: message, channel: {CHANNEL}, on: {{not_sent: end}}}}
bought: {{kind: wait_for, event: order, where: {{event: {{value: 1}}}}, within: 1h, timeout: end}}
more: {{kind: message, channel: {CHANNEL}}}
again: {{kind: wait_for, event: order, within: 1h, timeout: late}}
thanks: {{kind: wait, duration: 1d, next: end}}
late: {{kind: wait, duration: 1d}}
"""


TWO_WAITS = f"""
say: {{kind: message, channel: {CHANNEL}}}
first: {{kind: wait_for, event: order, within: 1h, timeout: end}}
second: {{kind: wait_for, event: order, within: 1h, timeout: end}}
twice: {{kind: wait, duration: 1d}}
"""


class TestAnEventThatIsReadBeforeAnOutcomeIsKnown:
    def order(self, world, **wait):
        world.now += timedelta(**wait)
        world.event("anna", "order", value=1)
        world.event("anna", "order", value=2)
        world.advance()

    def test_counts_at_its_time_for_the_step_that_waited_for_it_by_then(self, world):
        world.start(journey_of(HEARD))
        world.event("anna")
        world.advance()
        self.order(world, seconds=10)
        assert world.at("anna").step == "say"
        world.after(seconds=10)
        assert world.at("anna").step == "say"
        world.settle("sent", at=NOW + SECOND)
        assert world.advance().moved == 1
        assert (world.at("anna").step, world.at("anna").step_at) == ("more", NOW + 10 * SECOND)
        assert world.way("anna")[-1] == ("more", "event")
        assert world.at("anna").heard_json is None

    def test_is_kept_while_one_outcome_after_the_other_is_waited_for(self, world):
        world.start(journey_of(f"first: {{kind: message, channel: {CHANNEL}}}\n" + HEARD))
        world.event("anna")
        world.advance()
        self.order(world, seconds=10)
        for _ in range(2):
            world.after(seconds=10)
            world.settle("sent", at=NOW + SECOND)
            world.advance()
        assert (world.at("anna").step, world.at("anna").step_at) == ("more", NOW + 10 * SECOND)

    @pytest.mark.parametrize(("outcome", "settled", "step"), [("sent", 11, "bought"), ("not_sent", 1, None)])
    def test_of_before_the_outcome_or_on_another_way_moves_nobody(self, world, outcome, settled, step):
        world.start(journey_of(HEARD))
        world.event("anna")
        world.advance()
        self.order(world, seconds=10)
        world.after(seconds=10)
        world.settle(outcome, at=NOW + settled * SECOND)
        world.advance()
        assert world.at("anna").step == step

    @pytest.mark.parametrize("is_known_late", [False, True])
    @pytest.mark.parametrize(("orders", "step"), [(1, "second"), (2, "twice")])
    def test_moves_on_once_where_one_step_after_the_other_waits_for_it(
        self, world, is_known_late, orders, step
    ):
        self.begin_two_waits(world)
        if not is_known_late:
            self.settle(world)
        world.now = NOW + 10 * SECOND
        for _ in range(orders):
            world.event("anna", "order")
        world.advance()
        if is_known_late:
            self.settle(world)
        assert (world.at("anna").step, world.at("anna").step_at) == (step, NOW + 10 * SECOND)

    @pytest.mark.parametrize(
        ("pairs", "step"),
        [
            ([("first", 10), ("second", 10)], "second"),
            ([("first", 10), ("second", 10)] * 2, "twice"),
            ([("first", 10), ("second", 10), ("first", 11), ("second", 11)], "twice"),
        ],
    )
    def test_that_was_kept_as_a_pair_for_each_step_moves_on_once_too(self, world, pairs, step):
        self.begin_two_waits(world)
        heard = json.dumps([(name, (NOW + seconds * SECOND).isoformat()) for name, seconds in pairs])
        with world.store.database.write() as connection:
            connection.execute(text("update journey_positions set heard_json = :heard"), {"heard": heard})
        world.now = NOW + 20 * SECOND
        self.settle(world)
        assert world.at("anna").step == step

    def begin_two_waits(self, world):
        world.start(journey_of(TWO_WAITS))
        world.event("anna")
        world.advance()

    def settle(self, world):
        world.settle("sent", at=NOW + SECOND)
        world.advance()

    def test_the_latest_are_kept_when_they_are_too_many(self, world):
        world.start(journey_of(HEARD))
        world.event("anna")
        world.advance()
        for _ in range(30):
            self.order(world, seconds=1)
        kept = json.loads(world.at("anna").heard_json)
        assert len(kept) == MOST_HEARD
        # Of each second an order that both steps wait for, and one that only the second does.
        assert [steps for steps, _ in kept[-2:]] == [["bought", "again"], ["again"]]
        assert kept[-1][1] == (NOW + 30 * SECOND).isoformat()


QUIET = f"""
quiet: {{kind: wait_for, event: cart, keep: [value, note], within: 1h, next: quiet, timeout: ask}}
ask: {{kind: condition, paths: [{{when: {{event: {{value: {{at_least: 10}}}}}}, go: say}}], otherwise: end}}
say: {{kind: message, channel: {CHANNEL}}}
"""


class TestWhatIsKeptOfAnEvent:
    """Each cart begins the wait anew, and the message is about the latest."""

    def carts(self, world, *told, **more):
        world.start(journey_of(QUIET, **more))
        for minutes, data in told:
            world.now = NOW + timedelta(minutes=minutes)
            world.event("anna", **data)
            world.advance()

    def said(self, world):
        return [json.loads(each.event_json) for each in world.store.journey_messages.of("anna", "cart")]

    def test_the_wait_begins_anew_with_each_event(self, world):
        self.carts(world, (0, {"value": 10}), (30, {"value": 11}), (89, {"value": 12}))
        world.now = NOW + timedelta(minutes=148)
        world.advance()
        assert (world.at("anna").step, self.said(world)) == ("quiet", [])
        world.after(minutes=1)
        assert (world.at("anna").step, self.said(world)) == ("say", [{"value": 12}])
        [message] = world.store.journey_messages.of("anna", "cart")
        assert message.reached_at == NOW + timedelta(minutes=149)
        assert [step for step, _ in world.way("anna")] == ["quiet", "quiet", "quiet", "ask", "say"]

    def test_what_the_latest_does_not_say_nobody_knows_and_what_is_not_kept_stays(self, world):
        first = {"value": 10, "note": "x", "key": "of the entry"}
        self.carts(world, (0, first), (5, {"value": 20, "key": "of another"}))
        world.after(hours=1)
        assert self.said(world) == [{"value": 20, "key": "of the entry"}]

    def test_conditions_ask_the_latest(self, world):
        self.carts(world, (0, {"value": 10}), (5, {"value": 9}))
        world.after(hours=1)
        assert world.way("anna") == [
            ("quiet", "entered"),
            ("quiet", "event"),
            ("ask", "timeout"),
            ("end", "finished"),
        ]

    def test_of_several_that_come_in_one_advance_the_latest_in_time_counts(self, world):
        self.carts(world, (0, {"value": 10}))
        world.now = NOW + timedelta(minutes=30)
        for minutes, value in ((20, 22), (10, 11), (25, 33), (15, 44)):
            world.event("anna", at=NOW + timedelta(minutes=minutes), value=value)
        world.advance()
        world.event("anna", at=NOW + timedelta(minutes=24), value=55)  # later than it happened
        world.now = NOW + timedelta(minutes=85)
        world.advance()
        assert self.said(world) == [{"value": 33}]

    def test_an_event_in_the_last_moment_counts_within_the_lateness(self, world):
        self.carts(world, (0, {"value": 10}), lateness="2m")
        world.after(minutes=61)
        world.event("anna", at=NOW + timedelta(minutes=60), value=20)
        world.advance()
        assert (world.at("anna").step, world.at("anna").step_at) == ("quiet", NOW + timedelta(hours=1))
        world.after(minutes=61)
        assert self.said(world) == [{"value": 20}]

    def test_one_that_does_not_fit_changes_nothing(self, world):
        written = QUIET.replace("keep:", "where: {event: {value: {at_least: 5}}}, keep:")
        world.start(journey_of(written))
        world.event("anna", value=10)
        world.event("anna", value=4)
        world.advance()
        world.after(hours=1)
        assert self.said(world) == [{"value": 10}]

    def test_one_that_came_before_an_outcome_was_known_is_kept_with_what_it_says(self, world):
        written = f"first: {{kind: message, channel: {CHANNEL}}}\n" + QUIET
        world.start(journey_of(written))
        world.event("anna", value=10, key="of the entry")
        world.advance()
        for seconds, value in ((10, 20), (20, 30)):
            world.now = NOW + seconds * SECOND
            world.event("anna", value=value, key="of another")
            world.advance()
        at = [(NOW + seconds * SECOND).isoformat() for seconds in (10, 20)]
        assert json.loads(world.at("anna").heard_json) == [
            [["quiet"], at[0], {"value": 20}],
            [["quiet"], at[1], {"value": 30}],
        ]
        world.settle("sent", at=NOW + 15 * SECOND)
        world.advance()
        assert (world.at("anna").step, world.at("anna").step_at) == ("quiet", NOW + 20 * SECOND)
        world.after(hours=1)
        assert self.said(world)[-1] == {"value": 30, "key": "of the entry"}

    def test_of_several_steps_each_takes_its_own_of_an_event_that_was_remembered(self, world):
        written = f"""
        say: {{kind: message, channel: {CHANNEL}, on: {{not_sent: other}}}}
        one: {{kind: wait_for, event: order, keep: [value], within: 1h, timeout: end, next: last}}
        other: {{kind: wait_for, event: order, keep: [note], within: 1h, timeout: end}}
        last: {{kind: message, channel: {CHANNEL}}}
        """
        world.start(journey_of(written))
        for who in ("anna", "bo"):
            world.event(who, value=1)
        world.advance()
        world.now = NOW + 10 * SECOND
        for who in ("anna", "bo"):
            world.event(who, "order", value=2, note="x")
        world.advance()
        assert json.loads(world.at("anna").heard_json)[0][2] == {"value": 2, "note": "x"}
        with world.store.database.write() as connection:
            connection.exec_driver_sql(
                "update journey_messages set state = 'known', settled_at = '2026-11-23 09:00:01.000000', "
                "outcome = case profile_id when 'anna' then 'sent' else 'not_sent' end"
            )
        world.advance()
        assert self.said(world)[-1] == {"value": 2}
        *_, last = world.store.journey_messages.of("bo", "cart")
        assert json.loads(last.event_json) == {"value": 1, "note": "x"}

    def test_one_that_was_read_before_its_person_came_in_is_kept_too(self, world):
        world.start(journey_of(QUIET.replace("event: cart", "event: order"), lateness="5m"))
        world.now = NOW + 20 * SECOND
        world.event("anna", "order", at=NOW + 10 * SECOND, value=20)
        world.advance()
        world.event("anna", at=NOW, value=10)
        world.advance()
        world.after(hours=2)
        assert self.said(world) == [{"value": 20}]


def test_an_outcome_that_comes_after_the_person_has_left_moves_nobody(world):
    world.start(journey_of(MESSAGE, exit=[{"event": "order"}], reentrance="always"))
    world.event("anna")
    world.advance()
    with world.store.database.write() as connection:
        connection.exec_driver_sql("update journey_messages set state = 'batched'")
    world.event("anna", kind="order")
    world.event("anna")
    world.advance()
    with world.store.database.write() as connection:
        connection.exec_driver_sql(
            "update journey_messages set state = 'known', outcome = 'sent', "
            "settled_at = '2026-11-23 09:00:00.000000' where state = 'batched'"
        )
    world.advance()
    assert (world.at("anna").step, world.at("anna").entry) == ("say", 2)


def test_updates_set_a_trait_that_the_next_step_and_other_journeys_see(world):
    written = """
    level: {kind: update, trait: level, event: value}
    flag: {kind: update, trait: seen, value: true}
    check:
      kind: condition
      paths: [{when: {profile: {level: {at_least: 5}, seen: true}}, go: high}]
      otherwise: end
    high: {kind: wait, duration: 1h}
    """
    world.start(journey_of(written))
    world.event("anna", value=5)
    world.event("bo", value=4)
    world.advance()
    assert world.at("anna").step == "high"
    assert world.at("bo").step is None
    again = "{check: {kind: condition, paths: [{when: {profile: {level: 5}}, go: pause}], otherwise: end}, "
    world.start(journey_of(again + "pause: {kind: wait, duration: 1h}}", name="other"))
    world.event("anna")
    world.advance("other")
    assert world.at("anna", name="other").step == "pause"


def test_a_jump_lets_a_person_into_another_journey_once(world):
    world.start(journey_of("{on: {kind: jump, journey: other}, rest: {kind: wait, duration: 1h}}"))
    world.start(
        journey_of("{pause: {kind: wait, duration: 1h}}", name="other", entry={"event": "never_comes"})
    )
    world.event("anna", value=3)
    world.advance()
    world.advance("other")
    assert world.at("anna").step == "rest"
    assert world.at("anna", name="other").event_json == '{"value": 3}'
    assert world.at("anna", name="other").step == "pause"
    assert world.advance("other").moved == 0


class TestWaitUntil:
    @pytest.mark.parametrize(
        ("step", "data", "expected"),
        [
            ({"event": "when"}, {"when": "2026-11-25T10:00:00+01:00"}, "2026-11-25T09:00"),
            ({"event": "when", "minus": "2h"}, {"when": "2026-11-25T10:00:00Z"}, "2026-11-25T08:00"),
            ({"event": "day"}, {"day": "2026-11-25"}, "2026-11-24T23:00"),
            ({"event": "day", "minus": "1d", "at": "18:00"}, {"day": "2026-11-25"}, "2026-11-24T17:00"),
            ({"event": "when", "at": "08:00"}, {"when": "2026-11-25T10:00:00Z"}, "2026-11-26T07:00"),
            ({"at": "10:00"}, {}, "2026-11-24T09:00"),  # it is 10:00 sharp: the next one
            ({"at": "10:01"}, {}, "2026-11-23T09:01"),
            ({"at": "09:00", "time_zone": "America/New_York"}, {}, "2026-11-23T14:00"),
            ({"profile": "renewal", "plus": "1d"}, {}, "2026-12-24T23:00"),
        ],
    )
    def test_until_a_moment_in_the_persons_own_time(self, world, step: dict[str, Any], data, expected):
        written = {"kind": "wait_until", **step}
        world.start(journey_of("{}", steps={"until": written}))
        world.people.profiles["anna"] = {"time_zone": "Europe/Stockholm", "renewal": date(2026, 12, 24)}
        world.event("anna", **data)
        world.advance()
        assert world.at("anna").due_at == datetime.fromisoformat(expected).replace(tzinfo=UTC)
        world.now = world.at("anna").due_at
        world.advance()
        assert world.at("anna").end_reason == "finished"

    @pytest.mark.parametrize(
        ("data", "step"), [({}, "missing"), ({"when": "x"}, "missing"), ({"when": "2026-11-22"}, "past")]
    )
    def test_a_moment_that_is_missing_or_over_has_its_own_way(self, world, data, step):
        written = """
        until: {kind: wait_until, event: when, missing: missing, past: past, next: end}
        missing: {kind: wait, duration: 1h, next: end}
        past: {kind: wait, duration: 1h}
        """
        world.start(journey_of(written))
        world.event("anna", **data)
        world.advance()
        assert world.at("anna").step == step

    @pytest.mark.parametrize(
        ("day", "expected"), [("2026-03-29", "2026-03-29T01:30"), ("2026-10-25", "2026-10-25T00:30")]
    )
    def test_on_the_days_on_which_clocks_change(self, world, day, expected):
        world.now = datetime(2026, 1, 1, tzinfo=UTC)
        world.start(journey_of("{until: {kind: wait_until, event: day, at: '02:30'}}", time_out="366d"))
        world.people.profiles["anna"] = {"time_zone": "Europe/Stockholm"}
        world.event("anna", day=day)
        world.advance()
        assert world.at("anna").due_at == datetime.fromisoformat(expected).replace(tzinfo=UTC)


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


ASKING = """
ask:
  kind: webhook
  account: prices
  template: ask
  response: {discount: {kind: number, required: true}}
  on: {answer_invalid: other, failed: end}
worth:
  kind: condition
  paths: [{when: {event: {discount: {at_least: 10}}}, go: much}]
  otherwise: other
much: {kind: wait, duration: 1h, next: end}
other: {kind: wait, duration: 1h}
"""


def answer(world, outcome="answered", reason=None, said='{"discount": 10}') -> None:
    [call] = world.store.journey_calls.claim(
        "cart", "anna", now=world.now, until=world.now + timedelta(minutes=1), limit=10
    )
    result = CallResult(call.call_id, outcome, reason, said if outcome == "answered" else None)
    assert world.store.journey_calls.settle("anna", [result], now=world.now) == 1
    world.advance()


@pytest.mark.parametrize(
    ("told", "step"),
    [
        ({}, "much"),
        ({"said": '{"discount": 9.5}'}, "other"),
        ({"outcome": "failed", "reason": "answer_invalid"}, "other"),
        ({"outcome": "failed", "reason": "message_refused"}, None),
    ],
)
def test_what_is_answered_joins_the_data_and_leads_the_way(world, told, step):
    world.start(journey_of(ASKING))
    world.event("anna", value=1)
    world.advance()
    assert world.at("anna").step == "ask"
    answer(world, **told)
    assert world.at("anna").step == step
    if not told:
        assert json.loads(world.at("anna").event_json) == {"value": 1, "discount": 10}
        assert world.way("anna") == [("ask", "entered"), ("worth", "answered"), ("much", "path 1")]
    assert world.advance().events == 0


def test_who_leaves_while_a_call_is_under_way_is_not_moved_by_its_answer(world):
    world.start(journey_of(ASKING, exit=[{"event": "order"}], reentrance="always"))
    world.event("anna")
    world.advance()
    until = world.now + timedelta(minutes=1)
    [call] = world.store.journey_calls.claim("cart", "bo", now=world.now, until=until, limit=10)
    world.event("anna", "order")
    world.advance()
    [told] = world.store.journey_calls.of("anna", "cart")
    assert (told["outcome"], told["reason"]) == ("failed", "run_cancelled")
    late = CallResult(call.call_id, "answered", response_json='{"discount": 10}')
    assert world.store.journey_calls.settle("bo", [late], now=world.now) == 0
    world.event("anna")
    world.advance()
    calls = [each["call_id"] for each in world.store.journey_calls.of("anna", "cart")]
    assert len(set(calls)) == 2, "another entry asks under another id"
