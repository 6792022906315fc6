"""From an event that the service has accepted to the message that a server has accepted, through Airflow.

A whole Airflow on this machine runs the checkout's DAGs; the journey is the order confirmation, whose runs
are started by its events (the triggerer) and not by us. Service, Airflow, sandbox and load share the
machine's cores. Orders are *offered* at a rate, by ``POST /events``; each is another order of one of the
sample's people. The first wave, at one a second, starts the first task and is not counted.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import httpx
from bench_public import CHECKOUT, _free_port, _home
from report import at_most

from kundresa import settings as configuration
from kundresa.demo.shoppers import CONFIRMATION, addresses
from kundresa.demo.standalone import AirflowPorts, AirflowStandalone
from kundresa.orchestration.pools import POOLS
from kundresa.runs.journeys import start_journey
from kundresa.sandbox import Sandbox
from kundresa.sandbox.store import FILE_NAME

PEOPLE = 20_000
RATES = ((20, 30), (500, 60))
"""Orders a second, and for how many seconds."""
REQUESTS_PER_SECOND = 10
WARM_UP = 20
WAIT_SECONDS = 300
MOST_SECONDS = 10


def measure(report, *, people: int | None) -> None:  # type: ignore[no-untyped-def]
    """``people`` is the size of the sample shop."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        environ = _home(folder) | {"KUNDRESA_PROJECT": str(CHECKOUT)}
        _kundresa(environ, "sample", "--people", str(people or PEOPLE))
        _kundresa(environ, "build")
        settings = configuration.load(environ)
        start_journey(settings, CONFIRMATION)
        persons = addresses(settings, people or PEOPLE)
        sandbox = stack.enter_context(Sandbox(folder / "home"))
        airflow = AirflowStandalone(
            home=folder / "airflow",
            project=CHECKOUT,
            ports=AirflowPorts.free(),
            environ={
                **{key: value for key, value in environ.items() if key.startswith("KUNDRESA_")},
                "KUNDRESA_PUBLIC_URL": f"http://127.0.0.1:{sandbox.http_port}",
                "AIRFLOW_CONN_KUNDRESA_NEWSLETTER": sandbox.ports.smtp_uri,
                "AIRFLOW_CONN_KUNDRESA_TEXTS": sandbox.ports.sms_uri,
            },
            jwt_secret=secrets.token_hex(64),
        )
        stack.callback(airflow.stop)
        airflow.start()
        airflow.wait_healthy()
        for pool in POOLS:
            airflow.api.put_pool(pool.name, pool.slots, pool.description)
        airflow.api.wait_for_dags([f"journey_{CONFIRMATION}"])
        airflow.api.unpause(f"journey_{CONFIRMATION}")
        port = _free_port()
        service = subprocess.Popen(
            [sys.executable, "-m", "kundresa.cli.main", "serve", "--port", str(port)],
            env=environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        stack.callback(service.wait, 30)
        stack.callback(service.terminate)
        _wait_until_up(port)
        _confirm(folder / "home", asyncio.run(_offer(port, "warm", 1, WARM_UP, persons)))
        for per_second, seconds in RATES:
            time.sleep(40)  # the journey's task has given its slot back: the first order starts another
            accepted = asyncio.run(_offer(port, f"at{per_second}", per_second, seconds, persons))
            waits = _confirm(folder / "home", accepted)
            report.add(
                f"p95_at_{per_second}",
                statistics.quantiles(waits, n=20)[18],
                "s",
                aims=[at_most(MOST_SECONDS)],
                orders=len(waits),
                p50=f"{statistics.median(waits):.2f}",
                longest=f"{max(waits):.2f}",
            )


def _kundresa(environ: dict[str, str], *words: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "kundresa.cli.main", *words],
        env=environ,
        check=True,
        stdout=subprocess.DEVNULL,
    )


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


async def _offer(
    port: int, name: str, per_second: int, seconds: int, persons: Sequence[str]
) -> dict[str, float]:
    """Order id → when its request was answered, in seconds since the epoch."""
    accepted: dict[str, float] = {}
    started = time.time()
    requests = min(per_second, REQUESTS_PER_SECOND)
    per_request = per_second // requests

    async def request(client: httpx.AsyncClient, number: int) -> None:
        await asyncio.sleep(max(0.0, started + number / requests - time.time()))
        orders = [f"{name}-{number * per_request + each}" for each in range(per_request)]
        lines = [
            json.dumps(
                {
                    "id": order,
                    "type": "order_placed",
                    "subject": f"email:{persons[(number * per_request + each) % len(persons)]}",
                    "data": {"order_id": order, "order_value": 20},
                }
            )
            for each, order in enumerate(orders)
        ]
        answer = await client.post("/events", content="\n".join(lines))
        assert answer.status_code == 202, answer.text
        accepted.update(dict.fromkeys(orders, time.time()))

    headers = {"Authorization": "Bearer key", "Content-Type": "application/x-ndjson"}
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", headers=headers, trust_env=False, timeout=30
    ) as client:
        await asyncio.gather(*(request(client, number) for number in range(requests * seconds)))
    return accepted


def _confirm(home: Path, accepted: dict[str, float]) -> list[float]:
    """Seconds from each acceptance to the arrival of its message, once all have arrived."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        waits = [arrived - accepted[order] for order, arrived in _arrivals(home) if order in accepted]
        if len(waits) == len(accepted):
            return waits
        missing = len(accepted) - len(waits)
        assert time.monotonic() < deadline, f"{missing} orders are not confirmed after {WAIT_SECONDS} s"
        time.sleep(1)


def _arrivals(home: Path) -> list[tuple[str, float]]:
    """(order id, when its message arrived) of everything that the sandbox has."""
    with sqlite3.connect(home / "store.sqlite") as store:
        store.execute("attach ? as sandbox", (str(home / "sandbox" / FILE_NAME),))
        rows = store.execute(
            """select journey_messages.instance_key, min(arrivals.received_at)
            from sandbox.messages as arrivals
            inner join journey_messages on arrivals.message_id = journey_messages.message_id
            group by journey_messages.instance_key"""
        ).fetchall()
    return [(order, datetime.fromisoformat(at).timestamp()) for order, at in rows]
