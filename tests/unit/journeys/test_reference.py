"""The engine against one person at a time, on random journeys and streams; and cut off anywhere."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, select, update
from tests.unit.journeys.conftest import World, fast
from tests.unit.journeys.reference import Heard, Reference

from kundresa.journeys import JUMP
from kundresa.spec.journey import AudienceEntry, BusinessEventEntry, Journey
from kundresa.spec.journey_graph import graph_problems, step_ways
from kundresa.spec.journey_steps import END
from kundresa.spec.yaml_source import SpecSource
from kundresa.store import ENTERED
from kundresa.store.journey_tables import journey_early_events, journey_messages

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
REACTED = "unsubscribed"
BOUGHT = {"event": "order", "where": {"event": {"value": 2}}}


def _steps(names: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    anywhere = st.sampled_from([*names, "end"])
    duration = st.sampled_from(["1m", "10m", "1h"])
    when = st.sampled_from(
        [
            {"event": {"value": 1}},
            {"profile": {"tier": {"at_least": 2}}},
            {"in_segment": ["vip"]},
            {"profile": {"level": {"is_set": True}}},
        ]
    )
    made = st.fixed_dictionaries
    onward = {"next": st.none() | anywhere}
    share = made({"weight": st.integers(1, 3), "go": anywhere})
    one = st.one_of(
        made({"kind": st.just("wait"), "duration": duration, **onward}),
        made(
            {
                "kind": st.just("wait_for"),
                "event": st.sampled_from(["order", "cart"]),
                "where": st.none() | st.just({"event": {"value": 1}}),
                "within": duration,
                "timeout": anywhere,
                **onward,
            }
        ),
        made(
            {
                "kind": st.just("condition"),
                "paths": st.lists(made({"when": when, "go": anywhere}), min_size=1, max_size=2),
                "otherwise": anywhere,
            }
        ),
        st.tuples(share, share).map(
            lambda two: {
                "kind": "split",
                "shares": [{**each, "name": f"n{at}"} for at, each in enumerate(two)],
            }
        ),
        st.tuples(share, share).map(
            lambda two: {
                "kind": "experiment",
                "name": "e",
                "variants": [{**each, "name": f"v{at}"} for at, each in enumerate(two)],
            }
        ),
        made(
            {
                "kind": st.just("message"),
                "channel": st.just(CHANNEL),
                "on": st.dictionaries(
                    st.sampled_from(["sent", "delayed", "not_sent", "consent_denied"]), anywhere, max_size=2
                ),
                **onward,
            }
        ),
        made(
            {
                "kind": st.just("wait_until"),
                "at": st.sampled_from(["09:05", "10:00"]),
                "time_zone": st.just("UTC"),
                **onward,
            }
        ),
        made({"kind": st.just("wait_until"), "event": st.just("value"), "missing": st.none() | anywhere}),
        made({"kind": st.just("jump"), "journey": st.just("other"), **onward}),
        st.just({"kind": "end"}),
        made({"kind": st.just("update"), "trait": st.just("level"), "event": st.just("value"), **onward}),
    )
    return st.lists(one, min_size=len(names), max_size=len(names)).map(
        lambda steps: dict(zip(names, steps, strict=True))
    )


@st.composite
def journeys(draw: st.DrawFn) -> Journey:
    """A journey without what its check would refuse."""
    names = [f"s{number}" for number in range(draw(st.integers(1, 5)))]
    values = {
        "name": "cart",
        "owner": "team",
        "description": "random",
        "entry": {"event": "cart"},
        "topic": "offers",
        "reentrance": draw(st.sampled_from(["never", "always", "30m"])),
        "instance_key": draw(st.sampled_from([None, "key"])),
        "exit": draw(
            st.sampled_from([[], [BOUGHT], [{"reaction": REACTED}], [BOUGHT, {"reaction": REACTED}]])
        ),
        "time_out": draw(st.sampled_from(["91d", "90m", "10m"])),
        "lateness": draw(st.sampled_from(["0s", "5m"])),
        "steps": draw(_steps(names)),
    }
    journey = Journey.model_validate(values)
    ways, reached, waiting = step_ways(journey), set(), [journey.first]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting.extend(ways[name])
    # Steps that fall through to one that is left out would change their way, so the order stays.
    assume(reached == set(journey.steps) and not graph_problems(journey, SpecSource("x")))
    return journey


happening = st.tuples(
    st.sampled_from(PEOPLE),
    st.sampled_from(["cart", "cart", "order", REACTED]),
    st.integers(0, 7),  # minutes between happening and arriving
    st.fixed_dictionaries({"value": st.integers(0, 2), "key": st.sampled_from(["x", "y"])}),
)
streams = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 9, 10, 61]),
        st.lists(happening, max_size=4),
        st.sampled_from([None, 0, 1, 10]),  # how many minutes ago outcomes were; None leaves them open
    ),
    min_size=1,
    max_size=6,
)
late_streams = st.lists(
    st.tuples(
        st.sampled_from([1, 2, 9]),
        st.lists(happening, min_size=1, max_size=4),
        st.sampled_from([None, None, 2, 10]),
    ),
    min_size=6,
    max_size=12,
)


def outcome_of(step: str, move: int) -> tuple[str, str | None]:
    return OUTCOMES[(int(step[1:]) + move) % len(OUTCOMES)]


def settle(world: World, ago: int) -> list[tuple[str, Heard]]:
    """Something has become of every message that is open, so many minutes ago."""
    told, at = [], world.now - ago * MINUTE
    for message in world.store.journey_messages.open("cart", world.now + timedelta(days=999), 999):
        outcome, reason = outcome_of(message.step, message.move)
        what = {"state": "known", "outcome": outcome, "reason": reason, "settled_at": at}
        with world.store.database.write() as connection:
            connection.execute(
                update(journey_messages)
                .where(journey_messages.c.message_id == message.message_id)
                .values(what)
            )
        of = (message.instance_key, message.entry, message.move)
        data = {"outcome": outcome, "reason": reason}
        told.append((message.profile_id, Heard(at, "", data, "outcome", of)))
    return told


def react(world: World, who: str, at: datetime) -> list[tuple[str, Heard]]:
    """Somebody reacts to the last message that they came to, if there is one."""
    messages = list(world.store.journey_messages.of(who, "cart"))
    if not messages:
        return []
    world.react(who, REACTED, at)
    return [(who, Heard(at, REACTED, {}, "reaction", (messages[-1].instance_key, messages[-1].entry)))]


def play(world: World, stream: Any, reference: Reference | None, advance: Any) -> None:
    told: list[tuple[str, Heard]] = []
    for minutes, happened, settled in stream:
        world.now += minutes * MINUTE
        heard, reacted = [], []
        for who, name, lag, data in happened:
            at = world.now - lag * MINUTE
            if name == REACTED:
                reacted += react(world, who, at)
                continue
            world.event(who, name, at, **data)
            if not (world_lateness := journey_lateness(world)) or lag * MINUTE <= world_lateness:
                heard.append((who, Heard(at, name, data)))
        advance(world)
        if reference is not None:
            reference.advance([*heard, *told, *reacted], world.now)
        told = [] if settled is None else settle(world, settled)


def journey_lateness(world: World) -> timedelta:
    return world.lateness  # type: ignore[attr-defined,no-any-return]


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
        # A message whose outcome is known already when its person leaves keeps that.
        "cancelled": reference.cancelled,
        "passages": passages,
        "jumps": sorted((*each, json.dumps(data)) for *each, data in reference.jumps),
    }


def world_at(path: Path, journey: Journey) -> World:
    world = World(fast(path))
    world.people.profiles, world.people.segments = PROFILES, SEGMENTS
    world.lateness = journey.lateness  # type: ignore[attr-defined]
    world.start(journey)
    return world


def compare(empty_store: Path, journey: Journey, stream: Any) -> None:
    """The engine and one person at a time on a stream, in a store of their own."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "store.sqlite"
        shutil.copy(empty_store, path)
        world = world_at(path, journey)
        reference = Reference(journey, PROFILES, SEGMENTS)
        play(world, stream, reference, lambda each: each.advance())
        found, expected = state_of(world), state_of_reference(reference)
        world.store.close()
    known = found.pop("cancelled"), expected.pop("cancelled")
    assert found == expected
    assert known[0] <= known[1]


