"""Service and engine together: 5,000 events a second come in by HTTP for a minute, and a journey acts on
them.

``kundresa serve`` takes ``POST /events`` (NDJSON), each answered when it is durable; ``kundresa journey
run`` advances a journey with a million people inside, from the same store. Load, service, engine and the
store's server, if it has one, share the machine's cores: the load has its bodies ready and writes them to
sockets, at a rate that does not ask how the service gets on. A third of the events let somebody in, a third
let somebody go on, a third are about others.

``lag`` is the age of the oldest event that was answered and not acted on yet, looked at five times a
second.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import stores
from bench_journeys import LAG_P95, _fill, _publish
from bench_public import _free_port, _home
from report import Report, at_least, at_most
from stores import StoreServer, cpu_seconds

from kundresa.store import Store, open_store

OFFERED = 5_050
"""Events a second: the aim and a hundredth more, so that the last answer's way does not decide."""
PER_REQUEST = 505
SECONDS = 60
CONNECTIONS = 4
LOOK_SECONDS = 0.2
MOST_LAG = 10
"""Seconds that no event may wait: bounded is what does not grow, and a minute would show it."""


def measure(report: Report, *, people: int | None, store: str) -> None:
    """``people`` is how many are inside."""
    inside = people or 1_000_000
    with (
        tempfile.TemporaryDirectory() as name,
        stores.of_engine(store, Path(name) / "home" / "store.sqlite") as server,
    ):
        environ = _home(Path(name), server.url)
        _publish(Path(environ["KUNDRESA_HOME"]), inside * 2)
        port = _free_port()
        with open_store(server.url) as own:
            _fill(own, inside, due=0)
            with (
                _kundresa(environ, "serve", "--port", str(port)) as service,
                _kundresa(environ, "journey", "run", "cart", "--stay", "3600") as engine,
            ):
                _wait_until_up(port)
                pids = {"service": service.pid, "engine": engine.pid}
                _measure(report, own, server, pids, port, inside)


@contextmanager
def _kundresa(environ: dict[str, str], *words: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "kundresa.cli.main", *words], env=environ, stdout=subprocess.DEVNULL
    )
    try:
        yield process
        assert process.poll() is None, f"kundresa {' '.join(words)} has ended"
    finally:
        process.terminate()
        process.wait(30)


