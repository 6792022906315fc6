"""How soon a message that ``POST /messages`` has accepted leaves: until a server has taken it.

The service, ``kundresa deliver``, the sandbox and the load share the machine's cores. The journey is the
order confirmation of the checkout; every second request is for an address that no profile has. Requests are
*offered* at a rate, whatever becomes of those before.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import stores
from bench_public import _free_port, _home
from report import at_most
from stores import cpu_seconds

from kundresa import settings as configuration
from kundresa.content import templates_to_freeze
from kundresa.runs.journeys import open_standing_runs
from kundresa.sandbox import Sandbox, received
from kundresa.spec.frozen import freeze
from kundresa.spec.journey_loading import load_journey
from kundresa.spec.loading import load_shared_sources, load_sources
from kundresa.store import open_store
from kundresa.warehouse import cursor_at
from kundresa.warehouse.people_index import _TABLES

CHECKOUT = Path(__file__).resolve().parents[2]
JOURNEY = "order_confirmation"
RATES = ((20, 30), (100, 15))
"""Requests a second, and for how many seconds."""
WARM_UP = 20
MOST_SECONDS = 2


@dataclass(frozen=True)
class Accepted:
    """One request, in seconds since the epoch."""

    message_id: str
    due_at: float
    accepted_at: float


def _publish(home: Path, people: int) -> None:
    """So many people with an address each, as a build publishes them."""
    import sqlite3

    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = home / "published" / "builds" / "20261123T040000.000000Z"
    folder.mkdir(parents=True)
    ids = [f"p{each:09}" for each in range(people)]
    with sqlite3.connect(folder / "people.sqlite") as index:
        index.executescript(_TABLES)
        index.executemany("insert into people values (?, '{}')", ((each,) for each in ids))
        rows = ((f"C{number:09}", each) for number, each in enumerate(ids))
        index.executemany("insert into identifiers values ('crm_id', ?, ?)", rows)
    text, instant = pa.string(), pa.timestamp("us")
    marts = {
        "profiles": {
            "profile_id": ids,
            "first_name": ["Anna"] * people,
            "language": ["en"] * people,
            "country": ["SE"] * people,
            "time_zone": ["Europe/Stockholm"] * people,
        },
        "contact_points": {
            "profile_id": ids,
            "channel": ["email"] * people,
            "address": [f"{each}@example.com" for each in ids],
            "is_valid": [True] * people,
        },
        "consents": {
            "profile_id": pa.array([], text),
            "channel": pa.array([], text),
            "topic": pa.array([], text),
            "status": pa.array([], text),
            "recorded_at": pa.array([], instant),
        },
        "profile_redirects": {
            "profile_id": pa.array([], text),
            "current_profile_id": pa.array([], text),
            "redirected_at": pa.array([], instant),
        },
        "segment_memberships": {"profile_id": pa.array([], text)},
        "segment_changes": {"profile_id": pa.array([], text)},
    }
    for name, columns in marts.items():
        (folder / name).mkdir()
        pq.write_table(pa.table(columns), folder / name / "data_0.parquet", row_group_size=122_880)
    pointer = {"build_id": folder.name, "published_at": datetime.now(tz=UTC).isoformat()}
    (home / "published" / "current.json").write_text(json.dumps(pointer))


def _start_journey(environ: dict[str, str]) -> None:
    settings = configuration.load(environ)
    folder = CHECKOUT / "dags" / "journeys" / JOURNEY
    templates = templates_to_freeze(load_sources(folder), load_shared_sources(CHECKOUT / "dags"))
    now = datetime.now(tz=UTC)
    with open_store(settings.store_url) as store:
        store.journeys.start(JOURNEY, freeze(load_journey(folder), templates), cursor=cursor_at(now), at=now)
        open_standing_runs(store, JOURNEY)


@contextmanager
def _running(environ: dict[str, str], log: Path, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "kundresa.cli.main", *command], env=environ, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


async def _offer(url: str, name: str, per_second: int, requests: int, people: int) -> list[Accepted]:
    accepted: list[Accepted] = []
    started = time.time()

    async def ask(client: httpx.AsyncClient, number: int) -> None:
        due_at = started + number / per_second
        await asyncio.sleep(max(0.0, due_at - time.time()))
        given = f"{name}-{number}"
        guest = f"email:guest-{given}@example.com"
        body = {
            "id": given,
            "journey": JOURNEY,
            "recipient": guest if number % 2 else f"crm_id:C{number * 7919 % people:09}",
            "data": {"order_id": given, "order_value": 12.5, "currency": "EUR"},
        }
        answer = await client.post("/messages", json=body)
        assert answer.status_code == 202, answer.text
        [message_id] = answer.json()["message_ids"]
        accepted.append(Accepted(message_id, due_at, time.time()))

    async with httpx.AsyncClient(
        base_url=url, headers={"Authorization": "Bearer key"}, trust_env=False, timeout=30
    ) as client:
        await asyncio.gather(*(ask(client, number) for number in range(requests)))
    return accepted


def _arrived(sandbox: Sandbox, accepted: list[Accepted], log: Path) -> dict[str, float]:
    """When each of these messages came, in seconds since the epoch."""
    wanted = {each.message_id for each in accepted}
    deadline = time.monotonic() + 60
    while True:
        found = received(sandbox.home / "sandbox", channel="email", newest_first=True)
        moments = {
            each.message_id: datetime.fromisoformat(each.received_at).timestamp()
            for each in found
            if each.message_id in wanted
        }
        if len(moments) == len(wanted):
            return moments
        assert time.monotonic() < deadline, (len(moments), len(wanted), log.read_text())
        time.sleep(0.1)


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[18]


def measure(report, *, people: int | None, store: str) -> None:  # type: ignore[no-untyped-def]
    """``people`` is the size of the publication."""
    size = people or 1_000_000
    with (
        tempfile.TemporaryDirectory() as name,
        Sandbox(Path(name) / "sandbox") as sandbox,
        stores.of_engine(store, Path(name) / "home" / "store.sqlite") as server,
    ):
        environ = _home(Path(name), server.url) | {
            "AIRFLOW_CONN_KUNDRESA_NEWSLETTER": sandbox.ports.smtp_uri,
            "AIRFLOW_CONN_KUNDRESA_TEXTS": sandbox.ports.sms_uri,
        }
        environ["KUNDRESA_API_KEYS"] = environ["KUNDRESA_API_KEYS"].replace("+events:", "+events+messages:")
        home, log, port = Path(environ["KUNDRESA_HOME"]), Path(name) / "log", _free_port()
        _publish(home, size)
        _start_journey(environ)
        url = f"http://127.0.0.1:{port}"
        with (
            _running(environ, log, "serve", "--port", str(port)),
            _running(environ, log, "deliver") as sender,
        ):
            _wait_for(url)
            _arrived(sandbox, asyncio.run(_offer(url, "warm", WARM_UP, WARM_UP, size)), log)
            for per_second, seconds in RATES:
                before = cpu_seconds(sender.pid)
                accepted = asyncio.run(_offer(url, f"at{per_second}", per_second, per_second * seconds, size))
                arrived = _arrived(sandbox, accepted, log)
                cpu = cpu_seconds(sender.pid) - before
                waits = [max(0.0, arrived[each.message_id] - each.accepted_at) for each in accepted]
                answers = [each.accepted_at - each.due_at for each in accepted]
                told = {"per_second": per_second, "seconds": seconds, "people": size}
                report.add(f"accepted_to_arrived_p50_at_{per_second}", statistics.median(waits), "s", **told)
                figure = f"accepted_to_arrived_p95_at_{per_second}"
                report.add(figure, _p95(waits), "s", aims=[at_most(MOST_SECONDS)], **told)
                report.add(f"answer_p95_at_{per_second}", _p95(answers) * 1000, "ms", **told)
                report.add(f"sender_cpu_at_{per_second}", cpu / len(accepted) * 1000, "ms/message", **told)


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            httpx.get(f"{url}/healthy", trust_env=False).raise_for_status()
            return
        except httpx.TransportError:
            assert time.monotonic() < deadline, "the service does not start"
            time.sleep(0.1)
