"""From where on a journey reads: when it begins, and after a pause that has left things out."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import datetime

from sqlalchemy import Connection, insert

from kundresa.spec.frozen import FrozenSpec
from kundresa.spec.vocabulary import JourneyState
from kundresa.store.inbox import end_of
from kundresa.store.inbox_tables import events, feedback
from kundresa.store.journey_records import JourneyRow, JourneyVersion
from kundresa.store.journey_tables import journey_versions, journeys


def begin(
    connection: Connection,
    journey: str,
    spec: FrozenSpec,
    *,
    cursor: str,
    at: datetime,
    longest_wait: int | None = None,
) -> JourneyRow:
    """Within a transaction: the row of a journey that nobody has begun, and its first version. Only what
    happens from now on counts.

    Args:
        cursor: where to begin in ``segment_changes``.
        longest_wait: of a test, in seconds.
    """
    position, reactions = end_of(connection, events), end_of(connection, feedback)
    start = (position, reactions, cursor, at)
    first = JourneyRow(journey, JourneyState.RUNNING, 1, 0, *start, click_position=reactions)
    connection.execute(insert(journeys), row_of(first))
    version = JourneyVersion(journey, 1, spec.json, spec.hash, at, position, longest_wait)
    connection.execute(insert(journey_versions), row_of(version))
    return first


def left_out(connection: Connection, known: JourneyRow, cursor: str) -> dict[str, object]:
    """The row after a pause that discards: whatever was not read is passed by. Reactions are looked up later
    too, by who comes to a step that asks for them, so those are remembered."""
    reactions = end_of(connection, feedback)
    ranges = json.loads(known.feedback_left_out)
    if reactions > min(known.feedback_position, known.click_position):
        ranges.append([known.feedback_position, reactions, known.click_position])
    return {
        "event_position": end_of(connection, events),
        "segment_cursor": cursor,
        "feedback_position": reactions,
        "click_position": reactions,
        "feedback_left_out": json.dumps(ranges),
    }


def row_of(each: JourneyRow | JourneyVersion) -> dict[str, object]:
    """As it is written."""
    return {one.name: getattr(each, one.name) for one in fields(each)}
