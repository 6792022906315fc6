"""Tests of journeys: each a journey of its own, beside the one that it is of."""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, select, update

from kundresa.spec.frozen import FrozenSpec
from kundresa.spec.keys import as_test, name_of_test
from kundresa.store.engine import Database
from kundresa.store.errors import JourneyTestUnderWay
from kundresa.store.journey_records import JourneyTest
from kundresa.store.journey_starts import begin
from kundresa.store.journey_tables import journey_test_traits
from kundresa.store.journey_tables import journey_tests as table

MOST_FAILURE = 1_000
"""Characters of what went wrong in a test that are kept."""
AFTER_FAILURE, AFTER_MANY = timedelta(minutes=1), timedelta(minutes=15)
"""So long a test is left alone after something went wrong in it: twice as long each time that nothing else
has happened, up to the second."""


class JourneyTests:
    """The table ``journey_tests``. How one ends says :meth:`kundresa.store.journeys.Journeys.stop`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(
        self,
        journey: str,
        people: Collection[str],
        spec: FrozenSpec,
        *,
        longest_wait: timedelta,
        cursor: str,
        at: datetime,
    ) -> JourneyTest:
        """Begin a test: a journey that runs from now on, and lets in nobody but these people.

        Args:
            people: profile ids.
            longest_wait: whole seconds.
            cursor: where to begin in ``segment_changes``.

        Raises:
            JourneyTestUnderWay: when one of the journey is not over.
        """
        own = table.c.journey == journey
        with self._database.write() as connection:
            last: int = connection.execute(
                select(func.coalesce(func.max(table.c.number), 0)).where(own)
            ).scalar_one()
            known = connection.execute(select(table).where(own, table.c.ended_at.is_(None))).first()
            made = JourneyTest(journey, last + 1, name_of_test(journey, last + 1), frozenset(people), at)
            row = {
                "journey": journey,
                "number": made.number,
                "test": made.test,
                "people_json": json.dumps(sorted(people)),
                "began_at": at,
            }
            # Of two at the same moment the second waits here for the first.
            new = self._database.insert_new(table).returning(table.c.number)
            if known is not None or connection.execute(new, row).first() is None:
                raise JourneyTestUnderWay(journey)
            begin(
                connection,
                made.test,
                spec,
                cursor=cursor,
                at=at,
                longest_wait=int(longest_wait.total_seconds()),
            )
        return made

    def under_way(self, journey: str | None = None) -> list[JourneyTest]:
        """Those that are not over, of one journey, at most one, or of all."""
        query = select(table).where(table.c.ended_at.is_(None)).order_by(table.c.journey)
        return self._found(query if journey is None else query.where(table.c.journey == journey))

    def latest(self, journey: str) -> JourneyTest | None:
        """The one that is under way, or the last that was; None when there was none."""
        query = select(table).where(table.c.journey == journey).order_by(table.c.number.desc()).limit(1)
        return next(iter(self._found(query)), None)

    def get(self, test: str) -> JourneyTest | None:
        """A test by its own name; None for a journey that is none."""
        known = as_test(test)
        if known is None:
            return None
        query = select(table).where(table.c.journey == known[0], table.c.number == known[1])
        return next(iter(self._found(query)), None)

    def failed(self, test: str, failure: str, *, at: datetime) -> None:
        """Keep what went wrong in running a test, in words, of which :data:`MOST_FAILURE` characters stay,
        and until when it is left alone; a journey that is none keeps nothing."""
        known = as_test(test)
        if known is None:
            return
        own = (table.c.journey == known[0], table.c.number == known[1])
        with self._database.write() as connection:
            last = connection.execute(select(table.c.failed_at, table.c.again_at).where(*own)).first()
            pause = AFTER_FAILURE
            if last is not None and last.again_at is not None:
                pause = min(2 * (last.again_at - last.failed_at), AFTER_MANY)
            values = {"failed_at": at, "failure": failure[:MOST_FAILURE], "again_at": at + pause}
            connection.execute(update(table).where(*own).values(values))

    def try_again(self, test: JourneyTest) -> None:
        """Leave a test alone no longer: nothing has gone wrong any more, or something may be another now."""
        if test.again_at is not None:
            own = (table.c.journey == test.journey, table.c.number == test.number)
            with self._database.write() as connection:
                connection.execute(update(table).where(*own).values(again_at=None))

    def _found(self, query: Select[Any]) -> list[JourneyTest]:
        with self._database.read() as connection:
            return [_test(row) for row in connection.execute(query)]


def end_test(connection: Connection, test: str, at: datetime) -> None:
    """Within the transaction that lets everybody out: it is over, and the traits that it has set are gone. A
    journey that is none is left alone."""
    known = as_test(test)
    if known is None:
        return
    connection.execute(
        update(table)
        .where(table.c.journey == known[0], table.c.number == known[1], table.c.ended_at.is_(None))
        .values(ended_at=at, again_at=None)
    )
    connection.execute(delete(journey_test_traits).where(journey_test_traits.c.test == test))


def _test(row: Row[Any]) -> JourneyTest:
    return JourneyTest(
        row.journey,
        row.number,
        row.test,
        frozenset(json.loads(row.people_json)),
        row.began_at,
        row.ended_at,
        row.failed_at,
        row.failure,
        row.again_at,
    )
