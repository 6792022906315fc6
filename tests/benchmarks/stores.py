"""The operational store of a benchmark, on either engine, with its durability as in production.

PostgreSQL is a server of its own with the settings that it comes with: it waits for the disk at each commit
as SQLite does, in the same file system, and its processes take from the same cores.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
SQLITE, POSTGRESQL = "sqlite", "postgresql"
ENGINES = (SQLITE, POSTGRESQL)
"""What ``--store`` may name; the first is what a benchmark measures unless another is asked for."""


@dataclass(frozen=True)
class StoreServer:
    """A store that is there for the length of a benchmark."""

    url: str
    pid: int | None = None
    """The first process of its server; None where the store is a file."""

    def cpu_seconds(self) -> float:
        """Processor time so far of the server's processes, of those that have ended as well; 0 for a file,
        whose work is that of its clients."""
        return 0.0 if self.pid is None else cpu_seconds_of_all(self.pid)


@contextmanager
def of_engine(engine: str, file: Path) -> Iterator[StoreServer]:
    """An empty store on the engine: in ``file``, or a database of a server that ends with the block."""
    if engine == SQLITE:
        yield StoreServer(f"sqlite:///{file}")
        return
    if str(CHECKOUT) not in sys.path:
        sys.path.append(str(CHECKOUT))
    from tests.postgresql import running

    with running(is_durable=True) as cluster:
        yield StoreServer(cluster.url(cluster.create_database()), cluster.pid)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far (proc_pid_stat(5), fields 14 and 15)."""
    return sum(_times(pid)[:2])


def cpu_seconds_of_all(pid: int) -> float:
    """The same of a process, of its children that have ended (fields 16 and 17), and of those that live."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sum(_times(pid)) + sum(cpu_seconds(int(each)) for each in children)


def _times(pid: int) -> list[float]:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return [int(each) / os.sysconf("SC_CLK_TCK") for each in fields[11:15]]
