"""A sender that breaks off: what is known is settled, only what may have left is unknown."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest

from kundresa.channels.accounts import AccountError
from kundresa.delivery import LeaseLost, Pacing, SenderContractError, Stopped
from kundresa.delivery.stopping import Stop, stop_on_signals
from kundresa.spec.messages import Message, Receipt, SmsContent
from kundresa.spec.pace import WHOLE_ACCOUNT
from kundresa.spec.vocabulary import DeliveryPolicy, DeliveryReason, MessageState
from kundresa.store import StoreUnavailable

Bench = Any
MakeBench = Callable[..., Any]
ACCEPTED, DEFERRED, UNKNOWN = MessageState.ACCEPTED, MessageState.DEFERRED, MessageState.UNKNOWN


def fail_at(bench: Bench, number: int, error: BaseException) -> Callable[[Message], None]:
    def answer(message: Message) -> None:
        if message.message_id == bench.ids[number]:
            raise error

    return answer


def finish(bench: Bench) -> Any:
    bench.provider.before = bench.provider.after = lambda _: None
    return bench.deliver(owner="bertil")


def test_field_report_5_a_wrong_password_says_so_and_loses_nobody(bench: Bench) -> None:
    bench.provider.before = fail_at(
        bench, 0, AccountError("account shop (smtp.example:587 as a): 535 refused")
    )
    with pytest.raises(AccountError, match="535 refused"):
        bench.deliver()
    assert bench.reasons() == {("deferred", "temporary_failure"): 4}
    assert {line.detail for line in bench.lines().values()} == {
        "account shop (smtp.example:587 as a): 535 refused"
    }
    result = finish(bench)  # at once: nothing waits for a lease or a back-off
    assert (result.counts, bench.provider.reached) == ({ACCEPTED: 10}, dict.fromkeys(bench.ids, 1))


def test_an_account_that_cannot_be_opened_claims_nothing(bench: Bench) -> None:
    def refuse() -> Any:
        raise AccountError("account shop has no host")

    with pytest.raises(AccountError, match="no host"):
        bench.deliver(open_sender=refuse)
    assert bench.states() == {}
    assert finish(bench).newly_accepted == 10


def test_an_account_locked_in_the_middle_keeps_what_was_accepted(bench: Bench) -> None:
    bench.provider.before = fail_at(bench, 6, AccountError("locked"))
    with pytest.raises(AccountError):
        bench.deliver()
    assert bench.states() == {ACCEPTED: 6, DEFERRED: 2}
    result = finish(bench)
    assert (result.newly_accepted, result.already_settled) == (4, 6)
    assert bench.provider.reached == dict.fromkeys(bench.ids, 1)


def test_field_report_1_a_lost_connection_goes_on_where_it_was(bench: Bench) -> None:
    bench.provider.after = fail_at(bench, 5, ConnectionResetError("peer went away"))
    with pytest.raises(ConnectionResetError):
        bench.deliver()
    assert bench.states() == {ACCEPTED: 5, UNKNOWN: 1, DEFERRED: 2}
    assert bench.lines()[bench.ids[5]].detail == "sending broke off: ConnectionResetError"
    result = finish(bench)
    assert result.counts == {ACCEPTED: 9, UNKNOWN: 1}
    assert bench.provider.reached == dict.fromkeys(bench.ids, 1)


def test_at_least_once_sends_the_unknown_one_again(make_bench: MakeBench) -> None:
    bench = make_bench(policy=DeliveryPolicy.AT_LEAST_ONCE)
    bench.provider.after = fail_at(bench, 5, ConnectionResetError())
    with pytest.raises(ConnectionResetError):
        bench.deliver()
    bench.provider.after = lambda _: None
    waiting = bench.deliver()
    assert waiting.counts == {ACCEPTED: 9, UNKNOWN: 1}
    assert waiting.retry_at == bench.clock() + timedelta(minutes=5)
    bench.clock.forward(minutes=5)
    assert (bench.deliver().counts, bench.provider.reached[bench.ids[5]]) == ({ACCEPTED: 10}, 2)


def test_a_sender_that_reads_ahead_leaves_more_unknown(bench: Bench) -> None:
    class Pipelined:
        def send(self, window: Sequence[Message]) -> Iterable[Receipt]:
            first, _second = window[:2]
            yield Receipt(first.message_id, ACCEPTED)
            raise ConnectionResetError

        def close(self) -> None:
            raise ConnectionResetError  # changes nothing about the messages

    with pytest.raises(ConnectionResetError):
        bench.deliver(open_sender=Pipelined)
    assert [bench.lines()[each].state for each in bench.ids[:4]] == [ACCEPTED, UNKNOWN, DEFERRED, DEFERRED]


@pytest.mark.parametrize("error", [KeyboardInterrupt, Stopped(signal.SIGTERM)])
def test_an_interrupted_delivery_settles_what_left_and_frees_the_batch(bench: Bench, error: Any) -> None:
    bench.provider.after = fail_at(bench, 1, error)
    with pytest.raises((KeyboardInterrupt, Stopped)):
        bench.deliver()
    assert bench.states() == {ACCEPTED: 1, UNKNOWN: 1, DEFERRED: 2}
    assert finish(bench).counts == {ACCEPTED: 9, UNKNOWN: 1}


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_real_signal_does_the_same(bench: Bench, signum: signal.Signals) -> None:
    before = signal.getsignal(signum)

    def hit(message: Message) -> None:
        if message.message_id == bench.ids[5]:
            os.kill(os.getpid(), signum)

    bench.provider.after = hit
    with pytest.raises(Stopped) as stopped:
        bench.deliver()
    assert stopped.value.code == 128 + signum
    assert bench.states() == {ACCEPTED: 5, UNKNOWN: 1, DEFERRED: 2}
    assert signal.getsignal(signum) is before
    assert finish(bench).counts == {ACCEPTED: 9, UNKNOWN: 1}


def test_a_signal_while_the_ledger_is_written_waits_for_the_transaction(bench: Bench) -> None:
    real = bench.store.ledger.claim

    def claim(*arguments: Any, receipts: Any, **options: Any) -> Any:
        if receipts:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*arguments, receipts=receipts, **options)

    bench.store.ledger.claim = claim
    with pytest.raises(Stopped):
        bench.deliver()
    # It has settled the first window and claimed the second one, of which nothing left.
    assert bench.states() == {ACCEPTED: 4, DEFERRED: 4}
    assert set(bench.provider.reached) == set(bench.ids[:4])


def test_rows_that_cannot_be_read_ahead_hold_up_nothing_that_is_claimed(bench: Bench) -> None:
    """The third window is read while the second one's claim is written."""

    def rows() -> Iterator[Any]:
        yield from bench.rows[:8]
        raise OSError("the file is gone")

    with pytest.raises(OSError, match="gone"):
        bench.deliver(rows=rows)
    assert bench.states() == {ACCEPTED: 8}
    assert finish(bench).counts == {ACCEPTED: 10}


