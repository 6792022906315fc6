"""An image and its services without an engine: the Dockerfile's and compose file's own commands, in folders
under a temporary root, with only the environment that these files state.

What stands for what: absolute paths of the image lie under ``root``; the services' host names are 127.0.0.1
with free ports; PostgreSQL and Redis are this machine's programs instead of their images.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[3]
DOCKERFILE = REPOSITORY / "docker" / "Dockerfile"
COMPOSE = REPOSITORY / "docker" / "compose.yaml"
IMAGE_PATHS = re.compile(r"(?<![\w./-])/(opt|var|build)(?=[/:]|$)")
NEEDS_THE_IMAGE = ("useradd",)
"""Commands that would change this machine: not run."""


def instructions(text: str) -> list[tuple[str, str]]:
    """``(word, rest)`` of each instruction, continued lines joined, comments dropped."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines())]


@dataclass
class Image:
    """What the Dockerfile makes, in a folder."""

    root: Path
    python_path: str
    environment: dict[str, str] = field(default_factory=dict)
    work: Path = field(default_factory=Path)
    ran: list[str] = field(default_factory=list)
    not_run: list[str] = field(default_factory=list)

    def build(self) -> None:
        for word, rest in instructions(DOCKERFILE.read_text(encoding="utf-8")):
            getattr(self, f"_{word.lower()}")(rest)

    def inside(self, value: str) -> str:
        """The value with the image's absolute paths put under ``root``."""
        return IMAGE_PATHS.sub(rf"{self.root}/\1", value)

    def process_environment(self) -> dict[str, str]:
        return {
            "PATH": self.python_path,
            "HOME": str(self.root / "home"),
            "LANG": "C.UTF-8",
            **self.environment,
        }

    def _ignored(self, _: str) -> None:
        """Says something about an image that is no command."""

    _arg = _shell = _label = _user = _expose = _cmd = _ignored

    def _from(self, _: str) -> None:
        self.environment = {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}
        # The download cache and the registries that this machine is set up with; not part of any image.
        for name in (
            "UV_CACHE_DIR",
            "UV_DEFAULT_INDEX",
            "PIP_INDEX_URL",
            "SSL_CERT_FILE",
            "PIP_CERT",
            "UV_INDEX_URL",
        ):
            if name in os.environ:
                self.environment[name] = os.environ[name]
        self.environment.setdefault("UV_CACHE_DIR", str(Path.home() / ".cache" / "uv"))
        (self.root / "home").mkdir(exist_ok=True)

    def _env(self, rest: str) -> None:
        for name, value in re.findall(r"(\w+)=(\S+)", rest):
            self.environment[name] = Template(self.inside(value)).substitute(self.process_environment())

    def _workdir(self, rest: str) -> None:
        self.work = Path(self.inside(rest))
        self.work.mkdir(parents=True, exist_ok=True)

    def _copy(self, rest: str) -> None:
        *sources, target = [part for part in rest.split() if not part.startswith("--")]
        if "--from=" in rest:
            assert (self.work / target).is_dir(), "both stages share one root here"
            return
        destination = self.work / target
        for source in sources:
            path = REPOSITORY / source
            if path.is_dir():
                shutil.copytree(
                    path, destination, ignore=shutil.ignore_patterns("__pycache__", "target", "logs")
                )
                continue
            final = destination / path.name if target.endswith("/") else destination
            final.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, final)
            if "--chmod=0755" in rest:
                final.chmod(0o755)

    def _run(self, command: str) -> None:
        if command.startswith(NEEDS_THE_IMAGE):
            self.not_run.append(command)
            return
        done = subprocess.run(
            ["/bin/sh", "-eu", "-c", command],
            cwd=self.work,
            env=self.process_environment(),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"RUN {command}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
        self.ran.append(command)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """The image, built by the Dockerfile's RUN lines."""
    python_path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    built = Image(tmp_path_factory.mktemp("image"), python_path)
    try:
        built.build()
        yield built
    finally:
        shutil.rmtree(built.root)  # 1 GB; pytest would keep it for three sessions


def interpolated(text: str, environment: Mapping[str, str]) -> str:
    """Compose's ``${NAME:?message}`` and ``${NAME:-default}``; ``$$`` is ``$``."""

    def value(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        found = environment.get(match["name"], "")
        if not found and match["kind"] == ":?":
            raise LookupError(f"{match['name']}: {match['word']}")
        return found or match["word"]

    return re.sub(r"\$\$|\$\{(?P<name>\w+)(?P<kind>:[?-])(?P<word>[^}]*)\}", value, text)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@dataclass
class Services:
    """The compose file's services as processes of this machine."""

    image: Image
    folder: Path
    secrets: dict[str, str]
    ports: dict[str, int] = field(default_factory=lambda: {name: free_port() for name in PORTS})
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        text = interpolated(COMPOSE.read_text(encoding="utf-8"), self.secrets)
        self.services: dict[str, Any] = yaml.safe_load(text)["services"]

    def local(self, text: str) -> str:
        """A command or value with the services' addresses replaced by local ones."""
        for pattern, name in ADDRESSES:
            text = re.sub(pattern, lambda match, name=name: f"{match[1]}{self.ports[name]}", text)
        redis = self.ports["redis"]
        text = text.replace(
            "redis-server ", f"redis-server --bind 127.0.0.1 --port {redis} --dir {self.folder} "
        )
        text = text.replace("redis-cli ", f"redis-cli -p {redis} ").replace("0.0.0.0", "127.0.0.1")
        return re.sub(r"\b(postgres|redis|api-server)(?=:\d+\b)", "127.0.0.1", text)

    def environment(self, service: str) -> dict[str, str]:
        stated = self.services[service].get("environment", {})
        extra = {
            "PGPORT": str(self.ports["postgres"]),
            "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT": str(self.ports["scheduler"]),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(self.ports["worker_logs"]),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(self.ports["trigger_logs"]),
        }
        values = {name: self.local(str(value)) for name, value in stated.items()}
        return {**self.image.process_environment(), **values, **extra}

    def command(self, service: str) -> list[str]:
        return [self.local(part) for part in self.services[service]["command"]]

    def start(self, service: str) -> None:
        with (self.folder / f"{service}.log").open("wb") as log:
            self.processes[service] = subprocess.Popen(
                self.command(service),
                cwd=self.image.work,
                env=self.environment(service),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def run(self, service: str, timeout_seconds: float) -> str:
        """A service that ends by itself; returns what it printed."""
        self.start(service)
        code = self.processes.pop(service).wait(timeout_seconds)
        printed = self.log(service)
        assert code == 0, f"{service} ended with {code}:\n{printed[-6000:]}"
        return printed

    def log(self, service: str) -> str:
        return (self.folder / f"{service}.log").read_text(encoding="utf-8", errors="replace")

    def is_healthy(self, service: str) -> bool:
        kind, *arguments = self.services[service]["healthcheck"]["test"]
        local = [self.local(part) for part in arguments]
        command = local if kind == "CMD" else ["/bin/sh", "-c", local[0]]
        done = subprocess.run(
            command,
            cwd=self.image.work,
            env=self.environment(service),
            capture_output=True,
            timeout=60,
            check=False,
        )
        return done.returncode == 0

    def wait_healthy(self, service: str, timeout_seconds: float) -> None:
        def healthy() -> bool:
            process = self.processes.get(service)
            assert process is None or process.poll() is None, f"{service} ended:\n{self.log(service)[-6000:]}"
            return self.is_healthy(service)

        wait_until(
            healthy, timeout_seconds, lambda: f"{service} is not healthy:\n{self.log(service)[-6000:]}"
        )

    def stop(self) -> None:
        """Ends every process group it started: first asked, then forced."""
        for process in reversed(self.processes.values()):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + 15
        for process in self.processes.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, deadline - time.monotonic()))
            # The group may outlive its leader: a server's children do not all follow it.
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            process.wait(5)


PORTS = ("postgres", "redis", "api", "public", "scheduler", "worker_logs", "trigger_logs")
ADDRESSES = (
    (r"(postgres:)5432\b", "postgres"),
    (r"(redis:)6379\b", "redis"),
    (r"((?:api-server|localhost):)8080\b", "api"),
    (r"^()8080$", "api"),
    (r"(localhost:)8974\b", "scheduler"),
    (r"(localhost:)2581\b", "public"),
    (r"^()2581$", "public"),
)


def wait_until(condition: Callable[[], bool], timeout_seconds: float, explain: Callable[[], str]) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(explain())
        time.sleep(1)


def start_postgres(services: Services, cluster: Any, data: Path) -> None:
    """A server with passwords on a port, as the postgres image makes it; then the image's start scripts."""
    environment = services.environment("postgres")
    password = data.with_suffix(".password")
    password.write_text(environment["POSTGRES_PASSWORD"])
    password.chmod(0o644)
    login = (f"--username={environment['POSTGRES_USER']}", f"--pwfile={password}", "--auth=scram-sha-256")
    cluster.run("initdb", "--no-sync", "--encoding=UTF8", *login, str(data))
    port = environment["PGPORT"]
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories='' -c fsync=off"
    cluster.run("pg_ctl", "--pgdata", str(data), "--log", f"{data}.log", "-w", "-o", options, "start")
    reach = {"PGHOST": "127.0.0.1", "PGPASSWORD": environment["POSTGRES_PASSWORD"]}
    for script in sorted((REPOSITORY / "docker" / "postgres").glob("*.sh")):
        subprocess.run([str(script)], env={**environment, **reach}, check=True, timeout=60)


@pytest.fixture(scope="module")
def services(image: Image, postgres: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Everything that compose.yaml starts, healthy, in its order."""
    secrets_of_a_deployment = {
        name: secrets.token_hex(32)
        for name in re.findall(r"\$\{(\w+):\?", COMPOSE.read_text(encoding="utf-8"))
    }
    secrets_of_a_deployment["AIRFLOW_FERNET_KEY"] = urlsafe_b64encode(secrets.token_bytes(32)).decode()
    secrets_of_a_deployment["KUNDRESA_PUBLIC_URL"] = "https://shop.example"
    assert shutil.which("redis-server"), "the program redis-server is missing: run tests/system_packages.sh"
    started = Services(image, tmp_path_factory.mktemp("services"), secrets_of_a_deployment)
    data = postgres.folder / "compose"
    try:
        start_postgres(started, postgres, data)
        try:
            started.start("redis")
            for service in ("postgres", "redis"):
                started.wait_healthy(service, 30)
            started.run("init", 240)
            others = [
                name
                for name, service in started.services.items()
                # What runs with a profile only needs an account that is not there.
                if name not in ("postgres", "redis", "init") and "profiles" not in service
            ]
            for service in others:
                started.start(service)
            for service in others:
                started.wait_healthy(service, 180)
            yield started
        finally:
            started.stop()
    finally:
        postgres.run("pg_ctl", "--pgdata", str(data), "-m", "immediate", "-w", "stop")
