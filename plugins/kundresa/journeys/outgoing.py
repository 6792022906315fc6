"""What leaves for somebody who comes to a step: messages, calls, and events for other journeys.

Ids are derived, so that each is once in the store whatever is repeated. Later it is found by its place, not
by its id: the person may go by another id by then.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from kundresa.journeys.trail import Trail
from kundresa.journeys.versions import JUMP
from kundresa.spec.journey_steps import JumpStep, MessageStep, WebhookStep
from kundresa.spec.keys import as_test, event_of_test, message_id
from kundresa.store import NewCall, NewEvent, NewMessage, Position


def message_of(trail: Trail, step: MessageStep, at: datetime, now: datetime) -> NewMessage:
    """The message of a step that is reached at ``at``, as it turns out ``now``: a letter of which that turns
    out late is in the next print file, and makes none of its own."""
    position = trail.position
    name = position.step or ""
    not_before = at
    if step.collect is not None:
        turned_out = max(at, now)
        not_before = trail.version.bounded(turned_out, step.leaves_from(turned_out))
    return NewMessage(
        message_id=_derived(trail, trail.version.run_keys, step.channel.kind),
        version=position.version,
        step=name,
        profile_id=position.profile_id,
        instance_key=position.instance_key,
        entry=position.entry,
        move=position.moves,
        reached_at=at,
        not_before=not_before,
        valid_until=not_before + step.valid_for,
        channel=step.channel.kind,
        run_key=trail.version.run_keys[name],
        event_json=position.event_json,
        topic=step.topic or trail.version.journey.topic,
        variant=position.variant,
    )


def call_of(trail: Trail, step: WebhookStep, at: datetime) -> NewCall:
    """The call of a step that is reached at ``at``."""
    position = trail.position
    return NewCall(
        call_id=_derived(trail, trail.version.call_keys, "webhook"),
        version=position.version,
        step=position.step or "",
        profile_id=position.profile_id,
        instance_key=position.instance_key,
        entry=position.entry,
        move=position.moves,
        reached_at=at,
        valid_until=at + step.valid_for,
        event_json=position.event_json,
    )


def jump_of(trail: Trail, step: JumpStep, at: datetime) -> NewEvent:
    """The event that lets somebody into another journey; out of a test, into a test of that one alone."""
    position = trail.position
    event_type = JUMP + step.journey
    return NewEvent(
        source=JUMP + trail.version.name,
        event_id=f"{position.profile_id}|{_entry_name(position)}|{position.moves}",
        event_type=event_of_test(step.journey, event_type) if as_test(trail.version.name) else event_type,
        namespace="profile_id",
        identifier=position.profile_id,
        data_json=position.event_json,
        occurred_at=at,
        received_at=at,
    )


def _derived(trail: Trail, keys: Mapping[str, str], kind: str) -> str:
    position = trail.position
    step = position.step or ""
    return message_id(
        keys[step], position.profile_id, _entry_name(position), kind, f"{step}#{position.moves}"
    )


def _entry_name(position: Position) -> str:
    """One entry among all of a person: with its time, since who was forgotten begins at entry 1 again."""
    return f"{position.instance_key}#{position.entry}#{position.entered_at.isoformat()}"
