"""A real Airflow over a copy of the built shop, with a sandbox that receives."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kundresa import settings as installation
from kundresa.demo import processes
from kundresa.demo.airflow_api import AirflowApi
from kundresa.demo.standalone import AirflowPorts, AirflowStandalone
from kundresa.orchestration.pools import POOLS
from kundresa.sandbox import Sandbox
from kundresa.sandbox.reader import message_ids
from kundresa.settings import Settings

CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass
class Plant:
    """A running Airflow, the shop it works on, and the sandbox that receives."""

    airflow: AirflowStandalone
    settings: Settings

    @property
    def api(self) -> AirflowApi:
        return self.airflow.api

    def take_up(self, dag_ids: Sequence[str]) -> None:
        """Make the pools, and unpause these DAGs once all are there."""
        for pool in POOLS:
            self.api.put_pool(pool.name, pool.slots, pool.description)
        self.api.wait_for_dags(dag_ids)
        assert self.api.import_errors() == {}
        for dag_id in dag_ids:
            self.api.unpause(dag_id)

    def kill_scheduler(self) -> None:
        """SIGKILL to Airflow's own scheduler and to its tasks; nobody starts it again."""
        assert self.airflow.mark is not None
        found = [
            each
            for each in processes.family(self.airflow.mark)
            if b"scheduler" in Path(f"/proc/{each.pid}/cmdline").read_bytes().split(b"\0")
        ]
        assert found, "there is no scheduler"
        for each in found:
            processes.kill(each)

    def received(self, key: str, channel: str = "email") -> list[str]:
        """Message ids as they arrived, counted by the sandbox; one that came twice is there twice."""
        return message_ids(self.settings.sandbox, key, channel)

    def account(self, key: str) -> Any:
        return json.loads((self.settings.published / "runs" / key / "account.json").read_text())

    def kundresa(self, *words: str) -> str:
        """Run the command beside Airflow; what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "kundresa.cli.main", *words],
            env=self.airflow.environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"kundresa {' '.join(words)}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@dataclass
class Scheduler:
    """Another ``airflow scheduler`` beside those of a running Airflow."""

    airflow: AirflowStandalone
    log: Path
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        port = str(processes.free_ports(1)[0])
        self._process = processes.start(
            [str(Path(sys.executable).parent / "airflow"), "scheduler"],
            environ=self.airflow.environment() | {"AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": port},
            log=self.log,
            cwd=self.airflow.home,
        )

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL to it and to its tasks."""
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()[-3000:]
        found = processes.mark(self._process.pid)
        assert found is not None
        processes.kill(found)
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None and (found := processes.mark(self._process.pid)) is not None:
            processes.stop(found, reap=self._process.poll)


def copy_shop(built: Path, folder: Path) -> Path:
    """The project of a copy, which is ``folder/shop``."""
    shutil.copytree(built, folder / "shop", symlinks=True)
    return folder / "shop" / "project"


@contextmanager
def running_plant(folder: Path, environ: Mapping[str, str] | None = None, **airflow: Any) -> Iterator[Plant]:
    """Airflow over the shop in ``folder/shop``, with an environment and settings of its own."""
    shop = folder / "shop"
    with Sandbox(shop / "home") as sandbox:
        own = {
            "KUNDRESA_PROJECT": str(shop / "project"),
            "KUNDRESA_HOME": str(shop / "home"),
            "KUNDRESA_SECRET": "end-to-end",
            "KUNDRESA_LEASE_SECONDS": "3",
            "KUNDRESA_RETRY_SECONDS": "0.5",
            "AIRFLOW_CONN_KUNDRESA_NEWSLETTER": sandbox.ports.smtp_uri,
            "AIRFLOW_CONN_KUNDRESA_TEXTS": sandbox.ports.sms_uri,
            **(environ or {}),
        }
        standalone = AirflowStandalone(
            home=folder / "airflow",
            project=CHECKOUT,
            ports=AirflowPorts.free(),
            environ=own,
            jwt_secret="of-the-end-to-end-tests-" * 4,
            dags_folder=shop / "project" / "dags",
            heartbeat_timeout_seconds=20,
            **airflow,
        )
        with standalone:
            yield Plant(standalone, installation.load(own))


def until(holds: Callable[[], bool], seconds: float = 120) -> None:
    """Wait for it; fails after so many seconds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)
