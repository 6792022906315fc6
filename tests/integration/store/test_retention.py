"""Retention: field report 10, a log of 205 GB that nobody may delete."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from kundresa.spec.messages import Receipt
from kundresa.spec.vocabulary import DeliveryReason, FeedbackKind, MessageState
from kundresa.store import Candidate, Lease, NewEvent, NewFeedback, Store


def _deferred(candidate: Candidate, at: datetime) -> Receipt:
    reason = DeliveryReason.TEMPORARY_FAILURE
    return Receipt(candidate.message_id, MessageState.DEFERRED, reason, retry_at=at)


def test_old_attempts_go_in_chunks_and_the_account_stays(
    store: Store,
    checked: Callable[..., str],
    take: Callable[..., Lease],
    people: Callable[..., list[Candidate]],
    now: datetime,
) -> None:
    lease, some = take(checked(), size=25), people(25)
    day = timedelta(days=1)
    # Each is tried twice; the second attempts are the lines themselves.
    for at, part in ((now, some[:20]), (now + day, some[20:])):
        store.ledger.claim(lease, part, now=at)
        store.ledger.settle(lease, [_deferred(each, at) for each in part], now=at)
    store.ledger.claim(lease, some, now=now + day)
    store.ledger.settle(
        lease, [Receipt(each.message_id, MessageState.ACCEPTED) for each in some], now=now + day
    )
    store.opt_outs.record(channel="email", address="a@x.example", source="link", recorded_at=now)
    before = list(store.ledger.rows(lease.run_key))
    chunks: list[int] = []
    assert store.retention.apply(now + timedelta(hours=1), chunk=8, progress=chunks.append) == 20
    assert chunks == [8, 8, 4]
    assert [each["attempt"] for each in store.ledger.attempts_of(some[0].message_id)] == [2]
    assert [each["attempt"] for each in store.ledger.attempts_of(some[24].message_id)] == [1, 2]
    assert list(store.ledger.rows(lease.run_key)) == before
    assert len(list(store.opt_outs.rows())) == 1
    assert store.retention.apply(now + timedelta(hours=1), chunk=8) == 0


def test_events_and_feedback_go_when_they_are_old_and_what_followed_from_them_stays(
    store: Store, now: datetime
) -> None:
    day = timedelta(days=1)
    for number in range(5):
        at = now + number * day
        store.inbox.append([NewEvent("shop", f"e{number}", "cart", "email", "a@x.example", "{}", at, at)])
        told = NewFeedback(
            feedback_key=f"f{number}",
            kind=FeedbackKind.COMPLAINED,
            channel="email",
            provider="mailbox",
            occurred_at=at,
            received_at=at,
        )
        store.feedback.record([told])
    store.suppressions.add(
        channel="email", address="a@x.example", reason="complaint", source="mailbox", recorded_at=now
    )
    for forget in (store.retention.forget_events, store.retention.forget_feedback):
        assert forget(now + 3 * day, chunk=2) == 3
        assert forget(now + 3 * day) == 0
    assert [each.event_id for each in store.inbox.after(0, 10)] == ["e3", "e4"]
    assert len(list(store.feedback.rows(now, now + 9 * day))) == 2
    assert store.suppressions.active(channel="email", addresses=["a@x.example"]) == {
        "a@x.example": "complaint"
    }
