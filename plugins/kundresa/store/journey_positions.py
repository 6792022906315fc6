"""Where people are in journeys: read for an advance, for a report, and to explain."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, func, literal, select, tuple_

from kundresa.spec.events import PropertyKind
from kundresa.spec.keys import as_test
from kundresa.store.bulk import among
from kundresa.store.engine import Database
from kundresa.store.journey_counts import Passages, StepCount, passages_in, skips_in, steps_in
from kundresa.store.journey_records import MoveRow, Position
from kundresa.store.journey_tables import journey_moves, journey_test_traits, journey_traits
from kundresa.store.journey_tables import journey_positions as table

POSITION = tuple(table.c[each.name] for each in fields(Position))


class JourneyPositions:
    """The tables ``journey_positions``, ``journey_moves``, ``journey_passages``, ``journey_traits`` and
    ``journey_skips``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def due(self, journey: str, now: datetime, limit: int) -> list[Position]:
        """Who is due, the longest first."""
        is_due = (table.c.journey == journey, table.c.due_at <= now)
        query = select(*POSITION).where(*is_due).order_by(table.c.due_at).limit(limit)
        with self._database.read() as connection:
            return [position_of(row) for row in connection.execute(query)]

    def next_due(self, journey: str) -> datetime | None:
        """When the next person is due; None when nobody waits for a time."""
        query = select(func.min(table.c.due_at)).where(
            table.c.journey == journey, table.c.due_at.is_not(None)
        )
        with self._database.read() as connection:
            found: datetime | None = connection.execute(query).scalar_one()
            return found

    def of(self, journey: str, profile_ids: Collection[str]) -> list[Position]:
        """All positions of these people, those that ended among them."""
        return self._where(journey, among(self._database, table.c.profile_id, profile_ids))

    def _where(self, journey: str, which: ColumnElement[bool]) -> list[Position]:
        query = select(*POSITION).where(table.c.journey == journey, which)
        with self._database.read() as connection:
            return [position_of(row) for row in connection.execute(query)]

    def traits(
        self, profile_ids: Collection[str], names: Collection[str], *, journey: str | None = None
    ) -> dict[str, dict[str, Any]]:
        """The traits that journeys have set: profile_id → name → value. Who has none is left out.

        Args:
            journey: who asks; a test knows those that it has set itself, too.
        """
        found: dict[str, dict[str, Any]] = {}
        if not names:
            return found
        queries = [_traits(journey_traits, self._database, profile_ids, names)]
        if journey is not None and as_test(journey):
            own = _traits(journey_test_traits, self._database, profile_ids, names)
            queries.append(own.where(journey_test_traits.c.test == journey))
        with self._database.read() as connection:
            for query in queries:
                for row in connection.execute(query):
                    found.setdefault(row.profile_id, {})[row.trait] = json.loads(row.value_json)
        return found

    def trait_rows(self, chunk: int = 5_000) -> Iterator[dict[str, Any]]:
        """Every trait that a journey has set, by person and name, as dicts with ``profile_id``, ``trait``,
        ``value`` as text, ``value_type``, ``journey`` and ``set_at``; read in pages. One that was set to
        nothing has neither value nor type."""
        key = (journey_traits.c.profile_id, journey_traits.c.trait)
        last = ("", "")
        while True:
            beyond = tuple_(*key) > tuple_(*map(literal, last))
            query = select(journey_traits).where(beyond).order_by(*key).limit(chunk)
            with self._database.read() as connection:
                page = [dict(row._mapping) for row in connection.execute(query)]
            for row in page:
                row["value"], row["value_type"] = _as_text(json.loads(row.pop("value_json")))
            yield from page
            if len(page) < chunk:
                return
            last = (page[-1]["profile_id"], page[-1]["trait"])

    def counts(self, journey: str) -> list[StepCount]:
        """How many are where, by version and step, then how many have ended. It reads every position."""
        with self._database.snapshot() as connection:
            inside = steps_in(connection, journey, is_over=False)
            return [*inside, *steps_in(connection, journey, is_over=True)]

    def passages(self, journey: str) -> Passages:
        """How many entries have come where so far."""
        with self._database.read() as connection:
            return passages_in(connection, journey)

    def skips(self, journey: str) -> Mapping[str, int]:
        """What let nobody in: reason → how many."""
        with self._database.read() as connection:
            return skips_in(connection, journey)

    def moves(self, journey: str, profile_id: str) -> Sequence[MoveRow]:
        """Everything that happened to one person, in order."""
        columns = [journey_moves.c[each.name] for each in fields(MoveRow)]
        query = select(*columns).where(
            journey_moves.c.journey == journey, journey_moves.c.profile_id == profile_id
        )
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(journey_moves.c.number))
            return [MoveRow(**row._mapping) for row in rows]


def _traits(
    of: Table, database: Database, profile_ids: Collection[str], names: Collection[str]
) -> Select[Any]:
    return select(of.c.profile_id, of.c.trait, of.c.value_json).where(
        among(database, of.c.profile_id, profile_ids), of.c.trait.in_(sorted(names))
    )


def _as_text(value: Any) -> tuple[str | None, str | None]:
    """A trait's value, and what kind it is of: a list as JSON, so is a truth or a number."""
    match value:
        case None:
            return None, None
        case str():
            return value, PropertyKind.TEXT.value
        case bool():
            kind = PropertyKind.TRUTH
        case int():
            kind = PropertyKind.WHOLE
        case float():
            kind = PropertyKind.NUMBER
        case _:
            kind = PropertyKind.TEXTS
    return json.dumps(value, ensure_ascii=False), kind.value


def position_of(row: Any) -> Position:
    return Position(*row)
