"""Journeys whose process is killed before any of its statements come to the same as those that go on."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from tests.unit.journeys.conftest import World, fast
from tests.unit.journeys.lives import CHANNEL, PEOPLE, Play, state_of, world_at

from kundresa.spec.journey import Journey


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


JOURNEY = {
    "entry": {"event": "cart"},
    "reentrance": "always",
    "exit": [{"event": "order", "where": {"event": {"value": 2}}}],
    "steps": {
        "s0": {"kind": "update", "trait": "level", "event": "value"},
        "s1": {"kind": "message", "channel": CHANNEL},
        "s2": {"kind": "jump", "journey": "other"},
        "s3": {"kind": "wait", "duration": "10m"},
    },
}
STREAM = [
    (0, [("event", "anna", "cart", 0, {"value": 1}), ("event", "bo", "cart", 0, {"value": 2})]),
    (
        1,
        [("settle", 1), ("event", "eva", "cart", 0, {"value": 0}), ("event", "bo", "order", 0, {"value": 2})],
    ),
    (10, [("settle", 10), ("event", "bo", "cart", 0, {"value": 1})]),
]


AUDIENCE = {"audience": "crowd", "every": "10m", "rate": {"people": 2, "per": "minute"}}
BUSINESS = {"event": "back", "audience": "crowd", "rate": {"people": 2, "per": "minute"}}


def run(path: Path, kill_at: int | None, entry: dict[str, Any] | None = None) -> tuple[dict[str, Any], int]:
    """The stream, with the process killed before the nth statement; afterwards it goes on."""
    values = {"name": "cart", "owner": "team", "description": "x", "topic": "offers"} | JOURNEY
    journey = Journey.model_validate(values | ({"entry": entry} if entry else {}))
    world = world_at(path, journey)
    world.people.segments = {who: {"crowd"} for who in PEOPLE}
    for value in (1, 2):
        world.business(value=value)
    statements = 0

    def count(*_: object) -> None:
        nonlocal statements
        statements += 1
        if statements == kill_at:
            raise Killed

    def advance(each: World) -> None:
        event.listen(each.store.database.engine, "before_cursor_execute", count)
        event.listen(each.store.database.engine, "commit", count)
        try:
            each.advance()
        except Killed:
            event.remove(each.store.database.engine, "before_cursor_execute", count)
            event.remove(each.store.database.engine, "commit", count)
            each.store.close()
            each.store = fast(path)
            each.advance()
            return
        event.remove(each.store.database.engine, "before_cursor_execute", count)
        event.remove(each.store.database.engine, "commit", count)

    Play(world, journey, None).play(STREAM, advance)
    readings = world.store.journey_readings.of("cart")
    found = state_of(world) | {
        "jumps": [each.event_id for each in world.store.inbox.after(0, 99, {"jump:other"})],
        "readings": [(each.turns, each.began_at, each.ended_at) for each in readings],
    }
    world.store.close()
    return found, statements


@pytest.mark.parametrize(("entry", "messages"), [(None, 4), (AUDIENCE, 5), (BUSINESS, 5)])
def test_killed_between_any_two_statements_nothing_is_lost_and_nothing_done_twice(
    empty_store: Path, tmp_path: Path, entry: dict[str, Any] | None, messages: int
) -> None:
    def fresh(name: str) -> Path:
        path = tmp_path / name
        shutil.copy(empty_store, path)
        return path

    expected, statements = run(fresh("whole"), None, entry)
    assert len(expected["messages"]) == messages
    assert len(expected["jumps"]) == 3
    assert statements > 40
    for number in range(1, statements + 1):
        found, _ = run(fresh(f"cut{number}"), number, entry)
        assert found == expected, f"killed before statement {number} of {statements}"


@pytest.mark.parametrize("state", ["people", "ways", "messages"])
def test_the_comparison_sees_a_difference(empty_store: Path, tmp_path: Path, state: str) -> None:
    shutil.copy(empty_store, tmp_path / "a")
    found, _ = run(tmp_path / "a", None)
    shutil.copy(empty_store, tmp_path / "b")
    STREAM.append(
        (1, [("event", "anna", "order", 0, {"value": 2}), ("event", "eva", "cart", 0, {"value": 0})])
    )
    try:
        other, _ = run(tmp_path / "b", None)
    finally:
        STREAM.pop()
    assert found[state] != other[state]
