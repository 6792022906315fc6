"""Events that are read before the one that lets their person in, though they happened after it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection
from datetime import timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.journeys.conftest import NOW, World, journey_of
from tests.unit.journeys.lives import CHANNEL, PEOPLE, happening, journeys, late_streams, settling
from tests.unit.journeys.playing import compare
from tests.unit.journeys.test_killed import run
from tests.unit.journeys.test_reference import reference_of

from kundresa.journeys import advancing
from kundresa.spec.journey import Journey
from kundresa.spec.journey_loading import load_journey
from kundresa.spec.vocabulary import JourneySkip, JourneyState

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
ABANDONED = Path(__file__).resolve().parents[3] / "dags" / "journeys" / "abandoned_cart"

REMIND = """
pause: {kind: wait, duration: 1h}
reminder: {kind: message, channel: {kind: email, template: m, account: a, sender: a@shop.example}}
"""
ORDERED = {"lateness": "5m", "exit": [{"event": "order"}]}
AWAIT = """
bought: {kind: wait_for, event: order, where: {event: {value: {at_least: 10}}}, within: 1h, timeout: end}
thanks: {kind: wait, duration: 1d}
"""


def told(world: World, who: str, kind: str, after: float, came: float | None = None, **data: Any) -> None:
    """An event of so many seconds after the beginning that comes so many after it, and is read at once."""
    world.now = NOW + (after if came is None else came) * SECOND
    world.event(who, kind, NOW + after * SECOND, **data)
    world.advance()


def kept(world: World) -> int:
    return world.store.journey_early_events.count("cart")


def test_who_has_ordered_before_their_cart_came_is_not_told_that_they_forgot_something(world):
    world.start(load_journey(ABANDONED).model_copy(update={"name": "cart"}))
    told(world, "anna", "order_placed", after=10, order_id="1", order_value=60)
    told(world, "anna", "cart_updated", after=0, came=20, cart_id="1", cart_value=60)
    assert world.way("anna") == [("pause", "entered"), ("end", "exit")]
    assert world.at("anna").ended_at == NOW + 10 * SECOND
    world.after(hours=2)
    assert [*world.store.journey_messages.of("anna", "cart")] == []


@pytest.mark.parametrize(
    ("after", "value", "step"),
    [(30, 10, "thanks"), (1, 10, "thanks"), (0, 10, "bought"), (-5, 10, "bought"), (30, 9, "bought")],
)
def test_a_wait_is_ended_by_what_was_read_before_its_person_came_in(world, after, value, step):
    world.start(journey_of(AWAIT, lateness="5m"))
    told(world, "anna", "order", after, came=60, value=value)
    told(world, "anna", "cart", after=0, came=61)
    assert world.at("anna").step == step
    assert world.at("anna").step_at == NOW + (after if step == "thanks" else 0) * SECOND


def test_without_a_lateness_nothing_is_kept(world):
    world.start(journey_of(REMIND, exit=[{"event": "order"}]))
    told(world, "anna", "order", after=10)
    told(world, "anna", "cart", after=0, came=20)
    assert (world.at("anna").step, kept(world)) == ("pause", 0)


def test_several_are_heard_in_the_order_of_time_between_what_comes_with_the_entry(world):
    steps = """
    first: {kind: wait_for, event: order, within: 1h, timeout: end}
    second: {kind: wait_for, event: pay, within: 1h, timeout: end}
    third: {kind: wait_for, event: order, within: 1h, timeout: end}
    fourth: {kind: wait_for, event: pay, within: 1h, timeout: end}
    """
    world.start(journey_of(steps, lateness="5m"))
    told(world, "anna", "pay", after=40)
    told(world, "anna", "order", after=10, came=41)
    told(world, "anna", "order", after=30, came=42)
    world.event("anna", "pay", NOW + 20 * SECOND)
    told(world, "anna", "cart", after=0, came=50)
    moves = json.loads(world.store.journey_positions.moves("cart", "anna")[0].moves_json)
    assert [(step, at[17:19]) for step, at, _ in moves] == [
        ("first", "00"),
        ("second", "10"),
        ("third", "20"),
        ("fourth", "30"),
        ("end", "40"),
    ]


def test_one_that_comes_before_the_outcome_of_a_message_counts_once_that_is_known(world):
    steps = """
    reminder: {kind: message, channel: {kind: email, template: m, account: a, sender: a@shop.example}}
    bought: {kind: wait_for, event: order, within: 1h, timeout: end}
    thanks: {kind: wait, duration: 1d}
    """
    world.start(journey_of(steps, lateness="5m"))
    told(world, "anna", "order", after=30)
    told(world, "anna", "cart", after=0, came=40)
    assert world.at("anna").step == "reminder"
    world.settle("sent", at=NOW + 20 * SECOND)
    world.advance()
    assert (world.at("anna").step, world.at("anna").step_at) == ("thanks", NOW + 30 * SECOND)


def test_what_another_instance_has_heard_a_late_one_hears_as_well_and_each_once(world):
    steps = """
    first: {kind: wait_for, event: order, within: 1h, timeout: end}
    second: {kind: wait_for, event: order, within: 1h, timeout: end}
    """
    world.start(journey_of(steps, lateness="5m", instance_key="key"))
    told(world, "anna", "cart", after=0, key="x")
    told(world, "anna", "order", after=30)
    told(world, "anna", "cart", after=10, came=40, key="y")
    told(world, "anna", "cart", after=20, came=45, key="z")
    assert [world.at("anna", key).step for key in "xyz"] == ["second"] * 3
    assert [world.at("anna", key).step_at for key in "xyz"] == [NOW + 30 * SECOND] * 3
    told(world, "anna", "order", after=50)
    assert [world.at("anna", key).end_reason for key in "xyz"] == ["finished"] * 3


def test_an_event_that_lets_in_is_heard_by_who_enters_before_it_under_another_key(world):
    steps = (
        "{again: {kind: wait_for, event: cart, within: 1h, timeout: end}, more: {kind: wait, duration: 1d}}"
    )
    world.start(journey_of(steps, lateness="5m", instance_key="key"))
    told(world, "anna", "cart", after=30, key="x")
    told(world, "anna", "cart", after=0, came=40, key="y")
    assert (world.at("anna", "x").step, world.at("anna", "y").step) == ("again", "more")
    assert world.store.journey_positions.skips("cart") == {}


@pytest.mark.parametrize("again", ["never", "always", "10m"])
def test_a_cart_of_before_the_order_that_ended_the_entry_lets_nobody_in(world, again):
    world.start(journey_of(REMIND, **ORDERED, reentrance=again))
    told(world, "anna", "cart", after=0)
    told(world, "anna", "order", after=60)
    told(world, "anna", "cart", after=30, came=70)
    assert world.way("anna") == [("pause", "entered"), ("end", "exit")]
    assert sum(world.store.journey_positions.skips("cart").values()) == 1
    assert kept(world) == 0


def test_a_second_entry_that_comes_late_hears_what_came_before_it(world):
    world.start(journey_of("{pause: {kind: wait, duration: 1m}}", **ORDERED, reentrance="always"))
    told(world, "anna", "cart", after=0)
    told(world, "anna", "order", after=90)
    told(world, "anna", "cart", after=70, came=95)
    assert world.way("anna")[-2:] == [("pause", "entered"), ("end", "exit")]
    assert (world.at("anna").entry, world.at("anna").ended_at) == (2, NOW + 90 * SECOND)


def test_who_turns_out_to_have_ended_before_it_may_have_entered_again_before_it(world):
    """The outcome of a message is known later than it was."""
    steps = """
    reminder: {kind: message, channel: {kind: email, template: m, account: a, sender: a@shop.example}}
    more: {kind: condition, paths: [{when: {event: {value: 1}}, go: end}], otherwise: bought}
    bought: {kind: wait_for, event: order, within: 1h, timeout: end}
    """
    world.start(journey_of(steps, lateness="5m", reentrance="always"))
    told(world, "anna", "cart", after=0, value=1)
    told(world, "anna", "order", after=90)  # while they are inside, as far as anybody knows
    world.settle("sent", at=NOW + 30 * SECOND)
    world.advance()
    assert world.at("anna").ended_at == NOW + 30 * SECOND
    told(world, "anna", "cart", after=60, came=95)
    world.settle("sent", at=NOW + 70 * SECOND)
    world.advance()
    assert world.way("anna")[-2:] == [("bought", "otherwise"), ("end", "finished")]
    assert world.at("anna").ended_at == NOW + 90 * SECOND


@pytest.mark.parametrize(("after", "kept_then", "end"), [(600, 0, 660), (601, 1, 601)])
def test_it_is_kept_where_a_rule_of_reentrance_lets_somebody_in_before_it(world, after, kept_then, end):
    world.start(journey_of("{pause: {kind: wait, duration: 1m}}", **ORDERED, reentrance="10m"))
    told(world, "anna", "cart", after=0)
    told(world, "anna", "order", after=after)
    assert kept(world) == kept_then
    told(world, "anna", "cart", after=600, came=700)
    assert world.at("anna").ended_at == NOW + end * SECOND


def test_what_is_of_one_moment_stays_as_it_came(world):
    world.start(journey_of(REMIND, **ORDERED))
    told(world, "anna", "order", after=10)
    told(world, "bo", "order", after=11)
    world.event("bo", "cart", NOW)
    told(world, "anna", "cart", after=10, came=20)
    assert (world.at("anna").step, world.at("bo").end_reason) == ("pause", "exit")


def test_only_what_somebody_inside_could_hear_is_kept(world):
    exits = [
        {"event": "order", "where": {"event": {"value": 1}}},
        {"event": "pay", "where": {"profile": {"tier": 1}}},
    ]
    world.start(journey_of(REMIND, lateness="5m", exit=exits))
    told(world, "anna", "order", after=0, value=2)
    told(world, "anna", "cart", after=-400, came=1)  # too late
    assert kept(world) == 0
    told(world, "anna", "order", after=2, value=1)
    told(world, "anna", "pay", after=3)  # who they are when they enter nobody knows
    assert kept(world) == 2
    told(world, "bo", "order", after=-400, came=4, value=1)  # too late
    told(world, "eva", "cart", after=5)
    told(world, "eva", "order", after=6, value=1)  # who never enters again
    assert kept(world) == 2


def test_it_is_kept_until_no_entry_of_before_it_counts_any_more(world):
    world.start(journey_of(REMIND, **ORDERED))
    told(world, "anna", "order", after=0)
    told(world, "bo", "cart", after=301)  # one sent at 300 may still be on its way
    assert kept(world) == 1
    told(world, "bo", "cart", after=361)
    assert kept(world) == 0


def test_it_is_kept_while_what_came_in_time_is_not_read(world):
    """A pause that holds, and then more than one advance takes."""
    world.start(journey_of(REMIND, **ORDERED))
    told(world, "anna", "order", after=10)
    world.store.journeys.pause("cart", JourneyState.HELD, cursor=world.people.cursor, at=world.now)
    world.now = NOW + 20 * SECOND
    world.event("bo", "order", world.now)
    world.event("anna", "cart", NOW)
    for number in range(5):
        world.event(f"p{number}", "order", world.now)
    world.now = NOW + timedelta(hours=3)
    world.start(journey_of(REMIND, **ORDERED))
    while not world.store.journey_positions.of("cart", ["anna"]):
        advancing.advance(world.store, world.people, "cart", now=world.now, most_events=1)
    assert world.at("anna").ended_at == NOW + 10 * SECOND
    world.advance()
    assert kept(world) == 0


def test_who_enters_on_another_version_goes_by_its_lateness(world):
    world.start(journey_of(REMIND, **ORDERED))
    for who in ("anna", "bo"):
        world.now = NOW + 200 * SECOND
        told(world, who, "order", after=10, came=200)
    world.start(journey_of(REMIND, lateness="2m", exit=[{"event": "order"}]))
    told(world, "anna", "cart", after=195, came=201)
    assert world.at("anna").step == "pause"
    told(world, "bo", "cart", after=5, came=202)
    assert world.store.journey_positions.of("cart", ["bo"]) == []
    world.start(journey_of(REMIND, exit=[{"event": "order"}]))
    told(world, "bo", "cart", after=5, came=203)
    assert (world.at("bo").step, kept(world)) == ("pause", 0)


def test_a_guest_who_has_an_account_by_then_is_told_of_what_they_did(world):
    world.start(journey_of(REMIND, **ORDERED))
    told(world, "guest", "order", after=10)
    world.people.redirects["guest"] = "anna"
    told(world, "guest", "cart", after=0, came=20)
    assert world.at("anna").end_reason == "exit"


def test_people_of_a_segment_hear_what_came_after_the_build_that_let_them_in(world):
    world.start(journey_of(REMIND, **ORDERED, entry={"segment": "lapsed", "change": "entered"}))
    told(world, "anna", "order", after=30)
    world.people.change("lapsed", "anna", NOW)
    world.people.change("lapsed", "bo", NOW)
    world.after(minutes=1)
    assert (world.at("anna").end_reason, world.at("bo").step) == ("exit", "pause")


def test_nobody_is_looked_up_who_enters_in_order(world, monkeypatch):
    world.start(journey_of(REMIND, **ORDERED))
    asked: list[set[str]] = []
    of = world.store.journey_early_events.of

    def watched(journey: str, profile_ids: Collection[str], *rest: Any) -> Any:
        asked.append(set(profile_ids))
        return of(journey, profile_ids, *rest)

    monkeypatch.setattr(world.store.journey_early_events, "of", watched)
    told(world, "anna", "order", after=0)
    told(world, "bo", "cart", after=1)
    assert asked == []
    told(world, "eva", "order", after=30)
    world.event("eva", "cart", NOW + 20 * SECOND)
    told(world, "bo", "cart", after=40)
    assert asked == [{"eva"}]


@st.composite
def crossed(draw: st.DrawFn) -> list[Any]:
    """Two advances, of which the first reads what happened last."""
    who, wait = draw(st.sampled_from(PEOPLE)), draw(st.sampled_from([1, 2]))
    lag = draw(st.integers(wait, 5))
    data = st.fixed_dictionaries({"value": st.integers(0, 2), "key": st.sampled_from(["x", "y"])})
    first = [
        ("event", who, draw(st.sampled_from(["order", "order", "cart"])), draw(st.integers(0, 1)), draw(data))
    ]
    second = [("event", who, "cart", lag, draw(data))]
    first += draw(st.lists(happening, max_size=2))
    second += draw(st.lists(happening, max_size=2))
    settled = settling([None, 0, 2])
    return [(draw(st.sampled_from([0, 1, 9, 61])), draw(settled) + first), (wait, draw(settled) + second)]


crossing = st.lists(
    st.one_of(crossed(), late_streams.map(lambda each: each[:2])), min_size=2, max_size=4
).map(lambda parts: [*chain.from_iterable(parts)])


def compare_one(empty_store: Path, journey: Journey, stream: Any) -> None:
    compare(empty_store, [journey], stream, reference_of([journey]))


@given(journeys(), crossing)
@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow]
)
def test_sets_come_to_the_same_as_one_person_at_a_time(
    empty_store: Path, journey: Journey, stream: Any
) -> None:
    compare_one(empty_store, journey.model_copy(update={"lateness": 5 * MINUTE}), stream)


WAYS = {
    "s0": {"kind": "wait_for", "event": "order", "within": "10m", "timeout": "s2"},
    "s1": {"kind": "message", "channel": CHANNEL, "next": "s3"},
    "s2": {"kind": "wait", "duration": "1m"},
    "s3": {"kind": "wait_for", "event": "cart", "within": "10m", "timeout": "end"},
}
OFTEN = {
    "name": "cart",
    "owner": "team",
    "description": "x",
    "topic": "offers",
    "entry": {"event": "cart"},
    "lateness": "5m",
    "steps": WAYS,
}


@given(
    st.sampled_from(["never", "always", "10m"]),
    st.sampled_from([None, "key"]),
    st.sampled_from([[], [{"event": "order", "where": {"event": {"value": 2}}}]]),
    st.sampled_from(["91d", "10m"]),
    crossing,
)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_journey_that_hears_everything_comes_to_the_same(
    empty_store: Path, again: str, key: str | None, leaving: Any, over: str, stream: Any
) -> None:
    more = {"reentrance": again, "instance_key": key, "exit": leaving, "time_out": over}
    compare_one(empty_store, Journey.model_validate(OFTEN | more), stream)


CROSSED = [
    (
        0,
        [
            ("event", "anna", "order", 0, {"value": 2, "key": "x"}),
            ("event", "bo", "order", 0, {"value": 1, "key": "x"}),
        ],
    ),
    (
        1,
        [
            ("event", "anna", "cart", 2, {"value": 1, "key": "x"}),
            ("event", "bo", "cart", 2, {"value": 1, "key": "x"}),
        ],
    ),
    (1, [("settle", 1), ("event", "bo", "cart", 0, {"value": 1, "key": "x"})]),
    (9, [("event", "eva", "order", 0, {"value": 1, "key": "x"})]),
]
LEAVING = {"exit": [{"event": "order", "where": {"event": {"value": 2}}}]}


def test_the_comparison_sees_that_nothing_is_told(empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journey = Journey.model_validate(OFTEN | LEAVING)
    compare_one(empty_store, journey, CROSSED)
    monkeypatch.setattr(advancing, "early_events", lambda *_: {})
    with pytest.raises(AssertionError):
        compare_one(empty_store, journey, CROSSED)


def test_killed_between_any_two_statements_nothing_is_lost_and_nothing_told_twice(
    empty_store: Path, tmp_path: Path
) -> None:
    def fresh(name: str) -> Path:
        shutil.copy(empty_store, tmp_path / name)
        return tmp_path / name

    expected, statements = run(fresh("whole"), None, more=OFTEN | LEAVING, stream=CROSSED)
    assert [each[-1] for each in expected["people"].values()].count("exit") == 1
    assert len(expected["messages"]) == 1
    assert expected["early"] == [("eva", 8)]  # of the others no cart can come any more
    for number in range(1, statements + 1):
        found, _ = run(fresh(f"cut{number}"), number, more=OFTEN | LEAVING, stream=CROSSED)
        assert found == expected, f"killed before statement {number} of {statements}"


def test_too_late_is_too_late(world):
    world.start(journey_of(REMIND, **ORDERED))
    told(world, "anna", "order", after=10)
    told(world, "anna", "cart", after=0, came=301)
    assert world.store.journey_positions.of("cart", ["anna"]) == []
    assert world.store.journey_positions.skips("cart") == {JourneySkip.TOO_LATE: 1}
