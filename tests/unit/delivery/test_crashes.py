"""Crashes at every point of the protocol, in any order: who got what, and what the ledger says of it.

A crash here is what SIGKILL is: from that moment on the worker writes nothing any more. Its store is
wrapped so that every call after the crash fails as well, also those of its own cleaning up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from kundresa.channels.accounts import AccountError
from kundresa.delivery import BatchBusy
from kundresa.spec.messages import Message
from kundresa.spec.vocabulary import DeliveryPolicy, MessageState

COUNT = 12
WINDOW = 4
POINTS = ("before_claim", "after_claim", "before_send", "after_send", "before_settle", "after_settle")


class Killed(BaseException):
    """The worker is gone."""


class Doomed:
    """The store as a worker sees it that dies at one point of one window. The transaction that claims a
    window settles the one before."""

    def __init__(self, store: Any, point: str, window: int) -> None:
        self.dead = False
        self._store = store
        self._dies_at = (point, window)
        self._claimed = 0
        self._settled = 0
        self.batches = _Watched(self, store.batches, {})
        self.ledger = _Watched(self, store.ledger, {"claim": self._at_claim, "settle": self._at_settle})
        self.opt_outs = _Watched(self, store.opt_outs, {})
        self.suppressions = _Watched(self, store.suppressions, {})

    def die(self) -> None:
        self.dead = True
        raise Killed

    def _at(self, point: str, window: int) -> None:
        if self._dies_at == (point, window):
            self.die()

    def _at_claim(self, *arguments: Any, receipts: Any = (), **options: Any) -> Any:
        if receipts:
            self._at("before_settle", self._settled)
        self._at("before_claim", self._claimed)
        claimed = self._store.ledger.claim(*arguments, receipts=receipts, **options)
        if receipts:
            self._settled += 1
            self._at("after_settle", self._settled - 1)
        self._claimed += 1
        self._at("after_claim", self._claimed - 1)
        return claimed

    def _at_settle(self, *arguments: Any, **options: Any) -> None:
        self._at("before_settle", self._settled)
        self._store.ledger.settle(*arguments, **options)
        self._settled += 1
        self._at("after_settle", self._settled - 1)


class _Watched:
    def __init__(self, owner: Doomed, real: Any, instead: dict[str, Callable[..., Any]]) -> None:
        self._owner = owner
        self._real = real
        self._instead = instead

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            if self._owner.dead:
                raise Killed
            return self._instead.get(name, getattr(self._real, name))(*arguments, **options)

        return call


class Crashes(RuleBasedStateMachine):
    """Workers that die, stumble and succeed on one batch."""

    make_bench: Callable[..., Any]

    @initialize(policy=st.sampled_from(DeliveryPolicy), is_idempotent=st.booleans())
    def start(self, policy: DeliveryPolicy, is_idempotent: bool) -> None:
        self.bench = type(self).make_bench(count=COUNT, window=WINDOW, policy=policy)
        self.bench.batch = replace(self.bench.batch, is_idempotent=is_idempotent)
        self.crashes = 0
        self.said_no: set[str] = set()

    def _attempt(self, **changes: Any) -> None:
        """A worker after the lease of the one before has run out; each sees all that is due."""
        self.bench.clock.forward(minutes=10)
        self.bench.deliver(**changes)

    @rule(point=st.sampled_from(POINTS), window=st.integers(0, 3), number=st.integers(0, COUNT))
    def crash(self, point: str, window: int, number: int) -> None:
        doomed = Doomed(self.bench.store, point, window)
        sent = iter(range(number, -1, -1))

        def count(_message: Message) -> None:
            if next(sent) == 0:
                doomed.die()

        provider = self.bench.provider
        provider.before, provider.after = (
            count if point == "before_send" else _nothing,
            count if point == "after_send" else _nothing,
        )
        try:
            self._attempt(books=doomed)
        except Killed:
            self.crashes += 1
        finally:
            provider.before = provider.after = _nothing

    @rule(number=st.integers(0, COUNT))
    def account_refused(self, number: int) -> None:
        sent = iter(range(number, -1, -1))

        def refuse(_message: Message) -> None:
            if next(sent) == 0:
                raise AccountError("535")

        self.bench.provider.before = refuse
        try:
            self._attempt()
        except AccountError:
            pass
        finally:
            self.bench.provider.before = _nothing

    @rule()
    def another_at_the_same_time(self) -> None:
        lease = self.bench.store.batches.lease(
            self.bench.batch.run_key, "sms", 1, owner="other", seconds=60, now=self._late()
        )
        if self.bench.store.batches.get(self.bench.batch.run_key, "sms", 1).finished_at is None:
            with pytest.raises(BatchBusy):
                self.bench.deliver()
        self.bench.store.batches.release(lease)

    def _late(self) -> Any:
        self.bench.clock.forward(minutes=10)
        return self.bench.clock()

    @precondition(lambda self: len(self.said_no) < 3)
    @rule(number=st.integers(0, COUNT - 1))
    def opt_out(self, number: int) -> None:
        row = self.bench.rows[number]
        if row["message_id"] not in self.bench.lines():
            self.said_no.add(row["message_id"])
            self.bench.store.opt_outs.record(
                channel="sms", address=row["address"], source="link", recorded_at=self.bench.clock()
            )

    def teardown(self) -> None:
        if not hasattr(self, "bench"):
            return
        self._attempt()
        result = self.bench.deliver()
        assert (result.newly_accepted, result.already_settled, result.retry_at) == (0, COUNT, None)
        lines = self.bench.lines()
        reached = self.bench.provider.reached
        accepted = {key for key, line in lines.items() if line.state is MessageState.ACCEPTED}
        unknown = {key for key, line in lines.items() if line.state is MessageState.UNKNOWN}
        withheld = {key for key, line in lines.items() if line.state is MessageState.WITHHELD}
        assert accepted | unknown | withheld == set(self.bench.ids)
        assert withheld == self.said_no
        assert not withheld & set(reached)
        assert accepted <= set(reached)
        assert set(reached) <= accepted | unknown
        if not self.bench.batch.resends_unknown:
            assert set(reached.values()) <= {1}
            assert len(unknown) <= WINDOW * self.crashes
        else:
            assert not unknown
            assert sum(reached.values()) - len(reached) <= WINDOW * self.crashes
        self.bench.store.close()


def _nothing(_message: Message) -> None:
    return None


def test_no_crash_loses_or_doubles_a_message(make_bench: Callable[..., Any]) -> None:
    machine = type("CrashesHere", (Crashes,), {"make_bench": staticmethod(make_bench)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=60,
            stateful_step_count=6,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("policy", list(DeliveryPolicy))
@pytest.mark.parametrize("point", POINTS)
def test_field_report_2_a_crash_at_each_point(
    make_bench: Callable[..., Any], point: str, policy: DeliveryPolicy
) -> None:
    """What was fetched but not sent is sent by the next worker; what may have left is told apart."""
    bench = make_bench(count=COUNT, window=WINDOW, policy=policy)
    doomed = Doomed(bench.store, point, 1)
    sent = iter(range(5, -1, -1))

    def count(_message: Message) -> None:
        if next(sent) == 0:
            doomed.die()

    if point == "before_send":
        bench.provider.before = count
    if point == "after_send":
        bench.provider.after = count
    with pytest.raises(Killed):
        bench.deliver(books=doomed)
    bench.provider.before = bench.provider.after = _nothing
    with pytest.raises(BatchBusy):
        bench.deliver(owner="bertil")
    bench.clock.forward(seconds=61)
    result = bench.deliver(owner="bertil")
    # Before the second window is claimed, the first one has left and is not settled; when the second one is
    # settled, the third one is claimed and has not left.
    claimed = WINDOW
    left = {"before_claim": WINDOW, "before_send": 1, "after_send": 2, "before_settle": WINDOW}.get(point, 0)
    if policy is DeliveryPolicy.AT_MOST_ONCE:
        expected = {MessageState.ACCEPTED: COUNT - claimed, MessageState.UNKNOWN: claimed}
        assert result.counts == {state: count for state, count in expected.items() if count}
        assert len(bench.provider.reached) == COUNT - claimed + left
        assert set(bench.provider.reached.values()) == {1}
    else:
        assert result.counts == {MessageState.ACCEPTED: COUNT}
        assert len(bench.provider.reached) == COUNT
        assert sum(bench.provider.reached.values()) == COUNT + left
