"""Leases and the ledger: claim, settle, recover, on both engines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from kundresa.spec.messages import Receipt
from kundresa.spec.vocabulary import CloseReason, DeliveryReason, MessageState
from kundresa.store import (
    BatchBusy,
    BatchConflict,
    BatchIncomplete,
    BatchNotFound,
    Candidate,
    Lease,
    LeaseLost,
    NewRun,
    RunClosed,
    RunNotChecked,
    RunStopped,
    Store,
    Untried,
)
from kundresa.store.clocks import SKEW

Checked = Callable[..., str]
Take = Callable[..., Lease]
People = Callable[..., list[Candidate]]
MINUTE = timedelta(minutes=1)


def accepted(candidates: list[Candidate]) -> list[Receipt]:
    return [
        Receipt(each.message_id, MessageState.ACCEPTED, provider_id=f"q-{each.message_id[:4]}", code="250")
        for each in candidates
    ]


def deferred(candidate: Candidate, until: datetime) -> Receipt:
    reason = DeliveryReason.TEMPORARY_FAILURE
    return Receipt(candidate.message_id, MessageState.DEFERRED, reason, code="451", retry_at=until)


def test_a_window_is_claimed_and_settled(
    store: Store, checked: Checked, take: Take, people: People, now: datetime
) -> None:
    lease, some = take(checked()), people(3)
    assert store.ledger.claim(lease, some, now=now) == {each.message_id: 1 for each in some}
    assert store.ledger.tally("winback--1", "email", 1).counts == {MessageState.CLAIMED: 3}
    store.ledger.settle(lease, accepted(some), now=now + MINUTE)
    line = store.ledger.lines([some[0].message_id])[some[0].message_id]
    assert (line.state, line.reason, line.code, line.attempts) == (MessageState.ACCEPTED, None, "250", 1)
    assert line.provider_id == f"q-{some[0].message_id[:4]}"
    assert (line.first_claimed_at, line.settled_at) == (now, now + MINUTE)
    assert line.as_dict()["settled_at"] == "2026-11-23T09:01:00+00:00"
    attempts = store.ledger.attempts_of(some[0].message_id)
    assert [(each["attempt"], each["claimed_by"], each["state"]) for each in attempts] == [
        (1, "anna", "accepted")
    ]
    store.batches.finish(lease, at=now)
    assert store.batches.get("winback--1", "email", 1).finished_at == now


def test_a_claim_settles_the_window_before(
    store: Store, checked: Checked, take: Take, people: People, now: datetime
) -> None:
    lease, some = take(checked()), people(4)
    done: list[int] = []
    store.ledger.claim(lease, some[:2], now=now)
    claimed = store.ledger.claim(
        lease,
        some[2:],
        now=now + MINUTE,
        receipts=[*accepted(some[:1]), deferred(some[1], now + 5 * MINUTE)],
        meanwhile=lambda: done.append(1),
    )
    assert claimed == {each.message_id: 1 for each in some[2:]}
    assert done == [1]
    assert store.ledger.tally("winback--1", "email", 1).counts == {
        MessageState.ACCEPTED: 1,
        MessageState.DEFERRED: 1,
        MessageState.CLAIMED: 2,
    }
    line = store.ledger.lines([some[1].message_id])[some[1].message_id]
    assert (line.settled_at, line.retry_at) == (now + MINUTE, now + 5 * MINUTE)


def test_a_claim_that_is_refused_settles_the_window_before_all_the_same(
    store: Store, checked: Checked, take: Take, people: People, now: datetime
) -> None:
    run_key = checked()
    lease, other, some = take(run_key), take(run_key, number=2), people(4)
    store.ledger.claim(other, some[3:], now=now)
    store.ledger.claim(lease, some[:1], now=now)
    with pytest.raises(BatchConflict, match="email batch 2") as refused:
        store.ledger.claim(lease, some[1:], now=now, receipts=accepted(some[:1]))
    assert refused.value.is_settled
    assert store.ledger.tally(run_key, "email", 1).counts == {MessageState.ACCEPTED: 1}
    store.ledger.claim(lease, some[1:2], now=now)
    store.runs.stop(run_key, at=now)
    with pytest.raises(RunStopped):
        store.ledger.claim(lease, some[2:3], now=now, receipts=accepted(some[1:2]))
    assert store.ledger.tally(run_key, "email", 1).counts == {MessageState.ACCEPTED: 2}
    store.runs.close(run_key, CloseReason.CANCELLED, at=now)
    with pytest.raises(BatchConflict, match="1 not claimed under this lease") as refused:
        store.ledger.claim(lease, some[2:3], now=now, receipts=accepted(some[1:2]))
    assert not refused.value.is_settled


def test_what_has_come_to_its_end_is_not_claimed_again(
    store: Store, checked: Checked, take: Take, people: People, now: datetime
) -> None:
    lease, some = take(checked()), people(3)
    store.ledger.claim(lease, some[:2], now=now)
    store.ledger.settle(lease, accepted(some[:2]), now=now)
    assert store.ledger.claim(lease, some, now=now, resend_unknown=True) == {some[2].message_id: 1}


def test_a_deferred_message_is_claimed_again_with_the_next_number(
    store: Store, checked: Checked, take: Take, people: People, now: datetime
) -> None:
    lease, some = take(checked(), size=1), people(1)
    store.ledger.claim(lease, some, now=now)
    store.ledger.settle(lease, [deferred(some[0], now + 5 * MINUTE)], now=now)
    assert store.ledger.tally("winback--1", "email", 1).retry_at == now + 5 * MINUTE
    assert store.ledger.claim(lease, some, now=now + 6 * MINUTE) == {some[0].message_id: 2}
    store.ledger.settle(lease, accepted(some), now=now + 6 * MINUTE)
    line = store.ledger.lines([some[0].message_id])[some[0].message_id]
    assert (line.attempts, line.first_claimed_at, line.retry_at) == (2, now, None)
    states = [
        (each["attempt"], each["state"], each["code"]) for each in store.ledger.attempts_of(line.message_id)
    ]
    assert states == [(1, "deferred", "451"), (2, "accepted", "250")]


def test_a_second_worker_is_told_until_when_to_wait(
    store: Store, checked: Checked, take: Take, now: datetime
) -> None:
    take(checked())
    for owner in ("anna", "bertil"):  # a retry under the same name is another worker all the same
        with pytest.raises(BatchBusy, match="held by anna until 2026-11-23 09:01:00Z") as busy:
            take("winback--1", owner=owner, at=now + timedelta(seconds=59))
        assert busy.value.until == now + MINUTE


def test_a_late_worker_is_fenced_off(
    store: Store, checked: Checked, take: Take, people: People, now: datetime
) -> None:
    old, some = take(checked()), people(3)
    store.ledger.claim(old, some[:2], now=now)
    new = take("winback--1", owner="bertil", at=now + MINUTE)
    assert new.fence == old.fence + 1
    assert store.ledger.recover(new, now=now + MINUTE) == 2
    for late in (
        lambda: store.ledger.settle(old, accepted(some[:2]), now=now + MINUTE),
        lambda: store.ledger.claim(old, some[2:], now=now + MINUTE),
        lambda: store.ledger.settle_untried(old, [], now=now + MINUTE),
        lambda: store.ledger.recover(old, now=now + MINUTE),
        lambda: store.batches.renew(old, now=now + MINUTE),
        lambda: store.batches.finish(old, at=now + MINUTE),
    ):
        with pytest.raises(LeaseLost, match="another worker"):
            late()
    assert store.batches.release(old) is False
    assert store.ledger.tally("winback--1", "email", 1).counts == {MessageState.UNKNOWN: 2}
    assert store.batches.get("winback--1", "email", 1).owner == "bertil"


def test_a_lease_that_ran_out_but_was_not_taken_still_settles(
    store: Store, checked: Checked, take: Take, people: People, now: datetime
) -> None:
    lease, some = take(checked()), people(1)
    store.ledger.claim(lease, some, now=now)
    store.ledger.settle(lease, accepted(some), now=now + 90 * MINUTE)
    with pytest.raises(BatchBusy):  # and the settle has renewed it
        take("winback--1", owner="bertil", at=now + 90 * MINUTE)


def test_a_lease_by_a_clock_that_was_days_ahead_ends_with_its_worker(
    store: Store, checked: Checked, take: Take, now: datetime
) -> None:
    run_key, longest = checked(), now + MINUTE + SKEW
    lost = take(run_key, at=now + timedelta(days=3))
    with pytest.raises(BatchBusy) as busy:
        take(run_key, owner="bertil", at=now)
    assert busy.value.until == longest
    # Its worker lives, and says so with the same clock: it keeps the batch.
    store.batches.renew(lost, now=now + timedelta(days=3))
    for at in (longest, longest + MINUTE):
        with pytest.raises(BatchBusy) as busy:
            take(run_key, owner="bertil", at=at)
        assert busy.value.until == min(longest + MINUTE + SKEW, at + MINUTE + SKEW)
    # It says nothing any more.
    assert take(run_key, owner="bertil", at=longest + MINUTE + SKEW).fence > lost.fence
    with pytest.raises(LeaseLost):
        store.batches.renew(lost, now=now + timedelta(days=3))


def test_a_lease_of_a_clock_a_little_ahead_is_left_alone(
    store: Store, checked: Checked, take: Take, now: datetime
) -> None:
    run_key = checked()
    take(run_key, at=now + SKEW)
    for _ in range(2):
        with pytest.raises(BatchBusy) as busy:
            take(run_key, owner="bertil", at=now)
        assert busy.value.until == now + SKEW + MINUTE


def test_a_released_batch_is_free_at_once(store: Store, checked: Checked, take: Take, now: datetime) -> None:
    assert store.batches.release(take(checked())) is True
    assert take("winback--1", owner="bertil").fence == 2


def test_renewing_keeps_the_batch(store: Store, checked: Checked, take: Take, now: datetime) -> None:
    lease = take(checked())
    store.batches.renew(lease, now=now + 50 * timedelta(seconds=1))
    with pytest.raises(BatchBusy):
        take("winback--1", owner="bertil", at=now + MINUTE)


def test_unknown_messages_are_claimed_again_only_when_asked(
    store: Store, checked: Checked, take: Take, people: People, now: datetime
) -> None:
    store.ledger.claim(take(checked()), people(2), now=now)
    lease = take("winback--1", owner="bertil", at=now + MINUTE)
    store.ledger.recover(lease, now=now + MINUTE)
    line = store.ledger.lines([people(1)[0].message_id])[people(1)[0].message_id]
    assert (line.state, line.reason) == (MessageState.UNKNOWN, DeliveryReason.OUTCOME_UNKNOWN)
    assert [each["claimed_by"] for each in store.ledger.attempts_of(line.message_id)] == ["anna"]
    assert store.ledger.recover(lease, now=now + MINUTE) == 0
    assert store.ledger.claim(lease, people(2), now=now + MINUTE) == {}
    again = store.ledger.claim(lease, people(2), now=now + MINUTE, resend_unknown=True)
    assert set(again.values()) == {2}


def test_what_is_unknown_is_resolved_whatever_becomes_of_the_run(
    store: Store, checked: Checked, take: Take, people: People, now: datetime
) -> None:
    run_key, some = checked(), people(4)
    store.ledger.claim(take(run_key), some, now=now)
    lease = take(run_key, owner="bertil", at=now + MINUTE)
    store.ledger.recover(lease, now=now + MINUTE, resends=True)
    assert store.ledger.tally(run_key, "email", 1).retry_at == now + MINUTE
    store.runs.close(run_key, CloseReason.CANCELLED, at=now + MINUTE)
    receipts = [
        Receipt(some[0].message_id, MessageState.ACCEPTED, provider_id="file.csv"),
        Receipt(
            some[1].message_id,
            MessageState.DEFERRED,
            DeliveryReason.TEMPORARY_FAILURE,
            retry_at=now + 2 * MINUTE,
        ),
        Receipt(
            some[2].message_id,
            MessageState.UNKNOWN,
            DeliveryReason.OUTCOME_UNKNOWN,
            retry_at=now + 3 * MINUTE,
        ),
    ]
    with pytest.raises(LeaseLost):
        store.ledger.resolve(replace(lease, fence=1), receipts, now=now + MINUTE)
    store.ledger.resolve(lease, receipts, now=now + MINUTE)
    standing = store.ledger.standing(lease)
    assert [(standing[each.message_id].state, standing[each.message_id].retry_at) for each in some] == [
        (MessageState.ACCEPTED, None),
        (MessageState.DEFERRED, now + 2 * MINUTE),
        (MessageState.UNKNOWN, now + 3 * MINUTE),
        (MessageState.UNKNOWN, now + MINUTE),
    ]
    assert store.ledger.asked_again(run_key) == 2
    # All or nothing; and an unknown one that is given up stays what it is, for good.
    with pytest.raises(BatchConflict, match="2 receipts for 1 unknown messages"):
        store.ledger.resolve(lease, [receipts[0], receipts[2]], now=now + MINUTE)
    unknown = [Untried(each, replace(receipts[1], message_id=each.message_id)) for each in some[2:]]
    assert store.ledger.settle_untried(lease, unknown, now=now + MINUTE) == 0
    counts = store.ledger.tally(run_key, "email", 1)
    assert counts.counts[MessageState.UNKNOWN] == 2
    assert store.ledger.asked_again(run_key) == 0
    assert counts.retry_at == now + 2 * MINUTE  # the deferred one's


def test_nothing_is_claimed_before_the_gate_or_after_the_end(
    store: Store, new_run: Callable[..., NewRun], take: Take, people: People, now: datetime
) -> None:
    store.runs.open(new_run())
    lease = take("winback--1")
    with pytest.raises(RunNotChecked, match="has not passed the quality gate"):
        store.ledger.claim(lease, people(1), now=now)
    store.runs.mark_decided(["winback--1"], at=now)
    with pytest.raises(RunNotChecked):
        store.ledger.claim(lease, people(1), now=now)
    store.runs.close("winback--1", CloseReason.CANCELLED, at=now)
    with pytest.raises(RunClosed) as closed:
        store.ledger.claim(lease, people(1), now=now)
    assert closed.value.reason is CloseReason.CANCELLED
    assert store.ledger.counts("winback--1") == []


def test_only_what_was_claimed_is_settled(
    store: Store, checked: Checked, take: Take, people: People, now: datetime
) -> None:
    lease, some = take(checked()), people(3)
    store.ledger.claim(lease, some[:2], now=now)
    with pytest.raises(BatchConflict, match="1 not claimed under this lease"):
        store.ledger.settle(lease, accepted(some), now=now)
    with pytest.raises(BatchConflict):
        store.ledger.settle(lease, accepted([some[0], some[0]]), now=now)
    assert store.ledger.tally("winback--1", "email", 1).counts == {MessageState.CLAIMED: 2}


def test_a_message_of_another_batch_is_refused(
    store: Store, checked: Checked, take: Take, people: People, now: datetime
) -> None:
    store.ledger.claim(take(checked()), people(1), now=now)
    other = take("winback--1", number=2)
    with pytest.raises(BatchConflict, match="email batch 1"):
        store.ledger.claim(other, people(2), now=now)
    with pytest.raises(BatchConflict, match="twice at once"):
        store.ledger.claim(other, [people(2)[1]] * 2, now=now)
    assert store.ledger.tally("winback--1", "email", 2).counts == {}


def test_untried_messages_settle_without_an_attempt(
    store: Store, checked: Checked, take: Take, people: People, now: datetime
) -> None:
    lease, (done, later, fresh) = take(checked()), people(3)
    store.ledger.claim(lease, [done, later], now=now)
    store.ledger.settle(lease, [*accepted([done]), deferred(later, now + MINUTE)], now=now)
    reason = DeliveryReason.RUN_CANCELLED
    untried = [
        Untried(each, Receipt(each.message_id, MessageState.WITHHELD, reason))
        for each in (done, later, fresh)
    ]
    assert store.ledger.settle_untried(lease, untried, now=now) == 2
    lines = store.ledger.lines([each.message_id for each in (done, later, fresh)])
    assert lines[done.message_id].state is MessageState.ACCEPTED
    assert (lines[later.message_id].reason, lines[later.message_id].code) == (reason, "451")
    assert (lines[fresh.message_id].attempts, lines[fresh.message_id].first_claimed_at) == (0, None)
    assert store.ledger.attempts_of(fresh.message_id) == []
    assert store.ledger.tally("winback--1", "email", 1).retry_at is None


def test_a_batch_with_a_gap_is_not_finished(
    store: Store, checked: Checked, take: Take, people: People, now: datetime
) -> None:
    lease, some = take(checked()), people(3)
    store.ledger.claim(lease, some[:2], now=now)
    store.ledger.settle(lease, [*accepted(some[:1]), deferred(some[1], now)], now=now)
    with pytest.raises(
        BatchIncomplete, match="3 messages were registered, 2 have a line in the ledger and 1"
    ):
        store.batches.finish(lease, at=now)


def test_a_batch_is_registered_once_and_with_one_size(store: Store, checked: Checked) -> None:
    key = checked()
    store.batches.register(key, "email", 1, 10)
    store.batches.register(key, "email", 1, 10)
    with pytest.raises(BatchConflict, match="registered with 10 messages, not 11"):
        store.batches.register(key, "email", 1, 11)
    with pytest.raises(BatchNotFound, match="sms batch 1 was never registered"):
        store.batches.get(key, "sms", 1)
    assert [(each.channel, each.size) for each in store.batches.list(key)] == [("email", 10)]


def test_counts_pending_and_rows_agree(
    store: Store, checked: Checked, take: Take, people: People, now: datetime
) -> None:
    key = checked()
    first, second = take(key, size=7), take(key, size=5, number=2)
    store.ledger.claim(first, people(7), now=now)
    store.ledger.settle(first, [*accepted(people(5)), deferred(people(7)[5], now + MINUTE)], now=now)
    store.ledger.claim(second, people(3, start=7), now=now)
    store.ledger.settle(second, accepted(people(3, start=7)), now=now)
    counts = {(each.channel, each.state, each.reason): each.messages for each in store.ledger.counts(key)}
    assert counts == {
        ("email", MessageState.ACCEPTED, None): 8,
        ("email", MessageState.CLAIMED, None): 1,
        ("email", MessageState.DEFERRED, DeliveryReason.TEMPORARY_FAILURE): 1,
    }
    pending = store.ledger.pending(key)
    assert (pending.unclaimed, pending.claimed, pending.deferred, pending.total) == (2, 1, 1, 4)
    assert pending.retry_at == now + MINUTE
    for chunk in (1, 3, 5, 10, 100):
        pages = list(store.ledger.rows(key, chunk=chunk))
        assert all(0 < len(page) <= chunk for page in pages)
        ids = [row["message_id"] for page in pages for row in page]
        assert sorted(ids) == sorted(each.message_id for each in people(10))
    assert list(store.ledger.rows("nobody--1")) == []
