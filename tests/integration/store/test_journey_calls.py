"""The calls of journeys in the store, on both engines: claimed, settled, taken up after a crash."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kundresa.spec.frozen import FrozenSpec
from kundresa.store import Advance, CallResult, NewCall, Store

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def call(name: str, profile_id: str = "p1") -> NewCall:
    return NewCall(name, 1, "ask", profile_id, "", 1, int(name[1:]), NOW, NOW + HOUR, "{}")


@pytest.fixture
def started(store: Store) -> Callable[..., None]:
    store.journeys.start("cart", FrozenSpec("{}", "a" * 64), cursor="", at=NOW)

    def commit(*some: NewCall, **changes: Any) -> None:
        generation = store.journeys.require("cart").generation
        store.journeys.commit("cart", generation, Advance(1, "", calls=[*some], **changes), at=NOW)

    return commit


def claim(store: Store, owner: str, at: datetime = NOW) -> dict[str, int]:
    found = store.journey_calls.claim("cart", owner, now=at, until=at + MINUTE, limit=2)
    return {each.call_id: each.attempts for each in found}


def test_a_call_is_made_by_one_worker_until_its_claim_runs_out(
    store: Store, started: Callable[..., None]
) -> None:
    started(call("c1"), call("c2"), call("c3"))
    assert claim(store, "anna") == {"c1": 1, "c2": 1}
    assert claim(store, "bo") == {"c3": 1}
    assert claim(store, "eva") == {}
    assert store.journey_calls.next_at("cart") == NOW + MINUTE
    # Anna was killed: what she had is made again, by whoever comes.
    again = claim(store, "bo", NOW + MINUTE)
    assert set(again.values()) == {2}
    late = [CallResult(name, "answered", response_json="{}") for name in again]
    assert store.journey_calls.settle("anna", late, now=NOW + MINUTE) == 0
    assert store.journey_calls.settle("bo", late, now=NOW + MINUTE) == 2


def test_an_answer_is_told_once(store: Store, started: Callable[..., None]) -> None:
    started(call("c1"), call("c2", "p'2"))
    claim(store, "anna")
    results = [
        CallResult("c1", "answered", response_json='{"x": 1}', code="HTTP 200"),
        CallResult("c2", "failed", "message_refused", code="HTTP 400", detail="no"),
    ]
    assert store.journey_calls.settle("anna", results, now=NOW + MINUTE) == 2
    assert store.journey_calls.settle("anna", results, now=NOW + HOUR) == 0
    known = {each.call_id: each for each in store.journey_calls.known("cart", 10)}
    assert (known["c1"].response_json, known["c1"].at) == ('{"x": 1}', NOW + MINUTE)
    assert (known["c2"].outcome, known["c2"].reason) == ("failed", "message_refused")
    started(answered=["c1"])
    assert [each.call_id for each in store.journey_calls.known("cart", 10)] == ["c2"]
    assert store.journey_calls.counts("cart") == [
        ("ask", "answered", None, 1),
        ("ask", "failed", "message_refused", 1),
    ]
    assert [each["detail"] for each in store.journey_calls.of("p'2", "cart")] == ["no"]


def test_one_that_is_made_again_waits_until_then(store: Store, started: Callable[..., None]) -> None:
    started(call("c1"))
    claim(store, "anna")
    later = [CallResult("c1", retry_at=NOW + HOUR, code="HTTP 503")]
    assert store.journey_calls.settle("anna", later, now=NOW) == 0
    assert store.journey_calls.next_at("cart") == NOW + HOUR
    assert claim(store, "bo", NOW + HOUR - MINUTE) == {}
    assert claim(store, "bo", NOW + HOUR) == {"c1": 2}


def test_who_leaves_and_who_is_stopped_is_not_called_about(
    store: Store, started: Callable[..., None]
) -> None:
    started(call("c1"), call("c2"))
    started(cancelled_calls=[("p1", "", 1, 1)])
    store.journeys.stop("cart", at=NOW)
    assert claim(store, "anna") == {}
    assert {each["reason"] for each in store.journey_calls.of("p1", "cart")} == {"run_cancelled"}


def test_old_calls_are_forgotten_and_those_under_way_are_not(
    store: Store, started: Callable[..., None]
) -> None:
    started(*(call(f"c{number}") for number in range(4)))
    started(cancelled_calls=[("p1", "", 1, move) for move in range(3)])
    assert store.retention.forget_calls(NOW, chunk=2) == 0
    assert store.retention.forget_calls(NOW + MINUTE, chunk=2) == 3
    assert [each["call_id"] for each in store.journey_calls.of("p1", "cart")] == ["c3"]
