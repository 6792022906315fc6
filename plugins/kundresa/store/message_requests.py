"""What callers have asked to be sent: each request once, and whom it has let into which journey."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, select

from kundresa.store.bulk import among
from kundresa.store.engine import Database
from kundresa.store.journey_tables import message_requests as table


@dataclass(frozen=True, slots=True)
class MessageRequest:
    """One request. The person is in the journey under the instance key ``request_id``."""

    request_id: str
    caller: str
    given_id: str
    """The caller's own id of it."""
    content_hash: str
    """Of all that was asked for: the same id with another content is another request, and is refused."""
    journey: str
    profile_id: str
    channel: str | None
    address: str | None
    """Where messages on ``channel`` go, whatever is published; None: where the person is published."""
    requested_at: datetime


_COLUMNS = tuple(each.name for each in fields(MessageRequest))


class MessageRequests:
    """The table ``message_requests``; ``Journeys.enter`` writes it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, request_ids: Collection[str]) -> dict[str, MessageRequest]:
        """Those of these that were taken, by id."""
        return self._where(among(self._database, table.c.request_id, request_ids))

    def addressed(self, request_ids: Collection[str]) -> dict[str, MessageRequest]:
        """Of these, those that say where their messages go, by id; ids of anything else are left out."""
        own = among(self._database, table.c.request_id, request_ids)
        return self._where(own & table.c.address.is_not(None))

    def _where(self, which: ColumnElement[bool]) -> dict[str, MessageRequest]:
        with self._database.read() as connection:
            rows = connection.execute(select(table).where(which)).all()
        return {row.request_id: MessageRequest(**row._mapping) for row in rows}


def take_new(database: Database, connection: Connection, request: MessageRequest) -> bool:
    """Within a transaction: note a request; False when it is there already."""
    row = {name: getattr(request, name) for name in _COLUMNS}
    new = database.insert_new(table).returning(table.c.request_id)
    return connection.execute(new, row).first() is not None
