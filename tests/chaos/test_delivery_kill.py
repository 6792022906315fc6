"""Workers killed at random moments by SIGKILL: counted at the receiver, nothing lost, nobody twice."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from kundresa.spec.vocabulary import MessageState
from kundresa.store import open_store

RUN = "chaos--1"
SIZE = 1_500
PER_KILL = 100
"""Messages for each kill: so many and a few more leave between two of them."""
WINDOW = 20
LEASE = 0.3
MANY, FEW = int(os.environ.get("KUNDRESA_CHAOS_KILLS") or 60), 15
SECONDS_PER_KILL = 4.0
"""At most; ~0.5 on two idle cores."""

Start = Callable[..., Any]


def deliver_with_kills(
    receiver: Any, start_worker: Start, url: str, policy: str, rng: random.Random, *, most: int, size: int
) -> int:
    """Kill worker after worker after some messages and a moment more, then let one finish.

    Returns the kills that hit. Messages, because time alone would hit only the start on a busy machine.
    """
    end = time.monotonic() + most * SECONDS_PER_KILL
    kills = 0
    for _ in range(10 * most):
        assert time.monotonic() < end, f"{kills} of {most} kills in {most * SECONDS_PER_KILL:.0f} s"
        before = receiver.total()
        worker = start_worker(url, RUN, size=size, window=WINDOW, policy=policy, lease=LEASE)
        if kills < most:
            enough = before + rng.randrange(60)
            while receiver.total() < enough and not {"BatchBusy", "finished"} & set(worker.output.split()):
                time.sleep(0.001)
            time.sleep(rng.uniform(0, 0.01))
            worker.send_signal(signal.SIGKILL)
        if worker.wait() == 0:
            return kills
        if worker.returncode == -signal.SIGKILL:
            kills += 1
        else:
            assert "BatchBusy" in worker.output
        time.sleep(LEASE)
    raise AssertionError("no worker came to the end")


@pytest.mark.parametrize(
    ("policy", "engine", "most"),
    [
        ("at_most_once", "sqlite", MANY),
        ("at_least_once", "sqlite", MANY),
        ("at_most_once", "postgresql", FEW),
        ("at_least_once", "postgresql", FEW),
    ],
)
@pytest.mark.timeout(MANY * SECONDS_PER_KILL + 60)
def test_killed_workers_lose_nobody(
    policy: str,
    engine: str,
    most: int,
    receiver: Any,
    open_run: Any,
    start_worker: Start,
    request: pytest.FixtureRequest,
) -> None:
    seed = int(os.environ.get("KUNDRESA_CHAOS_SEED") or random.SystemRandom().randrange(10**6))
    print(f"KUNDRESA_CHAOS_SEED={seed}")
    size, given = most * PER_KILL, ""
    if engine == "postgresql":
        cluster, name = request.getfixturevalue("postgres"), request.getfixturevalue("migrated_database")
        cluster.empty_tables(name)
        given = cluster.url(name)
    url = open_run(RUN, size, url=given)
    rng = random.Random(seed)
    kills = deliver_with_kills(receiver, start_worker, url, policy, rng, most=most, size=size)
    with open_store(url) as store:
        lines = [row for page in store.ledger.rows(RUN) for row in page]
    accepted = {row["message_id"] for row in lines if row["state"] == MessageState.ACCEPTED}
    unknown = {row["message_id"] for row in lines if row["state"] == MessageState.UNKNOWN}
    received = receiver.received
    twice = sum(received.values()) - len(received)
    print(
        f"{policy}: {kills} kills, {len(accepted)} accepted, {len(unknown)} unknown, {twice} received twice"
    )
    assert kills == most
    assert unknown or twice, "no kill hit a window under way: this test has tested nothing"
    assert len(lines) == size
    assert len(accepted) + len(unknown) == size
    assert accepted <= set(received) <= accepted | unknown
    if policy == "at_most_once":
        assert twice == 0
        assert len(unknown) <= WINDOW * kills
    else:
        assert not unknown
        assert twice <= WINDOW * kills


def test_a_worker_told_to_stop_leaves_at_most_one_message_open(
    receiver: Any, open_run: Any, start_worker: Start
) -> None:
    url = open_run(RUN, SIZE)
    options = {"size": SIZE, "window": WINDOW, "policy": "at_most_once", "lease": 60}
    first = start_worker(url, RUN, **options)
    first.wait_until(lambda: len(receiver.received) >= 50)
    first.send_signal(signal.SIGTERM)
    assert first.wait() == 128 + signal.SIGTERM, first.output
    # The lease of 60 s was given back: the next one starts at once.
    second = start_worker(url, RUN, **options)
    assert second.wait() == 0, second.output
    with open_store(url) as store:
        counts = store.ledger.tally(RUN, "sms", 1).counts
    assert sum(counts.values()) == SIZE
    assert counts.get(MessageState.UNKNOWN, 0) <= 1
    assert counts[MessageState.ACCEPTED] <= len(receiver.received) <= SIZE
    assert max(receiver.received.values()) == 1


def test_two_workers_given_the_same_batch_do_not_both_send_it(
    receiver: Any, open_run: Any, start_worker: Start
) -> None:
    url = open_run(RUN, SIZE)
    options = {"size": SIZE, "window": WINDOW, "policy": "at_most_once", "lease": 60}
    both = [start_worker(url, RUN, **options) for _ in range(2)]
    codes = [worker.wait() for worker in both]
    assert 0 in codes
    assert all("BatchBusy" in worker.output for worker in both if worker.returncode)
    assert len(receiver.received) == SIZE
    assert max(receiver.received.values()) == 1


def test_a_worker_that_slept_through_its_lease_sends_nothing_twice(
    receiver: Any, open_run: Any, start_worker: Start
) -> None:
    url = open_run(RUN, SIZE)
    options = {"size": SIZE, "window": WINDOW, "policy": "at_most_once"}
    sleeper = start_worker(url, RUN, lease=LEASE, **options)
    sleeper.wait_until(lambda: len(receiver.received) >= 50)
    sleeper.send_signal(signal.SIGSTOP)
    time.sleep(2 * LEASE)
    other = start_worker(url, RUN, lease=60, **options)
    # Stopped inside a write, the sleeper keeps SQLite's lock until it wakes: so it is woken either way.
    time.sleep(0.5)
    sleeper.send_signal(signal.SIGCONT)
    codes = {sleeper.wait(), other.wait()}
    assert 0 in codes, sleeper.output + other.output
    if sleeper.returncode:
        assert "LeaseLost" in sleeper.output
    if other.returncode:
        assert "BatchBusy" in other.output
    with open_store(url) as store:
        counts = store.ledger.tally(RUN, "sms", 1).counts
    assert sum(counts.values()) == SIZE
    assert counts.get(MessageState.UNKNOWN, 0) <= WINDOW
    assert counts[MessageState.ACCEPTED] <= len(receiver.received) <= SIZE
    assert max(receiver.received.values()) == 1
