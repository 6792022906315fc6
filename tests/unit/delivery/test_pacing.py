"""Keeping to an account's pace, by a clock that only sleeping moves."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from kundresa.delivery import Halt, Pacing
from kundresa.delivery.pacing import COME_AGAIN, PATIENCE
from kundresa.delivery.stopping import Stopped
from kundresa.spec.messages import Message
from kundresa.spec.vocabulary import CloseReason, MessageState

Bench = Any
ACCEPTED = MessageState.ACCEPTED
RUN = "winback--1"


@pytest.fixture
def paced(make_bench: Callable[..., Bench]) -> Callable[..., Any]:
    """Delivers at a pace; the provider notes when each message left. ``bench`` is an attribute."""

    def deliver(rates: dict[str, float] | None = None, **options: Any) -> Any:
        bench = deliver.bench  # type: ignore[attr-defined]
        slept = deliver.slept  # type: ignore[attr-defined]

        def sleep(seconds: float) -> None:
            slept.append(seconds)
            bench.clock.forward(seconds=seconds)

        pacing = Pacing("texts", rates or {})
        return bench.deliver(**{"pacing": pacing, "sleep": sleep} | options)

    bench = make_bench(count=12, window=5)
    started = bench.clock()

    def note(message: Message) -> None:
        deliver.left[message.message_id] = (bench.clock() - started).total_seconds()  # type: ignore[attr-defined]

    bench.provider.after = note
    deliver.bench, deliver.slept, deliver.left = bench, [], {}  # type: ignore[attr-defined]
    return deliver


def test_messages_leave_at_the_pace_and_all_of_them_once(paced: Any) -> None:
    result = paced({"": 2.0})
    assert (result.counts, result.retry_at, result.halted) == ({ACCEPTED: 12}, None, None)
    assert paced.bench.provider.reached == dict.fromkeys(paced.bench.ids, 1)
    assert sorted(paced.left.values()) == [0, 0, 1, 1, 2, 2.5, 2.5, 3.5, 3.5, 4.5, 5, 5]
    assert paced.bench.provider.windows == [2, 2, 1, 2, 2, 1, 2]


def test_without_a_pace_nothing_is_asked_and_windows_are_whole(
    paced: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[str] = []
    take = paced.bench.store.paces.take
    monkeypatch.setattr(paced.bench.store.paces, "take", lambda *a, **o: taken.append(a[0]) or take(*a, **o))
    assert paced().counts == {ACCEPTED: 12}
    assert (taken, paced.slept, paced.bench.provider.windows) == ([], [], [5, 5, 2])


def test_a_pace_that_is_set_while_it_runs_holds_from_the_next_window_on(paced: Any) -> None:
    bench = paced.bench
    note = bench.provider.after

    def set_in_the_second_window(message: Message) -> None:
        note(message)
        if bench.provider.reached.total() == 6:
            bench.store.paces.set("texts", "", 1.0, now=bench.clock())

    bench.provider.after = set_in_the_second_window
    assert paced().counts == {ACCEPTED: 12}
    assert bench.provider.windows == [5, 5, 1, 1]
    assert bench.provider.reached == dict.fromkeys(bench.ids, 1)


def test_a_pace_that_is_lifted_while_it_runs_is_lifted_from_the_next_window_on(paced: Any) -> None:
    bench = paced.bench
    bench.store.paces.set("texts", "", 1.0, now=bench.clock())
    note = bench.provider.after

    def lift(message: Message) -> None:
        note(message)
        if bench.provider.reached.total() == 2:
            bench.store.paces.set("texts", "", None, now=bench.clock())

    bench.provider.after = lift
    assert paced().counts == {ACCEPTED: 12}
    assert bench.provider.windows == [1, 1, 3, 5, 2]


def test_a_change_while_it_waits_for_its_moment_voids_what_was_allowed(paced: Any) -> None:
    bench = paced.bench

    def sleep(seconds: float) -> None:
        paced.slept.append(seconds)
        bench.clock.forward(seconds=seconds)
        if len(paced.slept) == 1:
            bench.store.paces.set("texts", "", 0.5, now=bench.clock())

    assert paced({"": 2.0}, sleep=sleep).counts == {ACCEPTED: 12}
    assert bench.provider.windows == [2, *[1] * 10]
    assert sorted(paced.left.values()) == [0, 0, *range(1, 20, 2)]


def test_a_busy_domain_is_waited_for_and_the_others_go_first(paced: Any) -> None:
    bench = paced.bench
    for number, row in enumerate(bench.rows):
        row["address"] = f"p{number}@{'slow.example' if number < 4 else 'fast.example'}"
    assert paced({"slow.example": 1.0}).counts == {ACCEPTED: 12}
    slow = [paced.left[each] for each in bench.ids[:4]]
    assert slow == [0, 1, 2, 3]
    assert paced.left[bench.ids[4]] == 0, "of the same window, but of another domain"


def test_whose_turn_comes_too_late_gives_the_batch_back(paced: Any) -> None:
    bench, busy = paced.bench, {"": 1.0}
    for _ in range(7):  # as many as six other workers hold
        bench.store.paces.take("texts", busy, [""], now=bench.clock(), patience=PATIENCE)
    result = paced(busy)
    assert (result.halted, result.retry_at, result.counts) == (Halt.PACED, bench.clock() + COME_AGAIN, {})
    assert paced.slept == []
    assert bench.store.batches.get(RUN, "sms", 1).owner is None
    bench.clock.now = result.retry_at
    assert paced(busy).counts == {ACCEPTED: 12}
    assert bench.provider.reached == dict.fromkeys(bench.ids, 1)


def test_a_pace_slower_than_a_worker_waits_says_exactly_when(paced: Any) -> None:
    first = paced({"": 0.01})
    assert (first.halted, first.newly_accepted) == (Halt.PACED, 1)
    assert first.retry_at == paced.bench.clock() + timedelta(seconds=100)
    paced.bench.clock.now = first.retry_at
    assert paced({"": 0.01}).newly_accepted == 1


def test_a_batch_that_is_put_off_beyond_its_validity_comes_when_that_ends(paced: Any) -> None:
    bench = paced.bench
    bench.clock.now = bench.batch.valid_until - timedelta(seconds=50)
    result = paced({"": 0.01})
    assert result.retry_at == bench.batch.valid_until + timedelta(seconds=1)
    bench.clock.now = result.retry_at
    assert paced({"": 0.01}).retry_at is None
    assert bench.reasons() == {("accepted", None): 1, ("withheld", "run_expired"): 11}


def test_a_stop_is_noticed_after_a_wait_and_a_cancelled_run_waits_for_nothing(paced: Any) -> None:
    bench = paced.bench

    def sleep(seconds: float) -> None:
        bench.clock.forward(seconds=seconds)
        bench.store.runs.stop(RUN, at=bench.clock())

    result = paced({"": 1.0}, sleep=sleep)
    assert (result.halted, result.counts) == (Halt.RUN_STOPPED, {ACCEPTED: 1})
    bench.store.runs.close(RUN, CloseReason.CANCELLED, at=bench.clock())
    assert paced({"": 1.0}).retry_at is None
    assert paced.slept == []
    assert bench.reasons() == {("accepted", None): 1, ("withheld", "run_cancelled"): 11}


def test_a_long_wait_keeps_the_batch_and_a_signal_ends_it(paced: Any) -> None:
    import os
    import signal

    bench = paced.bench
    leases: list[Any] = []

    def sleep(seconds: float) -> None:
        assert seconds <= 1.0
        bench.clock.forward(seconds=seconds)
        leases.append(bench.store.batches.get(RUN, "sms", 1).lease_expires_at - bench.clock())
        if len(leases) == 6:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Stopped):
        paced({"": 0.25}, lease=timedelta(seconds=3), sleep=sleep)
    assert min(leases) > timedelta(0)
    assert bench.states() == {ACCEPTED: 2}, "nothing was on its way"
    assert bench.deliver().counts == {ACCEPTED: 12}
    assert bench.provider.reached == dict.fromkeys(bench.ids, 1)
