"""Unknown messages that are reported delivered, on both engines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from kundresa.spec.messages import Receipt
from kundresa.spec.vocabulary import (
    CloseReason,
    DeliveryReason,
    FeedbackKind,
    MessageState,
)
from kundresa.store import Candidate, Lease, NewFeedback, Store

UNKNOWN, ACCEPTED = MessageState.UNKNOWN, MessageState.ACCEPTED


def report(key: str, now: datetime, kind: FeedbackKind = FeedbackKind.DELIVERED) -> NewFeedback:
    return NewFeedback(
        feedback_key=f"{kind}/{key}",
        kind=kind,
        channel="email",
        provider="esp",
        occurred_at=now,
        received_at=now,
        message_id=key,
    )


def lost(store: Store, lease: Lease, some: Sequence[Candidate], now: datetime, **more: datetime) -> list[str]:
    store.ledger.claim(lease, some, now=now)
    ids = [each.message_id for each in some]
    receipts = [Receipt(key, UNKNOWN, DeliveryReason.OUTCOME_UNKNOWN, **more) for key in ids]
    store.ledger.settle(lease, receipts, now=now)
    return ids


def test_what_is_reported_delivered_was_accepted(
    store: Store,
    checked: Callable[..., str],
    take: Callable[..., Lease],
    people: Callable[..., list[Candidate]],
    now: datetime,
) -> None:
    run = checked()
    first, second, third = lost(store, take(run), people(3), now)
    store.runs.close(run, CloseReason.COMPLETED, at=now)
    later = now + timedelta(days=3)
    store.feedback.record(
        [report(first, later), report(second, later, FeedbackKind.OPENED), report("0" * 32, later)]
    )
    lines = store.ledger.lines([first, second, third])
    assert {key: line.state for key, line in lines.items()} == {
        first: ACCEPTED,
        second: UNKNOWN,
        third: UNKNOWN,
    }
    assert lines[first].reason is None
    assert lines[first].settled_at == now
    assert "reported delivered" in str(lines[first].detail)
    store.feedback.record([report(first, later), report(third, later)])
    assert store.ledger.lines([third])[third].state is ACCEPTED


def test_what_is_reported_delivered_is_not_sent_again(
    store: Store,
    checked: Callable[..., str],
    take: Callable[..., Lease],
    people: Callable[..., list[Candidate]],
    now: datetime,
) -> None:
    lease, some = take(checked(), size=2), people(2)
    first, second = lost(store, lease, some, now, retry_at=now)
    store.feedback.record([report(first, now)])
    assert store.ledger.claim(lease, some, now=now, resend_unknown=True) == {second: 2}


def test_a_claimed_one_is_accepted_by_whoever_recovers_it(
    store: Store,
    checked: Callable[..., str],
    take: Callable[..., Lease],
    people: Callable[..., list[Candidate]],
    now: datetime,
) -> None:
    run, some = checked(), people(2)
    store.ledger.claim(take(run, size=2), some, now=now)
    first, second = (each.message_id for each in some)
    store.feedback.record([report(first, now)])
    assert store.ledger.lines([first])[first].state is MessageState.CLAIMED
    later = now + timedelta(hours=1)
    assert store.ledger.recover(take(run, size=2, owner="bo", at=later), now=later) == 2
    lines = store.ledger.lines([first, second])
    assert (lines[first].state, lines[second].state) == (ACCEPTED, UNKNOWN)


def test_other_states_stay(
    store: Store,
    checked: Callable[..., str],
    take: Callable[..., Lease],
    people: Callable[..., list[Candidate]],
    now: datetime,
) -> None:
    lease, [one] = take(checked(), size=1), people(1)
    store.ledger.claim(lease, [one], now=now)
    store.ledger.settle(
        lease, [Receipt(one.message_id, MessageState.FAILED, DeliveryReason.MESSAGE_REFUSED)], now=now
    )
    store.feedback.record([report(one.message_id, now)])
    assert store.ledger.lines([one.message_id])[one.message_id].state is MessageState.FAILED
