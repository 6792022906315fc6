"""A receiving domain that has asked one process for rest is left alone by others: counted at the server."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.integration.channels.conftest import Peer, Step

from kundresa.channels.domains import SLOW_AFTER
from kundresa.spec.pace import FIRST_REST
from kundresa.spec.vocabulary import MessageState
from kundresa.store import open_store

SIZE, WINDOW, CONNECTIONS = 120, 20, 2
IN_FLIGHT = 2 * CONNECTIONS
"""To one domain: the default of an account with so many connections."""
AFTER = FIRST_REST.total_seconds() + 1
OPTIONS = {
    "size": SIZE,
    "window": WINDOW,
    "policy": "at_most_once",
    "smtp_connections": CONNECTIONS,
    "lease": 1,
}

Start = Callable[..., Any]


class Refusing:
    """Takes nothing while it is told to, and may be told of each message that it refuses."""

    def __init__(self) -> None:
        self.is_refusing = True
        self.tried = 0
        self.lock = threading.Lock()

    def __call__(self, step: Step) -> str | None:
        if step.verb != "RCPT" or not self.is_refusing:
            return None
        with self.lock:
            self.tried += 1
        return "451 4.7.0 rate limited"


@pytest.fixture
def refusing() -> Refusing:
    return Refusing()


@pytest.fixture
def server(refusing: Refusing) -> Iterator[Peer]:
    peer = Peer(refusing, extensions=("PIPELINING",))
    thread = threading.Thread(target=peer.run)
    thread.start()
    yield peer
    peer.close()
    thread.join(5)


def test_processes_beside_and_after_it_keep_to_what_one_was_told(
    refusing: Refusing, server: Peer, open_run: Any, start_worker: Start
) -> None:
    runs = {f"chaos--{each}": open_run(f"chaos--{each}", SIZE, "email") for each in range(1, 6)}

    def start(key: str, ahead: float = 0.0) -> Any:
        return start_worker(runs[key], key, port=server.port, ahead=ahead, **OPTIONS)

    beside = [start("chaos--1"), start("chaos--2")]
    assert [each.wait() for each in beside] == [0, 0], beside[0].output + beside[1].output
    first = refusing.tried
    assert SLOW_AFTER <= first <= 2 * (SLOW_AFTER + IN_FLIGHT)
    killed = start("chaos--3")
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert start("chaos--4").wait() == 0
    assert refusing.tried == first, "nobody was tried again"
    assert start("chaos--4", AFTER).wait() == 0
    second = refusing.tried - first
    assert 1 <= second <= IN_FLIGHT, "one refusal is enough, and what was in flight with it"
    assert start("chaos--5", AFTER).wait() == 0
    assert refusing.tried == first + second
    refusing.is_refusing = False
    late = start("chaos--5", AFTER + 2 * AFTER)
    assert late.wait() == 0
    assert "finished" in late.output
    with open_store(runs["chaos--5"]) as store:
        assert store.ledger.tally("chaos--5", "email", 1).counts == {MessageState.ACCEPTED: SIZE}
    assert len(server.bodies) == SIZE
