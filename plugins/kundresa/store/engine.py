"""Connections to the operational store: SQLite embedded, PostgreSQL in production."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Insert, Table, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError, InternalError, OperationalError

from kundresa.store.errors import StoreError, StoreUnavailable

BUSY_SECONDS = 30.0
"""How long a write waits for another one before it gives up, loudly."""

_WRITE = "kundresa_write"

_CACHE_KB = 16_000
"""Of each SQLite connection, as far as it comes to use."""
_LOG_PAGES = 4_000
"""Of 4 KB: how long SQLite's log gets before it is emptied; four times SQLite's own default."""


class Database:
    """One database, with short transactions: ``read`` and ``write``. Safe to use from many processes;
    open one per process."""

    def __init__(self, url: str, *, busy_seconds: float = BUSY_SECONDS) -> None:
        """Connect lazily.

        Raises:
            StoreError: for a URL that is neither PostgreSQL's nor that of an SQLite file.
        """
        self.url = _checked(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.name = self.url.render_as_string(hide_password=True)
        self.engine = (
            _sqlite(self.url, busy_seconds) if self.is_sqlite else _postgresql(self.url, busy_seconds)
        )
        # Its thread starts with the first commit that somebody has something to do beside.
        self._committers = ThreadPoolExecutor(max_workers=1, thread_name_prefix="kundresa commit")

    @property
    def path(self) -> Path:
        """The SQLite file. Only for SQLite."""
        return Path(str(self.url.database))

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that writes nothing. Keep it short: an open one keeps SQLite's log growing.

        Raises:
            StoreUnavailable: when the database does not answer.
        """
        with self._failures(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """As ``read``, and everything that is read in it is of one moment.

        Raises:
            StoreUnavailable: when the database does not answer.
        """
        with self._failures(), self.engine.connect() as connection:
            # A transaction of SQLite's is always so, in WAL mode.
            yield (
                connection
                if self.is_sqlite
                else connection.execution_options(isolation_level="REPEATABLE READ")
            )

    @contextmanager
    def write(self, meanwhile: Callable[[], None] | None = None) -> Iterator[Connection]:
        """A transaction, durable when the block ends and undone when it raises.

        On SQLite it takes the one write lock at the start: a transaction that begins by reading and
        asks for the lock later fails at once when another has written in between.

        ``meanwhile`` is called while the database waits for its disk at the commit, on which another thread
        waits. It must not use this database, and has ended when the block has; what it raises is raised when
        the transaction is durable.

        Raises:
            StoreUnavailable: when the database is locked for too long, full or gone.
        """
        with self._failures(), self.engine.connect() as connection:
            writing = connection.execution_options(**{_WRITE: True})
            with writing.begin() as transaction:
                yield writing
                if meanwhile is not None:
                    committing = self._committers.submit(transaction.commit)
                    try:
                        meanwhile()
                    finally:
                        committing.result()

    def insert_new(self, table: Table) -> Insert:
        """An INSERT that leaves a row alone whose key exists."""
        if self.is_sqlite:
            return sqlite.insert(table).on_conflict_do_nothing()
        return postgresql.insert(table).on_conflict_do_nothing()

    def close(self) -> None:
        self._committers.shutdown()
        self.engine.dispose()

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            # A broken rule of a table (IntegrityError and the like) is a defect of ours and stays as it is.
            if isinstance(error, OperationalError | InternalError):
                raise StoreUnavailable(f"the store at {self.name}: {str(error.orig).strip()}") from error
            raise


def _checked(text: str) -> URL:
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise StoreError(f"the store's URL cannot be read: {error}") from None
    backend = url.get_backend_name()
    if backend == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise StoreError(f"the store runs on sqlite or postgresql, not on {backend}")
    if not url.database or url.database == ":memory:":
        raise StoreError("the store is shared by processes and needs a file: sqlite:////path/to/store.sqlite")
    return url


def _sqlite(url: URL, busy_seconds: float) -> Engine:
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": busy_seconds})

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver's guess
        # FULL: in WAL mode only this makes a commit outlast a power cut, and a claim that is lost after its
        # messages left would send them again. (https://sqlite.org/pragma.html#pragma_synchronous)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        # A message's key is a hash: a window of them may touch as many pages of its index as it has messages.
        # With the default of 2 MB most were read anew each time; and a page that is written twice before the
        # log is emptied into the database is written there once.
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KB}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        write = connection.get_execution_options().get(_WRITE, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def _postgresql(url: URL, busy_seconds: float) -> Engine:
    options = f"-c timezone=UTC -c lock_timeout={int(busy_seconds * 1000)}"
    return create_engine(
        url,
        hide_parameters=True,
        pool_pre_ping=True,
        pool_size=2,
        connect_args={"options": options, "connect_timeout": 10, "application_name": "kundresa"},
    )