@given(journeys(), streams)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow]
)
def test_sets_come_to_the_same_as_one_person_at_a_time(
    empty_store: Path, journey: Journey, stream: Any
) -> None:
    compare(empty_store, journey, stream)


AWAITING = {
    "s0": {"kind": "message", "channel": CHANNEL},
    "s1": {"kind": "wait_for", "event": "order", "within": "10m", "timeout": "s3"},
    "s2": {"kind": "message", "channel": CHANNEL, "on": {"not_sent": "s4"}},
    "s3": {"kind": "message", "channel": CHANNEL},
    "s4": {
        "kind": "wait_for",
        "event": "order",
        "where": {"event": {"value": 1}},
        "within": "1h",
        "timeout": "end",
    },
}

# What comes after the first wait: another message, or another wait for the same event.
SECONDS = (AWAITING["s2"], {"kind": "wait_for", "event": "order", "within": "1h", "timeout": "s4"})


@given(st.sampled_from(["0s", "5m"]), st.sampled_from(["91d", "10m"]), st.sampled_from(SECONDS), late_streams)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_was_read_before_an_outcome_is_known_comes_to_the_same(
    empty_store: Path, lateness: str, time_out: str, second: dict[str, Any], stream: Any
) -> None:
    steps = AWAITING | {"s2": second}
    values = {"name": "cart", "owner": "team", "description": "x", "topic": "offers", "steps": steps}
    more = {"entry": {"event": "cart"}, "reentrance": "always", "lateness": lateness, "time_out": time_out}
    compare(empty_store, Journey.model_validate(values | more), stream)


