"""Tests of journeys in the store, on both engines."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from kundresa.spec.frozen import FrozenSpec
from kundresa.spec.vocabulary import FeedbackKind, JourneyState
from kundresa.store import (
    Advance,
    Approved,
    JourneyNotFound,
    JourneyTestUnderWay,
    NewEvent,
    NewFeedback,
    NewMessage,
    Store,
    open_store,
)
from kundresa.store.migrate import HEAD, downgrade, upgrade

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
DAY = timedelta(days=1)
SPEC = FrozenSpec("{}", "a" * 64)
TEST = "cart-test1"


def begin(store: Store, journey: str = "cart", *people: str) -> str:
    made = store.journey_tests.begin(
        journey, people or ("p1",), SPEC, longest_wait=timedelta(seconds=10), cursor="c", at=NOW
    )
    return made.test


def message(name: str, run_key: str = "r") -> NewMessage:
    told = (NOW, NOW + DAY, "email", run_key, "{}", "offers", None)
    return NewMessage(name, 1, "say", "p1", "", 1, 1, *told)


def sent(store: Store, journey: str, name: str) -> None:
    """A message that counts, as far as it may."""
    generation = store.journeys.require(journey).generation
    store.journeys.commit(journey, generation, Advance(1, "", messages=[message(name)]), at=NOW)
    approved = {("r", "email"): [Approved(name, "{}")]}
    store.journey_messages.decide(refused=[], delayed=[], approved=approved, now=NOW)


@pytest.fixture
def event() -> NewEvent:
    return NewEvent("shop", "1", "cart", "email", "anna", "{}", NOW, NOW)


def test_a_test_is_a_journey_from_the_end_of_the_inbox_on(store: Store, event: NewEvent) -> None:
    store.inbox.append([event])
    assert begin(store, "cart", "p2", "p1") == TEST
    row = store.journeys.require(TEST)
    assert (row.state, row.version, row.segment_cursor) == (JourneyState.RUNNING, 1, "c")
    assert row.event_position == store.inbox.end()
    [version] = store.journeys.versions(TEST)
    assert (version.longest_wait, version.event_position, version.spec_json) == (
        10,
        row.event_position,
        "{}",
    )
    test = store.journey_tests.get(TEST)
    assert test is not None
    assert (test.journey, test.number, test.people) == ("cart", 1, frozenset({"p1", "p2"}))
    assert (test.began_at, test.ended_at) == (NOW, None)
    assert store.journey_tests.get("cart") is None
    with pytest.raises(JourneyNotFound):
        store.journeys.require("cart")


def test_one_is_under_way_at_a_time_and_its_end_is_kept(store: Store) -> None:
    begin(store)
    begin(store, "other")
    with pytest.raises(JourneyTestUnderWay):
        begin(store)
    assert [each.test for each in store.journey_tests.under_way()] == [TEST, "other-test1"]
    store.journeys.stop(TEST, at=NOW + DAY)
    store.journeys.stop(TEST, at=NOW + 2 * DAY)
    assert [each.test for each in store.journey_tests.under_way("cart")] == []
    found = store.journey_tests.latest("cart")
    assert found is not None
    assert found.ended_at == NOW + DAY
    assert begin(store) == "cart-test2"
    assert store.journey_tests.latest("none") is None


def test_of_two_that_begin_one_at_once_one_has_it(store_url: str, store: Store) -> None:
    """Through stores of their own, as two commands have them."""

    def one(_: int) -> str | None:
        with open_store(store_url) as own:
            try:
                return begin(own)
            except JourneyTestUnderWay:
                return None

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(one, range(4)))
    assert sorted(each or "" for each in found) == ["", "", "", TEST]
    assert [row.journey for row in store.journeys.all(with_tests=True)] == [TEST]


def test_what_a_test_sends_counts_nowhere(store: Store, new_run: Callable[..., Any]) -> None:
    store.runs.open(new_run("r"))
    store.journeys.start("cart", SPEC, cursor="", at=NOW)
    begin(store)
    sent(store, TEST, "m-test")
    accounts = store.journey_accounts
    assert accounts.counted(["p1"], NOW - DAY) == []
    assert accounts.counted_between(NOW - DAY, NOW + DAY, channels=["email"]) == 0
    sent(store, "cart", "m")
    assert [each.message_id for each in accounts.counted(["p1"], NOW - DAY)] == ["m"]
    assert accounts.counted_between(NOW - DAY, NOW + DAY, channels=["email"]) == 1
    lines = [row for page in accounts.reached(TEST, NOW, NOW + DAY) for row in page]
    assert [row["is_counted"] for row in lines] == [False]


def test_what_comes_back_about_a_test_is_not_told_to_the_warehouse(
    store: Store, new_run: Callable[..., Any]
) -> None:
    store.runs.open(new_run("r"))
    store.journeys.start("cart", SPEC, cursor="", at=NOW)
    begin(store)
    sent(store, TEST, "m-test")
    sent(store, "cart", "m")
    told = [
        NewFeedback(
            feedback_key=f"{number}",
            kind=FeedbackKind.CLICKED,
            channel="email",
            provider="link",
            occurred_at=NOW,
            received_at=NOW,
            message_id=about,
        )
        for number, about in enumerate(("m-test", "m", None))
    ]
    store.feedback.record(told)
    assert [row["message_id"] for row in store.feedback.all_rows()] == ["m", None]
    assert len(list(store.feedback.rows(NOW, NOW + DAY))) == 3


def test_a_trait_of_a_test_is_its_own_and_the_newest_counts(store: Store) -> None:
    store.journeys.start("cart", SPEC, cursor="", at=NOW)
    begin(store)

    def put(journey: str, value: str, at: datetime) -> None:
        generation = store.journeys.require(journey).generation
        traits = {("p1", "level"): (value, at)}
        store.journeys.commit(journey, generation, Advance(1, "", traits=traits), at=NOW)

    traits = store.journey_positions.traits
    put("cart", "1", NOW)
    put(TEST, "3", NOW + DAY)
    put(TEST, "2", NOW)
    assert traits(["p1"], ["level"]) == {"p1": {"level": 1}}
    assert traits(["p1"], ["level"], journey="cart") == {"p1": {"level": 1}}
    assert traits(["p1"], ["level"], journey=TEST) == {"p1": {"level": 3}}
    generation = store.journeys.require(TEST).generation
    store.journey_merges.merge(TEST, generation, {"p1": "p9"}, at=NOW)
    assert traits(["p1", "p9"], ["level"], journey=TEST) == {"p9": {"level": 3}}
    store.journeys.stop(TEST, at=NOW)
    assert traits(["p9"], ["level"], journey=TEST) == {"p9": {"level": 1}}


def test_messages_of_before_are_of_no_test(store: Store, new_run: Callable[..., Any]) -> None:
    store.runs.open(new_run("r"))
    store.journeys.start("cart", SPEC, cursor="", at=NOW)
    sent(store, "cart", "m")
    downgrade(store.database, "0024")
    upgrade(store.database, HEAD)
    with store.database.read() as connection:
        assert connection.execute(text("select is_test from journey_messages")).scalars().all() == [0]
    assert store.journey_accounts.counted_between(NOW - DAY, NOW + DAY, channels=["email"]) == 1
    assert store.journeys.versions("cart")[0].longest_wait is None
