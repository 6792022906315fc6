"""One position on its way through one advance, and what happens to it there."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from kundresa.journeys.people import Facts
from kundresa.journeys.versions import Version
from kundresa.spec.journey_steps import AnyStep, MessageStep, WaitForStep, WebhookStep
from kundresa.store import JourneyRow, Place, Position, Reaction


@dataclass(frozen=True, slots=True)
class Happening:
    """An event of a person, or a change of a segment they are in."""

    name: str
    """The event's type, or the segment."""
    at: datetime
    data: Mapping[str, Any]
    data_json: str
    is_event: bool
    is_entry: bool = True
    """Of a segment: entered; not left."""
    is_turn: bool = False
    """Of a segment: nobody entered or left it, it is the person's turn in a reading."""
    lag: timedelta = timedelta(0)
    """How much later than it happened an event came."""
    number: int = 0
    """Of an event: its position in the inbox."""
    is_early: bool = False
    """An earlier advance has read the event: only who enters in this one has not heard it."""


@dataclass(frozen=True, slots=True)
class HeardEvent:
    """An event that steps of an entry may turn out to have waited for, which came while the outcome of a
    message or a call, or whose a click was, was not known."""

    steps: tuple[str, ...]
    """Those that wait for it; it moves on from one of them at most."""
    at: datetime
    said: Mapping[str, Any] = field(default_factory=dict)
    """Of its data what these steps keep."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """What an earlier advance has read already, for who now turns out to have waited for it by then."""

    at: datetime
    instance_key: str
    entry: int
    what: Reaction | HeardEvent


@dataclass(slots=True)
class Trail:
    """One position on its way through one advance."""

    position: Position
    version: Version
    facts: Facts
    reactions: Sequence[Reaction] = ()
    """What the person did about messages of this entry, as far as it is known."""
    heard: list[HeardEvent] = field(default_factory=list)
    """In the order in which they were told; of an entry of which the outcome of a message or a call, or whose
    a click was, is not known."""
    has_heard: bool = False
    """Whether this advance has added to it."""
    moves: list[list[str]] = field(default_factory=list)
    """Step or end, when, and why."""
    steps: int = 0
    """That were taken in this advance."""
    is_new: bool = False
    """Whether the entry has begun in this advance."""

    @property
    def event(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = json.loads(self.position.event_json)
        return found

    @property
    def place(self) -> Place:
        """By which what has left for the step is found, whoever the person was then."""
        position = self.position
        return position.profile_id, position.instance_key, position.entry, position.moves

    @property
    def step(self) -> AnyStep:
        """Where the position is.

        Raises:
            KeyError: when it is over.
        """
        return self.version.journey.steps[self.position.step or ""]

    @property
    def may_be_further(self) -> bool:
        """Whether something has perhaps ended the step by now that is not known yet: what became of a message
        or a call, or whose a click was."""
        return isinstance(self.step, MessageStep | WebhookStep) or awaits_click(self.step)

    def earlier(self, row: JourneyRow) -> list[Earlier]:
        """What was read before this advance, and happened since the step was reached.

        Args:
            row: the journey as it was before this advance.
        """
        position = self.position
        if position.step is None:
            return []
        told: list[Reaction | HeardEvent] = [*self.heard]
        told += [
            each
            for each in (self.reactions if self.version.reacts else ())
            if row.has_read(each) and each.entry == position.entry
        ]
        key, entry = position.instance_key, position.entry
        return [Earlier(what.at, key, entry, what) for what in told if what.at > position.step_at]

    def still_heard(self) -> str | None:
        """What is to be remembered, as :func:`heard_of` reads it: nothing of before the step, and nothing
        where it is known what ends it."""
        position = self.position
        if position.step is None or not self.may_be_further:
            return None
        told = [
            [each.steps, each.at.isoformat(), *([each.said] if each.said else [])]
            for each in self.heard
            if each.at > position.step_at
        ]
        return json.dumps(told, separators=(",", ":")) if told else None


def awaits_click(step: AnyStep) -> bool:
    """Whether only a click ends a step before its time."""
    return isinstance(step, WaitForStep) and step.reaction == "clicked"


def heard_of(written: str) -> list[HeardEvent]:
    """What a position remembers of events, from its ``heard_json``.

    It was once written as a pair of step and moment for each step that waits for the event. Such pairs that
    follow each other are of one event while the moment is the same and no step comes again.
    """
    found: list[HeardEvent] = []
    for told, moment, *said in json.loads(written):
        at = datetime.fromisoformat(moment)
        if not isinstance(told, str):
            found.append(HeardEvent(tuple(told), at, *said))
        elif found and found[-1].at == at and told not in found[-1].steps:
            found[-1] = HeardEvent((*found[-1].steps, told), at)
        else:
            found.append(HeardEvent((told,), at))
    return found
