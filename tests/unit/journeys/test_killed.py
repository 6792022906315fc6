"""Journeys whose process is killed before any of its statements come to the same as those that go on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, select
from tests.unit.journeys.conftest import World, fast
from tests.unit.journeys.lives import CHANNEL, PEOPLE, RESPONSE
from tests.unit.journeys.playing import Play, state_of, world_at

from kundresa.spec.journey import Journey
from kundresa.store.journey_tables import journey_early_events


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


FIRST = {
    "entry": {"segment": "crowd"},
    "reentrance": "always",
    "exit": [{"segment": "bought"}],
    "steps": {
        "s0": {"kind": "message", "channel": CHANNEL},
        "s1": {"kind": "wait_for", "reaction": "clicked", "to": "s0", "within": "10m", "timeout": "s4"},
        "s2": {"kind": "webhook", "account": "prices", "template": "ask", "response": RESPONSE},
        "s3": {
            "kind": "experiment",
            "variants": [{"name": name, "go": "s4"} for name in ("one", "other")],
        },
        "s4": {"kind": "message", "channel": CHANNEL},
    },
}
SECOND = {
    "entry": {"segment": "crowd", "change": "left"},
    "steps": {"s0": {"kind": "wait", "duration": "10m"}, "s1": {"kind": "jump", "journey": "other"}},
}
RULED = [
    (0, [("change", who, "crowd", "", 0) for who in ("anna", "bo")]),
    (1, [("settle", 0), ("pause", "held"), ("change", "eva", "crowd", "x", 0)]),
    (1, [("start", 0), ("react", "anna", 0, "clicked", 0)]),
    (2, []),  # by now it is known that it was anna
    (1, [("call", "much", 0), ("pause", "discarding"), ("react", "bo", 0, "clicked", 0)]),
    (1, [("pause", "held"), ("change", "anna", "crowd", "", 0)]),
    (1, [("start", 1), ("settle", 0), ("change", "eva", "crowd", "", 0)]),
    (9, [("change", "bo", "bought", "", 0)]),
    (10, [("change", "anna", "crowd", "", 0), ("change", "anna", "crowd", "", 0)]),
    (1, [("stop",)]),
]


def early_of(world: World) -> list[tuple[str, int]]:
    """Whom events are kept about, and which they are."""
    columns = (journey_early_events.c.profile_id, journey_early_events.c.event_position)
    with world.store.database.read() as connection:
        return [(who, position) for who, position in connection.execute(select(*columns).order_by(*columns))]


class Cut(Play):
    """Kills the process before one statement of an advance, a start, a pause or a stop, and repeats it."""

    def __init__(self, path: Path, kill_at: int | None, *journeys: dict[str, Any]) -> None:
        values = {"name": "cart", "owner": "team", "description": "x", "topic": "offers"}
        made = [Journey.model_validate(values | each) for each in journeys]
        super().__init__(world_at(path, made[0]), made, None)
        self.statements = 0
        self._path, self._kill_at = path, kill_at

    def _count(self, *_: object) -> None:
        self.statements += 1
        if self.statements == self._kill_at:
            raise Killed

    def cut(self, work: Callable[[], object]) -> None:
        engine = self.world.store.database.engine
        for name in ("before_cursor_execute", "commit"):
            event.listen(engine, name, self._count)
        try:
            work()
        except Killed:
            self.world.store.close()
            self.world.store = fast(self._path)
            work()
        finally:
            for name in ("before_cursor_execute", "commit"):
                event.remove(engine, name, self._count)

    def _start(self, number: int) -> None:
        self.cut(lambda: super(Cut, self)._start(number))

    def _pause(self, state: str) -> None:
        self.cut(lambda: super(Cut, self)._pause(state))

    def _stop(self) -> None:
        self.cut(super()._stop)

    def come_to(self, stream: Any) -> dict[str, Any]:
        """What the stream comes to."""
        self.play(stream, lambda each: self.cut(each.advance))
        store = self.world.store
        found = state_of(self.world) | {
            "jumps": [each.event_id for each in store.inbox.after(0, 99, {"jump:other"})],
            "readings": [
                (each.turns, each.began_at, each.ended_at) for each in store.journey_readings.of("cart")
            ],
            "early": early_of(self.world),
            "versions": [each.event_position for each in store.journeys.versions("cart")],
        }
        store.close()
        return found


def run(
    path: Path,
    kill_at: int | None,
    entry: dict[str, Any] | None = None,
    *,
    more: dict[str, Any] | None = None,
    stream: Any = STREAM,
) -> tuple[dict[str, Any], int]:
    """The stream, with the process killed before the nth statement; afterwards it goes on."""
    played = Cut(path, kill_at, JOURNEY | ({"entry": entry} if entry else {}) | (more or {}))
    played.world.people.segments = {who: {"crowd"} for who in PEOPLE}
    for value in (1, 2):
        played.world.business(value=value)
    return played.come_to(stream), played.statements


def run_ruled(path: Path, kill_at: int | None) -> tuple[dict[str, Any], int]:
    """The same with people who come and go by segments, on two versions, through pauses, to a stop."""
    played = Cut(path, kill_at, FIRST, SECOND)
    played.world.people.segments = {}
    return played.come_to(RULED), played.statements


@pytest.mark.parametrize(("entry", "messages"), [(None, 4), (AUDIENCE, 5), (BUSINESS, 5)])
def test_killed_between_any_two_statements_nothing_is_lost_and_nothing_done_twice(
    empty_store: Path, tmp_path: Path, entry: dict[str, Any] | None, messages: int
) -> None:
    expected = kill_everywhere(empty_store, tmp_path, lambda path, at: run(path, at, entry))
    assert len(expected["messages"]) == messages
    assert len(expected["jumps"]) == 3


def test_killed_at_a_reaction_an_answer_a_version_a_pause_or_a_stop(
    empty_store: Path, tmp_path: Path
) -> None:
    expected = kill_everywhere(empty_store, tmp_path, run_ruled)
    ends = {who: (end[1], end[-1]) for who, end in expected["people"].items()}
    assert ends == {
        ("anna", ""): (1, "stopped"),
        ("bo", ""): (1, "exit"),  # the click of the discarding pause did not lead bo on
        ("eva", ""): (2, "finished"),
        ("eva", "x"): (1, "stopped"),
    }
    assert [why for _, _, why in expected["ways"]["anna", "", 1]][1:] == [
        *("delayed", "clicked", "answered", "variant one")
    ]


def kill_everywhere(
    empty_store: Path, tmp_path: Path, run: Callable[[Path, int | None], tuple[dict[str, Any], int]]
) -> dict[str, Any]:
    """What comes out, whatever statement the process is killed before."""

    def fresh(name: str) -> Path:
        path = tmp_path / name
        shutil.copy(empty_store, path)
        return path

    expected, statements = run(fresh("whole"), None)
    assert statements > 40
    for number in range(1, statements + 1):
        path = fresh(f"cut{number}")
        found, _ = run(path, number)
        assert found == expected, f"killed before statement {number} of {statements}"
        path.unlink()
    return expected


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
