"""The service is killed while events pour in: what it has accepted is there."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx

from kundresa.settings import Settings
from kundresa.store import Store, open_store

from .conftest import KEYS, _digest

SENDERS = 3
PER_REQUEST = 20


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def environ_of(settings: Settings) -> dict[str, str]:
    """That of a process of this installation."""
    return os.environ | {
        "KUNDRESA_PROJECT": str(settings.project),
        "KUNDRESA_HOME": str(settings.home),
        "KUNDRESA_STORE_URL": settings.store_url,
        "KUNDRESA_SECRET": settings.secret,
        "KUNDRESA_API_KEYS": f"shop:{KEYS['shop']}+messages:{_digest('shop')}",
    }


def start(settings: Settings, port: int, log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        command = [sys.executable, "-m", "kundresa.cli.main", "serve", "--port", str(port)]
        process = subprocess.Popen(command, env=environ_of(settings), stdout=output, stderr=output)
    for _ in range(600):
        assert process.poll() is None, log.read_text()
        try:
            if httpx.get(f"http://127.0.0.1:{port}/healthy", trust_env=False).status_code == 200:
                return process
        except httpx.TransportError:
            time.sleep(0.05)
    process.kill()
    raise AssertionError(log.read_text())


def event_of(name: str) -> dict[str, object]:
    return {"id": name, "type": "cart_updated", "subject": "email:a@x.example", "data": {"cart_id": "c"}}


def pour(url: str, sender: int, accepted: list[str], stop: threading.Event) -> None:
    """Notes what was accepted, and nothing else."""
    with httpx.Client(base_url=url, headers={"Authorization": "Bearer shop"}, trust_env=False) as client:
        number = 0
        while not stop.is_set():
            ids = [f"{sender}-{number}-{each}" for each in range(PER_REQUEST)]
            number += 1
            try:
                answer = client.post("/events", json=[event_of(each) for each in ids])
            except httpx.TransportError:
                return
            if answer.status_code == 202:
                accepted.extend(ids)


def test_no_accepted_event_is_lost_and_none_is_there_twice(
    settings: Settings, store_url: str, tmp_path: Path
) -> None:
    port, log = free_port(), tmp_path / "serve.log"
    accepted: list[list[str]] = [[] for _ in range(SENDERS)]
    for _ in range(2):  # the second time over what the first one left
        process = start(settings, port, log)
        before = sum(map(len, accepted))
        stop = threading.Event()
        threads = [
            threading.Thread(target=pour, args=(f"http://127.0.0.1:{port}", number, each, stop))
            for number, each in enumerate(accepted)
        ]
        for thread in threads:
            thread.start()
        while sum(map(len, accepted)) < before + 400:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        stop.set()
        for thread in threads:
            thread.join(30)
    kept = [each for part in accepted for each in part]
    with open_store(store_url) as store:
        there = _ids(store)
        assert set(kept) <= set(there)
        # Whoever got no answer sends it again, and some who got one.
        process = start(settings, port, log)
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
                for sender in range(SENDERS):
                    mine = [each for each in there if each.startswith(f"{sender}-")][-PER_REQUEST:]
                    keyed = {"Authorization": "Bearer shop"}
                    told = client.post(
                        "/events", json=[event_of(each) for each in mine], headers=keyed
                    ).json()
                    assert (told["known"], told["refused"]) == (len(mine), 0), told
        finally:
            process.kill()
            process.wait(10)
        again = _ids(store)
    assert sorted(again) == sorted(set(again)) == sorted(there), "each once"


def test_an_orderly_end_answers_what_it_has_taken(settings: Settings, store_url: str, tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "serve.log"
    process = start(settings, port, log)
    process.terminate()
    assert process.wait(20) in (0, -signal.SIGTERM)
    assert "Traceback" not in log.read_text()


def _ids(store: Store) -> list[str]:
    """In the order in which they were taken in, each as often as it is there."""
    found: list[str] = []
    position = 0
    while page := store.inbox.after(position, 5_000):
        found += [each.event_id for each in page]
        position = page[-1].position
    return found