readings = st.fixed_dictionaries(
    {
        "audience": st.just("crowd"),
        "every": st.sampled_from(["once", "10m", "1h"]),
        "rate": st.fixed_dictionaries(
            {"people": st.integers(1, 3), "per": st.sampled_from(["minute", "hour"])}
        ),
    }
)
crowds = st.lists(st.sets(st.sampled_from(PEOPLE)), min_size=1, max_size=8)


@given(journeys(), readings, crowds, streams)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow]
)
def test_an_audience_is_read_as_one_person_after_the_other_would_have_their_turn(
    empty_store: Path, journey: Journey, reading: Any, crowd: Any, stream: Any
) -> None:
    """People come into the segment and leave it between any two advances."""
    entry = AudienceEntry.model_validate(reading)
    journey = journey.model_copy(update={"entry": entry, "instance_key": None})
    waiting = list(crowd)
    segments: dict[str, set[str]] = {}

    def advance(each: World) -> None:
        inside = waiting.pop(0) if waiting else set(PEOPLE)
        for who in PEOPLE:
            segments[who] = SEGMENTS.get(who, set()) | ({"crowd"} if who in inside else set())
        each.advance()

    with TemporaryDirectory() as folder:
        path = Path(folder) / "store.sqlite"
        shutil.copy(empty_store, path)
        world = world_at(path, journey)
        world.people.segments = segments
        reference = Reference(journey, PROFILES, segments, started=world.now)
        play(world, [*stream, (60, [], 0), (60, [], 0)], reference, advance)
        found, expected = state_of(world), state_of_reference(reference)
        world.store.close()
    known = found.pop("cancelled"), expected.pop("cancelled")
    assert found == expected
    assert known[0] <= known[1]


businesses = st.fixed_dictionaries(
    {
        "event": st.just("back"),
        "audience": st.just("crowd"),
        "entity": st.sampled_from([None, "key"]),
        "rate": st.fixed_dictionaries(
            {"people": st.integers(1, 4), "per": st.sampled_from(["minute", "hour"])}
        ),
        "where": st.sampled_from([None, None, {"event": {"value": {"at_least": 1}}}]),
    }
)
told_of_business = st.tuples(
    st.integers(0, 7),  # minutes between happening and arriving
    st.fixed_dictionaries({"value": st.integers(0, 2), "key": st.sampled_from(["x", "y"])}),
)
ENTITIES = {"anna": {"x", "y"}, "bo": {"x"}}


