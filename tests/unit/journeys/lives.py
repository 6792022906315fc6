"""Random journeys, what happens to the people in them, and both told to the engine and to the reference."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st
from sqlalchemy import update
from tests.unit.journeys.conftest import World, fast
from tests.unit.journeys.reference import Heard, Reference

from kundresa.journeys import JUMP
from kundresa.spec.journey import Journey
from kundresa.spec.journey_graph import graph_problems, step_ways
from kundresa.spec.journey_steps import END
from kundresa.spec.yaml_source import SpecSource
from kundresa.store import ENTERED
from kundresa.store.journey_tables import journey_messages

PEOPLE = ("anna", "bo", "eva")
PROFILES = {"anna": {"tier": 1}, "bo": {"tier": 2}}
SEGMENTS = {"anna": {"vip"}}
CHANNEL = {"kind": "email", "template": "a", "account": "b", "sender": "a@shop.example"}
OUTCOMES = (
    ("sent", None),
    ("delayed", None),
    ("not_sent", "consent_denied"),
    ("not_sent", "address_refused"),
)
MINUTE = timedelta(minutes=1)
BLOCKS = (
    *(("wait",), ("wait_for",), ("condition",), ("split",), ("experiment",), ("message",), ("wait_until",)),
    *(("moment",), ("jump",), ("end",), ("update",)),
    *(("message", "reaction"), ("message", "wait", "reaction")),
)
"""Steps that come one below the other."""


def _step(kind: str, names: list[str], messages: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    """One step of a kind among those of a journey."""
    made, just = st.fixed_dictionaries, st.just
    anywhere = st.sampled_from([*names, "end"])
    duration = st.sampled_from(["1m", "10m", "1h"])
    onward = {"next": st.none() | anywhere}
    when = st.sampled_from(
        [
            {"event": {"value": 1}},
            {"profile": {"tier": {"at_least": 2}}},
            {"in_segment": ["vip"]},
            {"profile": {"level": {"is_set": True}}},
        ]
    )
    share = made({"weight": st.integers(1, 3), "go": anywhere})
    shares = st.tuples(share, share).map(
        lambda two: [{**each, "name": f"v{number}"} for number, each in enumerate(two)]
    )
    within = {"within": duration, "timeout": anywhere, **onward}
    found = {
        "wait": {"duration": duration, **onward},
        "wait_for": {
            "event": st.sampled_from(["order", "cart"]),
            "where": st.none() | just({"event": {"value": 1}}),
            **within,
        },
        "reaction": {
            "kind": just("wait_for"),
            "reaction": st.sampled_from(["clicked", "clicked", "delivered"]),
            "to": st.sampled_from(messages or [""]),
            **within,
        },
        "condition": {
            "paths": st.lists(made({"when": when, "go": anywhere}), min_size=1, max_size=2),
            "otherwise": anywhere,
        },
        "split": {"shares": shares},
        "experiment": {"name": just("e"), "variants": shares},
        "message": {
            "channel": just(CHANNEL),
            "on": st.dictionaries(
                st.sampled_from(["sent", "delayed", "not_sent", "consent_denied"]), anywhere, max_size=2
            ),
            **onward,
        },
        "wait_until": {"at": st.sampled_from(["09:05", "10:00"]), "time_zone": just("UTC"), **onward},
        "moment": {
            "kind": just("wait_until"),
            "event": just("value"),
            "missing": st.none() | anywhere,
        },
        "jump": {"journey": just("other"), **onward},
        "update": {"trait": just("level"), "event": just("value"), **onward},
        "end": {},
    }
    return made({"kind": just(kind), **found[kind]})


@st.composite
def journeys(draw: st.DrawFn) -> Journey:
    """A journey without what its check would refuse."""
    blocks = draw(st.lists(st.sampled_from(BLOCKS), min_size=1, max_size=4))
    kinds = [kind for block in blocks for kind in block][:6]
    names = [f"s{number}" for number in range(len(kinds))]
    messages = [name for name, kind in zip(names, kinds, strict=True) if kind == "message"]
    values = {
        "name": "cart",
        "owner": "team",
        "description": "random",
        "entry": {"event": "cart"},
        "topic": "offers",
        "reentrance": draw(st.sampled_from(["never", "always", "30m"])),
        "instance_key": draw(st.sampled_from([None, "key"])),
        "exit": draw(st.sampled_from([[], [{"event": "order", "where": {"event": {"value": 2}}}]])),
        "time_out": draw(st.sampled_from(["91d", "90m", "10m"])),
        "lateness": draw(st.sampled_from(["0s", "5m"])),
        "steps": {name: draw(_step(kind, names, messages)) for name, kind in zip(names, kinds, strict=True)},
    }
    journey = Journey.model_validate(values)
    ways, reached, waiting = step_ways(journey), set(), [journey.first]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting.extend(ways[name])
    # What is reached falls through to what is reached: without the rest everybody goes the same way.
    steps = {name: step for name, step in journey.steps.items() if name in reached}
    journey = journey.model_copy(update={"steps": steps})
    assume(not graph_problems(journey, SpecSource("x")))
    return journey


lags = st.integers(0, 7)
"""Minutes between happening and arriving."""
happening = st.tuples(
    st.just("event"),
    st.sampled_from(PEOPLE),
    st.sampled_from(["cart", "cart", "order"]),
    lags,
    st.fixed_dictionaries({"value": st.integers(0, 2), "key": st.sampled_from(["x", "y"])}),
)
reacting = st.tuples(
    st.just("react"),
    st.sampled_from(PEOPLE),
    st.integers(0, 3),  # to which of their messages
    st.sampled_from(["clicked", "clicked", "delivered"]),
    lags,
)


def settling(minutes: list[int | None]) -> st.SearchStrategy[list[tuple[Any, ...]]]:
    """How many minutes ago outcomes were; None leaves them open."""
    return st.sampled_from(minutes).map(lambda ago: [] if ago is None else [("settle", ago)])


def rounds(
    minutes: list[int],
    first: st.SearchStrategy[list[tuple[Any, ...]]],
    actions: st.SearchStrategy[tuple[Any, ...]],
    most: int = 4,
    least: int = 0,
) -> st.SearchStrategy[Any]:
    """Minutes pass, things happen, and an advance takes them."""
    then = st.tuples(first, st.lists(actions, min_size=least, max_size=most)).map(lambda two: two[0] + two[1])
    return st.tuples(st.sampled_from(minutes), then)


streams = st.lists(
    rounds([0, 1, 9, 10, 61], settling([None, 0, 1, 10]), happening | happening | reacting),
    min_size=1,
    max_size=6,
)
late_streams = st.lists(
    rounds([1, 2, 9], settling([None, None, 2, 10]), happening, least=1), min_size=6, max_size=12
)


def outcome_of(step: str, move: int) -> tuple[str, str | None]:
    """What becomes of a message."""
    return OUTCOMES[(int(step[1:]) + move) % len(OUTCOMES)]


class Play:
    """Tells the engine what happens, and one person at a time the same."""

    def __init__(self, world: World, journey: Journey, reference: Reference | None) -> None:
        self.world = world
        self.journey = journey
        self.reference = reference

    def play(self, stream: Any, advance: Callable[[World], object]) -> None:
        for minutes, actions in stream:
            self.world.now += minutes * MINUTE
            for kind, *more in actions:
                getattr(self, f"_{kind}")(*more)
            advance(self.world)
            if self.reference is not None:
                self.reference.advance(self.world.now)

    def _tell(self, who: str, heard: Heard) -> None:
        if self.reference is not None:
            self.reference.happen(who, heard)

    def _event(self, who: str, name: str, lag: int, data: dict[str, Any]) -> None:
        at = self.world.now - lag * MINUTE
        self.world.event(who, name, at, **data)
        if not self.journey.leaves_out(lag * MINUTE):
            self._tell(who, Heard(at, name, data))

    def _react(self, who: str, number: int, kind: str, lag: int) -> None:
        """The person does something about one of their latest messages, if there is any."""
        sent = [*self.world.store.journey_messages.of(who, "cart")]
        if sent:
            message = sent[-1 - number % len(sent)]
            at = self.world.now - lag * MINUTE
            self.world.react(who, kind, at, message=message)
            of = (message.instance_key, message.entry)
            self._tell(who, Heard(at, kind, {"to": message.step}, "reaction", of))

    def _settle(self, ago: int) -> None:
        """Something has become of every message that is open, so many minutes ago."""
        store, at = self.world.store, self.world.now - ago * MINUTE
        for message in store.journey_messages.open("cart", self.world.now + timedelta(days=999), 999):
            outcome, reason = outcome_of(message.step, message.move)
            what = {"state": "known", "outcome": outcome, "reason": reason, "settled_at": at}
            is_it = journey_messages.c.message_id == message.message_id
            with store.database.write() as connection:
                connection.execute(update(journey_messages).where(is_it).values(what))
            of = (message.instance_key, message.entry, message.move)
            data = {"outcome": outcome, "reason": reason}
            self._tell(message.profile_id, Heard(at, "", data, "outcome", of))


def state_of(world: World) -> dict[str, Any]:
    """Everything that the engine has come to."""
    positions = world.store.journey_positions
    people = {}
    for each in positions.of("cart", PEOPLE):
        people[each.profile_id, each.instance_key] = (
            each.entry,
            each.step,
            each.moves,
            each.entered_at,
            each.ended_at,
            each.end_reason,
        )
    ways: dict[tuple[str, str, int], list[tuple[str, datetime, str]]] = {}
    messages, cancelled = set(), set()
    for who in PEOPLE:
        for row in positions.moves("cart", who):
            ways.setdefault((who, row.instance_key, row.entry), []).extend(
                (step, datetime.fromisoformat(at), why) for step, at, why in json.loads(row.moves_json)
            )
        for each in world.store.journey_messages.of(who, "cart"):
            key = (who, each.instance_key, each.entry)
            messages.add((*key, each.step, each.move, each.reached_at, each.variant))
            if each.reason == "run_cancelled":
                cancelled.add((*key, each.move))
    traits = positions.traits(PEOPLE, ["level"])
    skips = {key: count for key, count in positions.skips("cart").items() if key != "too_late"}
    return {"people": people, "ways": ways, "messages": messages, "traits": traits, "skips": skips} | {
        "cancelled": cancelled,
        "passages": positions.passages("cart"),
        "jumps": sorted(
            (each.identifier, each.event_type.removeprefix(JUMP), each.occurred_at, each.data_json)
            for each in world.store.inbox.after(0, 9_999, {JUMP + "other"})
        ),
    }


def state_of_reference(reference: Reference) -> dict[str, Any]:
    people, ways = {}, {}
    for (who, key), lives in reference.lives.items():
        last = lives[-1]
        ended, why = last.end or (None, None)
        people[who, key] = (last.entry, last.step, last.moves, last.entered, ended, why)
        ways.update({(who, key, each.entry): each.way for each in lives})
    traits: dict[str, dict[str, Any]] = {}
    for (who, trait), value in reference.traits.items():
        traits.setdefault(who, {})[trait] = value
    passages = Counter((step, why if step == END else "") for way in ways.values() for step, _, why in way)
    if ways:
        passages[ENTERED, ""] = len(ways)
    return {
        "people": people,
        "ways": ways,
        "messages": reference.messages,
        "traits": traits,
        "skips": reference.skips,
        "cancelled": reference.cancelled,
        "passages": passages,
        "jumps": sorted((*each, json.dumps(data)) for *each, data in reference.jumps),
    }


def world_at(path: Path, journey: Journey) -> World:
    world = World(fast(path))
    world.people.profiles, world.people.segments = PROFILES, SEGMENTS
    world.start(journey)
    return world


def compare(
    empty_store: Path,
    journey: Journey,
    stream: Any,
    reference: Reference,
    advance: Callable[[World], object] = World.advance,
) -> None:
    """The engine and one person at a time on a stream, in a store of their own."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "store.sqlite"
        shutil.copy(empty_store, path)
        world = world_at(path, journey)
        world.people.segments, world.people.entities = reference.segments, reference.entities
        Play(world, journey, reference).play(stream, advance)
        found, expected = state_of(world), state_of_reference(reference)
        left = world.store.journey_readings.count("cart")
        world.store.close()
    known = found.pop("cancelled"), expected.pop("cancelled")
    assert found == expected
    # A message whose outcome is known already when its person leaves keeps that.
    assert known[0] <= known[1]
    assert left == len(reference.queue)
