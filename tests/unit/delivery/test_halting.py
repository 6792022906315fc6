"""Halting a delivery in the middle: what is claimed is settled, the rest stays, and nobody gets it twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from kundresa.delivery import Halt, Pacing
from kundresa.delivery.guard import StoreGuard
from kundresa.spec.messages import Message, Receipt
from kundresa.spec.pace import WHOLE_ACCOUNT
from kundresa.spec.vocabulary import CloseReason, DeliveryPolicy, DeliveryReason, MessageState

Bench = Any
ACCEPTED, DEFERRED = MessageState.ACCEPTED, MessageState.DEFERRED
RUN = "winback--1"


def stop_at(bench: Bench, number: int) -> None:
    """The run is stopped while the ``number``th message is on its way."""

    def stop(_: Message) -> None:
        if bench.provider.reached.total() == number:
            bench.store.runs.stop(RUN, at=bench.clock(), detail="wrong link")

    bench.provider.after = stop


def test_a_stop_settles_the_window_in_hand_and_leaves_the_rest_unsent(bench: Bench) -> None:
    stop_at(bench, 5)  # the first of the second window
    seen: list[int] = []
    result = bench.deliver(progress=seen.append)
    assert (result.halted, result.newly_accepted, result.counts) == (Halt.RUN_STOPPED, 8, {ACCEPTED: 8})
    assert result.retry_at == bench.batch.valid_until + timedelta(seconds=1)
    assert bench.provider.reached == dict.fromkeys(bench.ids[:8], 1)
    assert seen == [4, 4]
    assert bench.store.batches.get(RUN, "sms", 1).owner is None, "the batch was given back"
    assert set(bench.lines()) == set(bench.ids[:8]), "what has not left has no line"


def test_while_it_is_stopped_nothing_is_opened_read_or_sent(bench: Bench) -> None:
    stop_at(bench, 1)
    bench.deliver()

    def no_rows() -> Any:
        raise AssertionError("a stopped run needs no rows")
        yield

    for _ in range(2):
        assert bench.deliver(rows=no_rows).halted is Halt.RUN_STOPPED
    assert bench.provider.opened == 1
    assert bench.provider.reached.total() == 4


def test_resumed_it_goes_on_with_those_who_are_left_and_nobody_twice(bench: Bench) -> None:
    stop_at(bench, 2)
    bench.deliver()
    bench.clock.forward(hours=30)
    bench.store.runs.resume(RUN, at=bench.clock())
    bench.provider.after = lambda _: None
    result = bench.deliver("bertil")
    assert (result.halted, result.retry_at, result.counts) == (None, None, {ACCEPTED: 10})
    assert (result.newly_accepted, result.already_settled) == (6, 4)
    assert bench.provider.reached == dict.fromkeys(bench.ids, 1)
    assert bench.deliver("cecilia").newly_accepted == 0


@pytest.mark.parametrize("policy", DeliveryPolicy)
def test_what_has_not_left_by_the_end_of_the_validity_is_accounted_for_as_stopped(
    make_bench: Callable[..., Bench], policy: DeliveryPolicy
) -> None:
    bench = make_bench(policy=policy)
    at = bench.clock() + timedelta(minutes=5)

    def later(message: Message) -> Receipt | None:
        if message.message_id == bench.ids[0]:
            reason = DeliveryReason.TEMPORARY_FAILURE
            return Receipt(message.message_id, DEFERRED, reason, code="451", retry_at=at)
        return None

    bench.provider.before = later
    stop_at(bench, 2)
    assert bench.deliver().counts == {ACCEPTED: 3, DEFERRED: 1}
    bench.clock.now = bench.batch.valid_until + timedelta(seconds=1)
    result = bench.deliver()
    assert (result.halted, result.retry_at) == (None, None)
    assert bench.reasons() == {("accepted", None): 3, ("withheld", "run_stopped"): 7}
    assert bench.provider.reached.total() == 3


def test_cancelled_while_stopped_is_cancelled(bench: Bench) -> None:
    stop_at(bench, 1)
    bench.deliver()
    bench.store.runs.close(RUN, CloseReason.CANCELLED, at=bench.clock())
    assert bench.deliver().retry_at is None
    assert bench.reasons() == {("accepted", None): 4, ("withheld", "run_cancelled"): 6}


def test_a_stopped_run_whose_time_has_not_come_is_looked_at_when_it_has(bench: Bench) -> None:
    from dataclasses import replace

    bench.store.runs.stop(RUN, at=bench.clock())
    bench.batch = replace(bench.batch, not_before=bench.clock() + timedelta(hours=2))
    result = bench.deliver()
    assert (result.halted, result.retry_at) == (None, bench.batch.not_before)
    bench.clock.forward(hours=2)
    assert bench.deliver().halted is Halt.RUN_STOPPED


def test_a_caller_that_says_no_is_obeyed_before_the_next_window(bench: Bench) -> None:
    answers = iter([True, True, False])  # at the start, and before each window
    result = bench.deliver(may_go_on=lambda: next(answers))
    assert (result.halted, result.retry_at, result.newly_accepted) == (Halt.PUT_OFF, bench.clock(), 4)
    assert bench.deliver().counts == {ACCEPTED: 10}
    assert bench.provider.reached == dict.fromkeys(bench.ids, 1)


@dataclass
class Asked:
    """A caller who takes a while to find out; says no from the ``no``th window on, from 1."""

    no: int
    done: list[str]

    def __call__(self) -> bool:
        return True

    def begin(self, messages: int, at_most: int) -> Callable[[], bool]:
        assert messages <= at_most == 4
        self.done.append("asked")

        def wait() -> bool:
            self.done.append("answered")
            return self.done.count("asked") < self.no

        return wait


def test_a_caller_who_takes_a_while_is_asked_for_each_window_and_waited_for_before_its_claim(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(2, [])
    ledger = type(bench.store.ledger)
    claim, look = ledger.claim, StoreGuard.held

    def noted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def instead(*args: Any, **named: Any) -> Any:
            asked.done.append(name)
            return call(*args, **named)

        return instead

    monkeypatch.setattr(ledger, "claim", noted("claim", claim))
    monkeypatch.setattr(StoreGuard, "held", noted("look", look))
    result = bench.deliver(may_go_on=asked)
    assert asked.done == ["asked", "look", "answered", "claim", "asked", "look", "answered"]
    assert (result.halted, result.retry_at, result.newly_accepted) == (Halt.PUT_OFF, bench.clock(), 4)
    assert set(bench.lines()) == set(bench.ids[:4]), "what has not left has no line"
    assert bench.store.batches.get(RUN, "sms", 1).owner is None, "the batch was given back"
    assert bench.deliver(may_go_on=Asked(4, [])).counts == {ACCEPTED: 10}
    assert bench.provider.reached == dict.fromkeys(bench.ids, 1)


def test_the_answer_of_a_caller_who_takes_a_while_is_not_older_than_the_turn_in_the_pace(
    bench: Bench,
) -> None:
    done: list[str] = []
    bench.store.paces.set("texts", WHOLE_ACCOUNT, 4.0, now=bench.clock())

    def sleep(seconds: float) -> None:
        done.append("waited")
        bench.clock.forward(seconds=seconds)

    bench.deliver(may_go_on=Asked(9, done), pacing=Pacing("texts", {}), sleep=sleep)
    assert done.count("waited") > 0
    assert "asked waited" not in " ".join(done), "a pause while it waits for its turn would be missed"


def test_a_caller_that_says_no_keeps_nothing_of_a_closed_or_expired_run(bench: Bench) -> None:
    bench.store.runs.close(RUN, CloseReason.CANCELLED, at=bench.clock())
    assert bench.deliver(may_go_on=lambda: False).halted is None
    assert bench.reasons() == {("withheld", "run_cancelled"): 10}