@given(
    journeys(),
    businesses,
    crowds,
    st.lists(st.lists(told_of_business, max_size=3), min_size=1, max_size=6),
    streams,
    st.integers(1, 20),
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow]
)
def test_events_about_nobody_let_an_audience_in_as_one_after_the_other_would(
    empty_store: Path, journey: Journey, business: Any, crowd: Any, told: Any, stream: Any, most: int
) -> None:
    """People come into the segment and leave it between any two advances, of whatever size."""
    journey = journey.model_copy(update={"entry": BusinessEventEntry.model_validate(business)})
    waiting, calls = list(crowd), list(told)
    segments: dict[str, set[str]] = {}
    reference = Reference(journey, PROFILES, segments, entities=ENTITIES)

    def advance(each: World) -> None:
        inside = waiting.pop(0) if waiting else set(PEOPLE)
        for who in PEOPLE:
            segments[who] = SEGMENTS.get(who, set()) | ({"crowd"} if who in inside else set())
        for lag, data in calls.pop(0) if calls else ():
            each.business(at=each.now - lag * MINUTE, **data)
            if not journey.lateness or lag * MINUTE <= journey.lateness:
                reference.queue.append((each.store.inbox.end(), data))
        each.advance(most_events=most)

    with TemporaryDirectory() as folder:
        path = Path(folder) / "store.sqlite"
        shutil.copy(empty_store, path)
        world = world_at(path, journey)
        world.people.segments, world.people.entities = segments, ENTITIES
        # Where an advance does not take all events, people's own would come after turns of their time.
        own = stream if most >= 10 else [(minutes, [], settled) for minutes, _, settled in stream]
        play(world, [*own, (60, [], 0), (60, [], 0)], reference, advance)
        found, expected = state_of(world), state_of_reference(reference)
        left = world.store.journey_readings.count("cart")
        world.store.close()
    known = found.pop("cancelled"), expected.pop("cancelled")
    assert found == expected
    assert known[0] <= known[1]
    assert left == len(reference.queue)


def early_of(world: World) -> list[tuple[str, int]]:
    """Whom events are kept about, and which they are."""
    columns = (journey_early_events.c.profile_id, journey_early_events.c.event_position)
    with world.store.database.read() as connection:
        return [(who, position) for who, position in connection.execute(select(*columns).order_by(*columns))]


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
    (0, [("anna", "cart", 0, {"value": 1}), ("bo", "cart", 0, {"value": 2})], 0),
    (1, [("eva", "cart", 0, {"value": 0}), ("bo", "order", 0, {"value": 2})], 0),
    (10, [("bo", "cart", 0, {"value": 1})], None),
]


AUDIENCE = {"audience": "crowd", "every": "10m", "rate": {"people": 2, "per": "minute"}}
BUSINESS = {"event": "back", "audience": "crowd", "rate": {"people": 2, "per": "minute"}}


def run(
    path: Path,
    kill_at: int | None,
    entry: dict[str, Any] | None = None,
    *,
    more: dict[str, Any] | None = None,
    stream: Any = STREAM,
) -> tuple[dict[str, Any], int]:
    """The stream, with the process killed before the nth statement; afterwards it goes on."""
    values = {"name": "cart", "owner": "team", "description": "x", "topic": "offers"} | JOURNEY
    journey = Journey.model_validate(values | ({"entry": entry} if entry else {}) | (more or {}))
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

    play(world, stream, None, advance)
    readings = world.store.journey_readings.of("cart")
    found = state_of(world) | {
        "jumps": [each.event_id for each in world.store.inbox.after(0, 99, {"jump:other"})],
        "readings": [(each.turns, each.began_at, each.ended_at) for each in readings],
        "early": early_of(world),
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
    STREAM.append((1, [("anna", "order", 0, {"value": 2}), ("eva", "cart", 0, {"value": 0})], 0))
    try:
        other, _ = run(tmp_path / "b", None)
    finally:
        STREAM.pop()
    assert found[state] != other[state]
