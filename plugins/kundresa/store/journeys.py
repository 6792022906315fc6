"""Journeys: started, paused and stopped; their versions; and the one transaction of an advance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import (
    Connection,
    Row,
    and_,
    delete,
    insert,
    select,
    update,
)

from kundresa.spec.frozen import FrozenSpec
from kundresa.spec.journey_steps import END
from kundresa.spec.keys import as_test
from kundresa.spec.vocabulary import JourneyEnd, JourneyState
from kundresa.store.engine import Database
from kundresa.store.errors import JourneyMoved, JourneyNotFound, JourneyStopped
from kundresa.store.inbox import end_of, take_turns
from kundresa.store.inbox_tables import events
from kundresa.store.journey_calls import not_called
from kundresa.store.journey_early_events import keep_early
from kundresa.store.journey_messages import OPEN, not_sent
from kundresa.store.journey_records import (
    Advance,
    JourneyRow,
    JourneyVersion,
    UnreadReactions,
)
from kundresa.store.journey_starts import begin, left_out, row_of
from kundresa.store.journey_tables import (
    journey_calls,
    journey_early_events,
    journey_messages,
    journey_positions,
    journey_readings,
    journey_versions,
    journeys,
)
from kundresa.store.journey_tests import end_test
from kundresa.store.journey_writes import JourneyWrites
from kundresa.store.locks import hold_rows
from kundresa.store.message_requests import MessageRequest, take_new


class Journeys:
    """The tables ``journeys`` and ``journey_versions``, and the writes of an advance."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def start(self, journey: str, spec: FrozenSpec, *, cursor: str, at: datetime) -> JourneyRow:
        """Let a journey run: for the first time, after a pause, or with another version for who enters from
        now on. Repeated with the same spec, nothing changes.

        Only what happens from the first start on counts. After a pause that discards, what nobody has acted
        on by now is left out: events, changes of segments, and reactions.

        Args:
            cursor: where to begin in ``segment_changes`` when nothing was read yet, or is to be left out.

        Raises:
            JourneyStopped: when it was stopped for good.
        """
        with self._database.write() as connection:
            known = _get(connection, journey, lock=True)
            if known is None:
                return begin(connection, journey, spec, cursor=cursor, at=at)
            if known.state is JourneyState.STOPPED:
                raise JourneyStopped(f"journey {journey} is stopped for good; start it under another name")
            values: dict[str, object] = {}
            if known.state is not JourneyState.RUNNING:
                values["state"] = JourneyState.RUNNING.value
            if known.state is JourneyState.DISCARDING:
                values |= left_out(connection, known, cursor)
            if _hash(connection, journey, known.version) != spec.hash:
                values["version"] = known.version + 1
                position = end_of(connection, events)
                version = JourneyVersion(journey, known.version + 1, spec.json, spec.hash, at, position)
                connection.execute(insert(journey_versions), row_of(version))
            if values:
                _change(connection, journey, at=at, **values)
            return _require(connection, journey)

    def pause(self, journey: str, state: JourneyState, *, cursor: str, at: datetime) -> JourneyRow:
        """Let nothing move until it is started again, in a state ``held`` or ``discarding``. What has been
        discarded by then stays so where it is held from now on.

        Args:
            cursor: where to begin in ``segment_changes`` when what was not read is to be left out.

        Raises:
            JourneyNotFound, JourneyStopped: when there is nothing to pause.
        """
        with self._database.write() as connection:
            known = _require(connection, journey, lock=True)
            if known.state is JourneyState.STOPPED:
                raise JourneyStopped(f"journey {journey} is stopped for good")
            is_over = known.state is JourneyState.DISCARDING and state is not known.state
            values = left_out(connection, known, cursor) if is_over else {}
            _change(connection, journey, at=at, state=state.value, **values)
            return _require(connection, journey)

    def stop(self, journey: str, *, at: datetime) -> int:
        """End it for good: everybody inside leaves, nobody's turn comes any more, and messages that have no
        batch yet are not sent. A test is over by it, and has a reason of its own for who was inside.

        Returns how many were inside.

        Raises:
            JourneyNotFound: when it was never started.
        """
        inside = (journey_positions.c.journey == journey, journey_positions.c.step.is_not(None))
        reason = (JourneyEnd.TEST_ENDED if as_test(journey) else JourneyEnd.STOPPED).value
        with self._database.write() as connection:
            _require(connection, journey, lock=True)
            _change(connection, journey, at=at, state=JourneyState.STOPPED.value)
            for table in (journey_messages, journey_calls):
                hold_rows(connection, table, and_(table.c.journey == journey, table.c.state == OPEN))
            left = connection.execute(
                update(journey_positions)
                .where(*inside)
                .values(step=None, due_at=None, ended_at=at, end_reason=reason, heard_json=None)
            ).rowcount
            if left:
                JourneyWrites(self._database, connection, journey, at).passages({(END, reason): left})
            connection.execute(
                update(journey_messages)
                .where(journey_messages.c.journey == journey, journey_messages.c.state == OPEN)
                .values(not_sent(at))
            )
            connection.execute(
                update(journey_calls)
                .where(journey_calls.c.journey == journey, journey_calls.c.state == OPEN)
                .values(not_called(at))
            )
            connection.execute(
                update(journey_readings)
                .where(journey_readings.c.journey == journey, journey_readings.c.ended_at.is_(None))
                .values(ended_at=at)
            )
            connection.execute(delete(journey_early_events).where(journey_early_events.c.journey == journey))
            end_test(connection, journey, at)
        return left

    def all(self, *, with_tests: bool = False) -> list[JourneyRow]:
        """Every journey that was ever started, by name; and every test, where they are asked for."""
        with self._database.read() as connection:
            rows = connection.execute(select(journeys).order_by(journeys.c.journey))
            found = [_journey(row) for row in rows]
        return [each for each in found if with_tests or as_test(each.journey) is None]

    def get(self, journey: str) -> JourneyRow | None:
        """The journey; None when it was never started."""
        with self._database.read() as connection:
            return _get(connection, journey)

    def require(self, journey: str) -> JourneyRow:
        """The journey.

        Raises:
            JourneyNotFound: when it was never started.
        """
        with self._database.read() as connection:
            return _require(connection, journey)

    def versions(self, journey: str, numbers: Iterable[int] | None = None) -> list[JourneyVersion]:
        """Its versions in order; only some where numbers are given."""
        query = select(journey_versions).where(journey_versions.c.journey == journey)
        if numbers is not None:
            query = query.where(journey_versions.c.version.in_(sorted(numbers)))
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(journey_versions.c.version))
            return [JourneyVersion(**row._mapping) for row in rows]

    def commit(self, journey: str, generation: int, advance: Advance, *, at: datetime) -> None:
        """Write everything that an advance comes to: positions, moves, messages, and how far was read.

        Raises:
            JourneyMoved: when the journey is not as it was read, or does not run; nothing is written.
        """
        read = {} if advance.audience_cursor is None else {"audience_cursor": advance.audience_cursor}
        with self._database.write() as connection:
            if advance.jumps:
                take_turns(self._database, connection)
            moved = connection.execute(
                update(journeys)
                .where(
                    journeys.c.journey == journey,
                    journeys.c.generation == generation,
                    journeys.c.state == JourneyState.RUNNING.value,
                )
                .values(
                    generation=generation + 1,
                    event_position=advance.event_position,
                    segment_cursor=advance.segment_cursor,
                    feedback_position=advance.feedback_position,
                    click_position=advance.click_position,
                    **read,
                )
            ).rowcount
            if moved != 1:
                raise JourneyMoved(f"journey {journey} has moved on since generation {generation}")
            writes = JourneyWrites(self._database, connection, journey, at)
            writes.hold(advance)
            writes.people(advance)
            writes.beside(advance)
            writes.traits([advance])
            keep_early(self._database, connection, journey, advance)
            writes.counts([advance])

    def pass_by(self, row: JourneyRow, event_position: int, reactions: UnreadReactions) -> None:
        """Remember how far a look has read that has found nothing. The generation stays: an advance that is
        under way has read no more than that, and may write what it has found."""
        with self._database.write() as connection:
            connection.execute(
                update(journeys)
                .where(
                    journeys.c.journey == row.journey,
                    journeys.c.generation == row.generation,
                    journeys.c.state == JourneyState.RUNNING.value,
                )
                .values(
                    event_position=event_position,
                    feedback_position=reactions.feedback_position,
                    click_position=reactions.click_position,
                )
            )

    def enter(
        self,
        journey: str,
        version: int,
        asked: Sequence[tuple[MessageRequest, Advance]],
        *,
        at: datetime,
    ) -> set[str]:
        """Let people in because a message to them was asked for: the requests and all that each comes to, in
        one transaction. Each has an instance key of its own, so no advance that is under way has read them.

        Returns the ids of the requests that are new; nothing is written of those that were there.

        Raises:
            JourneyMoved: when it does not run, or lets people in on another version; nothing is written.
        """
        new: set[str] = set()
        with self._database.write() as connection:
            if any(advance.jumps for _, advance in asked):
                take_turns(self._database, connection)
            known = _get(connection, journey, share=True)
            if known is None or (known.state, known.version) != (JourneyState.RUNNING, version):
                raise JourneyMoved(f"journey {journey} does not let people in on version {version}")
            writes, entered = JourneyWrites(self._database, connection, journey, at), []
            # In one order: another service may be asked the same at this moment.
            for request, advance in sorted(asked, key=lambda each: each[0].request_id):
                if take_new(self._database, connection, request):
                    new.add(request.request_id)
                    writes.people(advance)
                    writes.beside(advance)
                    entered.append(advance)
            writes.traits(entered)
            writes.counts(entered)
        return new


def _hash(connection: Connection, journey: str, version: int) -> str:
    query = select(journey_versions.c.spec_hash).where(
        journey_versions.c.journey == journey, journey_versions.c.version == version
    )
    return str(connection.execute(query).scalar_one())


def _change(connection: Connection, journey: str, *, at: datetime, **values: object) -> None:
    changed = update(journeys).where(journeys.c.journey == journey)
    connection.execute(changed.values(generation=journeys.c.generation + 1, changed_at=at, **values))


def _get(
    connection: Connection, journey: str, *, lock: bool = False, share: bool = False
) -> JourneyRow | None:
    """``lock``: nobody else changes it, or lets people in, until the transaction ends; ``share``: nobody
    changes it."""
    query = select(journeys).where(journeys.c.journey == journey)
    row = connection.execute(query.with_for_update(read=share) if lock or share else query).first()
    return None if row is None else _journey(row)


def _require(connection: Connection, journey: str, *, lock: bool = False) -> JourneyRow:
    found = _get(connection, journey, lock=lock)
    if found is None:
        raise JourneyNotFound(journey)
    return found


def _journey(row: Row[tuple[object, ...]]) -> JourneyRow:
    return JourneyRow(**{**row._mapping, "state": JourneyState(row.state)})
