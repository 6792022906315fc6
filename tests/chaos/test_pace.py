"""Two processes that share an account's pace, counted and timed at the receiver; and one that is killed."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from kundresa.spec.vocabulary import MessageState
from kundresa.store import open_store

Start = Callable[..., Any]
SLACK = 0.3
"""Seconds that a process may be held up on two busy cores, after its moment has come."""


def most_within(moments: list[float], seconds: float) -> int:
    """The most messages that came within any interval of this length."""
    return max(sum(first <= each < first + seconds for each in moments) for first in moments)


def test_two_processes_together_keep_the_pace_also_when_it_is_changed(
    receiver: Any, open_run: Any, start_worker: Start
) -> None:
    size, rate, changed_to = 60, 20.0, 40.0
    runs = {"chaos--1": open_run("chaos--1", size), "chaos--2": open_run("chaos--2", size)}
    workers = [
        start_worker(url, key, size=size, window=50, policy="at_most_once", lease=10, per_second=rate)
        for key, url in runs.items()
    ]
    workers[0].wait_until(lambda: receiver.total() >= 60)
    with open_store(runs["chaos--1"]) as store:
        before = list(receiver.moments)
        store.paces.set("texts", "", changed_to, now=datetime.now(tz=UTC))
    assert [each.wait() for each in workers] == [0, 0], workers[0].output + workers[1].output
    moments = sorted(receiver.moments)
    assert set(receiver.received.values()) == {1}
    assert len(moments) == 2 * size
    # A second's worth at its begin, and what was held up.
    assert most_within(before, 1.0) <= rate * (1 + SLACK) + rate
    assert len(before) / (before[-1] - before[0] + 1) <= rate * 1.05
    after = moments[len(before) :]
    assert most_within(after, 1.0) <= changed_to * (1 + SLACK) + changed_to
    took = moments[-1] - moments[0]
    assert took >= (60 - rate) / rate + (60 - 2 * changed_to) / changed_to
    assert took <= 60 / rate + 60 / changed_to + 5, "two do not wait for each other longer than they must"


def test_a_kill_between_allowance_and_claim_costs_nothing_but_allowance(
    receiver: Any, open_run: Any, start_worker: Start
) -> None:
    size = 12
    url = open_run("chaos--1", size)
    options = {"size": size, "window": 5, "policy": "at_most_once", "lease": 0.3, "per_second": 2.0}
    worker = start_worker(url, "chaos--1", **options)

    def waits_for_its_third_second_or_a_later_one() -> bool:
        if receiver.total() < 4:
            return False
        with open_store(url) as store:
            [pace] = store.paces.all()
        return pace.free_at is not None and pace.free_at - datetime.now(tz=UTC) > timedelta(seconds=1.2)

    worker.wait_until(waits_for_its_third_second_or_a_later_one)
    worker.send_signal(signal.SIGKILL)
    assert worker.wait() == -signal.SIGKILL
    had = receiver.total()
    assert 4 <= had < size
    with open_store(url) as store:
        assert store.ledger.tally("chaos--1", "sms", 1).counts == {MessageState.ACCEPTED: had}
    time.sleep(0.4)
    assert start_worker(url, "chaos--1", **options).wait() == 0
    assert len(receiver.received) == size
    assert set(receiver.received.values()) == {1}
    with open_store(url) as store:
        assert store.ledger.tally("chaos--1", "sms", 1).counts == {MessageState.ACCEPTED: size}
