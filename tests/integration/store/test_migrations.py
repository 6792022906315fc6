"""Migrations: the tables they make are those of ``tables.py``, from any number of processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from kundresa.store import StoreOutOfDate, open_store
from kundresa.store.engine import Database
from kundresa.store.migrate import HEAD, VERSION_TABLE, alembic_config, downgrade, revision, upgrade
from kundresa.store.tables import metadata


def tables_of(database: Database) -> set[str]:
    with database.read() as connection:
        return set(inspect(connection).get_table_names())


def test_the_migrated_tables_are_those_that_the_code_uses(empty_url: str) -> None:
    with open_store(empty_url) as store, store.database.read() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE, "compare_type": True}
        )
        assert compare_metadata(context, metadata) == []
        keys = {
            table: inspect(connection).get_pk_constraint(table)["constrained_columns"]
            for table in metadata.tables
        }
    assert keys == {
        name: [each.name for each in table.primary_key] for name, table in metadata.tables.items()
    }


def test_the_comparison_sees_a_difference(empty_url: str) -> None:
    with open_store(empty_url) as store:
        with store.database.write() as connection:
            connection.execute(text("ALTER TABLE messages DROP COLUMN detail"))
        with store.database.read() as connection:
            context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
            found = compare_metadata(context, metadata)
    assert [(change[0], change[3].name) for change in found] == [("add_column", "detail")]


def test_down_and_up_again_leaves_the_same_tables(empty_url: str) -> None:
    with open_store(empty_url) as store:
        before = tables_of(store.database)
        downgrade(store.database, "base")
        assert tables_of(store.database) == {VERSION_TABLE}
        upgrade(store.database, HEAD)
        assert tables_of(store.database) == before == {*metadata.tables, VERSION_TABLE}


def test_the_stated_head_is_alembics(store_url: str) -> None:
    with open_store(store_url) as store, store.database.read() as connection:
        assert ScriptDirectory.from_config(alembic_config(connection)).get_current_head() == HEAD
        assert revision(store.database) == HEAD


def test_without_migrating_a_missing_store_is_refused_with_the_command(empty_url: str) -> None:
    with pytest.raises(StoreOutOfDate, match="kundresa migrate"):
        open_store(empty_url, migrate=False)


def test_without_migrating_an_old_store_is_refused_with_the_command(empty_url: str) -> None:
    with open_store(empty_url) as store:
        downgrade(store.database, "base")
    with pytest.raises(StoreOutOfDate, match=rf"revision none.*needs {HEAD}.*kundresa migrate"):
        open_store(empty_url, migrate=False)


@pytest.mark.parametrize("migrate", [True, False])
def test_a_store_of_a_newer_version_is_left_alone(empty_url: str, migrate: bool) -> None:
    with open_store(empty_url) as store, store.database.write() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(StoreOutOfDate, match=r"9999, written by a newer Kundresa.*Upgrade"):
        open_store(empty_url, migrate=migrate)


def test_an_up_to_date_store_opens_without_migrating(store_url: str) -> None:
    open_store(store_url).close()
    open_store(store_url, migrate=False).close()


def test_a_failed_migration_leaves_nothing_behind(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from alembic import op

    real = op.create_table

    def fail_late(name: str, *columns: object, **options: object) -> object:
        if name == "suppressions":
            raise RuntimeError("the power goes")
        return real(name, *columns, **options)

    monkeypatch.setattr(op, "create_table", fail_late)
    with pytest.raises(RuntimeError, match="the power goes"):
        open_store(empty_url)
    database = Database(empty_url)
    assert tables_of(database) == set()
    monkeypatch.undo()
    database.close()
    with open_store(empty_url) as store:
        assert tables_of(store.database) == {*metadata.tables, VERSION_TABLE}


def test_four_processes_may_create_the_store_at_once(empty_url: str) -> None:
    program = f"from kundresa.store import open_store; open_store({empty_url!r}).close(); print('opened')"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    outputs = [process.communicate(timeout=120) for process in started]
    assert [out for out, _ in outputs] == ["opened\n"] * 4, outputs
    with open_store(empty_url, migrate=False) as store:
        assert store.runs.list() == []


def test_the_migrations_are_part_of_the_package() -> None:
    import kundresa.store

    folder = Path(kundresa.store.__file__).parent / "migrations"
    assert {path.name for path in folder.iterdir()} >= {"env.py", "script.py.mako", "versions"}
