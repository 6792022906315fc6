"""What a store's server takes of the cores is that of all its processes, also of those that have ended."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from tests.benchmarks.stores import StoreServer, cpu_seconds, of_engine

SPENT = 0.3
SPEND = f"""
import time
while time.process_time() < {SPENT}: pass
"""
STAY = SPEND + "print(flush=True); import sys; sys.stdin.read()"
PARENT = f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", {SPEND!r}], check=True)
lives = subprocess.Popen([sys.executable, "-c", {STAY!r}], stdin=subprocess.PIPE)
sys.stdin.read()
lives.stdin.close()
lives.wait()
"""


def test_children_are_counted_those_that_live_and_those_that_have_ended() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as server:
        assert server.stdout is not None
        server.stdout.readline()
        found = StoreServer("", server.pid).cpu_seconds()
        own = cpu_seconds(server.pid)
        server.communicate()
    assert found - own > SPENT * 2 * 0.9


def test_a_file_has_no_server(tmp_path: Path) -> None:
    started = time.process_time()
    with of_engine("sqlite", tmp_path / "store.sqlite") as server:
        assert server.url == f"sqlite:///{tmp_path / 'store.sqlite'}"
        while time.process_time() - started < 0.05:
            pass
        assert server.cpu_seconds() == 0
