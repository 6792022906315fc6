"""The public service on one machine: events with durable acceptance, audiences, opt-outs until they hold.

The load comes from another process on the same two cores, so a figure is of service and sender together. The
rate of events is *offered*: a sender that only sends when it has its answer would hide a slow service.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import multiprocessing
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx
import stores
from report import at_least, at_most
from stores import StoreServer, cpu_seconds

CHECKOUT = Path(__file__).resolve().parents[2]
EVENTS_PER_SECOND = 5_050
AUDIENCES_PER_SECOND = 1_010
"""A hundredth more than is aimed at, so that the last answer's way does not decide."""
PER_REQUEST = 50
SECONDS = 60
CONNECTIONS = 16
TRIES = 200
OPT_OUT_MS = 90
"""Until an opt-out holds, "from the next message on". A window that was claimed before leaves, whatever is
said (``delivery`` ADR-001): its 500 take 90 ms at the 5,556 messages a second that email is aimed at. An
opt-out adds no more to that than another window."""


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _body(number: int) -> bytes:
    events = [
        {
            "id": f"{number}-{each}",
            "type": "cart_updated",
            "subject": f"email:person{number}.{each}@example.com",
            "time": "2026-11-23T09:00:00Z",
            "data": {"cart_id": f"c{number}", "cart_value": 12.5, "currency": "EUR"},
        }
        for each in range(PER_REQUEST)
    ]
    return "\n".join(json.dumps(event) for event in events).encode()


async def _request(reader, writer, head: bytes, body: bytes) -> tuple[int, bytes]:  # type: ignore[no-untyped-def]
    """One HTTP/1.1 exchange over a kept connection: a full client would take more of the cores than the
    service."""
    writer.write(head + f"content-length: {len(body)}\r\n\r\n".encode() + body)
    answer = await reader.readuntil(b"\r\n\r\n")
    length = int(answer.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    return int(answer.split()[1]), await reader.readexactly(length)


async def _offer(port: int, requests, per_second: float, seconds: float):  # type: ignore[no-untyped-def]
    """Sends requests at a rate over several connections; returns latencies in ms from when each was due."""
    latencies: list[float] = []
    started = time.perf_counter()
    turn = iter(range(int(per_second * seconds)))

    async def connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in turn:
            due = started + number / per_second
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            status, answer = await _request(reader, writer, *requests(number))
            assert status in (200, 202), (status, answer)
            latencies.append((time.perf_counter() - due) * 1000)
        writer.close()

    await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))
    return latencies, time.perf_counter() - started


COMMON = b"host: x\r\nauthorization: Bearer key\r\n"


def _events(number: int) -> tuple[bytes, bytes]:
    head = b"POST /events HTTP/1.1\r\n" + COMMON + b"content-type: application/x-ndjson\r\n"
    return head, _body(number)


class _Audiences:
    """Each request asks for somebody else, anywhere among all."""

    def __init__(self, people: int) -> None:
        self._people = people

    def __call__(self, number: int) -> tuple[bytes, bytes]:
        who = random.Random(number).randrange(self._people)
        return f"GET /audiences/crm_id/C{who:09} HTTP/1.1\r\n".encode() + COMMON, b""


def _in_process(port: int, requests, per_second: float, seconds: float, results) -> None:  # type: ignore[no-untyped-def]
    results.put(asyncio.run(_offer(port, requests, per_second, seconds)))


def _load(port: int, requests, per_second: float, seconds: float) -> tuple[list[float], float]:  # type: ignore[no-untyped-def]
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=_in_process, args=(port, requests, per_second, seconds, results))
    process.start()
    found: tuple[list[float], float] = results.get(timeout=seconds * 4 + 60)
    process.join()
    return found


def _home(folder: Path, url: str | None = None) -> dict[str, str]:
    """The environment of a service, and of others over its store: a file in ``folder``, if none is named."""
    project = folder / "project"
    shutil.copytree(CHECKOUT / "dags", project / "dags")
    digest = hashlib.sha256(b"key").hexdigest()
    return os.environ | {
        "KUNDRESA_PROJECT": str(project),
        "KUNDRESA_HOME": str(folder / "home"),
        "KUNDRESA_STORE_URL": url or f"sqlite:///{folder / 'home' / 'store.sqlite'}",
        "KUNDRESA_SECRET": "benchmark",
        "KUNDRESA_API_KEYS": f"bench:audiences+events:{digest}",
    }


