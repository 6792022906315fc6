"""A receiver that counts what reached it, and workers in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import socketserver
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

# Fixtures of the integration tests; the PostgreSQL is one of its own.
from tests.integration.conftest import migrated_database, migrated_file, postgres, store_url

from kundresa.spec.vocabulary import Trigger
from kundresa.store import NewRun, open_store

__all__ = ["migrated_database", "migrated_file", "postgres", "store_url"]
"""A store on either engine, as the tests of integration have it."""

WORKER = Path(__file__).with_name("delivery_worker.py")


class Receiver(socketserver.ThreadingTCPServer):
    """Counts each line before it answers: what it has counted has left, whatever the worker knows."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.received: Counter[str] = Counter()
        self.moments: list[float] = []
        """When each came, in seconds of a clock that is never set."""
        self.lock = threading.Lock()

    def total(self) -> int:
        """Messages received so far, each as often as it came."""
        with self.lock:
            return self.received.total()

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Connection(socketserver.StreamRequestHandler):
    server: Receiver

    def handle(self) -> None:
        try:
            while line := self.rfile.readline():
                if not line.endswith(b"\n"):
                    return  # the worker died within the line: not a message
                with self.server.lock:
                    self.server.received[line.decode().strip()] += 1
                    self.server.moments.append(time.monotonic())
                self.wfile.write(b"taken\n")
        except ConnectionError:
            return  # killed workers do not say goodbye


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def open_run(tmp_path: Path) -> Callable[..., str]:
    """Makes a run with one batch that may be delivered, in a store of its own or that of a URL; returns the
    store's URL."""

    def make(run_key: str, size: int, channel: str = "sms", url: str = "") -> str:
        url = url or f"sqlite:///{tmp_path / 'store.sqlite'}"
        now = datetime.now(tz=UTC)
        with open_store(url) as store:
            until = now + timedelta(hours=84)
            store.runs.open(NewRun(run_key, "chaos", now, Trigger.MANUAL, "{}", "0" * 64, now, until))
            store.runs.mark_decided([run_key], at=now)
            store.runs.mark_checked(run_key)
            store.batches.register(run_key, channel, 1, size)
        return url

    return make


class Worker:
    """One worker process, as its test sees it."""

    def __init__(self, nursery: Nursery, pid: int, output: Path) -> None:
        self._nursery = nursery
        self._output = output
        self.pid = pid
        self.returncode: int | None = None

    @property
    def output(self) -> str:
        return self._output.read_text() if self._output.exists() else ""

    def wait_until(self, condition: Callable[[], bool], seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"waited {seconds:.0f} s; the worker said: {self.output}"
            time.sleep(0.002)

    def send_signal(self, signum: int) -> None:
        os.kill(self.pid, signum)

    def wait(self) -> int:
        if self.returncode is None:
            self.returncode = self._nursery.ask({"wait": self.pid})
        return self.returncode


class Nursery:
    """The process that workers are forked from."""

    def __init__(self, folder: Path, program: Path = WORKER) -> None:
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._workers: list[Worker] = []

    def ask(self, command: dict[str, object]) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    @property
    def upcoming(self) -> Path:
        """Where the next worker's output goes."""
        return self._folder / f"worker-{len(self._workers)}.log"

    def start(self, start: dict[str, object]) -> Worker:
        """A worker that does its program's job with these arguments."""
        output = self.upcoming
        worker = Worker(self, self.ask({"start": start, "output": str(output)}), output)
        self._workers.append(worker)
        return worker

    def close(self) -> None:
        for worker in self._workers:
            if worker.returncode is None:
                worker.send_signal(signal.SIGKILL)
                worker.wait()
        self._process.communicate()


@pytest.fixture
def start_worker(receiver: Receiver, tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """Starts a worker; whatever still runs at the end is killed."""
    nursery = Nursery(tmp_path)

    def start(url: str, run_key: str, **options: object) -> Worker:
        known = {"url": url, "run_key": run_key, "port": receiver.port, "owner": nursery.upcoming.stem}
        return nursery.start(known | options)

    try:
        yield start
    finally:
        nursery.close()
