"""A private PostgreSQL: one server on a socket in a folder of its own, for tests and benchmarks."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from kundresa.store.tables import metadata

USER = "kundresa"


class PostgresqlUnusable(RuntimeError):
    """The server's programs are not installed, or one of them failed."""


def find_programs() -> Path:
    """The folder with initdb and pg_ctl: Debian keeps them per version and off the PATH.

    Raises:
        PostgresqlUnusable: when there is none.
    """
    packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    on_path = shutil.which("initdb")
    if packaged:
        return packaged[-1].parent
    if on_path:
        return Path(on_path).parent
    # No skip: the store promises PostgreSQL, and a suite that leaves it out proves nothing about it.
    raise PostgresqlUnusable(
        "PostgreSQL's server programs are missing; install them: apt-get install postgresql"
    )


class Cluster:
    """One PostgreSQL server in ``folder``. As root it runs as the user postgres: it refuses root."""

    def __init__(self, folder: Path, *, is_durable: bool = False) -> None:
        """``is_durable``: it waits for the disk as in production. Tests kill clients, never the server, and
        need not wait."""
        self.folder = folder
        self._is_durable = is_durable
        self._programs = find_programs()
        self._databases = 0

    def run(self, program: str, *arguments: str) -> None:
        """
        Raises:
            PostgresqlUnusable: with what it printed, when it fails.
        """
        command = [str(self._programs / program), *arguments]
        if os.geteuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=120, check=False
        )
        if done.returncode:
            raise PostgresqlUnusable(f"{program} failed: {done.stdout}{done.stderr}")

    def start(self) -> None:
        data = str(self.folder / "data")
        self.run("initdb", "--no-sync", "--auth=trust", f"--username={USER}", "--encoding=UTF8", data)
        options = f"-c listen_addresses='' -c unix_socket_directories={self.folder}"
        if not self._is_durable:
            options += " -c fsync=off"
        self.run("pg_ctl", "--pgdata", data, "--log", str(self.folder / "log"), "-w", "-o", options, "start")

    def stop(self) -> None:
        self.run("pg_ctl", "--pgdata", str(self.folder / "data"), "-m", "immediate", "-w", "stop")

    @property
    def pid(self) -> int:
        """Of the server's first process, whose children the others are."""
        return int((self.folder / "data" / "postmaster.pid").read_text().split()[0])

    def url(self, database: str) -> str:
        return f"postgresql://{USER}@/{database}?host={self.folder}"

    def create_database(self) -> str:
        """A new, empty database; returns its name."""
        self._databases += 1
        name = f"test_{self._databases}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return name

    def drop_database(self, name: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def empty_tables(self, name: str) -> None:
        """Remove all rows of the store's tables: far quicker than a database for each test."""
        with psycopg.connect(self.url(name)) as connection:
            connection.execute(f"TRUNCATE {', '.join(metadata.tables)} RESTART IDENTITY")


@contextmanager
def running(*, is_durable: bool = False) -> Iterator[Cluster]:
    """A server that is started now, and gone with its data afterwards."""
    # Not pytest's own folder: a socket's path is limited to 107 bytes, and postgres must reach it.
    folder = Path(tempfile.mkdtemp(prefix="kundresa-pg-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        cluster = Cluster(folder, is_durable=is_durable)
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
