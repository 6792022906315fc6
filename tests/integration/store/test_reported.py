"""Unknown messages that are reported delivered, on both engines."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import pytest

from kundresa.spec.messages import Receipt
from kundresa.spec.vocabulary import (
    CloseReason,
    DeliveryReason,
    FeedbackKind,
    MessageState,
)
from kundresa.store import Candidate, Lease, NewFeedback, Store, open_store
from kundresa.store.batches import hold
from kundresa.store.engine import Database
from kundresa.store.windows import settle_claimed

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


@pytest.mark.parametrize("with_claim", [False, True])
def test_what_was_reported_before_its_window_is_settled_was_accepted(
    store: Store,
    checked: Callable[..., str],
    take: Callable[..., Lease],
    people: Callable[..., list[Candidate]],
    now: datetime,
    with_claim: bool,
) -> None:
    """Its answer was lost, and the report is quicker than the worker, which settles with its next claim or at
    its end."""
    lease, some = take(checked(), size=3), people(3)
    store.ledger.claim(lease, some[:2], now=now)
    first, second = (each.message_id for each in some[:2])
    store.feedback.record([report(first, now)])
    receipts = [
        Receipt(key, UNKNOWN, DeliveryReason.OUTCOME_UNKNOWN, retry_at=now) for key in (first, second)
    ]
    if with_claim:
        store.ledger.claim(lease, some[2:], now=now, receipts=receipts)
    else:
        store.ledger.settle(lease, receipts, now=now)
    lines = store.ledger.lines([first, second])
    assert (lines[first].state, lines[first].reason) == (ACCEPTED, None)
    assert (lines[second].state, lines[second].reason) == (UNKNOWN, DeliveryReason.OUTCOME_UNKNOWN)
    assert store.ledger.claim(lease, some[:2], now=now, resend_unknown=True) == {second: 2}


def test_a_report_that_comes_while_its_window_is_being_settled(
    store: Store,
    store_url: str,
    checked: Callable[..., str],
    take: Callable[..., Lease],
    people: Callable[..., list[Candidate]],
    now: datetime,
) -> None:
    """The worker has looked for reports and not committed yet: the report waits for it, and sees what it
    said."""
    lease, [one] = take(checked(), size=1), people(1)
    store.ledger.claim(lease, [one], now=now)
    database = Database(store_url)

    def come() -> None:
        with open_store(store_url) as other:
            other.feedback.record([report(one.message_id, now)])

    reporting = threading.Thread(target=come)
    try:
        with database.write() as connection:
            hold(connection, lease, now)
            receipt = Receipt(one.message_id, UNKNOWN, DeliveryReason.OUTCOME_UNKNOWN)
            settle_claimed(database, connection, lease, [receipt], now)
            reporting.start()
            time.sleep(1)
            assert reporting.is_alive()
    finally:
        reporting.join(30)
        database.close()
    assert store.ledger.lines([one.message_id])[one.message_id].state is ACCEPTED


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
