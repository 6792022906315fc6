"""Delivering a batch against a real store: what is sent, what is recorded, what a second time does."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kundresa.delivery import BatchBusy, BatchIncomplete
from kundresa.spec.messages import Message, Receipt
from kundresa.spec.vocabulary import CloseReason, DeliveryPolicy, DeliveryReason, MessageState
from kundresa.store import RunClosed, RunNotChecked, open_store

Bench = Any
MakeBench = Callable[..., Any]
ACCEPTED, DEFERRED, FAILED = MessageState.ACCEPTED, MessageState.DEFERRED, MessageState.FAILED


def later(at: datetime) -> Callable[[Message], Receipt]:
    reason = DeliveryReason.TEMPORARY_FAILURE
    return lambda message: Receipt(message.message_id, DEFERRED, reason, code="451", retry_at=at)


def test_everyone_gets_it_once_and_the_ledger_says_so(bench: Bench) -> None:
    seen: list[int] = []
    result = bench.deliver(progress=seen.append)
    assert (result.counts, result.newly_accepted, result.already_settled) == ({ACCEPTED: 10}, 10, 0)
    assert result.retry_at is None
    assert bench.provider.reached == dict.fromkeys(bench.ids, 1)
    assert {line.provider_id for line in bench.lines().values()} == {f"q{each}" for each in bench.ids}
    assert (bench.provider.windows, seen) == ([4, 4, 2], [4, 4, 2])
    assert (bench.provider.opened, bench.provider.closed) == (1, 1)


def test_delivering_again_sends_nothing_reads_nothing_and_says_so(bench: Bench) -> None:
    bench.deliver()

    def no_rows() -> Any:
        raise AssertionError("a finished batch needs no rows")

    result = bench.deliver(rows=no_rows)
    assert (result.newly_accepted, result.already_settled, result.counts) == (0, 10, {ACCEPTED: 10})
    assert bench.provider.opened == 1


def test_a_person_whose_message_cannot_be_rendered_does_not_stop_the_others(bench: Bench) -> None:
    bench.rows[1]["profile"]["first_name"] = "broken"
    result = bench.deliver()
    assert result.counts == {ACCEPTED: 9, FAILED: 1}
    line = bench.lines()[bench.ids[1]]
    assert (line.reason, line.detail, line.attempts) == (
        DeliveryReason.RENDER_FAILED,
        "hello.txt.j2:1: no such column",
        0,
    )
    assert bench.ids[1] not in bench.provider.reached


def test_when_no_message_can_be_rendered_no_connection_is_opened(bench: Bench) -> None:
    for row in bench.rows:
        row["profile"]["first_name"] = "broken"
    assert bench.deliver().counts == {FAILED: 10}
    assert bench.provider.opened == 0


def test_who_said_no_since_the_decision_gets_nothing(bench: Bench) -> None:
    at = bench.clock() - timedelta(minutes=4)  # the margin before the decision counts
    record, rows = bench.store.opt_outs.record, bench.rows
    record(channel="sms", address="elsewhere", profile_id=rows[0]["profile_id"], source="t", recorded_at=at)
    record(channel="sms", address=rows[1]["address"], topic="news", source="t", recorded_at=at)
    record(channel="sms", address=rows[2]["address"], topic="other", source="t", recorded_at=at)
    record(channel="email", address=rows[3]["address"], source="t", recorded_at=at)
    record(channel="sms", address=rows[4]["address"], source="t", recorded_at=at - timedelta(minutes=2))
    for row in (rows[5], rows[1]):
        bench.store.suppressions.add(
            channel="sms", address=row["address"], reason="x", source="t", recorded_at=at - timedelta(days=9)
        )
    bench.deliver()
    held = {key: line.reason for key, line in bench.lines().items() if line.state is MessageState.WITHHELD}
    assert held == {
        bench.ids[0]: DeliveryReason.OPTED_OUT_SINCE_DECISION,
        bench.ids[1]: DeliveryReason.SUPPRESSED_SINCE_DECISION,
        bench.ids[5]: DeliveryReason.SUPPRESSED_SINCE_DECISION,
    }
    assert set(bench.provider.reached) == set(bench.ids) - set(held)


def test_field_report_15_an_exempt_topic_is_stopped_by_a_no_to_this_topic_only(bench: Bench) -> None:
    """What the decision does, delivery does too: magic links go on after an opt-out from marketing."""
    bench.batch = replace(bench.batch, is_exempt=True)
    at, record, rows = bench.clock(), bench.store.opt_outs.record, bench.rows
    record(channel="sms", address=rows[0]["address"], topic="*", source="t", recorded_at=at)
    record(channel="sms", address="x", profile_id=rows[1]["profile_id"], source="t", recorded_at=at)
    record(channel="sms", address=rows[2]["address"], topic="news", source="t", recorded_at=at)
    bench.store.suppressions.add(
        channel="sms", address=rows[3]["address"], reason="x", source="t", recorded_at=at
    )
    bench.deliver()
    held = {key: line.reason for key, line in bench.lines().items() if line.state is MessageState.WITHHELD}
    assert held == {
        bench.ids[2]: DeliveryReason.OPTED_OUT_SINCE_DECISION,
        bench.ids[3]: DeliveryReason.SUPPRESSED_SINCE_DECISION,
    }


def test_an_opt_out_during_the_delivery_holds_from_the_next_window(bench: Bench) -> None:
    last = bench.rows[-1]

    def say_no(message: Message) -> None:
        if message.message_id == bench.ids[0]:
            bench.store.opt_outs.record(
                channel="sms", address=last["address"], source="link", recorded_at=bench.clock()
            )

    bench.provider.after = say_no
    assert bench.deliver().counts == {ACCEPTED: 9, MessageState.WITHHELD: 1}
    assert last["message_id"] not in bench.provider.reached


def test_a_deferred_message_is_tried_when_its_time_has_come(bench: Bench) -> None:
    due = bench.clock() + timedelta(minutes=7)
    busy = later(due)
    bench.provider.before = lambda message: busy(message) if message.message_id == bench.ids[2] else None
    first = bench.deliver()
    assert (first.counts, first.retry_at) == ({ACCEPTED: 9, DEFERRED: 1}, due)
    early = bench.deliver()
    assert (early.newly_accepted, early.already_settled, early.retry_at) == (0, 9, due)
    assert bench.provider.opened == 1
    bench.clock.forward(minutes=7)
    bench.provider.before = lambda _: None
    done = bench.deliver()
    assert (done.newly_accepted, done.already_settled, done.retry_at) == (1, 9, None)
    assert bench.provider.reached == dict.fromkeys(bench.ids, 1)
    assert bench.lines()[bench.ids[2]].attempts == 2


def test_field_report_4_a_run_that_comes_back_late_sends_nothing(bench: Bench) -> None:
    bench.clock.forward(hours=84, seconds=1)
    result = bench.deliver()
    assert bench.reasons() == {("withheld", "run_expired"): 10}
    assert (bench.provider.opened, result.retry_at, result.newly_accepted) == (0, None, 0)
    assert bench.deliver().already_settled == 10


def test_field_report_4_a_store_restored_from_a_snapshot_sends_nothing_again(
    bench: Bench, tmp_path: Path
) -> None:
    """What was sent since the snapshot is not in it; the run is over when the server is back."""
    snapshot = tmp_path / "snapshot.sqlite"
    with (
        closing(sqlite3.connect(snapshot)) as copy,
        closing(sqlite3.connect(tmp_path / "store-0.sqlite")) as live,
    ):
        live.backup(copy)
    assert bench.deliver().newly_accepted == 10
    bench.clock.forward(hours=84, seconds=1)
    with open_store(f"sqlite:///{snapshot}") as restored:
        assert bench.deliver(books=restored).newly_accepted == 0
        lines = restored.ledger.lines(bench.ids).values()
        assert [(line.state, line.reason) for line in lines] == [
            (MessageState.WITHHELD, DeliveryReason.RUN_EXPIRED)
        ] * 10
    assert bench.provider.reached == dict.fromkeys(bench.ids, 1)


def test_a_validity_that_ends_during_the_delivery_ends_it(bench: Bench) -> None:
    bench.provider.after = lambda _: bench.clock.forward(hours=20)
    bench.deliver()
    assert bench.reasons() == {("accepted", None): 8, ("withheld", "run_expired"): 2}


def test_what_is_deferred_until_the_validity_ends_has_failed(bench: Bench) -> None:
    bench.provider.before = later(bench.clock() + timedelta(minutes=5))
    bench.deliver()
    bench.clock.forward(hours=85)
    result = bench.deliver()
    assert bench.reasons() == {("failed", "temporary_failure"): 10}
    assert {line.code for line in bench.lines().values()} == {"451"}
    assert (result.retry_at, sum(bench.provider.reached.values())) == (None, 0)


def test_a_run_cancelled_in_between_stops_within_one_window(bench: Bench) -> None:
    def cancel(message: Message) -> None:
        if message.message_id == bench.ids[1]:
            bench.store.runs.close(bench.batch.run_key, CloseReason.CANCELLED, at=bench.clock())

    bench.provider.after = cancel
    result = bench.deliver()
    assert bench.reasons() == {("accepted", None): 4, ("withheld", "run_cancelled"): 6}
    assert (sum(bench.provider.reached.values()), result.retry_at) == (4, None)


@pytest.mark.parametrize("policy", list(DeliveryPolicy))
def test_a_cancelled_run_also_ends_what_waits(make_bench: MakeBench, policy: DeliveryPolicy) -> None:
    bench = make_bench(policy=policy)
    busy = later(bench.clock() + timedelta(hours=2))
    unknown = Receipt(bench.ids[1], MessageState.UNKNOWN, DeliveryReason.OUTCOME_UNKNOWN)
    answers = {bench.ids[0]: busy, bench.ids[1]: lambda _: unknown}
    bench.provider.before = lambda message: answers.get(message.message_id, lambda _: None)(message)
    bench.deliver()
    bench.store.runs.close(bench.batch.run_key, CloseReason.CANCELLED, at=bench.clock())
    assert bench.deliver().retry_at is None
    assert bench.reasons() == {
        ("accepted", None): 8,
        ("withheld", "run_cancelled"): 1,
        ("unknown", "outcome_unknown"): 1,
    }


def test_a_run_that_failed_its_gate_is_withheld_without_a_connection(bench: Bench) -> None:
    assert bench.withhold(DeliveryReason.QUALITY_GATE_FAILED) == 10
    assert bench.reasons() == {("withheld", "quality_gate_failed"): 10}
    assert bench.withhold(DeliveryReason.QUALITY_GATE_FAILED) == 0
    assert bench.provider.opened == 0


def test_before_the_gate_nothing_is_delivered(make_bench: MakeBench) -> None:
    bench = make_bench()
    with bench.store.database.write() as connection:
        connection.exec_driver_sql("UPDATE runs SET state = 'decided'")
    with pytest.raises(RunNotChecked):
        bench.deliver()
    assert (bench.provider.opened, bench.states()) == (0, {})
    assert bench.store.batches.get(bench.batch.run_key, "sms", 1).owner is None


def test_a_completed_run_with_a_gap_is_an_error(bench: Bench) -> None:
    bench.store.runs.close(bench.batch.run_key, CloseReason.COMPLETED, at=bench.clock())
    with pytest.raises(RunClosed, match="completed"):
        bench.deliver()
    assert bench.states() == {}


def test_field_report_3_a_batch_with_missing_rows_is_not_called_done(bench: Bench) -> None:
    with pytest.raises(BatchIncomplete, match="10 messages were registered, 9 have a line"):
        bench.deliver(rows=lambda: iter(bench.rows[:9]))
    result = bench.deliver()
    assert (result.newly_accepted, result.already_settled) == (1, 9)
    assert bench.provider.reached == dict.fromkeys(bench.ids, 1)


def test_a_batch_with_too_many_rows_stops_before_sending_them(bench: Bench) -> None:
    with pytest.raises(BatchIncomplete, match="has more rows"):
        bench.deliver(rows=lambda: iter([*bench.rows, bench.row(99)]))
    assert bench.row(99)["message_id"] not in bench.provider.reached


def test_a_row_given_twice_is_sent_once(bench: Bench) -> None:
    rows = [*bench.rows[:9], bench.rows[0]]
    with pytest.raises(BatchIncomplete):
        bench.deliver(rows=lambda: iter(rows))
    assert bench.provider.reached[bench.ids[0]] == 1


def test_another_worker_is_told_to_wait_and_the_lease_is_renewed_while_sending(bench: Bench) -> None:
    refused: list[datetime] = []

    def slow(message: Message) -> None:
        bench.clock.forward(seconds=25)  # a window of four outlasts the lease of 60 s
        with pytest.raises(BatchBusy) as busy:
            bench.deliver(owner="bertil")
        refused.append(busy.value.until)

    bench.provider.after = slow
    assert bench.deliver().counts == {ACCEPTED: 10}
    assert len(refused) == 10
    assert bench.provider.reached == dict.fromkeys(bench.ids, 1)


def test_a_crashed_worker_leaves_the_batch_until_its_lease_ends(bench: Bench) -> None:
    bench.store.batches.lease(bench.batch.run_key, "sms", 1, owner="dead", seconds=60, now=bench.clock())
    with pytest.raises(BatchBusy) as busy:
        bench.deliver()
    bench.clock.now = busy.value.until
    assert bench.deliver().newly_accepted == 10


def test_a_thousand_settled_rows_are_passed_over_in_one_query(make_bench: MakeBench) -> None:
    bench = make_bench(count=1_001, window=100)
    with pytest.raises(BatchIncomplete):
        bench.deliver(rows=lambda: iter(bench.rows[:1_000]))
    claims: list[int] = []
    real = bench.store.ledger.claim

    def counted(lease: Any, candidates: Any, **options: Any) -> Any:
        claims.append(len(candidates))
        return real(lease, candidates, **options)

    bench.store.ledger.claim = counted
    assert bench.deliver().newly_accepted == 1
    assert claims == [1]
