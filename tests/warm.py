"""Programs that have been imported already: a process forks itself for each call, which saves the three
seconds that importing dbt takes, and the ten of all that ``kundresa run`` imports. Who kills processes starts
them as people do, and some others do too."""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import pytest

_START_SECONDS = 120
_UNFIT = frozenset({"orchestration", "demo", "migrations", "__main__"})
"""Parts of the names of modules that are imported by Airflow, by Alembic or by nobody."""
_DBT = ("dbt.cli.main", "dbt.adapters.duckdb", "duckdb", "kundresa.warehouse.runner")


class Warm:
    """The process that forks: started by the first who needs it, gone with the process of the tests.

    It imports dbt, or with ``everything`` all that the commands of ``kundresa`` may need too.
    """

    def __init__(self, *, everything: bool = False, address: str | None = None) -> None:
        """With an address: the process that serves it, which somebody else has started."""
        self._imports = "everything" if everything else "dbt"
        self._folder = None if address else tempfile.TemporaryDirectory()
        self._address = f"{self._folder.name}/warm.sock" if self._folder else str(address)
        self._server: subprocess.Popen[bytes] | None = None
        self._starting = threading.Lock()

    def dbt(
        self, *arguments: str, variables: Mapping[str, Any], environ: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """``dbt`` with arguments and variables, as ``subprocess.run`` would with ``capture_output``."""
        return self._run("dbt", [json.dumps(dict(variables)), *arguments], environ, None)

    def kundresa(
        self, *words: str, environ: Mapping[str, str], timeout: float | None = None
    ) -> subprocess.CompletedProcess[str]:
        """The same with ``kundresa``."""
        return self._run("kundresa", words, environ, timeout)

    def python(
        self, code: str, *, environ: Mapping[str, str], timeout: float | None = None
    ) -> subprocess.CompletedProcess[str]:
        """The same with ``python -c``."""
        return self._run("python", [code], environ, timeout)

    @contextlib.contextmanager
    def for_warehouse(self) -> Iterator[None]:
        """What runs dbt by :mod:`kundresa.warehouse` in this process finds it imported."""
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("kundresa.warehouse.dbt.subprocess", self.subprocess)
            yield

    @property
    def subprocess(self) -> Any:
        """For :mod:`kundresa.warehouse.dbt`, in place of the module of that name."""
        return SimpleNamespace(**vars(subprocess) | {"Popen": self.popen})

    def popen(self, _command: Sequence[str], *, stderr: IO[bytes], cwd: Path, **_pipes: Any) -> Process:
        """In place of ``subprocess.Popen`` where dbt is spoken to through pipes."""
        task, tell = os.pipe()
        answers, answer = os.pipe()
        process = self._start("task", (), cwd, [task, answer, stderr.fileno()], os.environ)
        os.close(task)
        os.close(answer)
        process.stdin, process.stdout = os.fdopen(tell, "w"), os.fdopen(answers)
        return process

    def _run(
        self,
        entry: str,
        arguments: Sequence[str],
        environ: Mapping[str, str],
        timeout: float | None,
    ) -> subprocess.CompletedProcess[str]:
        with (
            Path(os.devnull).open() as nothing,
            tempfile.TemporaryFile("w+") as output,
            tempfile.TemporaryFile("w+") as errors,
        ):
            files = [nothing.fileno(), output.fileno(), errors.fileno()]
            process = self._start(entry, arguments, Path.cwd(), files, environ)
            code = process.wait(timeout)
            output.seek(0)
            errors.seek(0)
            return subprocess.CompletedProcess([entry, *arguments], code, output.read(), errors.read())

    def _start(
        self,
        entry: str,
        arguments: Sequence[str],
        cwd: Path,
        files: Sequence[int],
        environ: Mapping[str, str],
    ) -> Process:
        """A fork that runs ``entry`` with ``files`` as standard input, output and error."""
        link = self._connect()
        socket.send_fds(link, [b"\n"], files)
        request = {
            "entry": entry,
            "arguments": list(arguments),
            "cwd": str(cwd.absolute()),
            "environ": dict(environ),
        }
        link.sendall(json.dumps(request).encode() + b"\n")
        return Process(link)

    def _connect(self) -> socket.socket:
        with self._starting:  # once, where threads need it at the same moment
            if self._folder and self._server is None:
                # -P: what lies beside this file is no package.
                command = [sys.executable, "-P", __file__, self._address, self._imports]
                self._server = subprocess.Popen(command, stdin=subprocess.PIPE)
        until = time.monotonic() + _START_SECONDS
        while True:
            link = socket.socket(socket.AF_UNIX)
            try:
                link.connect(self._address)
                return link
            except (FileNotFoundError, ConnectionRefusedError):
                link.close()
                if time.monotonic() > until or self._server is None or self._server.poll() is not None:
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

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, minus the signal that killed it. It is killed when it takes longer than ``timeout``
        seconds, which raises ``subprocess.TimeoutExpired``."""
        if self.returncode is None:
            is_late = self._link not in select.select([self._link], [], [], timeout)[0]
            if is_late:
                self.kill()
            self.returncode = int(self._said.readline())
            self._said.close()
            self._link.close()
            if is_late:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
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


def _import(*, everything: bool) -> None:
    for name in _DBT:
        importlib.import_module(name)
    if everything:
        import kundresa
        from kundresa.quality.validation import _great_expectations

        _great_expectations()
        for module in pkgutil.walk_packages(kundresa.__path__, "kundresa."):
            if not _UNFIT.intersection(module.name.split(".")):
                importlib.import_module(module.name)
    # What is here lives as long as a fork does: looking for garbage in it would copy its pages for nothing.
    gc.collect()
    gc.freeze()


def serve(address: str, *, everything: bool) -> None:
    """Fork for every connection until standard input ends."""
    _import(everything=everything)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen(16)
    while listening in select.select([listening, sys.stdin], [], [])[0]:
        link, _ = listening.accept()
        if os.fork() == 0:
            listening.close()
            _watch(link, address)
        link.close()


def _watch(link: socket.socket, address: str) -> None:
    """Fork once more, tell the process id, and how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, descriptors, _, _ = socket.recv_fds(link, 1, 3)
    with link.makefile("r") as said:
        request = json.loads(said.readline())
    child = os.fork()
    if child == 0:
        link.close()
        _become(request, descriptors, address)
    for descriptor in descriptors:
        os.close(descriptor)
    link.sendall(f"{child}\n".encode())
    link.sendall(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n".encode())
    os._exit(0)


def _become(request: Mapping[str, Any], descriptors: Sequence[int], address: str) -> None:
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environ"])
    sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w")
    code = 1
    try:
        _call(request["entry"], request["arguments"], address)
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


def _call(entry: str, arguments: Sequence[str], address: str) -> None:
    sys.argv = [entry, *arguments]
    if entry == "task":
        from kundresa.warehouse.runner import main

        main()
    elif entry == "dbt":
        _dbt(json.loads(arguments[0]), arguments[1:])
    else:
        from kundresa.warehouse import dbt

        dbt.subprocess = Warm(address=address).subprocess
        if entry == "kundresa":
            from kundresa.cli.main import main

            main()
        else:
            exec(arguments[0], {"__name__": "__main__"})


def _dbt(variables: Mapping[str, Any], arguments: Sequence[str]) -> None:
    """As the package does: what is read late is no reason to parse the project anew. Exit codes are dbt's."""
    from dbt.cli.main import dbtRunner

    from kundresa.warehouse.runner import parsed_with

    answer = dbtRunner().invoke(["parse", "--quiet", "--vars", json.dumps(parsed_with(variables))])
    if answer.success and arguments[0] != "parse":
        answer = dbtRunner(manifest=answer.result).invoke([*arguments, "--vars", json.dumps(dict(variables))])
    if not answer.success:
        sys.exit(1 if answer.exception is None else 2)


WARM = Warm()
"""For dbt alone."""

if __name__ == "__main__":
    serve(sys.argv[1], everything=sys.argv[2] == "everything")
