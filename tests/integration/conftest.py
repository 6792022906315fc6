"""A store on either engine for the tests; their PostgreSQL is started when it is needed, and ends with the
session."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from tests.postgresql import Cluster, running

from kundresa.store import Store, open_store
from kundresa.store.engine import Database


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    with running() as cluster:
        yield cluster


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
