"""Which journeys send what is asked for by name: those that write about nothing that needs consent."""

from __future__ import annotations

from kundresa.spec.events import EventType, EventTypes
from kundresa.spec.journey import EventEntry, Journey
from kundresa.spec.policies import Policies, exempt_topics


def is_transactional(journey: Journey, policies: Policies) -> bool:
    """Whether all that a journey sends is about topics that are exempt from consent, and it sends something.
    Caps, quiet hours and the global holdout do not hold for it then."""
    topics = {step.topic or journey.topic for step in journey.messages.values()}
    return bool(topics) and topics <= {*exempt_topics(policies)}


def contract_of(journey: Journey, types: EventTypes) -> tuple[str, EventType] | None:
    """The name and the properties of the event that a journey's people enter by: what a message of it may be
    asked for with. None when it has no such entry, or the event is not declared any more."""
    entry = journey.entry
    declared = types.events.get(entry.event) if isinstance(entry, EventEntry) else None
    return None if declared is None or not isinstance(entry, EventEntry) else (entry.event, declared)
