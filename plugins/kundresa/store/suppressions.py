"""Suppressions: addresses that must not be used, whatever else is true."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update

from kundresa.store.bulk import among
from kundresa.store.engine import Database
from kundresa.store.records import Suppression
from kundresa.store.tables import suppressions

_ACTIVE = suppressions.c.lifted_at.is_(None)


class Suppressions:
    """The table ``suppressions``: at most one active row per channel and address; lifted ones stay."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self, *, channel: str, address: str, reason: str, source: str, recorded_at: datetime
    ) -> Suppression:
        """Suppress an address; when it is already, the earlier suppression stays and is returned."""
        row = {
            "channel": channel,
            "address": address,
            "reason": reason,
            "source": source,
            "recorded_at": recorded_at,
        }
        with self._database.write() as connection:
            connection.execute(self._database.insert_new(suppressions), row)
            query = select(suppressions).where(
                suppressions.c.channel == channel, suppressions.c.address == address, _ACTIVE
            )
            return Suppression(**connection.execute(query).one()._mapping)

    def add_many(
        self, *, channel: str, reasons: Mapping[str, str], source: str, recorded_at: datetime
    ) -> None:
        """Suppress addresses in one transaction; ``reasons`` is address → reason. Those that are already
        suppressed keep their earlier reason."""
        rows = [
            {
                "channel": channel,
                "address": address,
                "reason": reason,
                "source": source,
                "recorded_at": recorded_at,
            }
            for address, reason in reasons.items()
        ]
        if rows:
            with self._database.write() as connection:
                connection.execute(self._database.insert_new(suppressions), rows)

    def lift(self, *, channel: str, address: str, at: datetime) -> bool:
        """Allow the address again. False when it was not suppressed."""
        with self._database.write() as connection:
            return _lift(connection, channel, address, at) == 1

    def follow(
        self,
        *,
        channel: str,
        address: str,
        reason: str,
        source: str,
        changed_at: datetime,
        recorded_at: datetime,
    ) -> None:
        """Suppress an address as another list does since ``changed_at``, which may be told late: nothing when
        :meth:`unfollow` has followed a later change of that list. An earlier suppression stays."""
        row = {"channel": channel, "address": address, "reason": reason, "source": source}
        later = select(suppressions.c.suppression_id).where(
            *(suppressions.c[name] == value for name, value in row.items()),
            suppressions.c.lifted_at >= changed_at,
        )
        with self._database.write() as connection:
            if connection.execute(later.limit(1)).first() is None:
                row_at = {**row, "recorded_at": recorded_at}
                connection.execute(self._database.insert_new(suppressions), row_at)

    def unfollow(
        self,
        *,
        channel: str,
        address: str,
        reason: str,
        source: str,
        changed_at: datetime,
        lifted_at: datetime,
    ) -> bool:
        """Allow an address again that is suppressed for this reason, by this source, since ``changed_at`` or
        earlier. False, and nothing, when it is not: for another reason, by somebody else, or anew."""
        row = {"channel": channel, "address": address, "reason": reason, "source": source}
        lifted = update(suppressions).where(
            *(suppressions.c[name] == value for name, value in row.items()),
            suppressions.c.recorded_at <= changed_at,
            _ACTIVE,
        )
        with self._database.write() as connection:
            return connection.execute(lifted.values(lifted_at=lifted_at)).rowcount == 1

    def active(self, *, channel: str, addresses: Sequence[str]) -> dict[str, str]:
        """Of these addresses, those suppressed now: address → reason. One query for a few thousand."""
        query = select(suppressions.c.address, suppressions.c.reason).where(
            suppressions.c.channel == channel,
            among(self._database, suppressions.c.address, addresses),
            _ACTIVE,
        )
        with self._database.read() as connection:
            return {row.address: row.reason for row in connection.execute(query)}

    def all_since(self, since: datetime, *, channel: str) -> dict[str, str]:
        """What was suppressed since then, lifted or not: address → reason, the latest one's."""
        query = (
            select(suppressions.c.address, suppressions.c.reason)
            .where(suppressions.c.channel == channel, suppressions.c.recorded_at >= since)
            .order_by(suppressions.c.suppression_id)
        )
        with self._database.read() as connection:
            return {row.address: row.reason for row in connection.execute(query)}

    def rows(self, chunk: int = 5_000) -> Iterator[dict[str, Any]]:
        """The active suppressions as dicts with the fields of ``Suppression``, by id; read in pages."""
        last = 0
        key = suppressions.c.suppression_id
        while True:
            query = select(suppressions).where(_ACTIVE, key > last).order_by(key).limit(chunk)
            with self._database.read() as connection:
                page = [dict(row._mapping) for row in connection.execute(query)]
            yield from page
            if len(page) < chunk:
                return
            last = page[-1]["suppression_id"]


def _lift(connection: Connection, channel: str, address: str, at: datetime) -> int:
    lifted = update(suppressions).where(
        suppressions.c.channel == channel, suppressions.c.address == address, _ACTIVE
    )
    return connection.execute(lifted.values(lifted_at=at)).rowcount
