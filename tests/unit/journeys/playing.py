"""What happens in random lives, told to the engine and to one person at a time; and what both come to."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from sqlalchemy import update
from tests.unit.journeys.conftest import World, fast
from tests.unit.journeys.life import Heard, said_of
from tests.unit.journeys.lives import ANSWERS, PEOPLE, PROFILES, SEGMENTS
from tests.unit.journeys.reference import Reference

from kundresa.journeys import JUMP
from kundresa.runs.journey_calls import answer_problem, kept_of
from kundresa.spec.frozen import freeze, thaw_journey
from kundresa.spec.journey import Journey
from kundresa.spec.journey_references import ENTITY
from kundresa.spec.journey_steps import END, WebhookStep
from kundresa.spec.keys import as_test, event_of_test
from kundresa.spec.machines import KNOWN_AFTER
from kundresa.spec.vocabulary import JourneyState
from kundresa.store import ENTERED, CallResult, JourneyCall, JourneyStopped, NewEvent
from kundresa.store.journey_tables import journey_messages

OUTCOMES = (
    ("sent", None),
    ("delayed", None),
    ("not_sent", "consent_denied"),
    ("not_sent", "address_refused"),
)
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)


def outcome_of(step: str, move: int) -> tuple[str, str | None]:
    """What becomes of a message."""
    return OUTCOMES[(int(step[1:]) + move) % len(OUTCOMES)]


class Play:
    """Tells the engine what happens, and one person at a time the same."""

    def __init__(
        self, world: World, journeys: Sequence[Journey], reference: Reference | None, name: str = "cart"
    ) -> None:
        self.world = world
        self.name = name
        """As which the journey runs."""
        self.journeys = journeys
        """The versions that may be started; the first is."""
        self.reference = reference
        self.log: list[tuple[str, tuple[Any, ...]]] = []
        """What the reference was told."""
        self.since = world.now
        """Builds of before the last start are over."""
        self.events: list[tuple[NewEvent, str, Heard]] = []
        self.clicks: list[tuple[str, int, Heard]] = []
        """Whose, where in the feedback."""
        self.calls: dict[str, tuple[str, JourneyCall]] = {}
        """Those that are made, by whom."""

    def play(self, stream: Any, advance: Callable[[World], object]) -> None:
        for minutes, actions in stream:
            self.world.now += minutes * MINUTE
            for kind, *more in actions:
                getattr(self, f"_{kind}")(*more)
            advance(self.world)
            self._do("advance", self.world.now)

    def _do(self, name: str, *told: Any) -> None:
        self.log.append((name, told))
        if self.reference is not None:
            getattr(self.reference, name)(*told)

    def _tell(self, who: str, heard: Heard) -> None:
        self._do("happen", who, heard)

    def _event(self, who: str, name: str, lag: int, data: dict[str, Any]) -> None:
        at = self.world.now - lag * MINUTE
        heard = Heard(at, name, data, lag=lag * MINUTE)
        self.events.append((self.world.event(who, name, at, **data), who, heard))
        self._tell(who, heard)

    def _again(self, number: int) -> None:
        """One of the latest events comes again, as of now; nobody hears of it."""
        if self.events:
            told, who, heard = self.events[-1 - number % len(self.events)]
            self.world.store.inbox.append([replace(told, received_at=self.world.now)])
            self.log.append(("again", (who, heard)))

    def _change(self, who: str, segment: str, entity: str, lag: int) -> None:
        inside = self.world.people.segments.setdefault(who, set())
        is_entry = segment not in inside
        inside ^= {segment}
        earlier = [each.changed_at for each in self.world.people.changes[-1:]]
        at = max(self.world.now - lag * MINUTE, self.since, *earlier)
        self.world.people.change(segment, who, at, entity=entity, is_entry=is_entry)
        kind = "entered" if is_entry else "left"
        self._tell(who, Heard(at, segment, {ENTITY: entity}, kind))

    def _start(self, number: int) -> None:
        journey = self.journeys[number % len(self.journeys)]
        if self._state is JourneyState.STOPPED:
            with pytest.raises(JourneyStopped):
                self.world.start(journey)
        else:
            self.world.start(journey)
            self._do("start", journey)
            self.world.now += SECOND
            self.since = self.world.now

    def _pause(self, state: str) -> None:
        if self._state is not JourneyState.STOPPED:
            cursor = self.world.people.cursor
            self.world.store.journeys.pause(self.name, JourneyState(state), cursor=cursor, at=self.world.now)
            self._do("pause", state)

    def _stop(self) -> None:
        self.world.store.journeys.stop(self.name, at=self.world.now)
        self._do("stop", self.world.now)

    @property
    def _state(self) -> JourneyState:
        return self.world.store.journeys.require(self.name).state

    def _call(self, answer: str, ago: int) -> None:
        """Whoever comes makes all calls that nobody is making; ``later`` they may be answered, or, where the
        caller was killed, made again by another."""
        now, owner = self.world.now, f"caller {len(self.log)}"
        made = self.world.store.journey_calls.claim(
            self.name, owner, now=now, until=now + 10 * MINUTE, limit=99
        )
        self.calls |= {each.call_id: (owner, each) for each in made}
        if answer != "later":
            self._answer(answer, ago)

    def _answer(self, answer: str, ago: int) -> None:
        at, told = self.world.now - ago * MINUTE, ANSWERS[answer]
        for owner, call in self.calls.values():
            step = self.steps_of(call.version)[call.step]
            assert isinstance(step, WebhookStep)
            reason, said = told.get("reason"), told.get("answer")
            if said is not None and answer_problem(step, said) is not None:
                reason, said = "answer_invalid", None
            kept = None if said is None else json.dumps(kept_of(step, said))
            result = CallResult(call.call_id, "failed" if said is None else "answered", reason, kept)
            # None where the person has left by now.
            if self.world.store.journey_calls.settle(owner, [result], now=at):
                of = (call.instance_key, call.entry, call.move)
                self._tell(call.profile_id, Heard(at, "", told, "answer", of))
        self.calls = {}

    def steps_of(self, version: int) -> Mapping[str, Any]:
        """The steps of a version as it is stored."""
        [found] = self.world.store.journeys.versions(self.name, [version])
        return thaw_journey(found.spec_json)[0].steps

    def _react(self, who: str, number: int, kind: str, lag: int) -> None:
        """The person does something about one of their latest messages, if there is any."""
        sent = [*self.world.store.journey_messages.of(who, self.name)]
        if sent:
            message = sent[-1 - number % len(sent)]
            at = self.world.now - lag * MINUTE
            self.world.react(who, kind, at, message=message)
            of = (message.instance_key, message.entry)
            known = self.world.now + KNOWN_AFTER if kind == "clicked" else None
            heard = Heard(at, kind, {"to": message.step}, "reaction", of, known=known)
            self._tell(who, heard)
            if known is not None:
                self.clicks.append((who, self.world.store.feedback.end(), heard))

    def _unmask(self, who: str) -> None:
        """Whoever clicked for a person was a scanner, as it shows before that is known."""
        for whose, position, heard in self.clicks:
            if whose == who and heard.known > self.world.now:
                self.world.store.feedback.record_hits([], lambda _, shown=position: ([], [shown]))
                self._do("unmask", heard)

    def _settle(self, ago: int) -> None:
        """Something has become of every message that is open, so many minutes ago."""
        store, at = self.world.store, self.world.now - ago * MINUTE
        for message in store.journey_messages.open(self.name, self.world.now + timedelta(days=999), 999):
            outcome, reason = outcome_of(message.step, message.move)
            what = {"state": "known", "outcome": outcome, "reason": reason, "settled_at": at}
            is_it = journey_messages.c.message_id == message.message_id
            with store.database.write() as connection:
                connection.execute(update(journey_messages).where(is_it).values(what))
            of = (message.instance_key, message.entry, message.move)
            data = {"outcome": outcome, "reason": reason}
            self._tell(message.profile_id, Heard(at, "", data, "outcome", of))


def _data(said: str | dict[str, Any]) -> str:
    return said_of(json.loads(said) if isinstance(said, str) else said)


def state_of(world: World, name: str = "cart") -> dict[str, Any]:
    """Everything that the engine has come to."""
    positions = world.store.journey_positions
    people = {}
    for each in positions.of(name, PEOPLE):
        people[each.profile_id, each.instance_key] = (
            each.entry,
            each.version,
            each.step,
            each.moves,
            each.entered_at,
            _data(each.event_json),
            each.ended_at,
            each.end_reason,
        )
    ways: dict[tuple[str, str, int], list[tuple[str, datetime, str]]] = {}
    messages, calls, cancelled = set(), [], set()
    for who in PEOPLE:
        for row in positions.moves(name, who):
            ways.setdefault((who, row.instance_key, row.entry), []).extend(
                (step, datetime.fromisoformat(at), why) for step, at, why in json.loads(row.moves_json)
            )
        for each in world.store.journey_messages.of(who, name):
            key = (who, each.instance_key, each.entry)
            said = _data(each.event_json)
            messages.add((*key, each.step, each.move, each.reached_at, said, each.variant))
            if each.reason == "run_cancelled":
                cancelled.add((*key, each.move))
        for call in world.store.journey_calls.of(who, name):
            key = (who, call["instance_key"], call["entry"])
            calls.append((*key, call["step"], call["move"], call["reached_at"], _data(call["event_json"])))
            if call["reason"] == "run_cancelled":
                cancelled.add((*key, call["move"]))
    traits = positions.traits(PEOPLE, ["level"], journey=name)
    skips = {key: count for key, count in positions.skips(name).items() if key != "too_late"}
    jump = JUMP + "other" if as_test(name) is None else event_of_test("other", JUMP + "other")
    return {"people": people, "ways": ways, "messages": messages, "traits": traits, "skips": skips} | {
        "cancelled": cancelled,
        "calls": sorted(calls),
        "passages": positions.passages(name),
        "jumps": sorted(
            (each.identifier, "other", each.occurred_at, _data(each.data_json))
            for each in world.store.inbox.after(0, 9_999, {jump})
        ),
    }


def state_of_reference(reference: Reference) -> dict[str, Any]:
    people, ways = {}, {}
    for (who, key), lives in reference.lives.items():
        last = lives[-1]
        ended, why = last.end or (None, None)
        now = (last.entry, last.version, last.step, last.moves, last.entered)
        people[who, key] = (*now, said_of(last.data), ended, why)
        ways.update({(who, key, each.entry): each.way for each in lives})
    traits: dict[str, dict[str, Any]] = {}
    for (who, trait), value in reference.traits.items():
        traits.setdefault(who, {})[trait] = value
    passages = Counter((step, why if step == END else "") for way in ways.values() for step, _, why in way)
    if ways:
        passages[ENTERED, ""] = len(ways)
    # Who a stop lets out has no line about it: it lets everybody out.
    stops = ("stopped", "test_ended")
    ways = {key: [each for each in way if each[2] not in stops] for key, way in ways.items()}
    return {
        "people": people,
        "ways": ways,
        "messages": reference.messages,
        "traits": traits,
        "skips": reference.skips,
        "cancelled": reference.cancelled,
        "calls": sorted((*each, _data(data)) for *each, data in reference.calls),
        "passages": passages,
        "jumps": sorted((*each, _data(data)) for *each, data in reference.jumps),
    }


def world_at(path: Path, journey: Journey) -> World:
    world = World(fast(path))
    world.people.profiles, world.people.segments = PROFILES, SEGMENTS
    world.start(journey)
    return world


def compare(
    empty_store: Path,
    journeys: Sequence[Journey],
    stream: Any,
    reference: Reference,
    advance: Callable[[World], object] = World.advance,
) -> Play:
    """The engine and one person at a time on a stream, in a store of their own."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "store.sqlite"
        shutil.copy(empty_store, path)
        world = world_at(path, journeys[0])
        world.people.segments, world.people.entities = reference.segments, reference.entities
        played = Play(world, journeys, reference)
        played.play(stream, advance)
        found, expected = state_of(world), state_of_reference(reference)
        left = world.store.journey_readings.count("cart")
        world.store.close()
    _assert_same(found, expected)
    assert left == len(reference.queue)
    return played


