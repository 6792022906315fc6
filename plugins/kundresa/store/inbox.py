"""The event inbox: each event once, in an order that a reader may remember by one number."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from operator import attrgetter

from sqlalchemy import Connection, Table, func, select, text

from kundresa.store.bulk import as_table, insert_new_rows
from kundresa.store.engine import Database
from kundresa.store.inbox_records import Appended, InboxEvent, NewEvent
from kundresa.store.inbox_tables import events

_ORDER_LOCK = 0x6B756E696E  # any constant of our own; "kunin" in ASCII


_COLUMNS = tuple(each.name for each in fields(NewEvent))
_ROW = attrgetter(*_COLUMNS)
_Key = tuple[str, str]
"""Source and event id."""


def take_turns(database: Database, connection: Connection) -> None:
    """Within a write transaction, before it inserts: wait for the writers before, until this one ends.

    A sequence of PostgreSQL gives numbers in the order in which they are asked for, not in which they are
    committed: without this, a reader that has seen 8 might miss the 7 that is committed after it. SQLite's
    writers take turns anyway.
    """
    if not database.is_sqlite:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ORDER_LOCK})


def end_of(connection: Connection, table: Table) -> int:
    """The last position of the inbox, or of the feedback; 0 when there is none."""
    return int(connection.execute(select(func.coalesce(func.max(table.c.position), 0))).scalar_one())


def received_before(connection: Connection, table: Table, moment: datetime, *, first: int, last: int) -> int:
    """Of the positions from ``first`` to ``last`` of the inbox, or the feedback, one up to which everything
    was received before a moment, by halves: what comes in is received in the order of its positions, but for
    what the clocks of several services differ by."""
    query = select(table.c.position, table.c.received_at).order_by(table.c.position.desc()).limit(1)
    while first < last:
        middle = (first + last + 1) // 2
        row = connection.execute(query.where(table.c.position <= middle)).first()
        if row is None or row.position <= first or row.received_at < moment:
            first = middle
        else:
            last = row.position - 1
    return first


class Inbox:
    """The table ``events``.

    "All with a position above the last one that I have read" never leaves one out: positions grow in the
    order in which events become visible. They may have gaps.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, new: Sequence[NewEvent]) -> list[Appended]:
        """Take in events, at most a few thousand; durable when this returns. One that is there already stays
        as it is, and of two with one id the first counts.

        Returns what became of each, in their order.
        """
        first: dict[_Key, NewEvent] = {}
        for event in new:
            first.setdefault((event.source, event.event_id), event)
        if not first:
            return []
        with self._database.write() as connection:
            take_turns(self._database, connection)
            rows = [_ROW(event) for event in first.values()]
            inserted = insert_new_rows(self._database, connection, events, _COLUMNS, rows)
            if inserted == len(new):
                return [Appended.NEW] * inserted
            # What is new needs no look at what is there; that is for what is sent again.
            before = self._before(connection, first, inserted) if inserted < len(first) else {}
        return _compared(new, before)

    def _before(
        self, connection: Connection, first: Mapping[_Key, NewEvent], inserted: int
    ) -> dict[_Key, NewEvent]:
        """Of these events, those that were there before this transaction has added ``inserted`` of them: the
        ones with the lower positions. One that was there when they were added, and has been forgotten since
        (retention waits for nobody's turn), is added now. That may be so again for another."""
        found = self._found(connection, [*first])
        while len(found) < len(first):
            there = {(each.source, each.event_id) for each in found}
            rows = [_ROW(event) for key, event in first.items() if key not in there]
            inserted += insert_new_rows(self._database, connection, events, _COLUMNS, rows)
            found = self._found(connection, [*first])
        return {(each.source, each.event_id): each for each in found[: len(found) - inserted]}

    def _found(self, connection: Connection, keys: Sequence[_Key]) -> list[NewEvent]:
        """Those of these keys that are there now, by position."""
        given, values = as_table(self._database, events, ("source", "event_id"), keys)
        # A cross join: SQLite begins with the keys then, and finds each by the index.
        query = text(
            f"select {', '.join(f'events.{name}' for name in _COLUMNS)} from {given} as given "
            "cross join events where events.source = given.source and events.event_id = given.event_id "
            "order by events.position"
        ).columns(*(events.c[name] for name in _COLUMNS))
        return [NewEvent(**row._mapping) for row in connection.execute(query, values)]

    def after(self, position: int, limit: int, types: Collection[str] | None = None) -> list[InboxEvent]:
        """At most ``limit`` events beyond a position, in order; of these types only, where some are named."""
        columns = [events.c[each.name] for each in fields(InboxEvent)]
        query = select(*columns).where(events.c.position > position).order_by(events.c.position).limit(limit)
        if types is not None:
            query = query.where(events.c.event_type.in_(sorted(types)))
        with self._database.read() as connection:
            return [InboxEvent(**row._mapping) for row in connection.execute(query)]

    def before(self, moment: datetime) -> int:
        """A position up to which everything was received before a moment, but for what the clocks of several
        services differ by."""
        last = self.end()
        with self._database.read() as connection:
            return received_before(connection, events, moment, first=0, last=last)

    def end(self) -> int:
        """The position of the last event; 0 when there is none."""
        with self._database.read() as connection:
            return end_of(connection, events)

    def count(self) -> int:
        """How many events are in the inbox."""
        with self._database.read() as connection:
            return int(connection.execute(select(func.count()).select_from(events)).scalar_one())


def _compared(new: Sequence[NewEvent], before: Mapping[_Key, NewEvent]) -> list[Appended]:
    """What became of each, where these were there before."""
    there = dict(before)
    found = []
    for event in new:
        key = (event.source, event.event_id)
        if key not in there:
            there[key] = event
            found.append(Appended.NEW)
        else:
            is_same = event.says_the_same_as(there[key])
            found.append(Appended.KNOWN if is_same else Appended.CONFLICTING)
    return found
