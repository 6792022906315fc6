"""Service and sender are killed at random moments while messages are asked for, and real SMTP is counted.

What was accepted is there, whatever was killed. Under ``at_most_once`` nothing comes twice, and each kill
leaves at most a window unknown; under ``at_least_once`` nothing is left, and each kill makes at most a window
come again, under the same ids.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from kundresa.runs.journey_messages import RESENT_WINDOW, WINDOW
from kundresa.runs.message_requests import request_standing
from kundresa.sandbox import Sandbox, received
from kundresa.settings import Settings
from kundresa.spec.keys import request_id
from kundresa.store import Store

from .conftest import start_orders
from .service_process import environ_of, free_port, start

KILLS = 5
"""Of the service and of the sender each."""
ASKERS = 2
PAUSE = 0.01
"""Seconds between two requests of one asker, so that the sender keeps up on two busy cores."""
DEADLINE = 240.0


@pytest.fixture
def chance() -> random.Random:
    seed = int(os.environ.get("KUNDRESA_CHAOS_SEED") or random.SystemRandom().randrange(10**6))
    print(f"KUNDRESA_CHAOS_SEED={seed}")
    return random.Random(seed)


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    with Sandbox(tmp_path / "sandbox") as started:
        yield started


class Askers:
    """Ask for one message after the other, with the same id until the answer is there."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stop = threading.Event()
        self.accepted: list[str] = []
        self._threads = [threading.Thread(target=self._ask, args=(each,)) for each in range(ASKERS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _ask(self, asker: int) -> None:
        number = 0
        with httpx.Client(
            base_url=self._url, headers={"Authorization": "Bearer shop"}, trust_env=False, timeout=10
        ) as client:
            while not self._stop.is_set():
                given = f"{asker}-{number}"
                body = {
                    "id": given,
                    "journey": "orders",
                    "recipient": "crm_id:C1" if number % 2 else f"email:guest{given}@x.example",
                    "data": {"order_id": given, "order_value": 1},
                }
                try:
                    answer = client.post("/messages", json=body)
                except httpx.TransportError:
                    self._stop.wait(0.1)
                    continue
                assert answer.status_code in (200, 202, 503), answer.text
                if answer.status_code != 503:
                    self.accepted.append(given)
                    number += 1
                self._stop.wait(PAUSE)


def start_sender(settings: Settings, sandbox: Sandbox, log: Path) -> subprocess.Popen[bytes]:
    environ = environ_of(settings) | {
        "AIRFLOW_CONN_KUNDRESA_MAILS": sandbox.ports.smtp_uri,
        "AIRFLOW_CONN_KUNDRESA_TEXTS": sandbox.ports.sms_uri,
        "KUNDRESA_LEASE_SECONDS": "1",
    }
    command = [sys.executable, "-m", "kundresa.cli.main", "deliver"]
    with log.open("ab") as output:
        return subprocess.Popen(command, env=environ, stdout=output, stderr=output)


def arrivals(sandbox: Sandbox) -> list[str]:
    return [each.message_id for each in received(sandbox.home / "sandbox", channel="email")]


def wait_for(condition: object, end: float, log: Path) -> None:
    assert callable(condition)
    while not condition():
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.01)


@pytest.mark.parametrize("policy", ["at_most_once", "at_least_once"])
def test_kills_lose_nothing_and_send_nothing_twice(
    settings: Settings, store: Store, tmp_path: Path, sandbox: Sandbox, chance: random.Random, policy: str
) -> None:
    start_orders(store, policy=policy)
    end = time.monotonic() + DEADLINE
    port, log = free_port(), tmp_path / "processes.log"
    service = start(settings, port, log)
    sender = start_sender(settings, sandbox, log)
    askers = Askers(f"http://127.0.0.1:{port}")
    try:
        for _ in range(KILLS):
            before, asked = len(arrivals(sandbox)), len(askers.accepted)
            wait_for(lambda: len(arrivals(sandbox)) > before + 3, end, log)  # noqa: B023  used at once
            time.sleep(chance.uniform(0, 0.3))
            sender.send_signal(signal.SIGKILL)
            sender.wait()
            sender = start_sender(settings, sandbox, log)
            wait_for(lambda: len(askers.accepted) > asked + 3, end, log)  # noqa: B023
            time.sleep(chance.uniform(0, 0.1))
            service.send_signal(signal.SIGKILL)
            service.wait()
            service = start(settings, port, log)
        askers.stop()
        ids = [request_id("shop", each) for each in askers.accepted]

        def is_done() -> bool:
            return not any(_state(store, each) == "queued" for each in ids)

        wait_for(is_done, end, log)
        sender.terminate()
        assert sender.wait(30) in (0, 143), log.read_text()
    finally:
        askers.stop()
        for process in (service, sender):
            if process.poll() is None:
                process.kill()
            process.wait()
    _check(store, policy, ids, Counter(arrivals(sandbox)), log)


def _state(store: Store, some_id: str) -> str:
    found = request_standing(store, "shop", some_id)
    return "lost" if found is None else found.state


def _check(store: Store, policy: str, ids: list[str], arrived: Counter[str], log: Path) -> None:
    assert len(set(ids)) == len(ids) > 8 * KILLS
    unknown = set()
    for each in ids:
        found = request_standing(store, "shop", each)
        assert found is not None, "a request that was accepted is lost"
        [message] = found.messages
        if message.state == "sent":
            assert arrived[message.message_id] >= 1
        else:
            assert message.reason == "outcome_unknown", message
            unknown.add(message.message_id)
    twice = arrived.total() - len(arrived)
    print(f"{policy}: {len(ids)} accepted, {len(unknown)} unknown, {twice} arrived twice")
    assert "Traceback" not in log.read_text()
    if policy == "at_most_once":
        assert twice == 0
        assert len(unknown) <= KILLS * WINDOW
    else:
        assert not unknown
        assert twice <= KILLS * RESENT_WINDOW