def test_a_message_that_cannot_be_written_ahead_is_raised_when_its_turn_comes(bench: Bench) -> None:
    class Breaks:
        def render(self, row: Any) -> SmsContent:
            if row["message_id"] == bench.ids[5]:
                raise ZeroDivisionError
            return SmsContent("Hello")

    with pytest.raises(ZeroDivisionError):
        bench.deliver(renderer=Breaks())
    assert bench.states() == {ACCEPTED: 4}


def test_receipts_are_settled_before_anybody_waits_for_a_pace(bench: Bench) -> None:
    seen: list[Any] = []

    def sleep(seconds: float) -> None:
        seen.append(bench.states())
        bench.clock.forward(seconds=seconds)

    bench.deliver(pacing=Pacing("texts", {WHOLE_ACCOUNT: 2}), sleep=sleep)
    assert all(set(states) <= {ACCEPTED} for states in seen), "nothing is claimed while it waits"
    assert len(seen) > 1


def test_a_second_signal_does_not_cut_the_settling_short() -> None:
    with stop_on_signals() as stop:
        with pytest.raises(Stopped), stop.interruptible():
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Stopped):
            stop.check()
    Stop().check()


def test_a_signal_that_comes_too_late_is_heard_by_whoever_had_the_signals_before() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda signum, _: heard.append(signum))
    try:
        with stop_on_signals():
            os.kill(os.getpid(), signal.SIGTERM)
            assert heard == []
        assert heard == [signal.SIGTERM]
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with pytest.raises(Stopped), stop_on_signals():
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


class Omits:
    """Keeps the receipt of the second message to itself."""

    def send(self, window: Sequence[Message]) -> Iterable[Receipt]:
        return [Receipt(each.message_id, ACCEPTED) for number, each in enumerate(window) if number != 1]

    def close(self) -> None: ...