def _wait_until_up(port: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            httpx.get(f"http://127.0.0.1:{port}/healthy", trust_env=False).raise_for_status()
        except httpx.TransportError:
            assert time.monotonic() < deadline, "the service does not start"
            time.sleep(0.1)
        else:
            return


def _measure(
    report: Report, store: Store, server: StoreServer, pids: dict[str, int], port: int, inside: int
) -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    load = context.Process(target=_load, args=(theirs, port, inside))
    load.start()
    entering = ours.recv()
    before, server_before = {name: cpu_seconds(pid) for name, pid in pids.items()}, server.cpu_seconds()
    ours.send("go")
    watch = Watch(store)
    while not ours.poll(LOOK_SECONDS):
        watch.look()
    latencies, took, load_cpu = ours.recv()
    load.join()
    sent = len(latencies) * PER_REQUEST
    accepted_lags = list(watch.lags)
    cpu = {name: cpu_seconds(pid) - before[name] for name, pid in pids.items()} | {"load": load_cpu}
    if server.pid is not None:
        cpu["store"] = server.cpu_seconds() - server_before
    started = time.monotonic()
    while watch.look():
        assert time.monotonic() < started + 300, "the engine does not come to the end"
        time.sleep(LOOK_SECONDS)
    assert store.inbox.count() == sent, "an event that was accepted is not there"
    counted = store.journey_counts.totals()["cart"].inside
    assert counted == inside + entering, f"{counted:,} are inside, not {inside + entering:,}"
    report.add(
        "accepted_per_second", sent / took, "1/s", aims=[at_least(5_000)], seconds=SECONDS, inside=inside
    )
    report.add("answer_p95", statistics.quantiles(latencies, n=20)[18], "ms", per_request=PER_REQUEST)
    lags = sorted(accepted_lags)
    report.add("lag_p50", statistics.median(lags), "s")
    report.add("lag_p95", statistics.quantiles(lags, n=20)[18], "s", aims=[at_most(LAG_P95)])
    report.add("lag_longest", lags[-1], "s", aims=[at_most(MOST_LAG)])
    report.add("caught_up_after", time.monotonic() - started, "s")
    for name, seconds in cpu.items():
        report.add(f"{name}_cpu", seconds / took, "cores", per_event=f"{seconds / sent * 1e6:.0f} µs")


class Watch:
    """How far the engine is behind, by the journey's own place in the inbox."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ends: list[tuple[float, int]] = []
        self.lags: list[float] = []

    def look(self) -> bool:
        """Looks once; whether an event waits."""
        place = self._store.journeys.require("cart").event_position
        end, now = self._store.inbox.end(), time.monotonic()
        self._ends.append((now, end))
        while self._ends and self._ends[0][1] <= place:
            self._ends.pop(0)
        self.lags.append(now - self._ends[0][0] if self._ends else 0.0)
        return end > place


def _load(ready: Any, port: int, inside: int) -> None:
    """Says how many people its events let in, waits for the word, and sends them at their rate; answers with
    latencies in ms from when each request was due, seconds in all, and its own CPU seconds."""
    requests = OFFERED * SECONDS // PER_REQUEST
    bodies, entering = _requests(port, inside, requests)
    ready.send(entering)
    ready.recv()
    latencies: list[float] = []
    turn = iter(range(requests))
    lock = threading.Lock()
    cpu, started = time.process_time(), time.perf_counter()

    def connection() -> None:
        with socket.create_connection(("127.0.0.1", port)) as peer:
            while True:
                with lock:
                    number = next(turn, None)
                if number is None:
                    return
                due = started + number * PER_REQUEST / OFFERED
                time.sleep(max(0.0, due - time.perf_counter()))
                peer.sendall(bodies[number])
                _require_accepted(peer)
                latencies.append((time.perf_counter() - due) * 1_000)

    threads = [threading.Thread(target=connection) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ready.send((latencies, time.perf_counter() - started, time.process_time() - cpu))


def _require_accepted(peer: socket.socket) -> None:
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += _receive(peer)
    head, _, body = answer.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += _receive(peer)
    if not head.startswith(b"HTTP/1.1 202"):
        os.write(2, head + body + b"\n")
        os._exit(1)


def _receive(peer: socket.socket) -> bytes:
    found = peer.recv(65_536)
    if not found:
        os.write(2, b"the service has closed the connection\n")
        os._exit(1)
    return found


def _requests(port: int, inside: int, requests: int) -> tuple[list[bytes], int]:
    """Whole requests, and how many people their events let in. The events happen when they leave, as far as
    that can be told before."""
    pick = random.Random("of the benchmark")
    first = datetime.now(tz=UTC) + timedelta(seconds=5)
    entering: set[int] = set()
    made = []
    for number in range(requests):
        lines = []
        for each in range(PER_REQUEST):
            event = number * PER_REQUEST + each
            kind = event % 3
            who = pick.randrange(inside) if kind == 1 else pick.randrange(inside, inside * 2)
            if kind == 0:
                entering.add(who)
            lines.append(
                json.dumps(
                    {
                        "id": f"e{event}",
                        "type": "order_placed" if kind else "cart_updated",
                        "subject": f"crm_id:C{who:09}",
                        "time": (first + timedelta(seconds=event / OFFERED)).isoformat(),
                        "data": {"order_id": f"o{event}", "order_value": 60}
                        if kind
                        else {"cart_id": f"c{event}", "cart_value": 60},
                    }
                )
            )
        body = "\n".join(lines).encode()
        head = (
            f"POST /events HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer key\r\n"
            f"content-type: application/x-ndjson\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        made.append(head.encode() + body)
    return made, len(entering)
