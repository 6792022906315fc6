"""Retention: what may be forgotten, removed a little at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime

from sqlalchemy import Connection, Delete, Table, and_, delete, exists, select, tuple_

from kundresa.store.bulk import among
from kundresa.store.engine import Database
from kundresa.store.inbox_tables import events, feedback, soft_refusals
from kundresa.store.journey_early_events import remove_early
from kundresa.store.journey_messages import OVER
from kundresa.store.journey_tables import (
    journey_calls,
    journey_moves,
    journey_positions,
    journey_readings,
    journey_traits,
    journeys,
    message_requests,
)
from kundresa.store.locks import hold_rows
from kundresa.store.tables import attempts, print_rows, runs

CHUNK = 1_000
"""Rows per transaction: ~10 ms of SQLite's one write lock, so that deliveries go on beside it."""


class Retention:
    """Removes what is old and not part of the account.

    Removed: attempts that ended before the given time and were followed by another one, events, feedback and
    soft refusals of before it, how people moved through journeys, and the rows of print files of closed runs.
    They are the tables that grow by more than one row per message, or name addresses. Beside them traits that
    journeys have set for people who are nobody any more.

    Kept: ``messages`` (the account: one line each, with the last attempt's code and detail), ``runs``
    and ``batches`` (few), ``opt_outs``, ``opt_ins`` and ``suppressions`` (an answer has no age).
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def apply(
        self,
        before: datetime,
        *,
        chunk: int = CHUNK,
        progress: Callable[[int], None] | None = None,
    ) -> int:
        """Remove what ended before ``before``, in transactions of at most ``chunk`` rows.

        Returns how many rows went. Interrupted, it has removed some; run it again. ``progress`` is told
        the rows of each chunk.

        Raises:
            StoreUnavailable: when the database is locked for too long.
        """
        key = tuple_(attempts.c.message_id, attempts.c.attempt)
        old = (
            select(attempts.c.message_id, attempts.c.attempt)
            .where(attempts.c.settled_at < before)
            .order_by(attempts.c.settled_at)
            .limit(chunk)
        )
        return self._delete(delete(attempts).where(key.in_(old)), chunk, progress)

    def forget_print_rows(self, *, chunk: int = CHUNK) -> int:
        """Remove the rows of print files of closed runs, in which nothing leaves; returns how many."""
        is_over = select(runs.c.run_key).where(runs.c.closed_at.is_not(None))
        old = (
            select(print_rows.c.message_id)
            .where(print_rows.c.run_key.in_(is_over))
            .order_by(print_rows.c.message_id)
            .limit(chunk)
            .with_for_update()  # in their order: see ``locks``
        )
        return self._delete(delete(print_rows).where(print_rows.c.message_id.in_(old)), chunk)

    def forget_events(self, before: datetime, *, chunk: int = CHUNK) -> int:
        """Remove the events that were received before ``before``; returns how many. Their positions are not
        given again, but an event that is sent once more afterwards is new."""
        return self._forget(events, before, chunk)

    def forget_feedback(self, before: datetime, *, chunk: int = CHUNK) -> int:
        """Remove the feedback that was received before ``before``; returns how many. What followed from it, a
        suppression or an opt-out, stays."""
        return self._forget(feedback, before, chunk)

    def forget_refusals(self, before: datetime, *, chunk: int = CHUNK) -> int:
        """Remove the soft refusals of before ``before``; returns how many."""
        columns = (soft_refusals.c.channel, soft_refusals.c.address, soft_refusals.c.message_id)
        key = tuple_(*columns)
        oldest = (
            select(*columns)
            .where(soft_refusals.c.refused_at < before)
            .order_by(soft_refusals.c.refused_at)
            .limit(chunk)
        )
        # In the order of their keys, in which others hold them: see ``locks``.
        old = select(*columns).where(key.in_(oldest)).order_by(*columns).with_for_update()
        return self._delete(delete(soft_refusals).where(key.in_(old)), chunk)

    def forget_moves(self, before: datetime, *, chunk: int = CHUNK) -> int:
        """Remove what is told of how people moved through journeys before ``before``; returns how many rows.
        Where they are, and what became of their messages, stays."""
        first = select(journey_moves.c.number, journey_moves.c.moved_at).order_by(journey_moves.c.number)

        def remove(connection: Connection) -> int:
            # By number: an index by time would be written with every move.
            page = connection.execute(first.limit(chunk)).all()
            old = [row.number for row in page if row.moved_at < before]
            if old:
                gone = (journey_moves.c.number <= max(old), journey_moves.c.moved_at < before)
                connection.execute(delete(journey_moves).where(*gone))
            return len(old)

        return self._in_chunks(remove, chunk)

    def forget_positions(self, journey: str, before: datetime, *, chunk: int = CHUNK) -> int:
        """Remove the people whose last entry into a journey ended before ``before``; returns how many. As far
        as the journey knows, they were never in it."""
        key = tuple_(journey_positions.c.profile_id, journey_positions.c.instance_key)
        of_journey = journey_positions.c.journey == journey
        old = (
            select(journey_positions.c.profile_id, journey_positions.c.instance_key)
            .where(of_journey, journey_positions.c.step.is_(None), journey_positions.c.ended_at < before)
            .limit(chunk)
        )
        gone = delete(journey_positions).where(of_journey, key.in_(old))

        def remove(connection: Connection) -> int:
            # Somebody may enter anew in an advance at this moment: whoever writes positions has the journey.
            hold_rows(connection, journeys, journeys.c.journey == journey)
            return connection.execute(gone).rowcount

        return self._in_chunks(remove, chunk)

    def forget_calls(self, before: datetime, *, chunk: int = CHUNK) -> int:
        """Remove the calls that were answered, or given up, before ``before``; returns how many. What they
        told stays with who is inside."""
        is_old = (journey_calls.c.settled_at < before, journey_calls.c.state == OVER)
        old = select(journey_calls.c.call_id).where(*is_old).limit(chunk)
        return self._delete(delete(journey_calls).where(journey_calls.c.call_id.in_(old)), chunk)

    def forget_readings(self, before: datetime, *, chunk: int = CHUNK) -> int:
        """Remove the readings of an audience that were over before ``before``; returns how many."""
        key = tuple_(journey_readings.c.journey, journey_readings.c.number)
        old = (
            select(journey_readings.c.journey, journey_readings.c.number)
            .where(journey_readings.c.ended_at < before)
            .order_by(journey_readings.c.ended_at)
            .limit(chunk)
        )
        return self._delete(delete(journey_readings).where(key.in_(old)), chunk)

    def forget_early_events(self, journey: str, before: datetime, *, chunk: int = CHUNK) -> int:
        """Remove what a journey has kept for late entries and happened before ``before``; returns how many
        events. One that runs removes them itself; one that is paused may still need those that the inbox
        has."""
        return self._in_chunks(lambda connection: remove_early(connection, journey, before, chunk), chunk)

    def forget_traits(
        self, before: datetime, known: Callable[[Collection[str]], Collection[str]], *, chunk: int = CHUNK
    ) -> int:
        """Remove the traits that journeys have set before ``before`` for people who are nobody any more;
        returns how many. Of everybody else they hold, however old.

        Args:
            known: profile ids → those of them that somebody goes by, or went by. It is asked outside of any
                transaction, about at most ``chunk`` at once.
        """
        table = journey_traits
        query = select(table.c.profile_id).where(table.c.set_at < before).distinct()
        last, total = "", 0
        while True:
            page = query.where(table.c.profile_id > last).order_by(table.c.profile_id).limit(chunk)
            with self._database.read() as connection:
                ids = [*connection.execute(page).scalars()]
            gone = {*ids}.difference(known(ids)) if ids else set()
            if gone:
                old = and_(table.c.set_at < before, among(self._database, table.c.profile_id, gone))
                with self._database.write() as connection:
                    hold_rows(connection, table, old)
                    total += connection.execute(delete(table).where(old)).rowcount
            if len(ids) < chunk:
                return total
            last = ids[-1]

    def forget_requests(self, before: datetime, *, chunk: int = CHUNK) -> int:
        """Remove the requests for messages that were made before ``before``, and where they had led their
        people, once that is over; returns how many requests. What became of the messages stays; the same
        request made once more is a new one."""
        inside = exists().where(
            journey_positions.c.journey == message_requests.c.journey,
            journey_positions.c.profile_id == message_requests.c.profile_id,
            journey_positions.c.instance_key == message_requests.c.request_id,
            journey_positions.c.step.is_not(None),
        )
        columns = (message_requests.c.journey, message_requests.c.profile_id, message_requests.c.request_id)
        old = select(*columns).where(message_requests.c.requested_at < before, ~inside).limit(chunk)
        position = tuple_(
            journey_positions.c.journey, journey_positions.c.profile_id, journey_positions.c.instance_key
        )

        def remove(connection: Connection) -> int:
            # Who merges people writes requests and positions as well, and has the journey: see ``locks``.
            held = {row.journey for row in connection.execute(old)}
            hold_rows(connection, journeys, journeys.c.journey.in_(held))
            found = [tuple(row) for row in connection.execute(old) if row.journey in held]
            if found:
                connection.execute(delete(journey_positions).where(position.in_(found)))
                ids = [request_id for _, _, request_id in found]
                connection.execute(delete(message_requests).where(message_requests.c.request_id.in_(ids)))
            return len(found)

        return self._in_chunks(remove, chunk)

    def _forget(self, table: Table, before: datetime, chunk: int) -> int:
        old = (
            select(table.c.position)
            .where(table.c.received_at < before)
            .order_by(table.c.received_at)
            .limit(chunk)
        )
        return self._delete(delete(table).where(table.c.position.in_(old)), chunk)

    def _delete(self, some: Delete, chunk: int, progress: Callable[[int], None] | None = None) -> int:
        """What a statement removes that removes at most ``chunk`` rows, until there are none."""
        return self._in_chunks(lambda connection: connection.execute(some).rowcount, chunk, progress)

    def _in_chunks(
        self, remove: Callable[[Connection], int], chunk: int, progress: Callable[[int], None] | None = None
    ) -> int:
        """Each in a transaction of its own; returns how many in all."""
        total = 0
        while True:
            with self._database.write() as connection:
                removed = remove(connection)
            total += removed
            if progress is not None and removed:
                progress(removed)
            if removed < chunk:
                return total
