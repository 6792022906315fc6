"""What is kept of an event that a step waits for."""

from __future__ import annotations

import json
from datetime import timedelta

from tests.unit.journeys.conftest import NOW, journey_of
from tests.unit.journeys.steps import CHANNEL, SECOND

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
