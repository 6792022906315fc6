"""The public service of a demo: what the links in its messages lead to, and where its shop sends events."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from kundresa.demo import processes
from kundresa.demo.processes import ProcessMark

START_SECONDS = 60


class ServiceError(Exception):
    """The service does not start, or did not take something; the message says what it said."""


@dataclass
class PublicService:
    """``kundresa serve`` on loopback, with one key that may post events."""

    port: int
    key: str
    log: Path
    sleep: Callable[[float], None] = time.sleep
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def mark(self) -> ProcessMark | None:
        """Recognises the running server in a later command."""
        return processes.mark(self._process.pid) if self._process else None

    def start(self, environ: Mapping[str, str]) -> None:
        """Start it; ``environ`` is the whole environment, its key's entry among it.

        Raises:
            ServiceError: when it ends, or does not answer in time.
        """
        command = [sys.executable, "-m", "kundresa.cli.main", "serve", "--port", str(self.port)]
        self._process = processes.start(command, environ=environ, log=self.log, cwd=self.log.parent)
        deadline = time.monotonic() + START_SECONDS
        while not self._is_healthy():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise ServiceError(f"kundresa serve does not answer. The end of its log:\n{self._tail()}")
            self.sleep(0.1)

    def stop(self) -> None:
        """End it, if it was started."""
        process = self._process
        if process is not None and (found := self.mark) is not None:
            processes.stop(found, sleep=self.sleep, reap=process.poll)

    def kill(self) -> None:
        """SIGKILL to it and its workers, as a crash would be."""
        process = self._process
        if process is not None and (found := self.mark) is not None:
            processes.kill(found)
            process.wait()

    def post_events(self, events: Sequence[Mapping[str, Any]]) -> None:
        """As any system of the shop would: ``POST /events``. An event counts once by its id.

        Raises:
            ServiceError: when they are not taken.
        """
        headers = {"Authorization": f"Bearer {self.key}"}
        try:
            answer = httpx.post(
                f"{self.url}/events", json=list(events), headers=headers, trust_env=False, timeout=30
            )
        except httpx.HTTPError as error:
            raise ServiceError(f"POST {self.url}/events: {error}") from error
        if answer.status_code != httpx.codes.ACCEPTED:
            raise ServiceError(f"POST {self.url}/events: {answer.status_code} {answer.text[:500]}")

    def _is_healthy(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthy", trust_env=False).is_success
        except httpx.TransportError:
            return False

    def _tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])
