"""Bringing the operational store's tables to this version, safely from many processes at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from sqlalchemy import Connection, inspect, text

from kundresa.store.engine import Database
from kundresa.store.errors import StoreOutOfDate, StoreUnavailable

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0029"
"""The newest revision, stated here so that an up-to-date store opens without importing alembic (0.4 s)."""

VERSION_TABLE = "kundresa_version"
"""Not alembic's default name: Airflow's own tables may live in the same database and use that."""

_LOCK_SECONDS = 120
_ADVISORY_LOCK = 0x6B756E647265  # any constant of our own; "kundre" in ASCII


def revision(database: Database) -> str | None:
    """The revision of the tables; None when there are none."""
    with database.read() as connection:
        return _revision(connection)


def require_current(database: Database) -> None:
    """Refuse tables of another version.

    Raises:
        StoreOutOfDate: saying what to run.
    """
    if database.is_sqlite and not database.path.exists():
        raise StoreOutOfDate(f"there is no store at {database.name}. Run `kundresa migrate` to create it.")
    found = revision(database)
    if found != HEAD:
        _refuse_newer(database, found)
        raise StoreOutOfDate(
            f"the store at {database.name} is at revision {found or 'none'}; this version of Kundresa needs "
            f"{HEAD}. Run `kundresa migrate`."
        )


def migrate(database: Database) -> None:
    """Bring the tables to ``HEAD``, creating the SQLite file and its folder when missing.

    Two processes that start at once take turns, and the second finds the work done.

    Raises:
        StoreOutOfDate: when the tables are newer than this version.
        StoreUnavailable: when another process has migrated for two minutes.
    """
    if database.is_sqlite:
        database.path.parent.mkdir(parents=True, exist_ok=True)
    elif revision(database) == HEAD:
        return
    if database.is_sqlite and database.path.exists() and _is_wal(database) and revision(database) == HEAD:
        return
    upgrade(database, HEAD)


def upgrade(database: Database, target: str) -> None:
    """Run alembic's upgrades up to ``target``, in one transaction."""
    from alembic import command  # 0.4 s, only when there is something to do

    with _alone(database) as connection:
        found = _revision(connection)
        _refuse_newer(database, found)
        command.upgrade(alembic_config(connection), target)


def downgrade(database: Database, target: str) -> None:
    """Run alembic's downgrades to ``target`` (``base``: no tables), in one transaction. Loses what the
    older tables cannot hold."""
    from alembic import command

    with _alone(database) as connection:
        command.downgrade(alembic_config(connection), target)


def alembic_config(connection: Connection) -> Config:
    """alembic's configuration for one connection; there is no ``alembic.ini``."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    config.attributes["version_table"] = VERSION_TABLE
    return config


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    row = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).first()
    return str(row[0]) if row else None


def _refuse_newer(database: Database, found: str | None) -> None:
    # Revisions are numbered in order, so comparing them tells the newer one.
    if found is not None and found > HEAD:
        raise StoreOutOfDate(
            f"the store at {database.name} is at revision {found}, written by a newer Kundresa; "
            f"this one knows {HEAD}. Upgrade this installation."
        )


def _is_wal(database: Database) -> bool:
    with database.read() as connection:
        return str(connection.exec_driver_sql("PRAGMA journal_mode").scalar()) == "wal"


@contextmanager
def _alone(database: Database) -> Iterator[Connection]:
    """A write transaction that no other migration runs beside."""
    if not database.is_sqlite:
        with database.write() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
            yield connection
        return
    try:
        # A file lock, because switching to WAL does not wait for a busy database as transactions do.
        with FileLock(f"{database.path}.migrate.lock", timeout=_LOCK_SECONDS):
            _set_wal(database)
            with database.write() as connection:
                yield connection
    except Timeout:
        raise StoreUnavailable(
            f"another process has been migrating {database.name} for {_LOCK_SECONDS} s; see what it does"
        ) from None


def _set_wal(database: Database) -> None:
    # Outside a transaction, where alone SQLite changes the mode; it stays with the file.
    raw = database.engine.raw_connection()
    try:
        raw.cursor().execute("PRAGMA journal_mode = WAL")
    finally:
        raw.close()
