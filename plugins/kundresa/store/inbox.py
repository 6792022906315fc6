"""The event inbox: each event once, in an order that a reader may remember by one number."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import fields
from datetime import datetime

from sqlalchemy import Connection, func, select, text

from kundresa.store.engine import Database
from kundresa.store.inbox_records import InboxEvent, NewEvent
from kundresa.store.inbox_tables import events

_ORDER_LOCK = 0x6B756E696E  # any constant of our own; "kunin" in ASCII


_COLUMNS = tuple(each.name for each in fields(NewEvent))


def take_turns(database: Database, connection: Connection) -> None:
    """Within a write transaction, before it inserts: wait for the writers before, until this one ends.

    A sequence of PostgreSQL gives numbers in the order in which they are asked for, not in which they are
    committed: without this, a reader that has seen 8 might miss the 7 that is committed after it. SQLite's
    writers take turns anyway.
    """
    if not database.is_sqlite:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ORDER_LOCK})


class Inbox:
    """The table ``events``.

    "All with a position above the last one that I have read" never leaves one out: positions grow in the
    order in which events become visible. They may have gaps.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, new: Sequence[NewEvent]) -> None:
        """Take in events; durable when this returns. One that is there already stays as it is."""
        # Not dataclasses.asdict: it copies every value, eight times as long as all the rest.
        rows = [{name: getattr(event, name) for name in _COLUMNS} for event in new]
        if not rows:
            return
        with self._database.write() as connection:
            take_turns(self._database, connection)
            connection.execute(self._database.insert_new(events), rows)

    def after(self, position: int, limit: int, types: Collection[str] | None = None) -> list[InboxEvent]:
        """At most ``limit`` events beyond a position, in order; of these types only, where some are named."""
        columns = [events.c[each.name] for each in fields(InboxEvent)]
        query = select(*columns).where(events.c.position > position).order_by(events.c.position).limit(limit)
        if types is not None:
            query = query.where(events.c.event_type.in_(sorted(types)))
        with self._database.read() as connection:
            return [InboxEvent(**row._mapping) for row in connection.execute(query)]

    def before(self, moment: datetime) -> int:
        """A position up to which everything was received before a moment, by halves: events are received
        in the order of their positions, but for what the clocks of several services differ by."""
        query = select(events.c.position, events.c.received_at).order_by(events.c.position.desc()).limit(1)
        found, last = 0, self.end()
        with self._database.read() as connection:
            while found < last:
                middle = (found + last + 1) // 2
                row = connection.execute(query.where(events.c.position <= middle)).first()
                if row is None or row.position <= found or row.received_at < moment:
                    found = middle
                else:
                    last = row.position - 1
        return found

    def end(self) -> int:
        """The position of the last event; 0 when there is none."""
        with self._database.read() as connection:
            return int(connection.execute(select(func.coalesce(func.max(events.c.position), 0))).scalar_one())

    def count(self) -> int:
        """How many events are in the inbox."""
        with self._database.read() as connection:
            return int(connection.execute(select(func.count()).select_from(events)).scalar_one())