class Doubles(Omits):
    def send(self, window: Sequence[Message]) -> Iterable[Receipt]:
        return [Receipt(window[0].message_id, ACCEPTED)] * 2


class Invents(Omits):
    def send(self, window: Sequence[Message]) -> Iterable[Receipt]:
        return [Receipt(f"not-{each.message_id}", ACCEPTED) for each in window[:1]]


class Contradicts(Omits):
    def send(self, window: Sequence[Message]) -> Iterable[Receipt]:
        return [Receipt(window[0].message_id, ACCEPTED, DeliveryReason.ADDRESS_REFUSED)]


@pytest.mark.parametrize(
    ("sender", "said", "states"),
    [
        (Omits, "no receipt for 1 messages", {ACCEPTED: 3, UNKNOWN: 1}),
        (Doubles, "a second receipt", {ACCEPTED: 1, DEFERRED: 3}),
        (Invents, "not of this window", {UNKNOWN: 1, DEFERRED: 3}),
        (Contradicts, "accepted with reason", {UNKNOWN: 1, DEFERRED: 3}),
    ],
)
def test_a_defective_sender_is_found_out(bench: Bench, sender: Any, said: str, states: Any) -> None:
    with pytest.raises(SenderContractError, match=said):
        bench.deliver(open_sender=sender)
    assert bench.states() == states


def test_a_worker_that_lost_its_batch_stops_sending(bench: Bench) -> None:
    def sleep(message: Message) -> None:
        if message.message_id == bench.ids[1]:
            bench.clock.forward(seconds=61)
            bench.store.batches.lease(
                bench.batch.run_key, "sms", 1, owner="bertil", seconds=60, now=bench.clock()
            )

    bench.provider.after = sleep
    with pytest.raises(LeaseLost, match="another worker"):
        bench.deliver()
    assert sum(bench.provider.reached.values()) == 2
    assert bench.store.batches.get(bench.batch.run_key, "sms", 1).owner == "bertil"
    bench.clock.forward(seconds=61)
    assert finish(bench).counts == {ACCEPTED: 6, UNKNOWN: 4}
    assert max(bench.provider.reached.values()) == 1


def test_what_took_longer_than_the_lease_while_a_window_was_claimed_is_noticed_before_it_leaves(
    bench: Bench,
) -> None:
    """The third window is read while the second one's claim is written; meanwhile another has the batch."""

    def rows() -> Iterator[Any]:
        yield from bench.rows[:8]
        bench.clock.forward(seconds=61)
        bench.store.batches.lease(
            bench.batch.run_key, "sms", 1, owner="bertil", seconds=60, now=bench.clock()
        )
        yield from bench.rows[8:]

    with pytest.raises(LeaseLost, match="another worker"):
        bench.deliver(rows=rows)
    assert sum(bench.provider.reached.values()) == 4


def test_a_full_disk_is_a_loud_error_and_loses_nobody(make_bench: MakeBench) -> None:
    bench = make_bench(count=400, window=20)
    engine = bench.store.database.engine
    engine.dispose()
    with bench.store.database.read() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        # SQLite's own bound on the file: beyond it a write fails as on a full disk.
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 8}")
    with pytest.raises(StoreUnavailable, match="full"):
        bench.deliver()
    sent = sum(bench.provider.reached.values())
    assert 0 < sent < 400
    with bench.store.database.read() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
    bench.clock.forward(seconds=61)
    result = finish(bench)
    assert result.counts.get(UNKNOWN, 0) <= 20
    assert sum(result.counts.values()) == 400
    assert max(bench.provider.reached.values()) == 1
    assert result.counts[ACCEPTED] <= len(bench.provider.reached) <= sum(result.counts.values())


def test_a_locked_ledger_is_a_loud_error_and_loses_nobody(make_bench: MakeBench) -> None:
    import sqlite3

    bench = make_bench()
    other = sqlite3.connect(bench.store.database.path, isolation_level=None)

    def lock(message: Message) -> None:
        if message.message_id == bench.ids[7]:
            other.execute("BEGIN IMMEDIATE")

    bench.provider.after = lock
    with pytest.raises(StoreUnavailable, match="locked") as error:
        bench.deliver()
    assert any("lease has to run out" in note for note in error.value.__notes__)
    other.execute("ROLLBACK")
    other.close()
    bench.clock.forward(seconds=61)
    assert finish(bench).counts == {ACCEPTED: 6, UNKNOWN: 4}
    assert bench.provider.reached == dict.fromkeys(bench.ids, 1)
