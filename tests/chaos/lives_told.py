"""What one person's events come to, by the interpreter of one person at a time that the engine's unit tests
have, and what the engine has come to: for journeys whose lateness was not used up."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tests.unit.journeys.life import Heard, said_of
from tests.unit.journeys.reference import Reference

from kundresa.spec.journey import Journey
from kundresa.store import InboxEvent, JourneyMessage, Store

MARGIN = timedelta(seconds=1.5)
"""What an event may take from when the service has seen it until it can be read, and the outcome of a message
from its time until it is known."""
_STEP = timedelta(hours=1)


class Unsure(Exception):
    """An event came so late that it is chance whether its journey still waited for it."""


@dataclass(frozen=True)
class Expected:
    """What somebody's events come to."""

    state: Mapping[str, Any]
    """As ``found_of`` has it."""
    skips: Mapping[str, int]


def expected_of(
    journey: Journey, who: str, events: Sequence[InboxEvent], messages: Sequence[JourneyMessage]
) -> Expected:
    """
    Args:
        events: about this person, in the order of the inbox.
        messages: the journey's to this person; of these only what became of them, and when, is believed.

    Raises:
        Unsure: when one of the events took nearly as long as the journey's lateness, or longer.
    """
    reference = Reference(journey, {}, {})
    told: list[tuple[datetime, Heard]] = []
    for each in events:
        if each.received_at - each.occurred_at > journey.lateness - MARGIN:
            raise Unsure(each.event_id)
        lag = each.received_at - each.occurred_at
        told.append(
            (each.received_at, Heard(each.occurred_at, each.event_type, json.loads(each.data_json), lag=lag))
        )
    for message in messages:
        assert message.settled_at is not None
        of = (message.instance_key, message.entry, message.move)
        outcome = {"outcome": message.outcome, "reason": message.reason}
        told.append((message.settled_at, Heard(message.settled_at, "", outcome, "outcome", of)))
    for now, heard in sorted(told, key=lambda each: each[0]):
        reference.happen(who, heard)
        reference.advance(now)
    if told:
        reference.advance(max(at for at, _ in told) + _STEP)
    lives = [life for own in reference.lives.values() for life in own]
    state = {
        "ways": {life.entry: life.way for life in lives},
        "last": [(life.entry, life.moves, life.entered, said_of(life.data), life.end) for life in lives[-1:]],
        "messages": {(*each[2:4], *each[4:7]) for each in reference.messages},
        "jumps": sorted((at, said_of(data)) for _, _, at, data in reference.jumps),
        "traits": {trait: value for (_, trait), value in reference.traits.items()},
    }
    return Expected(state, reference.skips)


def found_of(
    store: Store, journey: Journey, who: str, jumps: Sequence[InboxEvent], traits: Mapping[str, Any]
) -> dict[str, Any]:
    """What a store has of this person in the journey.

    Args:
        jumps: the events by which they were led elsewhere.
        traits: those that journeys have set.
    """
    ways: dict[int, list[tuple[str, datetime, str]]] = {}
    for row in store.journey_positions.moves(journey.name, who):
        steps = ways.setdefault(row.entry, [])
        steps += [(step, datetime.fromisoformat(at), why) for step, at, why in json.loads(row.moves_json)]
    positions = store.journey_positions.of(journey.name, [who])
    assert len(positions) <= 1, "in two places"
    return {
        "ways": ways,
        "last": [
            (
                each.entry,
                each.moves,
                each.entered_at,
                _said(each.event_json),
                (each.ended_at, each.end_reason),
            )
            for each in positions
        ],
        "messages": {
            (each.entry, each.step, each.move, each.reached_at, _said(each.event_json))
            for each in store.journey_messages.of(who, journey.name)
        },
        "jumps": sorted((each.occurred_at, _said(each.data_json)) for each in jumps),
        "traits": dict(traits),
    }


def _said(data: str) -> str:
    return said_of(json.loads(data))
