"""An advance costs what it moves, not what waits: counted in rows and steps of the database, not in seconds.

How long ten million take is measured (``make bench ONLY=journeys``); what would make it grow is seen here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, text
from tests.integration.conftest import Cluster
from tests.unit.journeys.conftest import NOW, World, journey_of

from kundresa.store import Advance, Position, Store, open_store

DUE = 10
FEW, MANY = 500, 20_000
STEPS = """
ordered: {kind: wait_for, event: order, within: 30d, next: thanks, timeout: end}
thanks: {kind: wait, duration: 1d}
"""


@contextmanager
def filled(url: str, waiting: int) -> Iterator[World]:
    """So many wait for a month, and ten beside them for an hour."""
    with open_store(url) as store:
        world = World(store)
        fill(world, waiting)
        yield world


def fill(world: World, waiting: int) -> None:
    world.start(journey_of(STEPS))

    def place(number: int) -> Position:
        step, since = ("thanks", timedelta(hours=-23)) if number < DUE else ("ordered", timedelta())
        due = NOW + (timedelta(hours=1) if number < DUE else timedelta(days=30))
        return Position(f"p{number:09}", "", 1, 1, step, 1, NOW, NOW + since, due, None, None, "{}")

    positions = [place(number) for number in range(waiting + DUE)]
    row = world.store.journeys.require("cart")
    world.store.journeys.commit("cart", row.generation, Advance(0, "", positions=positions), at=NOW)
    with world.store.database.write() as connection:
        connection.execute(text("analyze"))


def advance_once(world: World) -> None:
    """Ten are due, one who waits hears of an order, one enters, and one is looked for."""
    world.event(f"p{DUE + 7:09}", "order")
    world.event("new")
    world.now += timedelta(hours=1)
    done = world.advance()
    assert (done.moved, done.events) == (DUE + 2, 2)
    assert len(world.store.journey_positions.of("cart", [f"p{DUE + 9:09}"])) == 1
    assert world.store.journey_positions.next_due("cart") is not None


def steps_of_sqlite(world: World) -> int:
    """Instructions of SQLite's machine, in hundreds, for everything that one advance asks."""
    count = 0

    def step() -> int:
        nonlocal count
        count += 1
        return 0

    def prepare(connection: Connection) -> None:
        driver: Any = connection.connection.driver_connection
        driver.set_progress_handler(step, 100)

    event.listen(world.store.database.engine, "begin", prepare)
    advance_once(world)
    return count


def test_sqlite_takes_no_more_steps_for_those_who_wait(tmp_path: Path) -> None:
    steps = []
    for waiting in (FEW, MANY):
        with filled(f"sqlite:///{tmp_path / f'{waiting}.sqlite'}", waiting) as world:
            steps.append(steps_of_sqlite(world))
    few, many = steps
    assert few > 10
    assert many < few * 1.2, steps


@pytest.fixture
def database(postgres: Cluster) -> Iterator[str]:
    name = postgres.create_database()
    yield postgres.url(name)
    postgres.drop_database(name)


def rows_read(store: Store) -> tuple[int, int]:
    """Positions that PostgreSQL has read so far: by going through the table, and by an index."""
    counted = text(
        "select seq_tup_read, idx_tup_fetch from pg_stat_user_tables where relname = 'journey_positions'"
    )
    with store.database.read() as connection:
        connection.execute(text("select pg_stat_force_next_flush()"))
    with store.database.read() as connection:
        row = connection.execute(counted).one()
    return row[0], row[1]


def test_postgresql_reads_no_row_of_those_who_wait(database: str) -> None:
    with filled(database, MANY) as world:
        scanned, fetched = rows_read(world.store)
        advance_once(world)
        scanned_then, fetched_then = rows_read(world.store)
    assert scanned_then == scanned
    assert DUE <= fetched_then - fetched <= DUE * 10
