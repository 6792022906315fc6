"""Components, limits and incremental builds on random graphs, against networkx."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

import networkx as nx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from identity_days import Day, Record, Reference

GRAPHS = 250


def tell(days: Mapping[int, Day]) -> None:
    """250 small graphs of records that come, change and go on three days; then they stand still."""
    draw = random.Random(20260301)
    world: dict[str, Record] = {}
    links: dict[tuple[str, str], float] = {}
    for number, day in days.items():
        if number <= 3:
            for graph in range(GRAPHS):
                _change(draw, graph, world, links, share=1.0 if number == 1 else 0.15)
        day.add(*world.values())
        day.links |= links


def _change(
    draw: random.Random,
    graph: int,
    world: dict[str, Record],
    links: dict[tuple[str, str], float],
    share: float,
) -> None:
    """Draw the records of one graph anew, each with a chance of ``share``; 1 in 5 of those is no record."""
    size = 3 + graph % 24
    # The fewer values, the more is shared; at times more than an identifier's limit allows.
    values = max(1, size // draw.choice((1, 2, 4, 8)))
    names = [f"{draw.choice(('crm', 'shop', 'shop'))}|g{graph}r{number}" for number in range(size)]
    for number, name in enumerate(names):
        if draw.random() >= share:
            continue
        for old in (f"crm|g{graph}r{number}", f"shop|g{graph}r{number}"):
            world.pop(old, None)
        if draw.random() < 0.8:
            world[name] = _record(draw, graph, name, values)
    mailbox = f"g{graph}v0@mail.example"
    if draw.random() < share:
        world[f"order|{mailbox}"] = Record(
            f"order|{mailbox}", email=mailbox, created_at=_time(draw) or "2026-01-01"
        )
    if draw.random() < share / 2:
        left, right = draw.sample(names, 2)
        links[left, right] = draw.choice((0.9499, 0.95, 0.99))


def _record(draw: random.Random, graph: int, name: str, values: int) -> Record:
    def pick() -> int:
        return draw.randrange(values)

    is_shop = name.startswith("shop")
    return Record(
        name,
        email=f"g{graph}v{pick()}@mail.example" if draw.random() < 0.6 else "",
        phone=f"+4670{graph:04d}{pick():03d}" if draw.random() < 0.4 else "",
        device_id=f"g{graph}d{pick()}" if is_shop and draw.random() < 0.4 else "",
        first_name=draw.choice(("", "anna", "anna", "bo")),
        created_at=_time(draw),
    )


def _time(draw: random.Random) -> str:
    """Few days, so that ages tie; at times none."""
    return f"2025-01-{draw.randrange(1, 10):02d} 00:00:00" if draw.random() < 0.9 else ""


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_every_build_gives_what_one_from_scratch_would(built, number: int) -> None:
    day = built.days[number]
    expected = Reference(day).people()
    assert day.people() - expected == set()
    assert expected - day.people() == set()


def test_the_graphs_have_what_they_are_for(built) -> None:
    """Chains, cuts and values above their limit: else the comparison shows little."""
    day = built.days[3]
    components = [part for part in Reference(day).components() if any("|g" in name for name in part)]
    assert max(map(len, components)) >= 15
    assert sum(len([name for name in part if name.startswith("crm")]) > 2 for part in components) >= 20
    namespaces = {
        namespace for namespace, identifier, *_ in day.rows["overshared_identifiers"] if "g" in identifier
    }
    assert "device_id" in namespaces
    assert len(day.rows["profile_redirects"]) >= 50
    assert {kind for _, _, kind, *_ in day.rows["identity_changes"]} == {"merged", "split", "moved"}


@pytest.mark.parametrize("number", [2, 3, 4, 5])
def test_ids_are_kept(built, number: int) -> None:
    """A person whose records are the same has the same id."""
    before, after = built.days[number - 1], built.days[number]
    stayed = 0
    for person in before.people() & after.people():
        [old], [new] = ({day.profile_of[name] for name in person} for day in (before, after))
        assert old == new
        stayed += 1
    assert stayed > GRAPHS


@pytest.mark.parametrize("number", [2, 3, 4, 5])
def test_redirects_lead_to_people_who_are_there(built, number: int) -> None:
    day = built.days[number]
    current = set(day.profile_of.values())
    issued = {profile_id for past in range(1, number) for profile_id in built.days[past].profile_of.values()}
    redirects = {old: new for old, new, _ in day.rows["profile_redirects"]}
    assert set(redirects) <= issued - current
    assert set(redirects.values()) <= current
    # Who is not redirected has no record left anywhere.
    for gone in issued - current - redirects.keys():
        had = {
            name
            for past in range(1, number)
            for name, profile_id in built.days[past].profile_of.items()
            if profile_id == gone
        }
        assert had.isdisjoint(day.profile_of)


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_history_says_who_was_whom(built, number: int) -> None:
    """Read after the last build, it gives every day's answer."""
    rows = built.warehouse.query(
        f"""select record_id, profile_id from identity_history
        where valid_from <= timestamp '2026-03-{number:02d}'
            and (valid_to is null or valid_to > timestamp '2026-03-{number:02d}')"""
    )
    assert len(rows) == len(dict(rows))
    assert dict(rows) == built.days[number].profile_of


@pytest.fixture(scope="module")
def components_of(built):
    """``components_of(edges)`` runs the compiled model on edges between ranks."""
    import duckdb

    [file] = built.warehouse.home.joinpath("dbt", "compiled").rglob("int_identity__components.sql")
    connection = duckdb.connect()
    connection.execute("attach ':memory:' as warehouse; create schema warehouse.kundresa_identity")
    connection.execute("use warehouse.kundresa_identity")
    sql = Path(file).read_text(encoding="utf-8")

    def run(edges: list[tuple[int, int]]) -> dict[int, int]:
        connection.execute(
            "create or replace table int_identity__affected_keys (record_rank bigint, key_rank bigint)"
        )
        rows = [(max(edge), min(edge)) for edge in edges] + [(min(edge), min(edge)) for edge in edges]
        if rows:
            connection.executemany("insert into int_identity__affected_keys values (?, ?)", rows)
        found = connection.execute(sql).fetchall()
        assert len(found) == len(dict(found))
        return dict(found)

    return run


@given(edges=st.lists(st.tuples(st.integers(1, 25), st.integers(1, 25)), max_size=60))
@example(edges=[(number, number + 1) for number in range(1, 200)])
@example(edges=[(1, 2), (2, 3), (3, 1)])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_components_are_networkx_s(components_of, edges: list[tuple[int, int]]) -> None:
    graph = nx.Graph(edge for edge in edges if edge[0] != edge[1])
    expected = {node: min(part) for part in nx.connected_components(graph) for node in part}
    assert components_of(edges) == expected
