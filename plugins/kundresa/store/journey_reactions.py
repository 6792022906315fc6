"""What people do about messages of journeys, as journeys hear of it.

A click is heard when it is known to be a person's (``spec.machines``), everything else when it is recorded.
So there are two places up to which a journey has read the feedback.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, select

from kundresa.spec.machines import KNOWN_AFTER
from kundresa.spec.vocabulary import FeedbackKind
from kundresa.store.bulk import among
from kundresa.store.engine import Database
from kundresa.store.feedback import is_known_to_be_a_persons
from kundresa.store.inbox import end_of, received_before
from kundresa.store.inbox_tables import feedback
from kundresa.store.journey_records import JourneyRow, Reaction, UnreadReactions
from kundresa.store.journey_tables import journey_messages as table

_REACTIONS = (
    select(
        feedback.c.position,
        table.c.profile_id,
        table.c.instance_key,
        table.c.entry,
        table.c.step,
        feedback.c.kind,
        feedback.c.occurred_at,
        feedback.c.received_at,
    )
    .join(table, table.c.message_id == feedback.c.message_id)
    .where(feedback.c.is_automated.is_(False))
    .order_by(feedback.c.position)
)
_IS_CLICK = feedback.c.kind == FeedbackKind.CLICKED.value


@dataclass(frozen=True, slots=True)
class HeldClick:
    """A click that is a person's as far as is known, and which a journey hears when that is certain."""

    profile_id: str
    instance_key: str
    step: str
    """The message's."""
    heard_at: datetime


class JourneyReactions:
    """The table ``feedback``, as far as it is about messages of journeys."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def unread(self, row: JourneyRow, *, now: datetime, limit: int) -> UnreadReactions:
        """What people did about messages of a journey beyond where it has read: at most ``limit`` clicks, and
        as many others. It is read to the end then, but for what is beyond the limit, whoever the feedback is
        about: the next look does not go through it again."""
        known = now - KNOWN_AFTER
        with self._database.read() as connection:
            # Both before the lines: what is recorded between the two is beyond them. Positions become visible
            # in their order (``inbox.take_turns``), so nothing that is committed late is before them.
            end = max(row.feedback_position, end_of(connection, feedback))
            received = received_before(
                connection, feedback, known + timedelta.resolution, first=row.click_position, last=end
            )
            own = _of(row.journey).limit(limit)
            others = connection.execute(_between(own, ~_IS_CLICK, row.feedback_position, end)).all()
            clicks = connection.execute(_between(own, _IS_CLICK, row.click_position, received)).all()
        click_position = clicks[-1].position if len(clicks) >= limit else received
        for number, click in enumerate(clicks):
            # A service's clock is behind another's: what is not known yet waits, with all that is after it.
            if click.received_at > known:
                clicks, click_position = clicks[:number], click.position - 1
                break
        return UnreadReactions(
            [_reaction(each) for each in sorted((*others, *clicks), key=lambda each: int(each.position))],
            others[-1].position if len(others) >= limit else end,
            click_position,
        )

    def of(self, journey: str, profile_ids: Collection[str], *, now: datetime) -> list[Reaction]:
        """Everything that these people did about messages of a journey, in order; of clicks those that are
        known to be theirs by ``now``."""
        own = among(self._database, table.c.profile_id, profile_ids)
        query = _REACTIONS.where(table.c.journey == journey, own, is_known_to_be_a_persons(now))
        with self._database.read() as connection:
            return [_reaction(each) for each in connection.execute(query)]

    def held_clicks(self, journey: str, *, now: datetime) -> list[HeldClick]:
        """The clicks on messages of a journey that it has not heard of because it is not known yet whose they
        are, in order."""
        query = _of(journey).where(_IS_CLICK, feedback.c.received_at > now - KNOWN_AFTER)
        with self._database.read() as connection:
            return [
                HeldClick(each.profile_id, each.instance_key, each.step, each.received_at + KNOWN_AFTER)
                for each in connection.execute(query)
            ]


def _of(journey: str) -> Select[Any]:
    # Not the journey by its own name: there is an index by it, and its messages are many. What is new in the
    # feedback is little, and finds its message by the key.
    return _REACTIONS.where(table.c.journey.concat("") == journey)


def _between(query: Select[Any], which: ColumnElement[bool], after: int, to: int) -> Select[Any]:
    return query.where(which, feedback.c.position > after, feedback.c.position <= to)


def _reaction(row: Row[Any]) -> Reaction:
    return Reaction(
        position=row.position,
        profile_id=row.profile_id,
        instance_key=row.instance_key,
        entry=row.entry,
        step=row.step,
        kind=row.kind,
        # A report's clock may be ahead; nothing happens before it is told.
        at=min(row.occurred_at, row.received_at),
    )
