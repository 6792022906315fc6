"""A store, a warehouse in memory, and journeys that are started in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text

from kundresa.journeys import Advanced, Facts, Member, SegmentChange, advance, place_of
from kundresa.spec.frozen import freeze
from kundresa.spec.journey import Journey
from kundresa.spec.journey_graph import graph_problems
from kundresa.spec.vocabulary import FeedbackKind
from kundresa.spec.yaml_source import SpecSource, parse_yaml
from kundresa.store import JourneyMessage, NewEvent, NewFeedback, Position, Store, open_store

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)


@dataclass
class Known:
    """People of whom a test says what is published. Everybody is known by ``email:<profile_id>``."""

    profiles: dict[str, dict[str, Any]] = field(default_factory=dict)
    segments: dict[str, set[str]] = field(default_factory=dict)
    entities: dict[str, set[str]] = field(default_factory=dict)
    """For what people are in a segment; who has none here is in it as a person."""
    changes: list[SegmentChange] = field(default_factory=list)
    strangers: set[str] = field(default_factory=set)
    redirects: dict[str, str] = field(default_factory=dict)

    def resolve(self, identifiers: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], str]:
        known = [each for each in identifiers if each[1] not in self.strangers]
        return {each: self.redirects.get(each[1], each[1]) for each in known}

    def merged(self, profile_ids: Collection[str]) -> Mapping[str, str]:
        now = {self.redirects.get(each, each) for each in profile_ids}
        return {former: current for former, current in self.redirects.items() if current in now}

    def facts(self, profile_ids: Collection[str], columns: Collection[str]) -> Mapping[str, Facts]:
        return {
            each: Facts(
                {name: self.profiles.get(each, {}).get(name) for name in columns},
                frozenset(self.segments.get(each, ())),
            )
            for each in profile_ids
        }

    def members(
        self,
        segment: str,
        salt: str,
        after: str,
        limit: int,
        entity: str | None = None,
        *,
        among: Collection[str] | None = None,
    ) -> Sequence[Member]:
        who = [
            (each, of)
            for each, segments in self.segments.items()
            if segment in segments
            for of in sorted(self.entities.get(each, {""}))
            if entity in (None, of) and (among is None or each in among)
        ]
        found = sorted(
            (Member(each, of, place_of(salt, each, of)) for each, of in who), key=lambda each: each.place
        )
        return [each for each in found if each.place > after][:limit]

    def segment_changes(self, segments: Collection[str], after: str, limit: int) -> Sequence[SegmentChange]:
        return [each for each in self.changes if each.segment in segments and each.cursor > after][:limit]

    def change(
        self, segment: str, profile_id: str, at: datetime, *, entity: str = "", is_entry: bool = True
    ) -> None:
        cursor = f"{len(self.changes):06d}"
        self.changes.append(SegmentChange(segment, profile_id, entity, is_entry, at, cursor))

    @property
    def cursor(self) -> str:
        """Beyond all changes so far."""
        return self.changes[-1].cursor if self.changes else ""


def journey_of(written: str, name: str = "cart", **more: Any) -> Journey:
    """A journey from its steps in YAML, and other keys."""
    values = {
        "name": name,
        "owner": "team",
        "description": "of a test",
        "entry": {"event": "cart"},
        "topic": "offers",
        "steps": parse_yaml(written.encode(), "x").data,
    }
    made = Journey.model_validate(values | more)
    assert graph_problems(made, SpecSource("x")) == []
    return made


class World:
    """One journey under way: a store, its people, a clock."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.people = Known()
        self.now = NOW
        self._events = 0

    def start(self, journey: Journey) -> None:
        self.store.journeys.start(journey.name, freeze(journey, {}), cursor=self.people.cursor, at=self.now)

    def event(self, profile_id: str, kind: str = "cart", at: datetime | None = None, **data: Any) -> NewEvent:
        self._events += 1
        moment = at or self.now
        made = NewEvent(
            "shop", str(self._events), kind, "email", profile_id, json.dumps(data), moment, self.now
        )
        self.store.inbox.append([made])
        return made

    def business(self, kind: str = "back", at: datetime | None = None, **data: Any) -> NewEvent:
        """An event about nobody."""
        self._events += 1
        told = (json.dumps(data), at or self.now, self.now)
        made = NewEvent("shop", str(self._events), kind, "", "", *told)
        self.store.inbox.append([made])
        return made

    def advance(self, name: str = "cart", **limits: int) -> Advanced:
        """Everything there is to do now."""
        while True:
            done = advance(self.store, self.people, name, now=self.now, **limits)
            if not done.is_behind:
                return done

    def after(self, **wait: float) -> Advanced:
        self.now += timedelta(**wait)
        return self.advance()

    def at(self, profile_id: str, key: str = "", name: str = "cart") -> Position:
        found = {each.instance_key: each for each in self.store.journey_positions.of(name, [profile_id])}
        return found[key]

    def way(self, profile_id: str, name: str = "cart") -> list[tuple[str, str]]:
        """The steps that a person came to and why, and the end."""
        rows = self.store.journey_positions.moves(name, profile_id)
        return [(step, why) for row in rows for step, _, why in json.loads(row.moves_json)]

    def react(
        self,
        profile_id: str,
        kind: str,
        at: datetime | None = None,
        message: JourneyMessage | None = None,
        **more: Any,
    ) -> None:
        """The person does something about a message, the latest that they came to if none is said."""
        self._events += 1
        if message is None:
            *_, message = self.store.journey_messages.of(profile_id, "cart")
        told = NewFeedback(
            feedback_key=str(self._events),
            kind=FeedbackKind(kind),
            channel="email",
            provider="link",
            occurred_at=at or self.now,
            received_at=self.now,
            message_id=message.message_id,
            **more,
        )
        self.store.feedback.record([told])

    def settle(self, outcome: str, reason: str | None = None, at: datetime | None = None) -> int:
        """Says what became of every message that somebody has come to, and when."""
        with self.store.database.write() as connection:
            return connection.execute(
                text(
                    "update journey_messages set state = 'known', outcome = :outcome, reason = :reason, "
                    "settled_at = :at where state = 'open'"
                ),
                {
                    "outcome": outcome,
                    "reason": reason,
                    "at": (at or self.now).strftime("%Y-%m-%d %H:%M:%S.%f"),
                },
            ).rowcount


def fast(path: Path) -> Store:
    """The store at a path; of the tests no byte has to outlast a power cut."""
    store = open_store(f"sqlite:///{path}")
    store.database.engine.dispose()
    event.listen(store.database.engine, "connect", lambda raw, _: raw.execute("pragma synchronous = off"))
    return store


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the tables and nothing in them."""
    path = tmp_path_factory.mktemp("store") / "store.sqlite"
    open_store(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def new_world(empty_store: Path, tmp_path: Path) -> Iterator[Callable[[], World]]:
    opened: list[Store] = []

    def make() -> World:
        path = tmp_path / f"{len(opened)}.sqlite"
        shutil.copy(empty_store, path)
        store = fast(path)
        opened.append(store)
        return World(store)

    yield make
    for store in opened:
        store.close()


@pytest.fixture
def world(new_world: Callable[[], World]) -> World:
    return new_world()
