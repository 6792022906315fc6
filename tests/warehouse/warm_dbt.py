"""dbt that has been imported already: a process forks itself for each invocation, which saves the three
seconds that importing takes. End-to-end and chaos tests start dbt as people do."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

_START_SECONDS = 120


class WarmDbt:
    """The process that forks: started by the first who needs it, gone with the process of the tests."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._address = f"{self._folder.name}/dbt.sock"
        self._server: subprocess.Popen[bytes] | None = None

    def run(
        self, *arguments: str, environ: Mapping[str, str], cwd: Path | str = "."
    ) -> subprocess.CompletedProcess[str]:
        """``dbt`` with arguments, as ``subprocess.run`` would with ``capture_output``."""
        with (
            Path(os.devnull).open() as nothing,
            tempfile.TemporaryFile("w+") as output,
            tempfile.TemporaryFile("w+") as errors,
        ):
            files = [nothing.fileno(), output.fileno(), errors.fileno()]
            code = self._start("dbt", arguments, cwd, files, environ).wait()
            output.seek(0)
            errors.seek(0)
            return subprocess.CompletedProcess(["dbt", *arguments], code, output.read(), errors.read())

    def popen(self, _command: Sequence[str], *, stderr: IO[bytes], cwd: Path, **_pipes: Any) -> Process:
        """In place of ``subprocess.Popen`` in :mod:`kundresa.warehouse.dbt`, which speaks to its child
        through pipes."""
        task, tell = os.pipe()
        answers, answer = os.pipe()
        process = self._start("task", (), cwd, [task, answer, stderr.fileno()], os.environ)
        os.close(task)
        os.close(answer)
        process.stdin, process.stdout = os.fdopen(tell, "w"), os.fdopen(answers)
        return process

    def _start(
        self,
        entry: str,
        arguments: Sequence[str],
        cwd: Path | str,
        files: Sequence[int],
        environ: Mapping[str, str],
    ) -> Process:
        """A fork that runs ``entry`` with ``files`` as standard input, output and error."""
        link = self._connect()
        socket.send_fds(link, [b"\n"], files)
        request = {
            "entry": entry,
            "arguments": list(arguments),
            "cwd": str(Path(cwd).absolute()),
            "environ": dict(environ),
        }
        link.sendall(json.dumps(request).encode() + b"\n")
        return Process(link)

    def _connect(self) -> socket.socket:
        if self._server is None:
            self._server = subprocess.Popen([sys.executable, __file__, self._address], stdin=subprocess.PIPE)
        until = time.monotonic() + _START_SECONDS
        while True:
            link = socket.socket(socket.AF_UNIX)
            try:
                link.connect(self._address)
                return link
            except (FileNotFoundError, ConnectionRefusedError):
                link.close()
                if time.monotonic() > until or self._server.poll() is not None:
                    raise
                time.sleep(0.05)


class Process:
    """As much of ``subprocess.Popen`` as is used."""

    stdin: IO[str]
    stdout: IO[str]

    def __init__(self, link: socket.socket) -> None:
        self._said = link.makefile("r")
        self._link = link
        self.pid = int(self._said.readline())
        self.returncode: int | None = None

    def wait(self) -> int:
        """Its exit code, minus the signal that killed it."""
        if self.returncode is None:
            self.returncode = int(self._said.readline())
            self._said.close()
            self._link.close()
        return self.returncode

    def kill(self) -> None:
        if self.returncode is None:
            os.kill(self.pid, signal.SIGKILL)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.stdout.close()
        with contextlib.suppress(BrokenPipeError):  # it ended before it had read all, which Popen ignores too
            self.stdin.close()
        self.wait()


def serve(address: str) -> None:
    """Fork for every connection until standard input ends."""
    for name in ("dbt.cli.main", "dbt.adapters.duckdb", "duckdb", "kundresa.warehouse.runner"):
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen(16)
    while listening in select.select([listening, sys.stdin], [], [])[0]:
        link, _ = listening.accept()
        if os.fork() == 0:
            listening.close()
            _watch(link)
        link.close()


def _watch(link: socket.socket) -> None:
    """Fork once more, tell the process id, and how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, descriptors, _, _ = socket.recv_fds(link, 1, 3)
    with link.makefile("r") as said:
        request = json.loads(said.readline())
    child = os.fork()
    if child == 0:
        link.close()
        _become(request, descriptors)
    for descriptor in descriptors:
        os.close(descriptor)
    link.sendall(f"{child}\n".encode())
    link.sendall(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n".encode())
    os._exit(0)


def _become(request: Mapping[str, Any], descriptors: Sequence[int]) -> None:
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environ"])
    sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w")
    code = 1
    try:
        if request["entry"] == "task":
            from kundresa.warehouse.runner import main

            main()
        else:
            from dbt.cli.main import cli

            cli(request["arguments"], prog_name="dbt")
        code = 0
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else int(left.code is not None)
    except BaseException:
        # Told as Python would tell it, and exit code 1: what was forked must not go on as the server.
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


WARM = WarmDbt()

if __name__ == "__main__":
    serve(sys.argv[1])
