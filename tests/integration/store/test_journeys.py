"""Journeys in the store, on both engines: versions, the one transaction of an advance, messages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError

from kundresa.spec.frozen import FrozenSpec
from kundresa.spec.journey_steps import END
from kundresa.spec.messages import Receipt
from kundresa.spec.vocabulary import DeliveryReason, FeedbackKind, JourneyState, MessageState, Trigger
from kundresa.store import (
    ENTERED,
    Advance,
    Approved,
    Candidate,
    Delayed,
    JourneyMoved,
    JourneyNotFound,
    JourneyStopped,
    MoveRow,
    NewEvent,
    NewFeedback,
    NewMessage,
    NewRun,
    Position,
    Reaction,
    Refused,
    Store,
)
from kundresa.store.inbox_tables import events

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
SPEC, OTHER = FrozenSpec("{}", "a" * 64), FrozenSpec("{1}", "b" * 64)
HOUR = timedelta(hours=1)
RUN = "cart.say--20261123T090000Z"


def event(number: int, kind: str = "cart_updated") -> NewEvent:
    return NewEvent("shop", str(number), kind, "email", f"{number}@shop.example", "{}", NOW, NOW)


def reaction(number: int) -> NewFeedback:
    return NewFeedback(
        feedback_key=f"r{number}",
        kind=FeedbackKind.CLICKED,
        channel="email",
        provider="link",
        occurred_at=NOW,
        received_at=NOW,
    )


def position(profile_id: str, *, step: str | None = "wait", due_at: datetime | None = NOW) -> Position:
    ended = None if step else NOW
    return Position(profile_id, "", 1, 1, step, 1, NOW, NOW, due_at, ended, None, '{"a": 1}')


def message(number: int, profile_id: str = "p1") -> NewMessage:
    ends = NOW + HOUR
    return NewMessage(
        f"m{number}", 1, "say", profile_id, "", 1, number, NOW, ends, "email", RUN, "{}", "offers", None
    )


@pytest.fixture
def started(store: Store) -> Callable[[Advance], None]:
    """Starts the journey ``cart`` and returns what commits an advance of it."""
    store.journeys.start("cart", SPEC, cursor="", at=NOW)

    def commit(advance: Advance) -> None:
        store.journeys.commit("cart", store.journeys.require("cart").generation, advance, at=NOW)

    return commit


def test_starting_begins_after_the_events_of_before_and_is_repeated_for_nothing(store: Store) -> None:
    store.inbox.append([event(1), event(2)])
    first = store.journeys.start("cart", SPEC, cursor="x", at=NOW)
    assert (first.version, first.event_position, first.segment_cursor) == (1, store.inbox.end(), "x")
    assert store.journeys.start("cart", SPEC, cursor="y", at=NOW + HOUR) == store.journeys.require("cart")
    assert store.journeys.require("cart") == first


def test_another_spec_is_another_version_and_the_first_stays(store: Store) -> None:
    store.journeys.start("cart", SPEC, cursor="", at=NOW)
    assert store.journeys.start("cart", OTHER, cursor="", at=NOW + HOUR).version == 2
    assert [each.spec_hash for each in store.journeys.versions("cart")] == [SPEC.hash, OTHER.hash]
    assert [each.version for each in store.journeys.versions("cart", {2})] == [2]


def test_what_happens_while_it_is_held_counts_and_while_discarding_does_not(store: Store) -> None:
    store.journeys.start("cart", SPEC, cursor="", at=NOW)
    store.journeys.pause("cart", JourneyState.HELD, cursor="", at=NOW)
    store.inbox.append([event(1)])
    assert store.journeys.start("cart", SPEC, cursor="z", at=NOW).event_position == 0
    store.journeys.pause("cart", JourneyState.DISCARDING, cursor="", at=NOW)
    store.inbox.append([event(2)])
    resumed = store.journeys.start("cart", SPEC, cursor="z", at=NOW)
    assert (resumed.event_position, resumed.segment_cursor) == (store.inbox.end(), "z")


def test_what_was_discarded_stays_so_when_it_is_held_from_then_on(store: Store) -> None:
    store.journeys.start("cart", SPEC, cursor="", at=NOW)
    store.journeys.pause("cart", JourneyState.DISCARDING, cursor="a", at=NOW)
    store.inbox.append([event(1)])
    store.feedback.record([reaction(1)])
    store.journeys.pause("cart", JourneyState.DISCARDING, cursor="b", at=NOW)
    assert store.journeys.require("cart").event_position == 0
    held = store.journeys.pause("cart", JourneyState.HELD, cursor="c", at=NOW)
    assert (held.event_position, held.segment_cursor) == (store.inbox.end(), "c")
    store.inbox.append([event(2)])
    store.feedback.record([reaction(2)])
    row = store.journeys.start("cart", SPEC, cursor="d", at=NOW)
    assert (row.event_position, row.segment_cursor) == (held.event_position, "c")
    last = held.feedback_position
    some = [Reaction(position, "p1", "", 1, "say", "clicked", NOW) for position in (last - 1, last, last + 1)]
    assert [row.leaves_out(each) for each in some] == [False, True, False]


def test_a_click_that_was_not_known_yet_is_discarded_and_what_was_heard_beside_it_is_not(
    store: Store, started: Callable[[Advance], None]
) -> None:
    """Two came before the pause, of which the journey has heard the second, and one while it discards."""
    for number in (1, 2):
        store.feedback.record([reaction(number)])
    started(Advance(0, "", feedback_position=2, click_position=0))
    store.journeys.pause("cart", JourneyState.DISCARDING, cursor="", at=NOW)
    store.feedback.record([reaction(3)])
    row = store.journeys.start("cart", SPEC, cursor="", at=NOW)
    assert (row.feedback_position, row.click_position) == (3, 3)
    left_out = {
        kind: [
            number
            for number in range(1, 5)
            if row.leaves_out(Reaction(number, "p1", "", 1, "say", kind, NOW))
        ]
        for kind in ("clicked", "delivered")
    }
    assert left_out == {"clicked": [1, 2, 3], "delivered": [3]}


def test_a_version_knows_where_the_inbox_ended_when_it_was_started(store: Store) -> None:
    store.journeys.start("cart", SPEC, cursor="", at=NOW)
    store.inbox.append([event(1), event(2)])
    store.journeys.start("cart", OTHER, cursor="", at=NOW)
    assert [each.event_position for each in store.journeys.versions("cart")] == [0, store.inbox.end()]


def test_stopping_lets_everybody_leave_for_good(store: Store, started: Callable[[Advance], None]) -> None:
    started(Advance(0, "", positions=[position("p1"), position("p2", step=None)], messages=[message(1)]))
    assert store.journeys.stop("cart", at=NOW) == 1
    assert {each.step for each in store.journey_positions.of("cart", ["p1", "p2"])} == {None}
    assert [(each.outcome, each.reason) for each in store.journey_messages.of("p1", "cart")] == [
        ("not_sent", "run_cancelled")
    ]
    with pytest.raises(JourneyStopped):
        store.journeys.start("cart", SPEC, cursor="", at=NOW)
    with pytest.raises(JourneyStopped):
        store.journeys.pause("cart", JourneyState.HELD, cursor="", at=NOW)
    with pytest.raises(JourneyNotFound):
        store.journeys.stop("none", at=NOW)


def test_an_advance_is_written_whole(store: Store, started: Callable[[Advance], None]) -> None:
    started(
        Advance(
            7,
            "later",
            positions=[position("p1"), position("p'2", due_at=NOW + HOUR), position("p3", due_at=None)],
            moves=[MoveRow("p1", "", 1, NOW, "[]")],
            messages=[message(1)],
            traits={("p1", "tier"): ('"gold"', NOW)},
            jumps=[event(9, "jump:other")],
            skips={"too_soon": 2},
            passages=Counter({(ENTERED, ""): 3, ("wait", ""): 3}),
        )
    )
    row = store.journeys.require("cart")
    assert (row.event_position, row.segment_cursor, row.generation) == (7, "later", 1)
    assert store.journey_positions.due("cart", NOW, 10) == [position("p1")]
    assert store.journey_positions.next_due("cart") == NOW
    assert {each.profile_id for each in store.journey_positions.of("cart", ["p'2", "p3", "p9"])} == {
        "p'2",
        "p3",
    }
    assert store.journey_positions.traits(["p1", "p3"], ["tier", "x"]) == {"p1": {"tier": "gold"}}
    assert store.journey_positions.traits(["p1"], []) == {}
    assert [each.moved_at for each in store.journey_positions.moves("cart", "p1")] == [NOW]
    assert [each.event_type for each in store.inbox.after(0, 10)] == ["jump:other"]
    started(Advance(8, "", positions=[replace(position("p1"), step="next")], skips={"too_soon": 3}))
    started(Advance(9, "", passages=Counter({("next", ""): 1, ("wait", ""): 2, (END, "exit"): 1})))
    assert store.journey_positions.skips("cart") == {"too_soon": 5}
    assert store.journey_positions.passages("cart") == {
        (ENTERED, ""): 3,
        ("wait", ""): 5,
        ("next", ""): 1,
        (END, "exit"): 1,
    }
    assert store.journey_positions.passages("other") == {}
    assert [each.step for each in store.journey_positions.of("cart", ["p1"])] == ["next"]
    assert sorted((each.step, each.people) for each in store.journey_positions.counts("cart")) == [
        ("next", 1),
        ("wait", 2),
    ]
    assert {each.since for each in store.journey_positions.counts("cart")} == {NOW}


def test_two_advances_of_one_state_cannot_both_count(store: Store) -> None:
    generation = store.journeys.start("cart", SPEC, cursor="", at=NOW).generation
    store.journeys.commit("cart", generation, Advance(1, ""), at=NOW)
    with pytest.raises(JourneyMoved):
        store.journeys.commit("cart", generation, Advance(2, "", positions=[position("p1")]), at=NOW)
    assert store.journey_positions.of("cart", ["p1"]) == []
    store.journeys.pause("cart", JourneyState.HELD, cursor="", at=NOW)
    with pytest.raises(JourneyMoved):
        store.journeys.commit("cart", store.journeys.require("cart").generation, Advance(2, ""), at=NOW)


def test_an_advance_that_fails_half_way_leaves_nothing(
    store: Store, started: Callable[[Advance], None]
) -> None:
    started(Advance(1, "", messages=[message(1)]))
    with pytest.raises(IntegrityError):
        started(Advance(2, "", positions=[position("p1")], messages=[message(1)]))
    assert store.journeys.require("cart").event_position == 1
    assert store.journey_positions.of("cart", ["p1"]) == []


def test_events_are_read_by_their_types(store: Store) -> None:
    store.inbox.append([event(1), event(2, "order_placed"), event(3)])
    found = store.inbox.after(0, 10, {"order_placed"})
    assert [each.event_id for each in found] == ["2"]
    assert len(store.inbox.after(0, 10)) == 3


def test_a_position_by_when_events_were_received(store: Store) -> None:
    """Also where positions have gaps, as retention leaves them, and where several came at one moment."""
    assert store.inbox.before(NOW) == 0
    store.inbox.append([replace(event(each), received_at=NOW + each // 2 * HOUR) for each in range(20)])
    with store.database.write() as connection:
        connection.execute(delete(events).where(events.c.event_id.in_(["0", "1", "6", "7", "8", "13", "19"])))
    for hours in range(-1, 12):
        moment = NOW + hours * HOUR
        found = store.inbox.before(moment)
        rest = store.inbox.after(found, 100)
        assert all(each.received_at >= moment for each in rest)
        missed = [each for each in store.inbox.after(0, 100) if each.position <= found]
        assert all(each.received_at < moment for each in missed)


@pytest.fixture
def standing(store: Store) -> str:
    store.runs.open_standing(
        NewRun(RUN, "journey:cart", NOW, Trigger.JOURNEY, "{}", "a" * 64, NOW, NOW + 365 * 24 * HOUR)
    )
    return RUN


def test_a_message_goes_its_way_to_its_outcome(
    store: Store, started: Callable[[Advance], None], standing: str
) -> None:
    started(Advance(1, "", messages=[message(number) for number in range(1, 5)]))
    later = NOW + HOUR
    made = store.journey_messages.decide(
        refused=[Refused("m1", "consent_denied")],
        delayed=[Delayed("m2", later)],
        approved={(RUN, "email"): [Approved("m3", '{"x": 1}'), Approved("m4", "{}")]},
        now=NOW,
    )
    assert made == [(RUN, "email", 1)]
    assert [each.message_id for each in store.journey_messages.open("cart", NOW, 10)] == []
    assert store.journey_messages.next_at("cart") == later
    assert [each.message_id for each in store.journey_messages.open("cart", later, 10)] == ["m2"]
    assert [each.row_json for each in store.journey_messages.batch(RUN, 1)] == ['{"x": 1}', "{}"]
    assert store.journey_messages.unfinished([RUN]) == made
    assert store.journey_messages.may_deliver([RUN], NOW)
    held = store.batches.lease(RUN, "email", 1, owner="somebody", seconds=60, now=NOW)
    assert not store.journey_messages.may_deliver([RUN], NOW + timedelta(seconds=59))
    assert store.journey_messages.may_deliver([RUN], NOW + timedelta(seconds=60))
    assert store.journey_messages.may_deliver([RUN], NOW - timedelta(hours=2))  # by a clock that was wrong
    store.batches.release(held)

    lease = store.batches.lease(RUN, "email", 1, owner="anna", seconds=60, now=NOW)
    store.ledger.claim(lease, [Candidate("m3", "p1"), Candidate("m4", "p1")], now=NOW)
    receipts = [
        Receipt("m3", MessageState.ACCEPTED),
        Receipt("m4", MessageState.FAILED, DeliveryReason.ADDRESS_REFUSED),
    ]
    assert store.journey_messages.collect("cart", now=NOW, limit=10) == 0
    store.ledger.settle(lease, receipts, now=later)
    store.batches.finish(lease, at=later)
    assert store.journey_messages.unfinished([RUN]) == []
    assert not store.journey_messages.may_deliver([RUN], later)
    assert store.journey_messages.collect("cart", now=NOW, limit=10) == 2
    known = {each.message_id: each for each in store.journey_messages.known("cart", 10)}
    assert {key: (each.outcome, each.reason, each.at) for key, each in known.items()} == {
        "m1": ("not_sent", "consent_denied", NOW),
        "m3": ("sent", None, later),
        "m4": ("not_sent", "address_refused", later),
    }
    started(Advance(2, "", taken=["m1", "m3"], cancelled=[("p1", "", 1, 2), ("p1", "", 1, 3)]))
    assert [each.message_id for each in store.journey_messages.known("cart", 10)] == ["m4"]
    assert store.journey_messages.counts("cart") == [
        ("say", "not_sent", "address_refused", 1),
        ("say", "not_sent", "consent_denied", 1),
        ("say", "not_sent", "run_cancelled", 1),
        ("say", "sent", None, 1),
    ]


def test_a_delayed_message_that_is_sent_says_so_and_nothing_is_batched_twice(
    store: Store, started: Callable[[Advance], None], standing: str
) -> None:
    started(Advance(1, "", messages=[message(1)]))
    store.journey_messages.decide(refused=[], delayed=[Delayed("m1", NOW)], approved={}, now=NOW)
    approved = {(RUN, "email"): [Approved("m1", "{}")]}
    assert store.journey_messages.decide(refused=[], delayed=[], approved=approved, now=NOW)
    assert store.journey_messages.decide(refused=[], delayed=[], approved=approved, now=NOW) == []
    lease = store.batches.lease(RUN, "email", 1, owner="anna", seconds=60, now=NOW)
    store.ledger.claim(lease, [Candidate("m1", "p1")], now=NOW)
    store.ledger.settle(lease, [Receipt("m1", MessageState.ACCEPTED)], now=NOW)
    store.journey_messages.collect("cart", now=NOW, limit=10)
    assert [each.outcome for each in store.journey_messages.known("cart", 10)] == ["delayed"]
    found = store.journey_messages.get("m1")
    assert found is not None
    assert found.is_delayed
    assert store.journey_messages.get("m9") is None


@pytest.mark.parametrize(
    ("resends", "hours", "collected"), [(False, 0, 1), (True, 0, 0), (True, 1, 0), (True, 1.1, 1)]
)
@pytest.mark.parametrize("is_finished", [False, True])
def test_an_unknown_outcome_is_final_unless_it_is_sent_again(
    store: Store,
    started: Callable[[Advance], None],
    standing: str,
    resends: bool,
    hours: float,
    collected: int,
    is_finished: bool,
) -> None:
    started(Advance(1, "", messages=[message(1)]))
    store.journey_messages.decide(
        refused=[], delayed=[], approved={(RUN, "email"): [Approved("m1", "{}")]}, now=NOW
    )
    lease = store.batches.lease(RUN, "email", 1, owner="anna", seconds=1, now=NOW)
    store.ledger.claim(lease, [Candidate("m1", "p1")], now=NOW)
    again = store.batches.lease(RUN, "email", 1, owner="bo", seconds=1, now=NOW + HOUR)
    store.ledger.recover(again, now=NOW + HOUR, resends=resends)
    assert store.journey_messages.may_deliver([RUN], NOW + 2 * HOUR)
    if is_finished:
        store.batches.finish(again, at=NOW + HOUR)
        collected = 1
    found = store.journey_messages.collect("cart", now=NOW + hours * HOUR, limit=9)
    assert found == collected
    expected = [("not_sent", "outcome_unknown")] if collected else []
    assert [(each.outcome, each.reason) for each in store.journey_messages.known("cart", 9)] == expected


def test_standing_runs_are_in_no_list_of_campaigns_runs(store: Store, standing: str) -> None:
    assert store.runs.require(standing).state == "checked"
    assert store.runs.list() == []
    assert store.runs.unfinished() == store.runs.unaccounted() == store.runs.valid_since(NOW) == ()


def test_who_ended_long_ago_is_forgotten_and_who_is_inside_is_not(
    store: Store, started: Callable[[Advance], None]
) -> None:
    old = [replace(position(f"p{each}", step=None, due_at=None), ended_at=NOW - HOUR) for each in range(5)]
    started(Advance(1, "", positions=[*old, position("inside"), position("new", step=None, due_at=None)]))
    assert store.retention.forget_positions("cart", NOW, chunk=2) == 5
    left = store.journey_positions.of("cart", ["inside", "new", *(each.profile_id for each in old)])
    assert {each.profile_id for each in left} == {"inside", "new"}
    assert [each.journey for each in store.journeys.all()] == ["cart"]


def test_old_moves_are_forgotten_a_little_at_a_time(store: Store, started: Callable[[Advance], None]) -> None:
    old = [MoveRow("p1", "", 1, NOW - HOUR, "[]") for _ in range(5)]
    started(Advance(1, "", moves=[*old, MoveRow("p1", "", 1, NOW, "[]")]))
    assert store.retention.forget_moves(NOW, chunk=2) == 5
    assert len(store.journey_positions.moves("cart", "p1")) == 1