def compare_test(
    empty_store: Path,
    journey: Journey,
    stream: Any,
    reference: Reference,
) -> None:
    """A test of a journey and its people one at a time, on a stream in a store of their own.

    Args:
        journey: as the test plays it.
        reference: of it, with the people and the longest wait.
    """
    assert reference.among is not None
    with TemporaryDirectory() as folder:
        path = Path(folder) / "store.sqlite"
        shutil.copy(empty_store, path)
        world = World(fast(path))
        world.people.profiles, world.people.segments = PROFILES, reference.segments
        test = begin_test(world, journey, reference.among, reference.longest)
        played = Play(world, [journey], reference, test)
        played.play(stream, lambda each: each.advance(test))
        found, expected = state_of(world, test), state_of_reference(reference)
        world.store.close()
    if reference.state == "stopped":
        expected["traits"] = {}  # they have gone with it
    _assert_same(found, expected)


def begin_test(world: World, journey: Journey, people: set[str], longest: timedelta) -> str:
    """The name of a test that has begun."""
    frozen, cursor = freeze(journey, {}), world.people.cursor
    made = world.store.journey_tests.begin(
        journey.name, people, frozen, longest_wait=longest, cursor=cursor, at=world.now
    )
    return made.test


def _assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    known = found.pop("cancelled"), expected.pop("cancelled")
    differ = [(key, found[key], expected[key]) for key in expected if found[key] != expected[key]]
    assert not differ, differ
    # A message whose outcome is known already when its person leaves keeps that.
    assert known[0] <= known[1]
