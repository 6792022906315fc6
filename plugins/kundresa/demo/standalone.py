"""A whole Airflow on this machine: ``airflow standalone`` with its own home, ports and database.

The demo and the end-to-end tests drive the same one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from kundresa.demo import processes
from kundresa.demo.airflow_api import AirflowApi, AirflowApiError
from kundresa.demo.processes import ProcessMark

HEALTHY_SECONDS = 240
"""A first start migrates an empty database: 40 s on two idle cores, several times that on busy ones."""


class AirflowStartError(Exception):
    """``airflow standalone`` ended or stayed unhealthy; the message holds the tail of its log."""


@dataclass(frozen=True, slots=True)
class AirflowPorts:
    """TCP ports on 127.0.0.1. Airflow serves task and trigger logs on two of their own, which
    collide between two Airflows of one machine unless they are told apart."""

    api: int
    worker_logs: int
    trigger_logs: int

    @classmethod
    def free(cls) -> AirflowPorts:
        return cls(*processes.free_ports(3))


@dataclass
class AirflowStandalone:
    """One Airflow: SQLite unless told, LocalExecutor, on loopback only, everybody an administrator.

    A context manager: starts, waits until healthy, and ends every process that it started.
    """

    home: Path
    """AIRFLOW_HOME: database, logs, configuration."""
    project: Path
    """The checkout: ``dags/`` and ``plugins/`` are read from it."""
    ports: AirflowPorts
    environ: Mapping[str, str]
    """Added to the processes' environment: ``KUNDRESA_HOME``, the accounts' connections."""
    jwt_secret: str
    """Signs the tokens between Airflow's parts; at least 64 characters, the same on every start."""
    dags_folder: Path | None = None
    """Instead of ``project/dags``."""
    database_url: str | None = None
    """Of Airflow's own database, instead of a SQLite file in ``home``; an empty one is migrated."""
    parallelism: int = 4
    """Task processes at once: about 250 MB each."""
    heartbeat_timeout_seconds: int = 60
    """After how long a task whose process is gone is taken as dead, and retried."""
    sleep: Callable[[float], None] = time.sleep
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports.api}"

    @property
    def api(self) -> AirflowApi:
        return AirflowApi(self.url, sleep=self.sleep)

    @property
    def log(self) -> Path:
        return self.home / "standalone.log"

    @property
    def mark(self) -> ProcessMark | None:
        """Recognises the running server in a later command; None when it does not run."""
        return processes.mark(self._process.pid) if self._process else None

    def environment(self) -> dict[str, str]:
        """The whole environment of the server and of ``airflow`` commands beside it."""
        bin_folder = Path(sys.executable).parent
        logs = self.home / "logs"
        settings = {
            "CORE__DAGS_FOLDER": str(self.dags_folder or self.project / "dags"),
            "CORE__PLUGINS_FOLDER": str(self.project / "plugins"),
            "CORE__LOAD_EXAMPLES": "False",
            "CORE__EXECUTOR": "LocalExecutor",
            "CORE__PARALLELISM": str(self.parallelism),
            "CORE__MAX_MAP_LENGTH": "100000",
            "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "DATABASE__SQL_ALCHEMY_CONN": self.database_url or f"sqlite:///{self.home / 'airflow.db'}",
            "API__HOST": "127.0.0.1",
            "API__PORT": str(self.ports.api),
            "API__BASE_URL": self.url,
            "API__SECRET_KEY": self.jwt_secret,
            "API_AUTH__JWT_SECRET": self.jwt_secret,
            "DAG_PROCESSOR__REFRESH_INTERVAL": "10",
            "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "10",
            "LOGGING__BASE_LOG_FOLDER": str(logs),
            "LOGGING__WORKER_LOG_SERVER_PORT": str(self.ports.worker_logs),
            "LOGGING__TRIGGER_LOG_SERVER_PORT": str(self.ports.trigger_logs),
            "DAG_PROCESSOR__CHILD_PROCESS_LOG_DIRECTORY": str(logs / "dag_processor"),
            "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(self.heartbeat_timeout_seconds),
            "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
            # Tasks of a scheduler that died belong to nobody until looked for: by default for five minutes,
            # in which a journey stands still.
            "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "15",
            "USAGE_DATA_COLLECTION__ENABLED": "False",
        }
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")},
            "PATH": f"{bin_folder}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "AIRFLOW_HOME": str(self.home),
            **{f"AIRFLOW__{name}": value for name, value in settings.items()},
            "NO_COLOR": "1",
            # The servers are on this machine; a proxy of the network is not to be asked for them.
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            **self.environ,
        }

    def start(self) -> None:
        """Start the server; returns at once."""
        self.home.mkdir(parents=True, exist_ok=True)
        self._process = processes.start(
            [str(Path(sys.executable).parent / "airflow"), "standalone"],
            environ=self.environment(),
            log=self.log,
            cwd=self.home,
        )

    def wait_healthy(
        self, timeout_seconds: float = HEALTHY_SECONDS, progress: Callable[[str], None] | None = None
    ) -> None:
        """Wait for API server, scheduler, DAG processor and triggerer.

        Raises:
            AirflowStartError: when the process ends, or a part is not healthy in time.
        """
        deadline = time.monotonic() + timeout_seconds
        missing: tuple[str, ...] = ("api-server",)
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                raise AirflowStartError(f"airflow standalone ended.\n{self.log_tail()}")
            try:
                missing = self.api.unhealthy_parts()
            except AirflowApiError:
                missing = ("api-server",)
            if not missing:
                return
            if progress is not None:
                progress(", ".join(missing))
            self.sleep(0.5)
        raise AirflowStartError(
            f"Airflow is not healthy after {timeout_seconds:.0f} s: waiting for {', '.join(missing)}.\n"
            f"{self.log_tail()}"
        )

    def stop(self) -> None:
        """End the server and all that it started. Nothing happens when it does not run."""
        if self._process is not None and (running := self.mark) is not None:
            processes.stop(running, sleep=self.sleep, reap=self._process.poll)
        self._process = None

    def kill(self) -> None:
        """SIGKILL to the server and all that it started, tasks too, as when a machine loses its power."""
        if self._process is not None and (running := self.mark) is not None:
            processes.kill(running)
            self._process.wait()
        self._process = None

    def command(self, *arguments: str, timeout_seconds: float = 180) -> subprocess.CompletedProcess[str]:
        """Run an ``airflow`` command line beside the server, as an operator would."""
        return subprocess.run(  # noqa: S603 Airflow's own command, no shell
            [str(Path(sys.executable).parent / "airflow"), *arguments],
            env=self.environment(),
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
        )

    def log_tail(self, lines: int = 30) -> str:
        """The end of the server's own log."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def __enter__(self) -> Self:
        self.start()
        try:
            self.wait_healthy()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
