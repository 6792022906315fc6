"""Real SMTP, counted at the server: workers killed at random moments, on a full disk, with clocks that jump.

What a server took in whole it has, whatever became of the worker and of the answer; it is counted there
before it is answered. Nobody is lost, nobody gets it twice under ``at_most_once``, at most a window for each
end of a worker under ``at_least_once``, and the ledger has one line for everybody that agrees.
"""

from __future__ import annotations

import os
import random
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.integration.channels.conftest import DROP, HALF_CLOSE, STALL, Peer, Step
from tests.integration.channels.test_smtp_chaos import FAULTS

from kundresa.spec.vocabulary import MessageState
from kundresa.store import open_store

RUN = "chaos--1"
SIZE = 1_200
WINDOW = 40
CONNECTIONS = 5
LEASE = 0.3
ENDS = 12
"""Workers that come to an end that is not theirs."""
DEADLINE = 120.0
"""Seconds for one test; ~10 on two quiet cores."""
MOST_STALLS = 4
"""Each holds a connection until the worker's time-out."""
LONGEST_JUMP = 20 * 3600.0
"""Seconds; well within the run's validity of 84 hours."""

Start = Callable[..., Any]


@pytest.fixture(params=["at_most_once", "at_least_once"])
def policy(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def chance() -> random.Random:
    seed = int(os.environ.get("KUNDRESA_CHAOS_SEED") or random.SystemRandom().randrange(10**6))
    print(f"KUNDRESA_CHAOS_SEED={seed}")
    return random.Random(seed)


@pytest.fixture
def server(chance: random.Random) -> Iterator[Callable[..., Peer]]:
    """Starts a server: ``server()``, ``server(script)``; of its extensions it offers what chance says."""
    started: list[tuple[Peer, threading.Thread]] = []

    def start(script: Callable[[Step], str | None] = lambda _: None) -> Peer:
        extensions = chance.choice([("PIPELINING",), ("PIPELINING", "CHUNKING")])
        peer = Peer(script, extensions=extensions)
        print(extensions)
        thread = threading.Thread(target=peer.run)
        thread.start()
        started.append((peer, thread))
        return peer

    yield start
    for peer, thread in started:
        peer.close()
        thread.join(5)


@dataclass
class Ends:
    """How the workers of one test ended."""

    killed: int = 0
    full: int = 0
    lost: int = 0
    unsettled: int = 0
    """Of those that found the disk full: when they wanted to write down what had left."""
    finished: int = 0
    other: list[str] = field(default_factory=list)

    @property
    def untimely(self) -> int:
        return self.killed + self.full + self.lost

    def note(self, worker: Any) -> None:
        if worker.wait() == -signal.SIGKILL:
            self.killed += 1
        elif "StoreUnavailable" in worker.output:
            self.full += 1
            self.unsettled += "in settle\n" in worker.output or "had left: unsettled" in worker.output
        elif "LeaseLost" in worker.output:
            self.lost += 1
        elif worker.returncode == 0:
            self.finished += "finished" in worker.output
        elif "BatchBusy" not in worker.output:
            self.other.append(worker.output)


def arrived(peer: Peer) -> Counter[str]:
    """What the server has taken, by message id, once it has read all that was written to it."""
    peer.wait_idle()
    heads = [body.partition(b"\r\n\r\n")[0].decode() for body in peer.bodies]
    return Counter(re.findall(r"Message-ID: <(\w{32})@", "\n".join(heads)))


def wait_for(worker: Any, peer: Peer, messages: int) -> None:
    """Until the server has taken so many more, or the worker has come to its end."""
    enough = len(peer.bodies) + messages
    end = time.monotonic() + 20
    while len(peer.bodies) < enough and not re.search(r"Traceback|done", worker.output):
        assert time.monotonic() < end, worker.output
        time.sleep(0.001)


def finish(
    start_worker: Start, url: str, peer: Peer, ends: Ends, *, ahead: float = 0.0, **options: Any
) -> None:
    """Let workers with a right clock come to the end of the batch; ``ahead``: as many seconds from now."""
    for again in range(20):
        worker = start_worker(
            url, RUN, **options | {"port": peer.port, "ahead": ahead + again * 4 * 3600, "lease": 60}
        )
        ends.note(worker)
        if ends.finished:
            return
        time.sleep(LEASE)
    raise AssertionError("nobody came to the end")


def check_account(
    url: str, peer: Peer, policy: str, ends: Ends, lost_connections: int = 0, *, refuses: bool = False
) -> None:
    """Ledger and server agree: see the module. ``refuses``: the server may refuse some for good."""
    reached = arrived(peer)
    with open_store(url) as store:
        lines = [row for page in store.ledger.rows(RUN) for row in page]
        assert store.batches.get(RUN, "email", 1).finished_at is not None
        dead = {row["address"].partition("@")[0] for row in store.suppressions.rows()}
    of = {state: {row["message_id"] for row in lines if row["state"] == state} for state in MessageState}
    accepted, unknown, failed = (
        of[each] for each in (MessageState.ACCEPTED, MessageState.UNKNOWN, MessageState.FAILED)
    )
    twice = reached.total() - len(reached)
    print(f"{policy}: {ends}; {len(accepted)} accepted, {len(unknown)} unknown, {twice} arrived twice")
    assert not ends.other, ends.other[0]
    assert len(lines) == SIZE
    assert len({row["message_id"] for row in lines}) == SIZE
    assert len(accepted) + len(unknown) + len(failed) == SIZE
    assert refuses or not failed
    # What was unknown and is handed over again may be refused then.
    assert accepted <= set(reached) <= accepted | unknown | (failed if policy == "at_least_once" else set())
    hidden = WINDOW * ends.untimely + lost_connections
    if policy == "at_most_once":
        assert twice == 0
        assert len(unknown) <= hidden
    else:
        # One whose address the server has called dead, and whose worker was killed before it could write that
        # down, is not handed over again.
        assert unknown <= dead
        assert refuses or not dead
        assert twice <= hidden
    assert unknown or twice, "no end hit a window under way: this test has tested nothing"


def test_workers_killed_at_random_moments(
    policy: str, chance: random.Random, server: Any, open_run: Any, start_worker: Start
) -> None:
    url, peer, ends = open_run(RUN, SIZE, "email"), server(), Ends()
    options = {"size": SIZE, "window": WINDOW, "policy": policy, "smtp_connections": CONNECTIONS}
    end = time.monotonic() + DEADLINE
    while ends.killed < ENDS:
        assert time.monotonic() < end, f"not finished in {DEADLINE:.0f} s"
        worker = start_worker(url, RUN, port=peer.port, lease=LEASE, **options)
        wait_for(worker, peer, chance.randrange(2 * WINDOW))
        time.sleep(chance.uniform(0, 0.01))
        worker.send_signal(signal.SIGKILL)
        ends.note(worker)
        time.sleep(LEASE)
    finish(start_worker, url, peer, ends, **options)
    check_account(url, peer, policy, ends)


def test_workers_killed_while_the_server_drops_and_half_closes(
    policy: str, chance: random.Random, server: Any, open_run: Any, start_worker: Start
) -> None:
    hidden = Counter[str]()
    lock = threading.Lock()

    def misbehave(step: Step) -> str | None:
        """At one step in a hundred the server goes away, or says that it does and goes on reading."""
        with lock:
            if step.verb not in ("MAIL", "RCPT", "BODY", "END") or chance.random() > 0.01:
                return None
            hidden[step.verb] += 1
            return chance.choice([DROP, HALF_CLOSE, HALF_CLOSE])

    url, peer, ends = open_run(RUN, SIZE, "email"), server(misbehave), Ends()
    options = {"size": SIZE, "window": WINDOW, "policy": policy, "smtp_connections": CONNECTIONS}
    plan = random.Random(chance.random())
    end = time.monotonic() + DEADLINE
    while ends.killed < ENDS:
        assert time.monotonic() < end, f"not finished in {DEADLINE:.0f} s"
        worker = start_worker(url, RUN, port=peer.port, lease=LEASE, **options)
        wait_for(worker, peer, plan.randrange(2 * WINDOW))
        time.sleep(plan.uniform(0, 0.01))
        worker.send_signal(signal.SIGKILL)
        ends.note(worker)
        time.sleep(LEASE)
    finish(start_worker, url, peer, ends, **options)
    print(dict(hidden))
    assert hidden.total() > 5, "the server hardly misbehaved: this test has tested nothing"
    check_account(url, peer, policy, ends, lost_connections=hidden["BODY"] + hidden["END"])


def test_workers_killed_while_the_server_does_anything(
    policy: str, chance: random.Random, server: Any, open_run: Any, start_worker: Start
) -> None:
    """Refusals for now and for good, garbage, stalls and lost connections at any step, and kills between
    them. Each worker's clock is ahead of the one before, so that what was deferred is due again."""
    done = Counter[tuple[str, str]]()
    lock = threading.Lock()

    def misbehave(step: Step) -> str | None:
        with lock:
            if step.verb not in FAULTS or chance.random() > 0.02:
                return None
            fault = chance.choice(FAULTS[step.verb])
            if (
                fault == STALL
                and sum(count for (_, what), count in done.items() if what == STALL) >= MOST_STALLS
            ):
                return None
            done[step.verb, fault] += 1
            return fault

    url, peer, ends = open_run(RUN, SIZE, "email"), server(misbehave), Ends()
    options = {"size": SIZE, "window": WINDOW, "policy": policy, "smtp_connections": CONNECTIONS}
    plan = random.Random(chance.random())
    end, ahead = time.monotonic() + DEADLINE, 0.0
    while ends.killed < ENDS:
        assert time.monotonic() < end, f"not finished in {DEADLINE:.0f} s"
        worker = start_worker(url, RUN, port=peer.port, lease=LEASE, ahead=ahead, **options)
        wait_for(worker, peer, plan.randrange(2 * WINDOW))
        time.sleep(plan.uniform(0, 0.01))
        worker.send_signal(signal.SIGKILL)
        ends.note(worker)
        ahead += 600
        time.sleep(LEASE)
    finish(start_worker, url, peer, ends, ahead=ahead, **options)
    print(sorted(done.items()))
    hidden = sum(
        count
        for (verb, what), count in done.items()
        if verb in ("BODY", "END") and not (what[0] in "45" and what[:3].isdecimal())
    )
    check_account(url, peer, policy, ends, lost_connections=hidden, refuses=True)


def test_a_disk_that_is_full_at_random_octets(
    policy: str, chance: random.Random, server: Any, open_run: Any, start_worker: Start
) -> None:
    """The kernel refuses the write (RLIMIT_FSIZE), wherever in a page of the ledger's log it is."""
    url, peer, ends = open_run(RUN, SIZE, "email"), server(), Ends()
    options = {"size": SIZE, "window": WINDOW, "policy": policy, "smtp_connections": CONNECTIONS}
    end = time.monotonic() + DEADLINE
    # A reader keeps the log growing, so that each worker comes to the end of its room.
    with open_store(url) as store, store.database.read() as reader:
        reader.exec_driver_sql("SELECT count(*) FROM messages").scalar()
        while ends.full < ENDS or not ends.unsettled:
            assert time.monotonic() < end, f"not finished in {DEADLINE:.0f} s"
            room = chance.randrange(150_000)
            ends.note(start_worker(url, RUN, port=peer.port, lease=LEASE, disk_room=room, **options))
            time.sleep(LEASE)
    assert not ends.finished
    finish(start_worker, url, peer, ends, **options)
    check_account(url, peer, policy, ends)


def test_clocks_that_jump_while_workers_are_killed(
    policy: str, chance: random.Random, server: Any, open_run: Any, start_worker: Start
) -> None:
    """One worker's clock is set ahead and back by up to hours while it works, another one's is as far ahead
    as they go: a lease that has not run out looks as if it had, and the other way round."""

    def slowly(step: Step) -> None:
        """So slow that the second one comes while the first one works."""
        if step.verb == "END":
            time.sleep(0.004)

    url, peer, ends = open_run(RUN, SIZE, "email"), server(slowly), Ends()
    options = {
        "port": peer.port,
        "size": SIZE,
        "window": WINDOW,
        "policy": policy,
        "smtp_connections": CONNECTIONS,
        "lease": LEASE,
    }
    end = time.monotonic() + DEADLINE
    ahead = LONGEST_JUMP
    while ends.killed < ENDS and not ends.finished:
        assert time.monotonic() < end, f"not finished in {DEADLINE:.0f} s"
        is_first = ends.untimely == 0
        jumper = start_worker(url, RUN, jumps=(chance.randrange(10**6), LONGEST_JUMP), **options)
        wait_for(jumper, peer, chance.randrange(WINDOW))
        if is_first or chance.random() < 0.7:
            ahead += chance.uniform(60, 120)  # what a thief before it was given is over for this one too
            with open_store(url) as store:
                fence = store.batches.get(RUN, "email", 1).fence
                thief = start_worker(url, RUN, ahead=ahead, **options)
                while store.batches.get(RUN, "email", 1).fence == fence and "done" not in thief.output:
                    assert time.monotonic() < end, thief.output
                    time.sleep(0.005)
            wait_for(thief, peer, chance.randrange(WINDOW))
            time.sleep(chance.uniform(0, 0.02))
            thief.send_signal(signal.SIGKILL)
            ends.note(thief)
        if not is_first:
            jumper.send_signal(signal.SIGKILL)
        ends.note(jumper)
        time.sleep(LEASE)
    assert ends.lost, "nobody's batch was taken away"
    if not ends.finished:
        finish(start_worker, url, peer, ends, **(options | {"ahead": ahead + 3600}))
    check_account(url, peer, policy, ends)
