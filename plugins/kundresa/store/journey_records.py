"""Journeys as they pass between rooms. All times are aware, in UTC."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from kundresa.spec.vocabulary import FeedbackKind, JourneyState
from kundresa.store.inbox_records import NewEvent
from kundresa.store.journey_message_records import NewCall, NewMessage

ENTERED = ""
"""In the place of a step: entering the journey."""

Place = tuple[str, str, int, int]
"""Where an entry was when something left for it: profile_id, instance key, entry, and which of its moves. The
id of what left is derived from who the person was then."""


@dataclass(frozen=True, slots=True)
class JourneyRow:
    """One journey as it stands."""

    journey: str
    state: JourneyState
    version: int
    """The one that new people enter on."""
    generation: int
    """Grows with every commit about the journey."""
    event_position: int
    """The inbox has been read up to here."""
    feedback_position: int
    """Feedback has been read up to here, clicks aside."""
    segment_cursor: str
    """``segment_changes`` has been read up to here; what it means is the reader's."""
    changed_at: datetime
    audience_cursor: str = ""
    """How far the segment is read whose people enter at a rate; empty before that."""
    feedback_left_out: str = "[]"
    """What came while a pause discarded: a JSON list of [after, to], positions of the feedback, with a third
    after which it is clicks, where that is another."""
    click_position: int = 0
    """Clicks have been read up to here."""

    def leaves_out(self, reaction: Reaction) -> bool:
        """Whether a pause has discarded it."""
        ranges = json.loads(self.feedback_left_out)
        return any(
            (clicks[0] if clicks and reaction.is_click else after) < reaction.position <= to
            for after, to, *clicks in ranges
        )

    def has_read(self, reaction: Reaction) -> bool:
        """Whether an advance of before has read it."""
        return reaction.position <= (self.click_position if reaction.is_click else self.feedback_position)


@dataclass(frozen=True, slots=True)
class JourneyVersion:
    """A journey as it was written when it was started."""

    journey: str
    version: int
    spec_json: str
    spec_hash: str
    started_at: datetime
    event_position: int = 0
    """Where the inbox ended then: events of before are no reason for what only this version names."""
    longest_wait: int | None = None
    """Of a test: seconds that nothing takes longer than."""


@dataclass(frozen=True, slots=True)
class JourneyTest:
    """A test of a journey."""

    journey: str
    """The one that it is of."""
    number: int
    test: str
    """Its own name, by which it is a journey."""
    people: frozenset[str]
    """The profile ids of those that it lets in, as they were when it began."""
    began_at: datetime
    ended_at: datetime | None = None
    failed_at: datetime | None = None
    """When something went wrong in running it last; None: nothing ever did."""
    failure: str | None = None
    """That, in words."""
    again_at: datetime | None = None
    """Until then it is left alone; None: nothing has gone wrong since it was run last."""

    def is_left_alone(self, now: datetime) -> bool:
        """Whether it is not to be run now, because of what went wrong in it."""
        return self.again_at is not None and now < self.again_at


@dataclass(slots=True)
class Position:
    """Where one person is in a journey, or where they ended. The core moves it in place."""

    profile_id: str
    instance_key: str
    """Empty where the journey has no key."""
    entry: int
    """Which entry under this key: 1, 2, …"""
    version: int
    step: str | None
    """None when it is over."""
    moves: int
    """Steps that this entry has come to."""
    entered_at: datetime
    step_at: datetime
    """When the step was reached."""
    due_at: datetime | None
    """When something happens without an event; None: nothing does."""
    ended_at: datetime | None
    end_reason: str | None
    event_json: str
    """The data of the event that let the person in."""
    variant: str | None = None
    """Of the last experiment that this entry came through."""
    heard_json: str | None = None
    """Events that were heard while the outcome of a message or a call, or whose a click was, is not known:
    steps that wait for them, and when they happened, as a JSON list of pairs."""


@dataclass(frozen=True, slots=True)
class Reaction:
    """What a person did about a message of a journey."""

    position: int
    """In the feedback."""
    profile_id: str
    instance_key: str
    entry: int
    step: str
    """The message's."""
    kind: str
    at: datetime

    @property
    def is_click(self) -> bool:
        return self.kind == FeedbackKind.CLICKED


@dataclass(frozen=True, slots=True)
class UnreadReactions:
    """What people did about messages of a journey that it has not read, in order, and how far it is read with
    them: as in ``JourneyRow``."""

    reactions: Sequence[Reaction]
    feedback_position: int
    click_position: int


@dataclass(frozen=True, slots=True)
class MoveRow:
    """What happened to one entry in one advance."""

    profile_id: str
    instance_key: str
    entry: int
    moved_at: datetime
    moves_json: str


@dataclass(slots=True)
class ReadingRow:
    """An event that lets an audience in, and how far that has come. The core moves it in place."""

    number: int
    """The event's position in the inbox; readings come in this order."""
    event_type: str
    event_json: str
    occurred_at: datetime
    turns: int = 0
    """How many have had their turn."""
    began_at: datetime | None = None
    """None: it waits for those before it."""
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class EarlyEvent:
    """An event that whoever enters by one of before it is to hear."""

    profile_id: str
    event_position: int
    """In the inbox, which has the event."""
    occurred_at: datetime
    """As the journey takes it: no later than it was received."""


@dataclass(slots=True)
class Advance:
    """Everything that one advance writes, in one transaction."""

    event_position: int
    segment_cursor: str
    feedback_position: int = 0
    click_position: int = 0
    positions: list[Position] = field(default_factory=list)
    moves: list[MoveRow] = field(default_factory=list)
    messages: list[NewMessage] = field(default_factory=list)
    taken: Sequence[str] = ()
    """Messages whose outcome has been acted on."""
    cancelled: list[Place] = field(default_factory=list)
    """Messages of people who left before these did."""
    calls: list[NewCall] = field(default_factory=list)
    answered: Sequence[str] = ()
    """Calls whose outcome has been acted on."""
    cancelled_calls: list[Place] = field(default_factory=list)
    """Calls about people who left before they were answered."""
    traits: dict[tuple[str, str], tuple[str, datetime]] = field(default_factory=dict)
    """(profile_id, trait) → (value as JSON, when)."""
    jumps: list[NewEvent] = field(default_factory=list)
    """Events of our own that let people enter other journeys."""
    audience_cursor: str | None = None
    """None leaves it as it is."""
    readings: Sequence[ReadingRow] = ()
    """Those that are new, or have gone on."""
    early: list[EarlyEvent] = field(default_factory=list)
    """Events that are to be kept for who enters by one of before them."""
    early_over: datetime | None = None
    """Those that happened before this are removed; None removes none."""
    skips: Counter[str] = field(default_factory=Counter)
    """Reason → how many."""
    passages: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(step, end reason) → entries that came there: ``ENTERED`` and ``END`` among the steps, and only the
    latter with a reason."""

    def add(self, other: Advance) -> None:
        """What comes to another person; how far is read stays as it is here."""
        self.positions += other.positions
        self.moves += other.moves
        self.messages += other.messages
        self.cancelled += other.cancelled
        self.calls += other.calls
        self.cancelled_calls += other.cancelled_calls
        self.traits |= other.traits
        self.jumps += other.jumps
        self.early += other.early
        self.skips += other.skips
        self.passages += other.passages
