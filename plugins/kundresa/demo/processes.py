"""Server processes of a demo: started in a group of their own, found again by a later command, and
stopped without touching anybody else's."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class ProcessMark:
    """A process that a later command can recognise: a pid alone may have been given to another."""

    pid: int
    started: int
    """Clock ticks after boot, field 22 of ``/proc/<pid>/stat``: with the pid, unique until reboot."""

    @property
    def is_running(self) -> bool:
        return start_ticks(self.pid) == self.started


def start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks after boot; None when it is gone or a zombie
    (proc(5), ``/proc/pid/stat`` fields 3 and 22)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The name in field 2 may hold spaces and parentheses: count from the last ")".
    fields = text[text.rindex(")") + 2 :].split()
    return None if fields[0] in "ZX" else int(fields[19])


def mark(pid: int) -> ProcessMark | None:
    """The mark of a running process, None when it is gone."""
    started = start_ticks(pid)
    return None if started is None else ProcessMark(pid, started)


def start(
    command: Sequence[str], *, environ: Mapping[str, str], log: Path, cwd: Path
) -> subprocess.Popen[bytes]:
    """Start a server in a new session, its output appended to ``log``.

    A session of its own keeps the terminal's Ctrl-C from it: the demo decides in which order its
    servers stop.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 our own servers, no shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environ),
            cwd=cwd,
            start_new_session=True,
        )


def family(root: ProcessMark) -> list[ProcessMark]:
    """A process and everything that descends from it, children before parents.

    The process group is not enough: Airflow gives every task a group of its own.
    """
    if not root.is_running:
        return []
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (parent := _parent(int(entry.name))) is not None:
            children.setdefault(parent, []).append(int(entry.name))
    found: list[ProcessMark] = []
    waiting = [root.pid]
    while waiting:
        pid = waiting.pop()
        waiting.extend(children.get(pid, ()))
        if member := mark(pid):
            found.append(member)
    return list(reversed(found))


def _parent(pid: int) -> int | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(text[text.rindex(")") + 2 :].split()[1])


def stop(
    root: ProcessMark,
    *,
    grace_seconds: float = 25,
    sleep: Callable[[float], None] = time.sleep,
    reap: Callable[[], object] | None = None,
) -> None:
    """End a process and its descendants: SIGINT to the root, then SIGTERM, then SIGKILL to what is
    left.

    ``grace_seconds`` is the wait after SIGINT; Airflow needs about five to end its four components.
    ``reap`` collects the exit status when the caller is the parent.
    """
    members = family(root)
    if not members:
        return
    _send([root], signal.SIGINT)
    for remaining_signal, seconds in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, 5.0)):
        # What was started while we waited belongs to the family too.
        if _wait_gone(members, seconds, sleep, reap):
            break
        members = list({*members, *family(root)})
        _send(members, remaining_signal)
    _wait_gone(members, 5.0, sleep, reap)


def kill(root: ProcessMark) -> None:
    """SIGKILL to a process and its descendants, parents first: none can start another, or tell of it."""
    members = family(root)
    _send(list(reversed(members)), signal.SIGKILL)


def _send(members: Sequence[ProcessMark], number: signal.Signals) -> None:
    for member in members:
        if member.is_running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(member.pid, number)


def _wait_gone(
    members: Sequence[ProcessMark],
    seconds: float,
    sleep: Callable[[float], None],
    reap: Callable[[], object] | None,
) -> bool:
    for _ in range(max(1, int(seconds / POLL_SECONDS))):
        if reap is not None:
            reap()
        if not any(member.is_running for member in members):
            return True
        sleep(POLL_SECONDS)
    return False


def free_ports(count: int) -> list[int]:
    """Free TCP ports on 127.0.0.1, all different."""
    with contextlib.ExitStack() as held:
        ports = []
        for _ in range(count):
            listener = held.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            ports.append(int(listener.getsockname()[1]))
        return ports


def port_is_free(port: int) -> bool:
    """Whether nobody listens on 127.0.0.1:``port``."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
