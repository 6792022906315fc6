"""Members of a segment come in one order, each once, however many are asked for at a time."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kundresa import settings as configuration
from kundresa import warehouse
from kundresa.settings import Settings
from kundresa.warehouse import published_people
from kundresa.warehouse.published_people import PublishedPeople

SIZE = 3_000
Member = tuple[str, str, str]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(published_people, "MARTS", ("segment_memberships",))
    monkeypatch.setattr(published_people, "READ_AHEAD", 700)
    monkeypatch.setattr(published_people, "WORTH_READING_AHEAD", 100)
    return configuration.load({"KUNDRESA_HOME": str(tmp_path)})


def publish(settings: Settings, build_id: str, people: range) -> None:
    folder = settings.published / "builds" / build_id / "segment_memberships"
    folder.mkdir(parents=True)
    rows = {
        "segment": ["crowd"] * len(people),
        "profile_id": [f"p{each}" for each in people],
        "entity_id": [f"P{each % 2}" for each in people],
        "exited_at": pa.nulls(len(people), pa.timestamp("us")),
    }
    pq.write_table(pa.table(rows), folder / "data.parquet")
    warehouse.promote(settings, build_id, clock=lambda: datetime(2026, 11, 30, tzinfo=UTC))


@pytest.fixture
def people(settings: Settings) -> Iterator[PublishedPeople]:
    publish(settings, "20261130T090000.000000Z", range(SIZE))
    with PublishedPeople(settings) as opened:
        yield opened


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each reading of the publication was allowed."""
    limits: list[int] = []
    real = published_people.fetch

    def count(connection: Any, sql: str, parameters: dict[str, Any]) -> Any:
        limits.append(parameters["limit"])
        return real(connection, sql, parameters)

    monkeypatch.setattr(published_people, "fetch", count)
    return limits


def expected(salt: str, entity: str | None, people: range = range(SIZE)) -> list[Member]:
    found = []
    for each in people:
        of = f"P{each % 2}"
        place = hashlib.md5(f"{salt}|p{each}|{of}".encode(), usedforsecurity=False).hexdigest()
        if entity in (None, of):
            found.append((f"p{each}", of, place))
    return sorted(found, key=lambda each: each[2])


def all_of(people: PublishedPeople, limits: Iterator[int], salt: str, entity: str | None) -> list[Member]:
    found: list[Member] = []
    while True:
        limit = next(limits)
        some = people.members("crowd", salt, found[-1][2] if found else "", limit, entity)
        found += some
        if len(some) < limit:
            return found


@pytest.mark.parametrize("entity", [None, "P1"])
@pytest.mark.parametrize("sizes", [(250,), (7, 300, 99), (700,), (1_000,), (SIZE + 1,)])
def test_each_once_in_order(people: PublishedPeople, sizes: tuple[int, ...], entity: str | None) -> None:
    pick = random.Random(7)
    limits = iter(lambda: pick.choice(sizes), None)
    assert all_of(people, limits, "a", entity) == expected("a", entity)


def test_the_segment_is_put_in_order_seldom(people: PublishedPeople, asked: list[int]) -> None:
    assert len(all_of(people, iter(lambda: 100, None), "a", None)) == SIZE
    assert asked == [700] * 5
    asked.clear()
    people.members("crowd", "b", "", 10)
    assert asked == [10], "who asks for a few gets no more than these"


def test_of_something_else_nothing_is_kept(people: PublishedPeople, settings: Settings) -> None:
    first = people.members("crowd", "a", "", 100)
    assert people.members("crowd", "b", "", 100) == expected("b", None)[:100]
    assert people.members("crowd", "a", "", 100, "P0") == expected("a", "P0")[:100]
    assert people.members("crowd", "a", "", 100) == first
    later = people.members("crowd", "a", first[-1][2], 100)
    assert people.members("crowd", "a", "", 100) == first, "from the beginning again"
    assert later == expected("a", None)[100:200]
    publish(settings, "20261130T100000.000000Z", range(0, SIZE, 3))
    assert people.members("crowd", "a", "", 100) == expected("a", None, range(0, SIZE, 3))[:100]
