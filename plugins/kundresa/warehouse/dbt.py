"""Running dbt: one subprocess for several commands, one invocation per workspace at a time.

A subprocess, since dbt keeps state in its process and takes 2 s and 200 MB that a long-lived caller
should not carry; one for several commands, since importing and parsing would be paid for each.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from filelock import FileLock, Timeout

from kundresa.warehouse.errors import DbtFailed, DbtFailure, WarehouseError
from kundresa.warehouse.spark import ENDED
from kundresa.warehouse.workspace import Workspace

Progress = Callable[[str], None]
Command = Sequence[str]

_PACKAGE_ROOT = Path(__file__).resolve().parents[2]
# By `-c`, not by path: the script's folder would be first on sys.path, and `dbt.py` here would be `dbt`.
_CHILD = "import sys; sys.path.insert(0, sys.argv[1]); from kundresa.warehouse.runner import main; main()"
_STDERR_TAIL = 2_000
_JAVA_ERROR = re.compile(r"java\.lang\.[A-Za-z]+Error")
_JAVA_ENDED = re.compile(re.escape(ENDED) + ".*")


@dataclass(frozen=True, slots=True)
class NodeResult:
    """One model or test of a finished command."""

    node: str
    status: str
    seconds: float


@dataclass(frozen=True, slots=True)
class CommandResult:
    """One finished command. ``seconds`` is its wall-clock time, without the start of the process."""

    command: str
    seconds: float
    nodes: tuple[NodeResult, ...]


@dataclass(frozen=True, slots=True)
class DbtResult:
    """All commands of an invocation, the parse that goes before them first.

    ``start_seconds`` is what importing dbt took.
    """

    start_seconds: float
    commands: tuple[CommandResult, ...]


class Dbt:
    """dbt in one workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._lock = FileLock(workspace.lock, thread_local=False)

    @contextmanager
    def locked(self, progress: Progress | None = None) -> Iterator[None]:
        """Hold the workspace; whoever comes second waits, and ``progress`` is told for whom.

        Re-entrant, so that publishing can follow a build without letting go.
        """
        self.workspace.lock.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            if progress:
                progress(f"waiting: the {self.workspace.name} is in use by {self._holder()}")
            self._lock.acquire(poll_interval=0.2)
        try:
            self._note_holder()
            yield
        finally:
            self._lock.release()

    def invoke(
        self,
        commands: Sequence[Command],
        *,
        variables: Mapping[str, Any] | None = None,
        progress: Progress | None = None,
    ) -> DbtResult:
        """Parse, then run the commands in order, and stop at the first that fails.

        Args:
            commands: as on dbt's command line, without ``dbt``.
            variables: dbt's ``--vars``. An unchanged project is not parsed anew, unless other values than
                those of ``as_of`` and ``only_recorded`` have changed.
            progress: told each finished node, ``12/40 profiles``.

        Raises:
            DbtFailed: listing what failed. The lock is free and the process gone then.
        """
        request = {
            "commands": [list(command) for command in commands],
            "vars": dict(variables or {}),
            "environment": dict(self.workspace.environment()),
            "lock": str(self.workspace.lock.with_suffix(".engine.lock")),
        }
        self.workspace.artifacts.mkdir(parents=True, exist_ok=True)
        with self.locked(progress), tempfile.TemporaryFile() as errors:
            return self._run_child(request, errors, progress)

    def _run_child(
        self, request: Mapping[str, Any], errors: IO[bytes], progress: Progress | None
    ) -> DbtResult:
        child = subprocess.Popen(  # noqa: S603  our own interpreter and module, no outside input
            [sys.executable, "-c", _CHILD, str(_PACKAGE_ROOT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=self.workspace.artifacts,
            text=True,
        )
        outcome: dict[str, Any] | None = None
        # The child reads its standard input until the end, which comes when this process is gone,
        # however it went: an orphan must not go on writing to the warehouse.
        with child:
            try:
                task, answers = cast("IO[str]", child.stdin), cast("IO[str]", child.stdout)
                task.write(json.dumps(request) + "\n")
                task.flush()
                for line in answers:
                    event = json.loads(line)
                    if event["event"] == "outcome":
                        outcome = event
                    elif progress:
                        progress(event["text"])
            except BrokenPipeError:
                pass  # it died before it had read its task; what it wrote to stderr says why
            except BaseException:
                child.kill()
                raise
            # Before its standard input is closed, which would end it in the middle of its clean exit.
            child.wait()
        return _result(outcome, child.returncode, errors)

    @property
    def _holder_file(self) -> Path:
        return self.workspace.lock.with_suffix(".holder")

    def _note_holder(self) -> None:

        self._holder_file.write_text(f"process {os.getpid()}")

    def _holder(self) -> str:
        try:
            return self._holder_file.read_text() or "another process"
        except FileNotFoundError:
            return "another process"


def _result(outcome: Mapping[str, Any] | None, returncode: int, errors: IO[bytes]) -> DbtResult:
    errors.seek(0)
    said = errors.read().decode(errors="replace")
    if outcome is None:
        text = said[-_STDERR_TAIL:].strip()
        how = (
            f"was killed by signal {-returncode}" if returncode < 0 else f"ended with exit code {returncode}"
        )
        raise DbtFailed("", [DbtFailure("process", "died", f"dbt {how}. {text}".strip(), "")])
    commands = tuple(
        CommandResult(
            command["command"], command["seconds"], tuple(NodeResult(**node) for node in command["nodes"])
        )
        for command in outcome["commands"]
    )
    if outcome["failures"]:
        failures = [DbtFailure(**failure) for failure in outcome["failures"]]
        raise DbtFailed(outcome["failed"], [*failures, *_engine_failures(said)])
    if returncode != 0:
        raise WarehouseError(f"dbt finished, but its process ended with exit code {returncode}")
    return DbtResult(outcome["start_seconds"], commands)


def _engine_failures(said: str) -> list[DbtFailure]:
    """What ended Spark's Java process, of which dbt knows only that it is gone."""
    messages = []
    if found := _JAVA_ERROR.search(said):
        hint = "; give it more with KUNDRESA_SPARK_MEMORY" if found[0] == "java.lang.OutOfMemoryError" else ""
        messages.append(f"Spark's Java process met {found[0]}{hint}")
    if ended := _JAVA_ENDED.search(said):
        messages.append(ended[0])
    return [DbtFailure("process", "died", message, "") for message in messages]
