"""A sandbox as a child process: for the demo and for tests."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from pathlib import Path
from types import TracebackType

from kundresa.sandbox.ports import Ports

START_TIMEOUT = 30.0
"""Seconds. It takes under one; a loaded machine with a cold cache has taken eight."""


class SandboxError(Exception):
    """The sandbox did not start; the message has what it printed."""


class Sandbox:
    """Starts, stops, kills and restarts one sandbox; what it stored stays.

    ``with Sandbox(home) as sandbox:`` starts it and stops it at the end. After the first start the
    ports stay the same, so that a restarted sandbox is found where it was.
    """

    def __init__(self, home: Path, *, smtp_port: int = 0, http_port: int = 0) -> None:
        """
        Args:
            home: the installation's home; messages go to ``home/sandbox``.
            smtp_port, http_port: 0 takes a free one.
        """
        self.home = home
        self.smtp_port = smtp_port
        self.http_port = http_port
        self.push_port = 0
        self.smpp_port = 0
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int | None:
        """The process while it was started and not stopped."""
        return self._process.pid if self._process else None

    @property
    def url(self) -> str:
        """The page that lists what arrived."""
        return f"http://127.0.0.1:{self.http_port}/"

    @property
    def ports(self) -> Ports:
        """Where it listens, and the connections of accounts that lead there."""
        return Ports(self.smtp_port, self.http_port, self.pid or 0, self.push_port, self.smpp_port)

    def start(self) -> Sandbox:
        """Returns when all ports answer.

        Raises:
            SandboxError: when it ended or was not ready in time.
        """
        if self._process is not None:
            return self
        self.home.mkdir(parents=True, exist_ok=True)
        log = self.home / "sandbox.log"
        command = [sys.executable, "-m", "kundresa.sandbox", "--home", str(self.home)]
        command += ["--smtp-port", str(self.smtp_port), "--http-port", str(self.http_port)]
        command += ["--push-port", str(self.push_port), "--smpp-port", str(self.smpp_port)]
        with log.open("w") as errors:
            # A session of its own: Ctrl-C in the terminal reaches whoever started it, who stops it.
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                command, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True
            )
        assert process.stdout is not None  # noqa: S101 - PIPE was asked for
        readable, _, _ = select.select([process.stdout], [], [], START_TIMEOUT)
        line = process.stdout.readline() if readable else ""
        if not line:
            process.kill()
            process.communicate()
            raise SandboxError(f"the sandbox did not start: {log.read_text().strip() or 'no answer in time'}")
        ports = json.loads(line)
        self.smtp_port, self.http_port = ports["smtp"], ports["http"]
        self.push_port, self.smpp_port = ports["push"], ports["smpp"]
        self._process = process
        return self

    def stop(self) -> None:
        """Ends it in order, within ten seconds."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
        self._process = None

    def kill(self) -> None:
        """SIGKILL, as a crash would be."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def __enter__(self) -> Sandbox:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
