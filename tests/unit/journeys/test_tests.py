"""Tests of journeys: named people alone, waits of seconds, and nothing that the journey itself notices."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.journeys.conftest import NOW, World, journey_of

from kundresa.journeys import JUMP, advance, next_turn_at
from kundresa.journeys.versions import Versions
from kundresa.spec.frozen import freeze
from kundresa.spec.journey import Journey
from kundresa.spec.keys import as_test, event_of_test, plain_event
from kundresa.spec.shortening import shortened
from kundresa.spec.vocabulary import JourneySkip, JourneyState
from kundresa.store import JourneyTestUnderWay, NewEvent
from kundresa.store.journey_tables import journey_messages

CHANNEL = "{kind: email, template: a, account: b, sender: a@shop.example}"
LETTER = (
    "{kind: direct_mail, template: a, account: b, layout: {columns: [{name: message_id}]}}"
    ", collect: {at: '18:00', time_zone: UTC}"
)
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
TEST = "cart-test1"
STEPS = f"""
pause: {{kind: wait, duration: 3d}}
say: {{kind: message, channel: {CHANNEL}}}
bought: {{kind: wait_for, event: order, within: 7d, timeout: end}}
thanks: {{kind: wait, duration: 1s}}
"""


def begin(world: World, journey: Journey, *people: str, waits: timedelta = 10 * SECOND, **more: Any) -> str:
    """The name of the test."""
    spec = freeze(shortened(journey, waits, **more), {})
    made = world.store.journey_tests.begin(
        journey.name, people or ("anna",), spec, longest_wait=waits, cursor=world.people.cursor, at=world.now
    )
    return made.test


def by_hand(world: World, who: str, kind: str = "cart", **data: Any) -> None:
    """What only a test hears."""
    world.event(who, event_of_test("cart", kind), **data)


def steps(world: World, name: str = TEST, *people: str) -> dict[str, str | None]:
    found = world.store.journey_positions.of(name, people or ("anna", "bo", "eva"))
    return {each.profile_id: each.step for each in found}


def tables(world: World, name: str) -> dict[str, Any]:
    """Everything that there is of a journey."""
    store = world.store
    who = ("anna", "bo", "eva")
    row = store.journeys.get(name)
    return {
        "positions": store.journey_positions.of(name, who),
        "moves": [store.journey_positions.moves(name, each) for each in who],
        "messages": [list(store.journey_messages.of(each, name)) for each in who],
        "skips": store.journey_positions.skips(name),
        "passages": store.journey_positions.passages(name),
        "state": row and (row.state, row.version),
    }


def test_only_the_people_of_a_test_enter_and_the_others_are_counted(world: World) -> None:
    begin(world, journey_of(STEPS), "anna")
    for who in ("anna", "bo", "eva"):
        world.event(who)
        world.event(who, kind="order")  # lets nobody in: no refusal
    done = world.advance(TEST)
    assert done.entered == 1
    assert steps(world) == {"anna": "pause"}
    assert world.store.journey_positions.skips(TEST) == {JourneySkip.NOT_IN_TEST: 2}


def test_every_wait_takes_no_longer_than_was_said(world: World) -> None:
    begin(world, journey_of(STEPS), "anna")
    by_hand(world, "anna")
    world.advance(TEST)
    assert world.at("anna", name=TEST).due_at == NOW + 10 * SECOND
    world.now += 9 * SECOND
    world.advance(TEST)
    assert steps(world) == {"anna": "pause"}
    world.now += SECOND
    world.advance(TEST)
    assert steps(world) == {"anna": "say"}
    world.settle("sent")
    world.advance(TEST)
    assert (steps(world), world.at("anna", name=TEST).due_at) == ({"anna": "bought"}, world.now + 10 * SECOND)
    world.now += 10 * SECOND
    world.advance(TEST)
    assert world.at("anna", name=TEST).end_reason == "finished"
    assert world.way("anna", TEST)[-1] == ("end", "finished")


def test_a_shorter_wait_stays_what_it_is(world: World) -> None:
    begin(world, journey_of("{pause: {kind: wait, duration: 2s}}"), "anna", waits=HOUR)
    by_hand(world, "anna")
    world.advance(TEST)
    assert world.at("anna", name=TEST).due_at == NOW + 2 * SECOND


@pytest.mark.parametrize(
    ("said", "due"),
    [
        ({"day": "2026-12-24"}, 10 * SECOND),
        ({"day": "2026-11-23T09:00:03Z"}, 3 * SECOND),
        ({"day": "2026-11-01"}, None),
        ({}, None),
    ],
)
def test_a_moment_is_waited_for_no_longer_and_past_and_missing_are_as_ever(
    world: World, said: dict[str, str], due: timedelta | None
) -> None:
    written = """
    until: {kind: wait_until, event: day, missing: gone, past: gone, time_zone: UTC}
    then: {kind: wait, duration: 1s, next: end}
    gone: {kind: wait, duration: 1h}
    """
    begin(world, journey_of(written), "anna")
    by_hand(world, "anna", **said)
    world.advance(TEST)
    position = world.at("anna", name=TEST)
    if due is None:
        assert position.step == "gone"
    else:
        assert (position.step, position.due_at) == ("until", NOW + due)
        world.now += due
        world.advance(TEST)
        assert world.at("anna", name=TEST).step == "then"


@pytest.mark.parametrize(("within", "due"), [("1h", 2), ("2s", 2), ("1s", 2)])
def test_a_wait_and_its_lateness_take_no_longer_than_was_said_together(
    world: World, within: str, due: int
) -> None:
    bought = f"{{bought: {{kind: wait_for, event: order, within: {within}, timeout: end}}}}"
    begin(world, journey_of(bought, lateness="5m"), "anna", waits=2 * SECOND)
    by_hand(world, "anna")
    world.advance(TEST)
    assert world.at("anna", name=TEST).due_at == NOW + due * SECOND
    world.now += due * SECOND
    world.advance(TEST)
    assert world.way("anna", TEST)[-1] == ("end", "finished")
    assert world.at("anna", name=TEST).end_reason == "finished"


def test_what_comes_late_is_heard_as_long_as_there_is_room_for_it(world: World) -> None:
    steps_ = (
        "bought: {kind: wait_for, event: order, within: 2s, timeout: end}\nthanks: {kind: wait, duration: 1s}"
    )
    begin(world, journey_of(steps_, lateness="5m"), "anna", waits=10 * SECOND)
    by_hand(world, "anna")
    world.advance(TEST)
    world.now += 9 * SECOND
    world.event("anna", kind="order", at=NOW + SECOND)
    world.advance(TEST)
    assert [why for _, why in world.way("anna", TEST)][:2] == ["entered", "event"]


def test_of_strangers_only_those_whom_it_would_have_let_in_are_counted(world: World) -> None:
    begin(world, journey_of(STEPS, lateness="5m"), "anna")
    for who in ("nobody", "bo"):
        world.event(who)
        world.event(who, kind="order")
        world.event(who, at=NOW - HOUR)  # too late, had it been for them
    world.event("anna", at=NOW - HOUR)
    done = world.advance(TEST)
    assert done.events == 1
    assert world.store.journey_positions.skips(TEST) == {
        JourneySkip.NOT_IN_TEST: 4,
        JourneySkip.TOO_LATE: 1,
    }


def test_the_time_out_is_as_declared_unless_it_is_shortened_too(world: World) -> None:
    journey = journey_of("{a: {kind: wait, duration: 1h}, b: {kind: wait, duration: 1h}}", time_out="1d")
    assert shortened(journey, SECOND).time_out == timedelta(days=1)
    begin(world, journey, "anna", time_out=15 * SECOND)
    by_hand(world, "anna")
    world.advance(TEST)
    world.now += 20 * SECOND
    world.advance(TEST)
    assert (world.at("anna", name=TEST).end_reason, world.at("anna", name=TEST).ended_at) == (
        "time_out",
        NOW + 15 * SECOND,
    )


def test_a_letter_waits_for_its_file_no_longer(world: World) -> None:
    begin(world, journey_of(f"{{say: {{kind: message, channel: {LETTER}}}}}"), "anna")
    by_hand(world, "anna")
    world.advance(TEST)
    [letter] = world.store.journey_messages.of("anna", TEST)
    assert letter.not_before == NOW + 10 * SECOND
    assert letter.valid_until == letter.not_before + timedelta(hours=24)


def test_a_journey_that_runs_knows_nothing_of_its_test(world: World, new_world: Any) -> None:
    """Told the same, with a test beside it and without: not a row of it is another."""

    def live(other: World, *, with_test: bool) -> dict[str, Any]:
        journey = journey_of(STEPS, reentrance="always")
        other.start(journey)
        for number in range(3):
            if with_test and number == 1:
                begin(other, journey, "anna", "bo")
                by_hand(other, "anna", value=number)
            other.event("anna", value=number)
            other.event("eva", value=number)
            other.advance()
            if with_test and number == 1:
                other.advance(TEST)
                other.store.journeys.stop(TEST, at=other.now)
            other.now += timedelta(days=3)
            other.advance()
        return tables(other, "cart")

    assert live(world, with_test=True) == live(new_world(), with_test=False)
    assert world.store.journey_positions.of(TEST, ["anna"])[0].end_reason == "test_ended"


def test_an_event_of_a_persons_own_is_heard_by_both_and_one_by_hand_by_the_test_alone(world: World) -> None:
    journey = journey_of(STEPS)
    world.start(journey)
    begin(world, journey, "anna", "bo")
    world.event("anna")
    by_hand(world, "bo")
    world.advance()
    world.advance(TEST)
    assert steps(world, "cart") == {"anna": "pause"}
    assert steps(world) == {"anna": "pause", "bo": "pause"}
    assert world.store.journeys.require("cart").event_position == world.store.inbox.end()


def test_messages_of_both_have_ids_of_their_own(world: World) -> None:
    journey = journey_of(f"{{say: {{kind: message, channel: {CHANNEL}}}}}")
    world.start(journey)
    begin(world, journey, "anna")
    world.event("anna")
    world.advance()
    world.advance(TEST)
    [one], [other] = (list(world.store.journey_messages.of("anna", name)) for name in ("cart", TEST))
    assert one.message_id != other.message_id
    assert (one.run_key, other.run_key) == (
        "cart.say.v1--20261123T090000Z",
        "cart-test1.say.v1--20261123T090000Z",
    )
    with world.store.database.read() as connection:
        rows = connection.execute(journey_messages.select()).all()
    assert {row.message_id: row.is_test for row in rows} == {one.message_id: 0, other.message_id: 1}


def test_a_journey_has_one_test_at_a_time_and_the_next_begins_anew(world: World) -> None:
    journey = journey_of(STEPS, reentrance="never")
    begin(world, journey, "anna")
    with pytest.raises(JourneyTestUnderWay, match="kundresa journey test end cart"):
        begin(world, journey, "bo")
    by_hand(world, "anna")
    world.advance(TEST)
    assert world.store.journeys.stop(TEST, at=world.now) == 1
    assert world.at("anna", name=TEST).end_reason == "test_ended"
    assert world.store.journeys.require(TEST).state is JourneyState.STOPPED
    assert world.store.journey_tests.under_way("cart") == []
    assert begin(world, journey, "anna") == "cart-test2"
    world.advance("cart-test2")
    assert steps(world, "cart-test2") == {}  # what happened before it began is not its own
    by_hand(world, "anna")
    world.advance("cart-test2")
    assert steps(world, "cart-test2") == {"anna": "pause"}  # though nobody may enter a second time
    latest = world.store.journey_tests.latest("cart")
    assert latest is not None
    assert (latest.number, latest.people, latest.ended_at) == (2, frozenset({"anna"}), None)


def test_a_message_that_has_not_left_when_a_test_ends_is_not_sent(world: World) -> None:
    begin(world, journey_of(f"{{say: {{kind: message, channel: {CHANNEL}}}}}"), "anna")
    by_hand(world, "anna")
    world.advance(TEST)
    world.store.journeys.stop(TEST, at=world.now)
    [message] = world.store.journey_messages.of("anna", TEST)
    assert (message.outcome, message.reason) == ("not_sent", "run_cancelled")
    assert world.store.journey_positions.passages(TEST)["end", "test_ended"] == 1


def test_a_trait_that_a_test_sets_holds_in_it_alone_and_goes_with_it(world: World) -> None:
    written = """
    set: {kind: update, trait: level, value: 7}
    pause: {kind: wait, duration: 1s}
    which: {kind: condition, paths: [{when: {profile: {level: 7}}, go: seven}], otherwise: end}
    seven: {kind: wait, duration: 1h}
    """
    begin(world, journey_of(written), "anna")
    by_hand(world, "anna")
    world.advance(TEST)
    traits = world.store.journey_positions.traits
    assert traits(["anna"], ["level"]) == {}
    assert traits(["anna"], ["level"], journey="cart") == {}
    assert traits(["anna"], ["level"], journey=TEST) == {"anna": {"level": 7}}
    world.now += SECOND
    world.advance(TEST)
    assert steps(world) == {"anna": "seven"}
    world.store.journeys.stop(TEST, at=world.now)
    assert traits(["anna"], ["level"], journey=TEST) == {}


def test_a_jump_out_of_a_test_leads_into_a_test_alone(world: World) -> None:
    jumping = journey_of("{away: {kind: jump, journey: other}, rest: {kind: wait, duration: 1s}}")
    other = journey_of("{rest: {kind: wait, duration: 1h}}", name="other")
    world.start(other)
    begin(world, jumping, "anna")
    begin(world, other, "anna")
    by_hand(world, "anna")
    world.advance(TEST)
    world.advance("other")
    world.advance("other-test1")
    assert steps(world, "other") == {}
    assert steps(world, "other-test1") == {"anna": "rest"}


def test_a_jump_of_both_at_one_moment_lets_into_both(world: World) -> None:
    jumping = journey_of("{away: {kind: jump, journey: other}, rest: {kind: wait, duration: 1s}}")
    other = journey_of("{rest: {kind: wait, duration: 1h}}", name="other", entry={"event": "no"})
    for each in (other, jumping):
        world.start(each)
        begin(world, each, "anna")
    world.event("anna")
    for name in (TEST, "cart", "other", "other-test1"):
        world.advance(name)
    assert steps(world, "other") == {"anna": "rest"}
    assert world.store.journey_positions.passages("other")["rest", ""] == 1
    assert steps(world, "other-test1") == {"anna": "rest"}


def test_a_person_is_let_in_by_hand_whatever_the_entry(world: World) -> None:
    begin(world, journey_of(STEPS, entry={"segment": "vip"}), "anna")
    by_hand(world, "anna", JUMP + "cart")
    world.people.change("vip", "bo", NOW)
    world.advance(TEST)
    assert steps(world) == {"anna": "pause"}
    assert world.store.journey_positions.skips(TEST) == {JourneySkip.NOT_IN_TEST: 1}


def test_of_an_audience_only_the_people_of_the_test_have_a_turn_and_at_once(world: World) -> None:
    world.people.segments = {who: {"crowd"} for who in ("bo", "eva", "ida", "per")}
    entry = {"audience": "crowd", "every": "once", "rate": {"people": 1, "per": "day"}}
    begin(world, journey_of(STEPS, entry=entry), "anna", "bo", "eva")
    assert world.advance(TEST).entered == 2
    assert steps(world) == {"bo": "pause", "eva": "pause"}
    row = world.store.journeys.require(TEST)
    version = Versions(row.version, world.store.journeys.versions(TEST)).current
    assert next_turn_at(world.store, row, version, world.now) is None


def test_a_business_event_by_hand_lets_in_those_of_the_test(world: World) -> None:
    world.people.segments = {who: {"crowd"} for who in ("anna", "bo", "eva")}
    entry = {"event": "back", "audience": "crowd", "rate": {"people": 1, "per": "day"}}
    journey = journey_of(STEPS, entry=entry)
    world.start(journey)
    begin(world, journey, "anna", "bo")
    world.business(event_of_test("cart", "back"), product="p")
    world.advance()
    world.advance(TEST)
    assert steps(world, "cart") == {}
    assert steps(world) == {"anna": "pause", "bo": "pause"}
    assert json.loads(world.at("anna", name=TEST).event_json)["product"] == "p"


def test_who_is_merged_meanwhile_stays_in_the_test(world: World) -> None:
    begin(world, journey_of(STEPS), "anna", "ida")
    by_hand(world, "anna")
    world.advance(TEST)
    world.people.redirects = {"anna": "bo", "ida": "eva"}
    world.now += 10 * SECOND
    by_hand(world, "ida")
    world.advance(TEST)
    assert steps(world) == {"bo": "say", "eva": "pause"}


def test_an_early_event_by_hand_is_heard_by_who_enters_late(world: World) -> None:
    journey = journey_of(STEPS, lateness="1h", exit=[{"event": "order"}])
    begin(world, journey, "anna")
    by_hand(world, "anna", "order")
    world.advance(TEST)
    late = NewEvent("x", "late", event_of_test("cart", "cart"), "email", "anna", "{}", NOW - SECOND, NOW)
    world.store.inbox.append([late])
    world.advance(TEST)
    assert world.at("anna", name=TEST).end_reason == "exit"


def test_an_advance_of_a_journey_asks_nothing_about_tests(world: World, monkeypatch: Any) -> None:
    world.start(journey_of(STEPS))
    world.event("anna")
    monkeypatch.setattr(world.store, "journey_tests", None)
    assert advance(world.store, world.people, "cart", now=world.now).entered == 1


def test_tests_are_listed_only_where_they_are_asked_for(world: World) -> None:
    world.start(journey_of(STEPS))
    begin(world, journey_of(STEPS))
    assert [row.journey for row in world.store.journeys.all()] == ["cart"]
    assert [row.journey for row in world.store.journeys.all(with_tests=True)] == ["cart", TEST]


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("cart-test1", ("cart", 1)),
        ("a_test-test12", ("a_test", 12)),
        *((name, None) for name in ("cart", "cart_test1", "cart-test0", "cart-test", "cart-test1.x")),
    ],
)
def test_a_test_is_known_by_its_name(name: str, known: tuple[str, int] | None) -> None:
    assert as_test(name) == known


def test_the_type_of_an_event_by_hand_stands_for_a_declared_one() -> None:
    assert plain_event(event_of_test("cart", "order")) == "order"
    assert plain_event(event_of_test("cart", JUMP + "cart")) == JUMP + "cart"
    assert plain_event("order") == "order"


def test_changes_of_segments_of_strangers_are_counted_as_refusals_alone(world: World) -> None:
    journey = journey_of(STEPS, entry={"segment": "fans"})
    begin(world, journey, "anna")
    world.now += SECOND
    for who in ("anna", "bo"):
        world.people.segments[who] = {"fans"}
        world.people.change("fans", who, is_entry=True, at=world.now)
    done = world.advance(TEST)
    assert (done.events, done.entered) == (1, 1)
    assert world.store.journey_positions.skips(TEST) == {JourneySkip.NOT_IN_TEST: 1}
