"""Starting, recognising and stopping servers: real processes, ours only."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kundresa.demo import processes
from kundresa.demo.processes import ProcessMark

STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(60)
"""
# Python leaves SIGINT ignored where it was: what a shell starts in the background inherits that.
POLITE = """
import signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    print("up", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("bye", flush=True)
"""


def start(code: str, log: Path) -> subprocess.Popen[bytes]:
    process = processes.start([sys.executable, "-c", code], environ=os.environ, log=log, cwd=log.parent)
    for _ in range(200):
        if log.exists() and log.read_text().strip():
            return process
        time.sleep(0.05)
    raise AssertionError("the process said nothing")


def test_a_server_is_asked_first(tmp_path: Path) -> None:
    process = start(POLITE, tmp_path / "log")
    mark = processes.mark(process.pid)
    assert mark is not None

    processes.stop(mark, reap=process.poll)

    assert (tmp_path / "log").read_text().split() == ["up", "bye"]
    assert process.returncode == 0
    assert not mark.is_running


def test_what_does_not_listen_is_killed_with_all_it_started(tmp_path: Path) -> None:
    process = start(STUBBORN, tmp_path / "log")
    mark, child = processes.mark(process.pid), processes.mark(int((tmp_path / "log").read_text()))
    assert mark is not None
    assert child is not None
    assert os.getpgid(child.pid) != os.getpgid(mark.pid), "a group of its own, as Airflow's tasks have"

    processes.stop(mark, grace_seconds=0.3, reap=process.poll)

    assert process.returncode == -signal.SIGKILL
    assert not child.is_running


def test_a_pid_that_was_given_to_another_is_not_touched(tmp_path: Path) -> None:
    process = start(POLITE, tmp_path / "log")
    real = processes.mark(process.pid)
    assert real is not None
    older = ProcessMark(real.pid, real.started - 1)

    assert not older.is_running
    processes.stop(older, grace_seconds=0.3)

    assert real.is_running
    processes.stop(real, reap=process.poll)


def test_a_zombie_has_ended(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    for _ in range(200):
        if processes.mark(process.pid) is None:
            break
        time.sleep(0.05)
    assert processes.mark(process.pid) is None
    process.wait()


def test_ports(tmp_path: Path) -> None:
    ports = processes.free_ports(5)
    assert len(set(ports)) == 5
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        assert not processes.port_is_free(listener.getsockname()[1])


@pytest.mark.parametrize("pid", [2**22 + 1, 0])
def test_no_such_process(pid: int) -> None:
    assert processes.mark(pid) is None
