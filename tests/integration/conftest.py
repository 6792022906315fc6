"""A private PostgreSQL for the tests: started on a socket in a temporary folder, ended with the session."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection, text

from kundresa.store import Store, open_store
from kundresa.store.engine import Database
from kundresa.store.tables import metadata

USER = "kundresa"


def find_programs() -> Path:
    """The folder with initdb and pg_ctl: Debian keeps them per version and off the PATH."""
    packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    on_path = shutil.which("initdb")
    if packaged:
        return packaged[-1].parent
    if on_path:
        return Path(on_path).parent
    # Not a skip: the store promises PostgreSQL, and a suite that leaves it out proves nothing about it.
    pytest.fail("PostgreSQL's server programs are missing; install them: apt-get install postgresql")


class Cluster:
    """One PostgreSQL server in ``folder``. As root it runs as the user postgres: it refuses root."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._programs = find_programs()
        self._databases = 0

    def run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        if os.geteuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=120, check=False
        )
        if done.returncode:
            pytest.fail(f"{program} failed: {done.stdout}{done.stderr}")

    def start(self) -> None:
        data = str(self.folder / "data")
        self.run("initdb", "--no-sync", "--auth=trust", f"--username={USER}", "--encoding=UTF8", data)
        # No fsync: the tests kill clients, never the server.
        options = f"-c listen_addresses='' -c unix_socket_directories={self.folder} -c fsync=off"
        self.run("pg_ctl", "--pgdata", data, "--log", str(self.folder / "log"), "-w", "-o", options, "start")

    def stop(self) -> None:
        self.run("pg_ctl", "--pgdata", str(self.folder / "data"), "-m", "immediate", "-w", "stop")

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


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    # Not pytest's own folder: a socket's path is limited to 107 bytes, and postgres must reach it.
    folder = Path(tempfile.mkdtemp(prefix="kundresa-pg-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    cluster = Cluster(folder)
    try:
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def migrated_database(postgres: Cluster) -> str:
    """The name of a database with the store's tables; tests share it."""
    name = postgres.create_database()
    open_store(postgres.url(name)).close()
    return name


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with the store's tables, to copy."""
    path = tmp_path_factory.mktemp("migrated") / "store.sqlite"
    open_store(f"sqlite:///{path}").close()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where no store is yet, on either engine."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'new' / 'store.sqlite'}"
        return
    cluster: Cluster = request.getfixturevalue("postgres")
    name = cluster.create_database()
    yield cluster.url(name)
    cluster.drop_database(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store that is up to date and empty, on either engine."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_file"), tmp_path / "store.sqlite")
        return f"sqlite:///{tmp_path / 'store.sqlite'}"
    cluster: Cluster = request.getfixturevalue("postgres")
    name: str = request.getfixturevalue("migrated_database")
    cluster.empty_tables(name)
    return cluster.url(name)


@pytest.fixture
def at_once(store_url: str) -> Iterator[Callable[..., None]]:
    """Runs some things beside each other, each once the ones before it wait, and lets them go on then."""
    database = Database(store_url)

    def run(hold: Callable[[Connection], object], works: Sequence[Callable[[Store], object]]) -> None:
        failures: list[BaseException] = []

        def work(it: Callable[[Store], object]) -> None:
            try:
                with open_store(store_url) as own:
                    it(own)
            except BaseException as error:  # told below, on the thread of the test
                failures.append(error)

        threads = [threading.Thread(target=work, args=(it,)) for it in works]
        with database.write() as connection:
            hold(connection)
            for number, thread in enumerate(threads, 1):
                thread.start()
                wait_for_locks(database, threads[:number])
        for thread in threads:
            thread.join(60)
        assert failures == []

    yield run
    database.close()


def wait_for_locks(database: Database, threads: Sequence[threading.Thread]) -> None:
    """Until each of these waits for a lock, or has ended; or a little while, where nobody can be asked."""
    if database.is_sqlite:
        time.sleep(0.1)
        return
    waiting = text("select count(distinct pid) from pg_locks where not granted")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with database.read() as connection:
            count = connection.execute(waiting).scalar_one()
        if count >= sum(thread.is_alive() for thread in threads):
            return
        time.sleep(0.02)
    raise AssertionError("they should wait by now")
