"""Entries that were asked for by name, on both engines: each request once, whole or not at all."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from kundresa.spec.frozen import FrozenSpec
from kundresa.spec.vocabulary import JourneyState
from kundresa.store import (
    Advance,
    JourneyMoved,
    JourneyNotFound,
    MessageRequest,
    NewMessage,
    Position,
    Store,
)

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
SPEC, OTHER = FrozenSpec("{}", "a" * 64), FrozenSpec("{1}", "b" * 64)
HOUR = timedelta(hours=1)


def request(number: int, **changes: object) -> MessageRequest:
    made = MessageRequest(f"r{number}", "shop", str(number), "h", "cart", "p1", None, None, NOW)
    return replace(made, **changes)  # type: ignore[arg-type]


def entry(number: int, *, message_id: str | None = None) -> Advance:
    key = f"r{number}"
    message = NewMessage(
        message_id or f"m{number}",
        1,
        "say",
        "p1",
        key,
        1,
        1,
        NOW,
        NOW + HOUR,
        "email",
        "run",
        "{}",
        "t",
        None,
    )
    position = Position("p1", key, 1, 1, "say", 1, NOW, NOW, NOW + HOUR, None, None, "{}")
    return Advance(0, "", positions=[position], messages=[message])


@pytest.fixture
def cart(store: Store) -> Store:
    """The journey ``cart`` runs."""
    store.journeys.start("cart", SPEC, cursor="", at=NOW)
    return store


def test_a_request_counts_once_with_all_that_it_comes_to(cart: Store) -> None:
    assert cart.journeys.enter("cart", 1, [(request(1), entry(1))], at=NOW) == {"r1"}
    both = [(request(1, content_hash="other"), entry(1)), (request(2), entry(2))]
    assert cart.journeys.enter("cart", 1, both, at=NOW + HOUR) == {"r2"}
    assert cart.message_requests.of(["r1", "r2", "r3"]) == {"r1": request(1), "r2": request(2)}
    assert sorted(each.instance_key for each in cart.journey_positions.of("cart", ["p1"])) == ["r1", "r2"]
    assert cart.journey_messages.counts("cart") == [("say", None, None, 2)]


@pytest.mark.parametrize("state", [JourneyState.HELD, JourneyState.DISCARDING, JourneyState.STOPPED])
def test_nobody_enters_what_does_not_run(cart: Store, state: JourneyState) -> None:
    if state is JourneyState.STOPPED:
        cart.journeys.stop("cart", at=NOW)
    else:
        cart.journeys.pause("cart", state, cursor="", at=NOW)
    with pytest.raises(JourneyMoved):
        cart.journeys.enter("cart", 1, [(request(1), entry(1))], at=NOW)
    assert cart.message_requests.of(["r1"]) == {}


def test_nobody_enters_on_a_version_of_before(cart: Store) -> None:
    cart.journeys.start("cart", OTHER, cursor="", at=NOW)
    with pytest.raises(JourneyMoved):
        cart.journeys.enter("cart", 1, [(request(1), entry(1))], at=NOW)
    with pytest.raises(JourneyMoved):
        cart.journeys.enter("never_started", 1, [(request(1), entry(1))], at=NOW)
    with pytest.raises(JourneyNotFound):
        cart.journeys.require("never_started")
    assert cart.journey_positions.of("cart", ["p1"]) == []


def test_an_entry_that_fails_half_way_leaves_nothing(cart: Store) -> None:
    cart.journeys.enter("cart", 1, [(request(1), entry(1))], at=NOW)
    some = [(request(2), entry(2)), (request(3), entry(3, message_id="m1"))]
    with pytest.raises(IntegrityError):
        cart.journeys.enter("cart", 1, some, at=NOW)
    assert [*cart.message_requests.of(["r1", "r2", "r3"])] == ["r1"]
    assert [each.instance_key for each in cart.journey_positions.of("cart", ["p1"])] == ["r1"]


def test_an_advance_that_was_read_before_still_counts(cart: Store) -> None:
    """Nothing that it has read is changed by an entry under a new key."""
    read = cart.journeys.require("cart")
    cart.journeys.enter("cart", 1, [(request(1), entry(1))], at=NOW)
    other = Position("p1", "", 1, 1, "say", 1, NOW, NOW, None, None, None, "{}")
    cart.journeys.commit("cart", read.generation, Advance(0, "", positions=[other]), at=NOW)
    assert sorted(each.instance_key for each in cart.journey_positions.of("cart", ["p1"])) == ["", "r1"]


def test_only_requests_that_say_where_are_asked_about_it(cart: Store) -> None:
    there = request(2, channel="email", address="a@x.example")
    cart.journeys.enter("cart", 1, [(request(1), entry(1)), (there, entry(2))], at=NOW)
    assert cart.message_requests.addressed(["r1", "r2", "order-4711"]) == {"r2": there}


def test_requests_are_forgotten_a_little_at_a_time_with_where_they_had_led(cart: Store) -> None:
    for number in range(5):
        asked = (request(number, requested_at=NOW + number * HOUR), entry(number))
        cart.journeys.enter("cart", 1, [asked], at=NOW)
    ended = [
        Position("p1", f"r{number}", 1, 1, None, 2, NOW, NOW, None, NOW, "finished", "{}")
        for number in (0, 1, 3)
    ]
    cart.journeys.commit("cart", 0, Advance(0, "", positions=ended), at=NOW)
    assert cart.retention.forget_requests(NOW + 3 * HOUR, chunk=1) == 2
    left = cart.message_requests.of([f"r{number}" for number in range(5)])
    assert sorted(left) == ["r2", "r3", "r4"]  # one is inside, one too young and over, one both
    assert sorted(each.instance_key for each in cart.journey_positions.of("cart", ["p1"])) == [
        "r2",
        "r3",
        "r4",
    ]
    assert cart.journey_messages.counts("cart") == [("say", None, None, 5)]
