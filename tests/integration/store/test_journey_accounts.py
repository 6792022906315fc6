"""Journeys' messages as caps and the warehouse count them, on both engines."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, text

from kundresa.spec.frozen import FrozenSpec
from kundresa.spec.messages import Receipt
from kundresa.spec.vocabulary import DeliveryReason, FeedbackKind, MessageState, Trigger
from kundresa.store import (
    Advance,
    Approved,
    Candidate,
    Delayed,
    NewFeedback,
    NewMessage,
    NewRun,
    Refused,
    Store,
    open_store,
)
from kundresa.store.engine import Database
from kundresa.store.migrate import HEAD, downgrade, upgrade

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MIDNIGHT = datetime(2026, 11, 23, tzinfo=UTC)
RUN = "cart.say--20261123T090000Z"


def message(name: str, profile_id: str = "p1", at: datetime = NOW) -> NewMessage:
    return NewMessage(name, 1, "say", profile_id, "", 1, 2, at, at + DAY, "email", RUN, "{}", "offers", None)


@pytest.fixture
def started(store: Store) -> Callable[..., None]:
    """``started(*messages)``: somebody has come to these."""
    store.journeys.start("cart", FrozenSpec("{}", "a" * 64), cursor="", at=NOW)
    store.runs.open_standing(
        NewRun(RUN, "journey cart", NOW, Trigger.JOURNEY, "{}", "a" * 64, NOW, NOW + 365 * DAY)
    )

    def commit(*some: NewMessage, **changes: Any) -> None:
        generation = store.journeys.require("cart").generation
        messages = [replace(each, entry=number) for number, each in enumerate(some, 1)]
        store.journeys.commit("cart", generation, Advance(1, "", messages=messages, **changes), at=NOW)

    return commit


def approve(store: Store, *names: str, at: datetime = NOW) -> None:
    approved = {(RUN, "email"): [Approved(name, "{}") for name in names]}
    store.journey_messages.decide(refused=[], delayed=[], approved=approved, now=at)


def counted(store: Store, *people: str, since: datetime = MIDNIGHT) -> dict[str, datetime]:
    found = store.journey_accounts.counted(people or ("p1",), since)
    assert all(each.topic for each in found)
    return {each.message_id: each.send_at for each in found}


def read(store: Store, **how: int) -> dict[str, dict[str, Any]]:
    pages = store.journey_accounts.reached("cart", MIDNIGHT, MIDNIGHT + DAY, **how)
    return {row["message_id"]: row for page in pages for row in page}


def test_a_message_counts_from_its_decision_on_until_it_fails(
    store: Store, started: Callable[..., None]
) -> None:
    started(*(message(name) for name in ("undecided", "refused", "quiet", "sent", "failed", "lost")))
    assert counted(store) == {}
    store.journey_messages.decide(
        refused=[Refused("refused", "capped", "weekly")],
        delayed=[Delayed("quiet", NOW + HOUR)],
        approved={},
        now=NOW,
    )
    approve(store, "sent", "failed", "lost")
    reserved = {"quiet": NOW + HOUR, "sent": NOW, "failed": NOW, "lost": NOW}
    assert counted(store) == reserved
    lease = store.batches.lease(RUN, "email", 1, owner="anna", seconds=60, now=NOW)
    store.ledger.claim(lease, [Candidate(name, "p1") for name in ("sent", "failed", "lost")], now=NOW)
    store.ledger.settle(
        lease,
        [
            Receipt("sent", MessageState.ACCEPTED),
            Receipt("failed", MessageState.FAILED, DeliveryReason.ADDRESS_REFUSED),
            Receipt("lost", MessageState.UNKNOWN, DeliveryReason.OUTCOME_UNKNOWN),
        ],
        now=NOW + HOUR,
    )
    store.journey_messages.collect("cart", now=NOW, limit=10)
    del reserved["failed"]
    # Who may have got it has had it.
    assert counted(store) == reserved
    assert counted(store, "p2") == {}
    assert counted(store, since=NOW + HOUR) == {"quiet": NOW + HOUR}
    # Who leaves while it waits does not get it.
    started(cancelled=[("p1", "", 3, 2)])
    assert counted(store, since=NOW + HOUR) == {}
    [refused] = [each for each in store.journey_messages.of("p1", "cart") if each.message_id == "refused"]
    assert (refused.reason, refused.cap, refused.send_at) == ("capped", "weekly", None)


def test_a_message_that_is_reported_delivered_was_sent_and_is_exported_again(
    store: Store, started: Callable[..., None]
) -> None:
    started(message("lost"), message("early"))
    approve(store, "lost", "early")
    lease = store.batches.lease(RUN, "email", 1, owner="anna", seconds=60, now=NOW)
    store.ledger.claim(lease, [Candidate(name, "p1") for name in ("lost", "early")], now=NOW)
    receipts = [
        Receipt(name, MessageState.UNKNOWN, DeliveryReason.OUTCOME_UNKNOWN) for name in ("lost", "early")
    ]
    store.ledger.settle(lease, receipts, now=NOW)

    def told(name: str) -> NewFeedback:
        return NewFeedback(
            feedback_key=name,
            kind=FeedbackKind.DELIVERED,
            channel="email",
            provider="esp",
            occurred_at=NOW,
            received_at=NOW,
            message_id=name,
        )

    store.feedback.record([told("early")])
    store.journey_messages.collect("cart", now=NOW, limit=10)
    assert {each.message_id: each.outcome for each in store.journey_messages.of("p1", "cart")} == {
        "lost": "not_sent",
        "early": "sent",
    }
    read(store)
    store.journey_accounts.written("cart", MIDNIGHT, MIDNIGHT + DAY)
    assert store.journey_accounts.changed_from("cart", None) is None
    store.feedback.record([told("lost")])
    assert store.journey_accounts.changed_from("cart", None) == NOW
    known = {each.message_id: (each.outcome, each.reason) for each in store.journey_messages.of("p1", "cart")}
    assert known == {"lost": ("sent", None), "early": ("sent", None)}
    assert {row["message_state"] for row in read(store).values()} == {"accepted"}
    [line] = store.journey_accounts.of_run(RUN).lines
    assert (line.outcome, line.state, line.messages) == ("sent", "accepted", 2)


def test_what_leaves_in_a_time_is_counted_by_channel_and_domains(
    store: Store, started: Callable[..., None]
) -> None:
    names = ("first", "late", "next_day", "held", "failed", "refused", "open", "elsewhere", "text")
    started(*(replace(message(name), channel="sms" if name == "text" else "email") for name in names))
    to = {"sender_domain": "new.example", "address_domain": "gmail.com"}
    other = to | {"address_domain": "x.example"}
    store.journey_messages.decide(
        refused=[Refused("refused", "over_capacity", capacity="desk")],
        delayed=[
            Delayed("late", MIDNIGHT + DAY - timedelta(microseconds=1), **to, capacity="desk"),
            Delayed("next_day", MIDNIGHT + DAY, **to),
            Delayed("held", NOW, **other),
        ],
        approved={
            (RUN, "email"): [
                Approved("first", "{}", **to),
                Approved("failed", "{}", **to),
                Approved("elsewhere", "{}", sender_domain="old.example", address_domain="gmail.com"),
            ],
            (RUN, "sms"): [Approved("text", "{}")],
        },
        now=NOW,
    )
    lease = store.batches.lease(RUN, "email", 1, owner="anna", seconds=60, now=NOW)
    store.ledger.claim(lease, [Candidate("failed", "p1")], now=NOW)
    store.ledger.settle(
        lease, [Receipt("failed", MessageState.FAILED, DeliveryReason.ADDRESS_REFUSED)], now=NOW
    )
    store.journey_messages.collect("cart", now=NOW, limit=10)

    def counted_today(*channels: str, **which: Any) -> int:
        accounts = store.journey_accounts
        return accounts.counted_between(MIDNIGHT, MIDNIGHT + DAY, channels=channels, **which)

    assert counted_today("email") == 4  # first, late, held, elsewhere
    assert counted_today("sms") == 1
    assert counted_today("email", "sms", "push") == 5
    google: dict[str, Any] = {"sender_domain": "new.example", "address_domains": ["gmail.com"]}
    assert counted_today("email", **google) == 2
    assert counted_today("email", **google, is_other=True) == 1
    assert counted_today("email", sender_domain="new.example", is_other=True) == 3
    assert counted_today("email", **google | {"address_domains": []}) == 0
    told = {each.message_id: each for each in store.journey_messages.of("p1", "cart")}
    assert (told["late"].capacity, told["refused"].capacity, told["first"].capacity) == ("desk", "desk", None)
    assert (told["late"].sender_domain, told["late"].address_domain) == ("new.example", "gmail.com")
    # What has waited for room still says so when it leaves.
    approved = {(RUN, "email"): [Approved("late", "{}", **to)]}
    store.journey_messages.decide(refused=[], delayed=[], approved=approved, now=MIDNIGHT + DAY)
    assert counted_today("email") == 3
    [late] = [each for each in store.journey_messages.of("p1", "cart") if each.message_id == "late"]
    assert (late.capacity, late.is_delayed) == ("desk", True)


def test_what_is_asked_often_is_read_from_the_index_that_was_made_for_it(
    store: Store, started: Callable[..., None]
) -> None:
    started(message("m1"))
    if not store.database.is_sqlite:
        pytest.skip("PostgreSQL reads a table of one row whatever its indexes are")
    asked: list[tuple[str, Any]] = []
    event.listen(
        store.database.engine, "before_cursor_execute", lambda *given: asked.append((given[2], given[3]))
    )

    def plan() -> str:
        [(statement, given)] = [each for each in asked if each[0].startswith("SELECT")]
        with store.database.read() as connection:
            return str(connection.exec_driver_sql("explain query plan " + statement, given).all())

    store.journey_accounts.counted_between(MIDNIGHT, NOW, channels=["email"])
    assert "COVERING INDEX ix_journey_messages_counted" in plan()
    for since in (None, MIDNIGHT):
        asked.clear()
        assert store.journey_accounts.changed_from("cart", since) == NOW
        assert "ix_journey_messages_unexported" in plan()


def test_what_is_put_off_is_looked_at_again_and_holds_nothing(
    store: Store, started: Callable[..., None]
) -> None:
    started(message("m1"))
    store.journey_messages.decide(refused=[], delayed=[], approved={}, put_off={"m1": NOW + HOUR}, now=NOW)
    assert store.journey_messages.open("cart", NOW, 10) == []
    [later] = store.journey_messages.open("cart", NOW + HOUR, 10)
    assert (later.is_delayed, later.send_at) == (False, None)


def test_a_day_is_read_with_its_ledger_page_by_page(store: Store, started: Callable[..., None]) -> None:
    ends = MIDNIGHT + DAY
    within = [message(f"m{number}", at=MIDNIGHT) for number in range(5)]
    started(*within, message("last", at=ends - timedelta(microseconds=1)), message("next", at=ends))
    approve(store, "m0")
    lease = store.batches.lease(RUN, "email", 1, owner="anna", seconds=60, now=NOW)
    store.ledger.claim(lease, [Candidate("m0", "p1")], now=NOW)
    store.ledger.settle(lease, [Receipt("m0", MessageState.ACCEPTED, provider_id="42")], now=NOW + HOUR)
    rows = read(store, chunk=2)
    assert sorted(rows) == ["last", *(f"m{number}" for number in range(5))]
    sent = rows["m0"]
    assert (sent["message_state"], sent["provider_id"], sent["left_at"]) == ("accepted", "42", NOW + HOUR)
    assert (sent["topic"], sent["send_at"], bool(sent["is_counted"])) == ("offers", NOW, True)
    assert (rows["m1"]["message_state"], rows["m1"]["send_at"]) == (None, None)


def test_what_changes_while_a_day_is_written_is_written_again(
    store: Store, started: Callable[..., None]
) -> None:
    started(message("m1"), message("m2"), message("old", at=NOW - DAY), message("new", at=NOW + DAY))
    accounts = store.journey_accounts
    assert accounts.changed_from("cart", None) == NOW - DAY
    assert accounts.changed_from("cart", MIDNIGHT) == NOW
    assert len(read(store)) == 2
    approve(store, "m2")  # between reading and writing
    accounts.written("cart", MIDNIGHT, MIDNIGHT + DAY, chunk=1)
    assert accounts.changed_from("cart", MIDNIGHT) == NOW
    assert read(store)["m2"]["send_at"] == NOW
    accounts.written("cart", MIDNIGHT, MIDNIGHT + DAY)
    # The other days are as they were.
    assert accounts.changed_from("cart", MIDNIGHT) == NOW + DAY
    assert accounts.changed_from("cart", None) == NOW - DAY
    # A day that was read and, by a crash, not written is read again.
    assert len(read(store)) == 2
    started(cancelled=[("p1", "", 1, 2)])
    assert accounts.changed_from("cart", MIDNIGHT) == NOW
    assert read(store)["m1"]["reason"] == "run_cancelled"


def test_each_step_of_a_messages_way_is_news(store: Store, started: Callable[..., None]) -> None:
    accounts = store.journey_accounts

    def is_news() -> bool:
        found = accounts.changed_from("cart", None) is not None
        read(store)
        accounts.written("cart", MIDNIGHT, MIDNIGHT + DAY)
        assert accounts.changed_from("cart", None) is None
        return found

    started(message("m1"), message("m2"))
    assert is_news()
    store.journey_messages.decide(refused=[], delayed=[Delayed("m1", NOW + HOUR)], approved={}, now=NOW)
    assert is_news()
    store.journey_messages.decide(refused=[Refused("m2", "suppressed")], delayed=[], approved={}, now=NOW)
    assert is_news()
    approve(store, "m1")
    assert is_news()
    lease = store.batches.lease(RUN, "email", 1, owner="anna", seconds=60, now=NOW)
    store.ledger.claim(lease, [Candidate("m1", "p1")], now=NOW)
    store.ledger.settle(lease, [Receipt("m1", MessageState.ACCEPTED)], now=NOW)
    store.journey_messages.collect("cart", now=NOW, limit=10)
    assert is_news()
    # Acted on: the account says nothing else than before.
    started(taken=["m1", "m2"])
    assert not is_news()


def test_of_a_stopped_journey_what_had_not_left_is_not_sent(
    store: Store, started: Callable[..., None]
) -> None:
    started(*(message(name) for name in ("waiting", "deferred", "left", "claimed")))
    approve(store, "waiting", "deferred", "left", "claimed")
    lease = store.batches.lease(RUN, "email", 1, owner="anna", seconds=60, now=NOW)
    store.ledger.claim(lease, [Candidate(name, "p1") for name in ("deferred", "left", "claimed")], now=NOW)
    deferred = replace(
        Receipt("deferred", MessageState.DEFERRED, DeliveryReason.TEMPORARY_FAILURE), retry_at=NOW + HOUR
    )
    store.ledger.settle(lease, [deferred, Receipt("left", MessageState.ACCEPTED)], now=NOW)
    assert store.journey_accounts.cancel_unsent("cart", at=NOW) == 2
    assert set(counted(store)) == {"left", "claimed"}
    assert read(store)["waiting"]["reason"] == "run_cancelled"


def test_what_was_there_before_gets_its_topic_and_its_time(empty_url: str) -> None:
    spec = {
        "spec": {
            "topic": "offers",
            "steps": [
                ["say", {"kind": "message", "topic": None}],
                ["also", {"kind": "message", "topic": "news"}],
                ["rest", {"kind": "wait"}],
            ],
        },
        "templates": {},
    }
    states = {
        "open": ("say", "open", None, None, 0),
        "quiet": ("say", "open", None, None, 1),
        "batched": ("also", "batched", None, None, 0),
        "sent": ("also", "over", "sent", None, 0),
        "refused": ("say", "over", "not_sent", "consent_denied", 0),
        "lost": ("say", "over", "not_sent", "outcome_unknown", 0),
    }
    with open_store(empty_url) as store:
        database: Database = store.database
        downgrade(database, "0008")
        with database.write() as connection:
            connection.execute(
                text("insert into journey_versions values ('cart', 1, :spec, 'h', :at)"),
                {"spec": json.dumps(spec), "at": "2026-11-23 09:00:00+00:00"},
            )
            for name, (step, state, outcome, reason, is_delayed) in states.items():
                connection.execute(
                    text(
                        "insert into journey_messages (message_id, journey, version, step, profile_id, "
                        "instance_key, entry, move, state, reached_at, valid_until, not_before, is_delayed, "
                        "channel, event_json, outcome, reason, settled_at) values (:id, 'cart', 1, :step, "
                        "'p1', '', 1, 1, :state, :at, :at, :at, :delayed, 'email', '{}', :outcome, :reason, "
                        ":settled)"
                    ),
                    {
                        "id": name,
                        "step": step,
                        "state": state,
                        "at": "2026-11-23 09:00:00",
                        "delayed": is_delayed,
                        "outcome": outcome,
                        "reason": reason,
                        "settled": "2026-11-23 10:00:00" if outcome else None,
                    },
                )
        upgrade(database, HEAD)
        found = {each.message_id: each for each in store.journey_messages.of("p1", "cart")}
        assert {name: each.topic for name, each in found.items()} == {
            name: "news" if step == "also" else "offers" for name, (step, *_) in states.items()
        }
        assert set(counted(store)) == {"quiet", "batched", "sent", "lost"}
        assert found["sent"].send_at == NOW + HOUR
        assert store.journey_accounts.changed_from("cart", None) == NOW
