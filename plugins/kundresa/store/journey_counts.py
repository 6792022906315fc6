"""What a journey comes to in numbers: where its people are, where they came, what became of what they got.

They are counted in indexes that hold nothing else: ten million people inside take about a second. For people
who ask, not for a loop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection, Table, func, select, update

from kundresa.spec.journey_outcomes import DELAYED, SENT
from kundresa.spec.journey_steps import END
from kundresa.store.engine import Database
from kundresa.store.journey_records import ENTERED
from kundresa.store.journey_tables import (
    journey_calls,
    journey_messages,
    journey_passages,
    journey_positions,
    journey_skips,
)

Outcomes = list[tuple[str, str | None, str | None, int]]
"""Step, outcome (None while under way), reason, and how many."""
Passages = Mapping[tuple[str, str], int]
"""(Step, end reason) → entries that have come there so far: ``ENTERED`` and ``END`` among the steps, and only
the latter with a reason."""


@dataclass(frozen=True, slots=True)
class StepCount:
    """How many are at a step now, by version; with ``step`` None how many ended for a reason."""

    version: int
    step: str | None
    end_reason: str | None
    people: int
    since: datetime
    """When the first of them came there."""


@dataclass(frozen=True, slots=True)
class JourneyCounts:
    """One journey in numbers, all of one moment."""

    steps: Sequence[StepCount]
    """Of those inside."""
    passages: Passages
    messages: Outcomes
    calls: Outcomes
    skips: Mapping[str, int]
    """What let nobody in: reason → how many."""


@dataclass(frozen=True, slots=True)
class JourneyTotals:
    """One journey in a line, all of one moment."""

    entered: int = 0
    left: int = 0
    inside: int = 0
    waiting_since: datetime | None = None
    """When the one of them who is the longest at their step came to it; None: nobody is inside."""
    messages: int = 0
    """That somebody has come to."""
    sent: int = 0


class CountedJourneys:
    """Reads the tables of journeys as they are at one moment: nothing moves between two counts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, journey: str) -> JourneyCounts:
        """Everything about one journey; empty for one that was never started."""
        with self._database.snapshot() as connection:
            return JourneyCounts(
                steps=steps_in(connection, journey, is_over=False),
                passages=passages_in(connection, journey),
                messages=outcomes_in(connection, journey_messages, journey),
                calls=outcomes_in(connection, journey_calls, journey),
                skips=skips_in(connection, journey),
            )

    def totals(self) -> Mapping[str, JourneyTotals]:
        """All journeys, a line for each that anything has happened in."""
        at, sent = journey_positions, journey_messages
        inside = select(at.c.journey, func.count(), func.min(at.c.step_at)).where(at.c.step.is_not(None))
        # By step as well, which is the order of the index: without, all lines would be sorted.
        keys = (sent.c.journey, sent.c.step, sent.c.outcome)
        messages = select(*keys, func.count()).group_by(*keys)
        with self._database.snapshot() as connection:
            people: dict[str, tuple[int, datetime | None]] = {}
            for row in connection.execute(inside.group_by(at.c.journey)):
                people[row.journey] = (int(row[1]), row[2])
            told = connection.execute(messages).all()
            passed = connection.execute(select(journey_passages)).all()
        found = {}
        for name in sorted({*people, *(row.journey for row in told), *(row.journey for row in passed)}):
            ways = [row for row in passed if row.journey == name]
            own = [(row.outcome, int(row[3])) for row in told if row.journey == name]
            count, since = people.get(name, (0, None))
            found[name] = JourneyTotals(
                entered=sum(int(row.entries) for row in ways if row.step == ENTERED),
                left=sum(int(row.entries) for row in ways if row.step == END),
                inside=count,
                waiting_since=since,
                messages=sum(each for _, each in own),
                sent=sum(each for outcome, each in own if outcome in (SENT, DELAYED)),
            )
        return found


def steps_in(connection: Connection, journey: str, *, is_over: bool) -> list[StepCount]:
    """How many are where, by version and step; where ``is_over``, how many ended for what reason, which reads
    every position."""
    at = journey_positions.c
    keys = (at.version, at.end_reason) if is_over else (at.version, at.step)
    counted = select(*keys, func.count(), func.min(at.step_at)).where(
        at.journey == journey, at.step.is_(None) if is_over else at.step.is_not(None)
    )
    rows = connection.execute(counted.group_by(*keys).order_by(*keys)).all()
    return [
        StepCount(row[0], None if is_over else row[1], row[1] if is_over else None, int(row[2]), row[3])
        for row in rows
    ]


def outcomes_in(connection: Connection, table: Table, journey: str) -> Outcomes:
    """What became of the messages, or calls, of a journey."""
    keys = (table.c.step, table.c.outcome, table.c.reason)
    query = select(*keys, func.count()).where(table.c.journey == journey).group_by(*keys).order_by(*keys)
    return [(row[0], row[1], row[2], int(row[3])) for row in connection.execute(query)]


def passages_in(connection: Connection, journey: str) -> Passages:
    """How many entries have come where."""
    query = select(journey_passages).where(journey_passages.c.journey == journey)
    return {(row.step, row.end_reason): int(row.entries) for row in connection.execute(query)}


def skips_in(connection: Connection, journey: str) -> Mapping[str, int]:
    """What let nobody in: reason → how many."""
    query = select(journey_skips).where(journey_skips.c.journey == journey)
    return {row.reason: int(row.events) for row in connection.execute(query)}


def add_count(
    database: Database,
    connection: Connection,
    counter: Column[Any],
    key: Mapping[str, str],
    count: int,
    *,
    at: datetime,
) -> None:
    """Add to one row of a table that counts."""
    table = counter.table
    connection.execute(database.insert_new(table), {**key, counter.name: 0, "last_at": at})
    connection.execute(
        update(table)
        .where(*(table.c[name] == value for name, value in key.items()))
        .values({counter.name: counter + count, "last_at": at})
    )
