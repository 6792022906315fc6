"""SIGTERM while many text messages are under way: what the other side answers in time is known, what it
leaves without an answer is unknown, and what had not left waits."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

import pytest
from tests.integration.channels.smsc import Centre

from kundresa.channels.stopping import WIND_UP
from kundresa.spec.vocabulary import MessageState
from kundresa.store import open_store

RUN = "chaos--1"
SIZE = 2_000
STALLED = 3
"""The first messages, which get no answer."""
ANSWER = 0.03
"""Seconds."""
PATIENCE = 10.0
"""Seconds for winding up and writing down on a busy machine, beyond ``WIND_UP``."""


class Peer(Protocol):
    """One that answers after ``ANSWER`` seconds, but the first ``STALLED`` never."""

    uri: str

    def taken(self) -> list[str]:
        """What it got, in its order: profile ids."""
        ...

    def stop(self) -> None: ...


class Gateway:
    """Over HTTP."""

    def __init__(self, stalled: int = STALLED) -> None:
        taken: list[str] = []
        lock, stopped = threading.Lock(), threading.Event()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                with lock:
                    taken.append(self.headers["idempotency-key"][:8])
                    is_stalled = len(taken) <= stalled
                stopped.wait(60 if is_stalled else ANSWER)
                body = b'{"sid": "SM1", "status": "queued"}'
                self.send_response(201)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nothing."""

            def handle(self) -> None:
                try:
                    super().handle()
                except ConnectionError:
                    return  # a worker that has ended does not wait for the answer

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 100

        self._taken = taken
        self._stopped = stopped
        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        self.uri = f"http://user:secret@127.0.0.1:{self._server.server_address[1]}/?timeout=60"

    def taken(self) -> list[str]:
        return list(self._taken)

    def stop(self) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


class TextCentre:
    """Over SMPP."""

    def __init__(self, stalled: int = STALLED) -> None:
        self._stalled = stalled
        self._taken: list[str] = []
        self._centre = Centre(answer=self._answer, delay=ANSWER).start()
        login = "shop:secret"
        self.uri = f"smpp://{login}@127.0.0.1:{self._centre.port}/?window=100&clear_text=allowed&timeout=60"

    def _answer(self, number: int, unit: Any) -> int | str:
        self._taken.append(unit.short_message.decode("ascii", "replace")[-8:])
        return "stall" if number <= self._stalled else 0

    def taken(self) -> list[str]:
        return list(self._taken)

    def stop(self) -> None:
        self._centre.stop()


@pytest.fixture(params=[Gateway, TextCentre])
def peer(request: pytest.FixtureRequest) -> Iterator[Peer]:
    found: Peer = request.param()
    yield found
    found.stop()


def test_only_what_stalls_is_unknown(
    peer: Peer, open_run: Callable[..., str], start_worker: Callable[..., Any]
) -> None:
    url = open_run(RUN, SIZE)
    worker = start_worker(
        url, RUN, account=peer.uri, size=SIZE, window=500, policy="at_most_once", lease=60.0
    )
    worker.wait_until(lambda: len(peer.taken()) > 150)
    worker.send_signal(signal.SIGTERM)
    asked_at = time.monotonic()
    assert worker.wait() == 128 + signal.SIGTERM, worker.output
    assert time.monotonic() - asked_at < WIND_UP + PATIENCE

    taken = peer.taken()
    assert len(taken) == len(set(taken)) < SIZE
    with open_store(url) as store:
        lines = [row for page in store.ledger.rows(RUN) for row in page]
    of = {
        state: {row["message_id"][:8] for row in lines if row["state"] == state.value}
        for state in MessageState
    }
    assert of[MessageState.UNKNOWN] == set(taken[:STALLED])
    assert of[MessageState.ACCEPTED] == set(taken[STALLED:])
    # Those that were claimed and had not left are due at once.
    assert {row["state"] for row in lines} <= {"unknown", "accepted", "deferred"}
    assert of[MessageState.DEFERRED]
