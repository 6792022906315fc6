"""How fast messages left, by what the ledger still has, on both engines."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from kundresa.spec.keys import SEED_BATCH
from kundresa.spec.messages import Receipt
from kundresa.spec.vocabulary import DeliveryReason, MessageState
from kundresa.store import Candidate, Lease, Store
from kundresa.store.throughput import Work

SECOND = timedelta(seconds=1)


def accepted(candidates: list[Candidate]) -> list[Receipt]:
    return [Receipt(each.message_id, MessageState.ACCEPTED, code="250") for each in candidates]


def test_time_at_work_counts_once_and_waiting_does_not(
    store: Store,
    checked: Callable[..., str],
    take: Callable[..., Lease],
    people: Callable[..., list[Candidate]],
    now: datetime,
) -> None:
    run_key, everybody = checked(), people(12)
    first, second = take(run_key), take(run_key, number=2, owner="bo")

    def window(lease: Lease, some: list[Candidate], start: int, end: int) -> None:
        store.ledger.claim(lease, some, now=now + start * SECOND)
        store.ledger.settle(lease, accepted(some), now=now + end * SECOND)

    window(first, everybody[:4], 0, 4)
    window(second, everybody[4:8], 2, 5)  # beside the first: one second more
    window(first, everybody[8:11], 3_600, 3_602)  # an hour of waiting
    window(take(run_key, number=SEED_BATCH), people(13)[12:], 50, 90)  # in no figure
    assert store.throughput.work(run_key, "email") == Work(11, 7.0)
    assert store.throughput.work(run_key, "sms") == Work(0, 0.0)
    assert store.throughput.work("winback--2", "email") == Work(0, 0.0)


def test_a_message_that_was_tried_twice_was_work_twice(
    store: Store,
    checked: Callable[..., str],
    take: Callable[..., Lease],
    people: Callable[..., list[Candidate]],
    now: datetime,
) -> None:
    lease, [one] = take(checked()), people(1)
    store.ledger.claim(lease, [one], now=now)
    later = Receipt(
        one.message_id, MessageState.DEFERRED, DeliveryReason.TEMPORARY_FAILURE, retry_at=now + 60 * SECOND
    )
    store.ledger.settle(lease, [later], now=now + SECOND)
    store.ledger.claim(lease, [one], now=now + 60 * SECOND)
    store.ledger.settle(lease, accepted([one]), now=now + 62 * SECOND)
    assert store.throughput.work("winback--1", "email") == Work(2, 3.0)
