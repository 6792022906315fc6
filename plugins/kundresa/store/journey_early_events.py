"""Events that are kept for who enters by one of before them. They are written by the advances of their
journey."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields
from datetime import datetime

from sqlalchemy import Connection, delete, func, select, tuple_

from kundresa.store.bulk import among, insert_rows
from kundresa.store.engine import Database
from kundresa.store.inbox_records import InboxEvent
from kundresa.store.inbox_tables import events
from kundresa.store.journey_records import Advance
from kundresa.store.journey_tables import journey_early_events as table

MOST_REMOVED = 20_000
"""Rows that one advance removes: more than one keeps, so that they do not grow; and after a pause no more
than some 0.2 s of SQLite's one write lock."""
_COLUMNS = ("journey", "profile_id", "event_position", "occurred_at")
_EVENT = tuple(events.c[each.name] for each in fields(InboxEvent))


class JourneyEarlyEvents:
    """The table ``journey_early_events``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def latest(self, journey: str) -> datetime | None:
        """When the last of them happened; None when there are none."""
        query = select(func.max(table.c.occurred_at)).where(table.c.journey == journey)
        with self._database.read() as connection:
            found: datetime | None = connection.execute(query).scalar_one()
            return found

    def of(
        self, journey: str, profile_ids: Collection[str], after: datetime
    ) -> list[tuple[str, datetime, InboxEvent]]:
        """Those about these people that happened after a moment, in the order in which they came: whom they
        are about, when the journey takes them to have happened, and what the inbox has. One that retention
        has removed from the inbox is left out."""
        query = (
            select(table.c.profile_id, table.c.occurred_at.label("happened_at"), *_EVENT)
            .join(events, events.c.position == table.c.event_position)
            .where(
                table.c.journey == journey,
                among(self._database, table.c.profile_id, profile_ids),
                table.c.occurred_at > after,
            )
            .order_by(table.c.event_position)
        )
        with self._database.read() as connection:
            return [
                (row.profile_id, row.happened_at, InboxEvent(*row[2:])) for row in connection.execute(query)
            ]

    def count(self, journey: str) -> int:
        """How many there are."""
        query = select(func.count()).select_from(table).where(table.c.journey == journey)
        with self._database.read() as connection:
            return int(connection.execute(query).scalar_one())


def keep_early(database: Database, connection: Connection, journey: str, advance: Advance) -> None:
    """Within the transaction of an advance: keep what it has found, and remove what is over."""
    rows = [(journey, each.profile_id, each.event_position, each.occurred_at) for each in advance.early]
    insert_rows(database, connection, table, _COLUMNS, rows)
    if advance.early_over is not None:
        remove_early(connection, journey, advance.early_over, MOST_REMOVED)


def remove_early(connection: Connection, journey: str, before: datetime, limit: int) -> int:
    """Remove those that happened before a moment, the oldest first, and at most so many; returns how many."""
    old = (
        select(table.c.profile_id, table.c.event_position)
        .where(table.c.journey == journey, table.c.occurred_at < before)
        .order_by(table.c.occurred_at)
        .limit(limit)
    )
    key = tuple_(table.c.profile_id, table.c.event_position)
    return int(connection.execute(delete(table).where(table.c.journey == journey, key.in_(old))).rowcount)
