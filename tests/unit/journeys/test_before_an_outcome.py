"""An event that is read before it is known what has become of a message."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from sqlalchemy import text
from tests.unit.journeys.conftest import NOW, journey_of
from tests.unit.journeys.steps import CHANNEL, SECOND

from kundresa.journeys.walking import MOST_HEARD

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
