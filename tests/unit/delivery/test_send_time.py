"""A batch whose time has not come: nothing of it leaves, whoever asks; what ends a run ends its wait."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from kundresa.spec.messages import Message, Receipt
from kundresa.spec.vocabulary import CloseReason, DeliveryPolicy, DeliveryReason, MessageState
from kundresa.store import RunNotChecked

Bench = Any
ACCEPTED, DEFERRED, FAILED = MessageState.ACCEPTED, MessageState.DEFERRED, MessageState.FAILED
UNKNOWN, WITHHELD = MessageState.UNKNOWN, MessageState.WITHHELD


class Night:
    """Nobody of these may be written to before ``ends_at``; None is never again."""

    def __init__(self, message_ids: list[str], ends_at: datetime | None) -> None:
        self.asleep = set(message_ids)
        self.ends_at = ends_at

    def opens_at(self, row: Mapping[str, Any], now: datetime, /) -> datetime | None:
        if row["message_id"] not in self.asleep:
            return now
        return None if self.ends_at is None else max(now, self.ends_at)


@pytest.fixture
def early(bench: Bench) -> Bench:
    """Ten messages that may leave in two hours."""
    bench.batch = replace(bench.batch, not_before=bench.clock() + timedelta(hours=2))
    return bench


def no_rows() -> Any:
    raise AssertionError("a batch that waits needs no rows")


def test_nothing_leaves_before_the_time_and_everything_at_it(early: Bench) -> None:
    result = early.deliver(rows=no_rows)
    assert (result.counts, result.newly_accepted, result.already_settled) == ({}, 0, 0)
    assert result.retry_at == early.batch.not_before
    early.clock.forward(hours=2, microseconds=-1)
    assert early.deliver(rows=no_rows).retry_at == early.batch.not_before
    assert (early.provider.opened, early.lines()) == (0, {})
    early.clock.forward(microseconds=1)
    assert early.deliver().counts == {ACCEPTED: 10}
    assert early.provider.reached == dict.fromkeys(early.ids, 1)


def test_a_batch_that_waits_is_held_by_nobody(early: Bench) -> None:
    early.deliver("anna")
    early.deliver("bo")
    assert early.store.batches.get(early.batch.run_key, "sms", 1).fence == 0


def test_a_cancelled_run_does_not_wait(early: Bench) -> None:
    early.store.runs.close(early.batch.run_key, CloseReason.CANCELLED, at=early.clock())
    result = early.deliver()
    assert (result.counts, result.retry_at) == ({WITHHELD: 10}, None)
    assert early.reasons() == {("withheld", DeliveryReason.RUN_CANCELLED.value): 10}
    assert early.provider.opened == 0


def test_a_run_whose_validity_is_over_does_not_wait(early: Bench) -> None:
    early.batch = replace(early.batch, not_before=early.batch.valid_until + timedelta(hours=9))
    early.clock.now = early.batch.valid_until + timedelta(microseconds=1)
    assert early.deliver().counts == {WITHHELD: 10}
    assert early.reasons() == {("withheld", DeliveryReason.RUN_EXPIRED.value): 10}


def test_the_last_instant_of_the_validity_still_counts(early: Bench) -> None:
    early.batch = replace(early.batch, not_before=early.batch.valid_until)
    early.clock.now = early.batch.valid_until
    assert early.deliver().counts == {ACCEPTED: 10}


def test_before_the_gate_it_is_said_and_not_waited_for(early: Bench) -> None:
    with early.store.database.write() as connection:
        connection.exec_driver_sql("UPDATE runs SET state = 'decided'")
    with pytest.raises(RunNotChecked):
        early.deliver(rows=no_rows)


def test_withholding_does_not_wait_either(early: Bench) -> None:
    assert early.withhold(DeliveryReason.RUN_CANCELLED) == 10
    assert early.deliver().retry_at is None


def test_whose_hour_has_passed_waits_for_the_next_and_the_others_do_not(bench: Bench) -> None:
    night = Night(bench.ids[2:5], bench.clock() + timedelta(hours=8))
    first = bench.deliver(hours=night)
    assert (first.counts, first.retry_at) == ({ACCEPTED: 7}, night.ends_at)
    bench.clock.forward(hours=8, microseconds=-1)
    early = bench.deliver(hours=night)
    assert (early.newly_accepted, early.already_settled, early.retry_at) == (0, 7, night.ends_at)
    bench.clock.forward(microseconds=1)
    done = bench.deliver(hours=night)
    assert (done.counts, done.newly_accepted, done.retry_at) == ({ACCEPTED: 10}, 3, None)
    assert bench.provider.reached == dict.fromkeys(bench.ids, 1)


@pytest.mark.parametrize(("retry_in", "hours"), [(7, 8), (60 * 9, 9)])
def test_a_deferred_message_is_not_tried_again_at_night(bench: Bench, retry_in: int, hours: int) -> None:
    """It is woken for at the end of the night, not at every retry that falls into it."""
    due = bench.clock() + timedelta(minutes=retry_in)
    refused = bench.ids[2]

    def busy(message: Message) -> Receipt | None:
        reason = DeliveryReason.TEMPORARY_FAILURE
        return Receipt(refused, DEFERRED, reason, retry_at=due) if message.message_id == refused else None

    bench.provider.before = busy
    assert bench.deliver().retry_at == due
    night = Night([refused], bench.clock() + timedelta(hours=8))
    bench.clock.now = min(due, night.ends_at)
    result = bench.deliver(hours=night)
    assert result.retry_at == bench.batch.decided_at + timedelta(hours=hours)
    assert bench.lines()[refused].attempts == 1
    bench.provider.before = lambda _: None
    bench.clock.now = result.retry_at
    assert bench.deliver(hours=night).counts == {ACCEPTED: 10}


def test_who_has_no_hour_left_is_settled_at_once(bench: Bench) -> None:
    never, refused = bench.ids[7], bench.ids[2]
    retry_at = bench.clock() + timedelta(minutes=7)
    bench.provider.before = lambda message: (
        Receipt(refused, DEFERRED, DeliveryReason.TEMPORARY_FAILURE, retry_at=retry_at)
        if message.message_id == refused
        else None
    )
    night = Night([never], None)
    assert bench.deliver(hours=night).counts == {ACCEPTED: 8, DEFERRED: 1, WITHHELD: 1}
    night.asleep.add(refused)
    bench.clock.now = retry_at
    result = bench.deliver(hours=night)
    assert (result.counts, result.retry_at) == ({ACCEPTED: 8, FAILED: 1, WITHHELD: 1}, None)
    assert bench.lines()[never].reason is DeliveryReason.RUN_EXPIRED
    assert bench.lines()[refused].reason is DeliveryReason.TEMPORARY_FAILURE


def test_an_unknown_message_without_an_hour_left_stays_unknown(make_bench: Any) -> None:
    bench = make_bench(policy=DeliveryPolicy.AT_LEAST_ONCE)
    lost = bench.ids[2]
    unclear = Receipt(lost, UNKNOWN, DeliveryReason.OUTCOME_UNKNOWN)
    bench.provider.after = lambda message: unclear if message.message_id == lost else None
    retry_at = bench.deliver().retry_at
    assert retry_at is not None
    bench.clock.now = retry_at
    result = bench.deliver(hours=Night([lost], None))
    assert result.retry_at == bench.batch.valid_until + timedelta(seconds=1)
    bench.clock.now = result.retry_at
    done = bench.deliver(hours=Night([lost], None))
    assert (done.counts, done.retry_at) == ({ACCEPTED: 9, UNKNOWN: 1}, None)
    assert bench.provider.reached[lost] == 1


def test_a_cancelled_run_does_not_wait_for_the_morning(bench: Bench) -> None:
    night = Night(bench.ids, bench.clock() + timedelta(hours=8))
    assert bench.deliver(hours=night).retry_at == night.ends_at
    bench.store.runs.close(bench.batch.run_key, CloseReason.CANCELLED, at=bench.clock())
    result = bench.deliver(hours=night)
    assert (result.counts, result.retry_at) == ({WITHHELD: 10}, None)
    assert bench.reasons() == {("withheld", DeliveryReason.RUN_CANCELLED.value): 10}
