"""The readings of an audience that events start. They are written by the advances of their journey."""

from __future__ import annotations

from dataclasses import fields

from sqlalchemy import func, select

from kundresa.store.engine import Database
from kundresa.store.journey_records import ReadingRow
from kundresa.store.journey_tables import journey_readings as table

_COLUMNS = tuple(table.c[each.name] for each in fields(ReadingRow))


class JourneyReadings:
    """The table ``journey_readings``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def under_way(self, journey: str, limit: int) -> list[ReadingRow]:
        """At most ``limit`` that are not over: the first is read, the others wait, in their order."""
        is_open = (table.c.journey == journey, table.c.ended_at.is_(None))
        query = select(*_COLUMNS).where(*is_open).order_by(table.c.number).limit(limit)
        with self._database.read() as connection:
            return [ReadingRow(**row._mapping) for row in connection.execute(query)]

    def count(self, journey: str) -> int:
        """How many are not over."""
        is_open = (table.c.journey == journey, table.c.ended_at.is_(None))
        with self._database.read() as connection:
            return int(
                connection.execute(select(func.count()).select_from(table).where(*is_open)).scalar_one()
            )

    def of(self, journey: str) -> list[ReadingRow]:
        """All that are remembered, in their order: for who asks, not for a loop."""
        query = select(*_COLUMNS).where(table.c.journey == journey).order_by(table.c.number)
        with self._database.read() as connection:
            return [ReadingRow(**row._mapping) for row in connection.execute(query)]
