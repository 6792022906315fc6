"""The child process of :mod:`kundresa.warehouse.dbt`: reads one task from standard input, runs dbt, and
writes one JSON document per line to standard output, the last of them the outcome."""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from filelock import FileLock

_LAST_LINE_CHARACTERS = 2_000
# Spark says the cause behind a hundred lines of where it happened.
_JAVA_STACK = re.compile(r"^\s*(at \S+\(.*\)|\.\.\. \d+ more)\n?", re.MULTILINE)
_FAILED = ("error", "fail", "runtime error", "partial success")
_READ_LATE = frozenset({"as_of", "only_recorded"})
"""Variables on which no reference and no configuration depends: they are read when a model runs."""


def main() -> None:
    """Run the task on standard input. Exit code 0 even when dbt fails: the outcome says so."""
    task = json.loads(_read_line())
    threading.Thread(target=_die_with_parent, daemon=True).start()
    # Whatever dbt prints goes to standard error; standard output carries our lines only.
    with os.fdopen(os.dup(1), "w") as output:
        os.dup2(2, 1)
        emit = _writer(output)
        os.environ.update(task["environment"])
        # The parent's lock is gone the moment it is killed; this one lasts until we are.
        with FileLock(task["lock"]):
            emit({"event": "outcome", **_run(task["commands"], task["vars"], emit)})


def _read_line() -> bytes:
    """The first line of standard input, unbuffered: nothing behind it may be swallowed."""
    line = bytearray()
    while not line.endswith(b"\n"):
        piece = os.read(0, 65_536)
        if not piece:
            sys.exit("no task on standard input")
        line += piece
    return bytes(line)


def _die_with_parent() -> None:
    """Standard input ends when the parent is gone. DuckDB rolls back what was not committed."""
    while os.read(0, 4_096):
        continue
    os._exit(70)


def _writer(output: Any) -> Callable[[dict[str, Any]], None]:
    lock = threading.Lock()

    def emit(document: dict[str, Any]) -> None:
        with lock:  # dbt's callbacks come from several threads
            output.write(json.dumps(document) + "\n")
            output.flush()

    return emit


def _run(
    commands: Sequence[Sequence[str]], variables: dict[str, Any], emit: Callable[..., None]
) -> dict[str, Any]:
    started = time.monotonic()
    from dbt.cli.main import dbtRunner

    outcome: dict[str, Any] = {
        "start_seconds": round(time.monotonic() - started, 3),
        "commands": [],
        "failures": [],
        "failed": "",
    }
    early = parsed_with(variables)
    manifest: Any = None
    said: list[str] = []
    with ExitStack() as engine:
        for command in (["parse"], *commands):
            began = time.monotonic()
            given = early if manifest is None else variables
            answer = dbtRunner(manifest=manifest, callbacks=[_reporter(emit, said)]).invoke(
                [*command, *(["--vars", json.dumps(given)] if given else [])]
            )
            seconds = round(time.monotonic() - began, 3)
            outcome["commands"].append(
                {
                    "command": command[0],
                    "seconds": seconds,
                    "nodes": [_node(each) for each in _results(answer)],
                }
            )
            if not answer.success:
                outcome["failed"] = " ".join(command[:2])
                outcome["failures"] = list(_failures(answer, said))
                break
            if manifest is None:
                manifest = answer.result
                if commands and manifest.metadata.adapter_type == "spark":
                    unavailable = _start_spark(engine)
                    if unavailable:
                        outcome["failed"] = str(commands[0][0])
                        outcome["failures"] = [_failure("spark", "error", unavailable, "")]
                        break
    return outcome


def parsed_with(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Those of dbt's variables that parsing depends on: dbt parses the whole project anew for other values,
    and each build has an ``as_of`` of its own."""
    return {name: value for name, value in variables.items() if name not in _READ_LATE}


def _start_spark(engine: ExitStack) -> str:
    """Start the session that dbt is going to find, until ``engine`` is closed; why it cannot be, or ''."""
    from dbt.adapters.factory import get_adapter_by_type

    from kundresa.warehouse.spark import SparkUnavailable, session

    parameters = get_adapter_by_type("spark").config.credentials.server_side_parameters
    try:
        engine.enter_context(session(parameters, Path(f"{os.environ['KUNDRESA_WAREHOUSE_PATH']}.spark")))
    except SparkUnavailable as error:
        return str(error)
    return ""


def _reporter(emit: Callable[..., None], said: list[str]) -> Callable[[Any], None]:
    """A callback that tells each finished node as ``12/40 profiles``, and collects in ``said`` why an
    operation failed, which dbt logs but does not return."""

    def report(event: Any) -> None:
        if event.info.name in ("LogModelResult", "LogTestResult", "LogSeedResult"):
            total = getattr(event.data, "total", 0) or getattr(event.data, "num_models", 0)
            name = event.data.node_info.node_name
            emit({"event": "progress", "text": f"{event.data.index}/{total} {name}"})
        elif event.info.name in ("RunningOperationCaughtError", "RunningOperationUncaughtError"):
            said.append(event.data.exc)

    return report


def _results(answer: Any) -> Sequence[Any]:
    return getattr(answer.result, "results", None) or ()


def _node(result: Any) -> dict[str, Any]:
    return {
        "node": _name(result),
        "status": str(result.status),
        "seconds": round(result.execution_time, 3),
    }


def _name(result: Any) -> str:
    """The node's name; of an operation, which has no node in its result, the id."""
    node = getattr(result, "node", None)
    return str(node.name if node is not None else result.unique_id)


def _failures(answer: Any, said: Sequence[str]) -> Iterator[dict[str, Any]]:
    """What failed; the command itself when no node did (a project that does not parse)."""
    found = False
    for result in _results(answer):
        if str(result.status) in _FAILED:
            found = True
            message = result.message or " ".join(said) or "no message"
            compiled = getattr(getattr(result, "node", result), "compiled_path", None)
            yield _failure(_name(result), str(result.status), message, str(compiled or ""))
    if not found:
        yield _failure("project", "error", str(answer.exception or "dbt gave no reason"), "")


def _failure(node: str, status: str, message: str, compiled_path: str) -> dict[str, str]:
    return {
        "node": node,
        "status": status,
        "message": _JAVA_STACK.sub("", message).strip()[:_LAST_LINE_CHARACTERS],
        "compiled_path": compiled_path,
    }
