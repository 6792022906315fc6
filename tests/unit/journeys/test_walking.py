"""Each step at its boundaries: when it is left, which way, and what is told of it."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from tests.unit.journeys.conftest import NOW, journey_of
from tests.unit.journeys.steps import MESSAGE, SECOND, WAIT_FOR

from kundresa.spec.buckets import bucket, weighted_buckets
from kundresa.spec.vocabulary import JourneySkip
from kundresa.store import CallResult


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
