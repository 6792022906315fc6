"""What comes in from outside, on its way into the store and out of it. All times are aware, in UTC."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from kundresa.spec.vocabulary import Automation, BounceClass, FeedbackKind


class Appended(StrEnum):
    """What became of an event that was offered to the inbox."""

    NEW = "new"
    KNOWN = "known"
    """It had been told before, the same; nothing was written."""
    CONFLICTING = "conflicting"
    """Its id stands for an event that says something else, and that stays; nothing was written."""


@dataclass(frozen=True, slots=True)
class NewEvent:
    """Something that happened, to a person or to the business, as a producer told it. One event per
    ``source`` and ``event_id``."""

    source: str
    event_id: str
    event_type: str
    namespace: str
    """Empty, as ``identifier`` is, for an event that is about nobody."""
    identifier: str
    data_json: str
    """The event's own fields, as JSON that its type's schema has accepted."""
    occurred_at: datetime
    received_at: datetime

    @property
    def lag(self) -> timedelta:
        """How much later than it happened it came; negative where its producer's clock is ahead."""
        return self.received_at - self.occurred_at

    def says_the_same_as(self, other: NewEvent) -> bool:
        """Whether both tell the same of the same person at the same time. The order of the fields of the data
        says nothing, and an event without a time of its own, which happened when it came, may come again."""
        return (
            (self.event_type, self.namespace, self.identifier)
            == (other.event_type, other.namespace, other.identifier)
            and (self.occurred_at == other.occurred_at or not self.lag or not other.lag)
            and (
                self.data_json == other.data_json or json.loads(self.data_json) == json.loads(other.data_json)
            )
        )


@dataclass(frozen=True, slots=True)
class InboxEvent(NewEvent):
    """An event in the inbox."""

    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFeedback:
    """Something that came back about a message. One line per ``feedback_key``.

    ``message_id`` is None when the message is not known; ``address`` is empty when the address is not.
    """

    feedback_key: str
    """What makes it the same again: the provider and its event's id, or a hash of the mail."""
    kind: FeedbackKind
    channel: str
    provider: str
    """Who told it: ``link`` for our own links, ``mailbox``, or the webhook's name."""
    occurred_at: datetime
    received_at: datetime
    message_id: str | None = None
    profile_id: str | None = None
    address: str = ""
    bounce_class: BounceClass | None = None
    automation: Automation | None = None
    """What kind of machine did it; None for a person."""
    target: str | None = None
    """Where a click led to."""
    code: str | None = None
    detail: str | None = None

    def as_row(self) -> dict[str, Any]:
        """The row of the table ``feedback``."""
        return {
            "feedback_key": self.feedback_key,
            "message_id": self.message_id,
            "profile_id": self.profile_id,
            "channel": self.channel,
            "address": self.address,
            "kind": self.kind.value,
            "bounce_class": self.bounce_class.value if self.bounce_class else None,
            "automation": self.automation.value if self.automation else None,
            "provider": self.provider,
            "target": self.target,
            "code": self.code,
            "detail": self.detail,
            "is_automated": self.automation is not None,
            "occurred_at": self.occurred_at,
            "received_at": self.received_at,
        }


@dataclass(frozen=True, slots=True)
class Answer:
    """What one person said last about a topic on a channel. ``status`` is ``yes`` or ``no``."""

    channel: str
    topic: str
    status: str
    recorded_at: datetime
