"""What a store may be opened on, and how a database in trouble says so."""

from __future__ import annotations

import sqlite3
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kundresa.store import StoreError, StoreUnavailable, open_store
from kundresa.store.engine import Database

NOW = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
        ("mysql://host/name", "sqlite or postgresql, not on mysql"),
        ("no url", "cannot be read"),
    ],
)
def test_a_url_that_cannot_hold_a_store_is_refused(url: str, said: str) -> None:
    with pytest.raises(StoreError, match=said):
        open_store(url)


def test_a_password_is_not_shown() -> None:
    assert "hunter2" not in Database("postgresql://user:hunter2@127.0.0.1/name").name


def test_a_server_that_is_not_there_says_so_without_the_password() -> None:
    with pytest.raises(StoreUnavailable, match="the store at postgresql") as error:
        open_store("postgresql://user:hunter2@127.0.0.1:1/name")
    assert "hunter2" not in str(error.value)


def test_sqlite_is_set_up_to_outlast_a_power_cut(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path / 'store.sqlite'}") as store, store.database.read() as connection:
        settings = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000}


def test_a_locked_database_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    with open_store(f"sqlite:///{path}") as store:
        other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(0.3, lambda: other.execute("COMMIT"))
        timer.start()
        number = store.opt_outs.record(channel="email", address="a@x.example", source="test", recorded_at=NOW)
        timer.join()
        other.close()
        assert number == 1


def test_a_database_locked_for_too_long_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    with open_store(f"sqlite:///{path}", busy_seconds=0.1) as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match=r"store\.sqlite: database is locked"):
            store.opt_outs.record(channel="email", address="a@x.example", source="test", recorded_at=NOW)
        assert list(store.opt_outs.rows()) == []  # and reading goes on meanwhile
        other.execute("ROLLBACK")
        other.close()


def test_an_error_does_not_quote_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    with open_store(f"sqlite:///{path}") as store:
        with store.database.write() as connection:
            connection.exec_driver_sql("DROP TABLE opt_outs")
        with pytest.raises(StoreUnavailable) as error:
            store.opt_outs.record(channel="email", address="anna@x.example", source="test", recorded_at=NOW)
    assert "anna@x.example" not in f"{error.value} {error.value.__cause__}"
