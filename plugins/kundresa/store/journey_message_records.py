"""What leaves for people in journeys, messages and calls, as the store hands it out and takes it in."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message that somebody has come to."""

    message_id: str
    version: int
    step: str
    profile_id: str
    instance_key: str
    entry: int
    move: int
    reached_at: datetime
    valid_until: datetime
    channel: str
    run_key: str
    event_json: str
    topic: str
    variant: str | None
    """Of the experiment that the person came through before."""
    not_before: datetime | None = field(default=None, kw_only=True)
    """When it may be decided; None is when it is reached."""


@dataclass(frozen=True, slots=True)
class JourneyMessage(NewMessage):
    """A message as it stands."""

    journey: str
    state: str
    not_before: datetime
    is_delayed: bool
    batch_number: int | None
    row_json: str | None
    outcome: str | None
    reason: str | None
    settled_at: datetime | None
    send_at: datetime | None
    """When it leaves, or has left, as decided; None before that."""
    cap: str | None
    """The cap that it was over."""
    sender_domain: str | None
    """Of an email, once it is decided."""
    address_domain: str | None
    capacity: str | None
    """The capacity or the warm-up that had no room for it."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A message that is not sent, and why."""

    message_id: str
    reason: str
    cap: str | None = None
    """The cap that it is over."""
    capacity: str | None = None
    """The capacity or the warm-up that has no room for it."""


@dataclass(frozen=True, slots=True)
class Delayed:
    """A message that leaves later."""

    message_id: str
    at: datetime
    """When, and when to look at it again."""
    sender_domain: str | None = None
    """Of an email, as that of its address: by these it counts in a warm-up."""
    address_domain: str | None = None
    capacity: str | None = None
    """The capacity or the warm-up that has no room for it before; None: it waits for the end of quiet hours
    only."""


@dataclass(frozen=True, slots=True)
class Approved:
    """A message that is to be sent: what its batch holds of it, as JSON."""

    message_id: str
    row_json: str
    sender_domain: str | None = None
    address_domain: str | None = None


@dataclass(frozen=True, slots=True)
class Supposed:
    """What would become of a message."""

    message_id: str
    outcome: str
    reason: str | None
    """Why it is not sent."""
    sender_domain: str | None = None
    address_domain: str | None = None


@dataclass(frozen=True, slots=True)
class CountedMessage:
    """A message that caps count: somebody got it, or still may."""

    message_id: str
    profile_id: str
    channel: str
    topic: str
    send_at: datetime


@dataclass(frozen=True, slots=True)
class MessageOutcome:
    """What became of a message."""

    message_id: str
    profile_id: str
    instance_key: str
    entry: int
    move: int
    outcome: str
    reason: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class NewCall:
    """A webhook step that somebody has come to."""

    call_id: str
    version: int
    step: str
    profile_id: str
    instance_key: str
    entry: int
    move: int
    reached_at: datetime
    valid_until: datetime
    event_json: str


@dataclass(frozen=True, slots=True)
class JourneyCall(NewCall):
    """A call that is about to be made."""

    attempts: int
    """This one included."""


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """What became of a call."""

    call_id: str
    profile_id: str
    instance_key: str
    entry: int
    move: int
    outcome: str
    reason: str | None
    response_json: str | None
    """The declared fields of the answer."""
    at: datetime