def _publish(home: Path, people: int) -> None:
    """An index of so many people, as ``write_index`` makes it, without the build before it."""
    import sqlite3

    from kundresa.warehouse.people_index import _TABLES

    build = "20261123T040000.000000Z"
    folder = home / "published" / "builds" / build
    folder.mkdir(parents=True)
    with sqlite3.connect(folder / "people.sqlite") as index:
        index.executescript(_TABLES)
        segments = [{"segment": f"s{each}", "entity_id": "", "entered_at": "x"} for each in range(5)]
        document = json.dumps(
            {
                "language": "en",
                "addresses": {"email": "a@example.com"},
                "consents": [],
                "segments": segments,
                "traits": {"country": "SE"},
            }
        )
        index.executemany(
            "insert into people values (?, ?)", ((f"p{each:09}", document) for each in range(people))
        )
        index.executemany(
            "insert into identifiers values ('crm_id', ?, ?)",
            ((f"C{each:09}", f"p{each:09}") for each in range(people)),
        )
    pointer = {"build_id": build, "published_at": datetime.now(tz=UTC).isoformat()}
    (home / "published" / "current.json").write_text(json.dumps(pointer))


def measure(report, *, people: int | None, store: str) -> None:  # type: ignore[no-untyped-def]
    """``people`` is the size of the publication; below 100,000 the load lasts a sixth of the time."""
    size = people or 1_000_000
    seconds = SECONDS if size >= 100_000 else SECONDS // 6
    with (
        tempfile.TemporaryDirectory() as name,
        stores.of_engine(store, Path(name) / "home" / "store.sqlite") as server,
    ):
        environ = _home(Path(name), server.url)
        _publish(Path(environ["KUNDRESA_HOME"]), size)
        port = _free_port()
        command = [sys.executable, "-m", "kundresa.cli.main", "serve", "--port", str(port)]
        with (Path(name) / "serve.log").open("wb") as log:
            process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
        try:
            _measure(report, process.pid, port, server, size, seconds)
        finally:
            process.terminate()
            process.wait(30)


def _measure(report, pid: int, port: int, server: StoreServer, size: int, seconds: int) -> None:  # type: ignore[no-untyped-def]
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 60
    while True:
        try:
            if httpx.get(f"{url}/healthy", trust_env=False).status_code == 200:
                break
        except httpx.TransportError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    before, store_before = cpu_seconds(pid), server.cpu_seconds()
    latencies, took = _load(port, _events, EVENTS_PER_SECOND / PER_REQUEST, seconds)
    sent = len(latencies) * PER_REQUEST
    cpu, store_cpu = cpu_seconds(pid) - before, server.cpu_seconds() - store_before
    from kundresa.store import open_store

    with open_store(server.url) as store:
        assert store.inbox.count() == sent
    told = {"seconds": seconds, "per_request": PER_REQUEST}
    report.add("events_per_second", sent / took, "1/s", aims=[at_least(5_000)], **told)
    # What the service itself takes of a core: comparable on a machine that others use too.
    report.add("events_cpu", cpu / sent * 1e6, "µs/event", per_request=PER_REQUEST)
    if store_cpu:
        report.add("events_store_cpu", store_cpu / sent * 1e6, "µs/event")
    report.add("events_p95", statistics.quantiles(latencies, n=20)[18], "ms")
    latencies, took = _load(port, _Audiences(size), AUDIENCES_PER_SECOND, seconds / 3)
    p95 = statistics.quantiles(latencies, n=20)[18]
    report.add("audiences_per_second", len(latencies) / took, "1/s", aims=[at_least(1_000)], people=size)
    report.add("audiences_p95", p95, "ms", aims=[at_most(10)], people=size)
    _measure_opt_outs(report, url, server)


def _measure_opt_outs(report, url: str, server: StoreServer) -> None:  # type: ignore[no-untyped-def]
    """From the POST to the moment at which delivery would refuse the message."""
    from kundresa.content import Links, Token
    from kundresa.delivery.guard import StoreGuard
    from kundresa.store import open_store

    links = Links(url, "benchmark")
    decided_at = datetime.now(tz=UTC)
    waits = []
    with open_store(server.url) as store, httpx.Client(trust_env=False) as client:
        guard = StoreGuard(store, channel="email", topic="offers", decided_at=decided_at)
        for number in range(TRIES):
            token = Token(f"m{number}", f"p{number:09}", "email", "offers")
            started = time.perf_counter()
            client.post(links.unsubscribe_url(token), data={"List-Unsubscribe": "One-Click"})
            row = {"message_id": "m", "profile_id": token.profile_id, "address": "other@example.com"}
            assert guard.held([row])
            waits.append((time.perf_counter() - started) * 1000)
    p95 = statistics.quantiles(waits, n=20)[18]
    report.add("opt_out_p95", p95, "ms", aims=[at_most(OPT_OUT_MS)], tries=TRIES)
