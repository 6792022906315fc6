"""Journeys: started, paused and stopped; their versions; and the one transaction of an advance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime

from sqlalchemy import (
    Connection,
    Row,
    Table,
    Update,
    and_,
    bindparam,
    delete,
    insert,
    select,
    text,
    update,
)

from kundresa.spec.frozen import FrozenSpec
from kundresa.spec.journey_steps import END
from kundresa.spec.keys import as_test
from kundresa.spec.vocabulary import JourneyEnd, JourneyState
from kundresa.store.bulk import among, as_table, insert_rows, put_rows
from kundresa.store.engine import Database
from kundresa.store.errors import JourneyMoved, JourneyNotFound, JourneyStopped
from kundresa.store.inbox import end_of, take_turns
from kundresa.store.inbox_records import NewEvent
from kundresa.store.inbox_tables import events
from kundresa.store.journey_calls import not_called
from kundresa.store.journey_counts import add_count
from kundresa.store.journey_early_events import keep_early
from kundresa.store.journey_messages import KNOWN, OPEN, OVER, not_sent
from kundresa.store.journey_records import (
    Advance,
    JourneyRow,
    JourneyVersion,
    MoveRow,
    NewCall,
    NewMessage,
    Place,
    Position,
    ReadingRow,
    UnreadReactions,
)
from kundresa.store.journey_starts import begin, left_out, row_of
from kundresa.store.journey_tables import (
    journey_calls,
    journey_early_events,
    journey_messages,
    journey_moves,
    journey_passages,
    journey_positions,
    journey_readings,
    journey_skips,
    journey_test_traits,
    journey_traits,
    journey_versions,
    journeys,
)
from kundresa.store.journey_tests import end_test
from kundresa.store.locks import hold_rows
from kundresa.store.message_requests import MessageRequest, take_new

_POSITION = tuple(each.name for each in fields(Position))
_MOVE = tuple(each.name for each in fields(MoveRow))
_MESSAGE = tuple(each.name for each in fields(NewMessage) if each.name != "not_before")
_CALL = tuple(each.name for each in fields(NewCall))
_EVENT = tuple(each.name for each in fields(NewEvent))
_READING = tuple(each.name for each in fields(ReadingRow))
_PLACE = ("profile_id", "instance_key", "entry", "move")


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
                self._pass(connection, journey, {(END, reason): left}, at)
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
            self._hold(connection, journey, advance)
            self._people(connection, journey, advance, at)
            self._beside(connection, journey, advance)
            self._traits(connection, journey, [advance])
            keep_early(self._database, connection, journey, advance)
            self._counts(connection, journey, [advance], at)

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
            entered = []
            # In one order: another service may be asked the same at this moment.
            for request, advance in sorted(asked, key=lambda each: each[0].request_id):
                if take_new(self._database, connection, request):
                    new.add(request.request_id)
                    self._people(connection, journey, advance, at)
                    self._beside(connection, journey, advance)
                    entered.append(advance)
            self._traits(connection, journey, entered)
            self._counts(connection, journey, entered, at)
        return new

    def _hold(self, connection: Connection, journey: str, advance: Advance) -> None:
        """Lock what is there of the messages and calls that the advance writes, see ``locks``."""
        for table, key, ids, places in (
            (journey_messages, journey_messages.c.message_id, advance.taken, advance.cancelled),
            (journey_calls, journey_calls.c.call_id, advance.answered, advance.cancelled_calls),
        ):
            if not self._database.is_sqlite and (ids or places):
                given, values = as_table(self._database, table, _PLACE, places)
                same = " and ".join(f"given.{name} = own.{name}" for name in _PLACE)
                at_places = text(
                    f"select own.{key.name} from {given} as given join {table.name} as own on {same} "
                    "where own.journey = :journey and own.state = :open"
                )
                asked = values | {"journey": journey, "open": OPEN}
                found: Iterable[str] = connection.execute(at_places, asked).scalars()
                hold_rows(connection, table, among(self._database, key, [*ids, *found]))

    def _people(self, connection: Connection, journey: str, advance: Advance, at: datetime) -> None:
        positions = [(journey, *_values(each, _POSITION)) for each in advance.positions]
        put_rows(self._database, connection, journey_positions, ("journey", *_POSITION), positions)
        moves = [(journey, *_values(each, _MOVE)) for each in advance.moves]
        insert_rows(self._database, connection, journey_moves, ("journey", *_MOVE), moves)
        is_test = int(as_test(journey) is not None)
        messages = [
            (journey, is_test, OPEN, each.not_before or each.reached_at, 0, 0, *_values(each, _MESSAGE))
            for each in advance.messages
        ]
        columns = ("journey", "is_test", "state", "not_before", "is_delayed", "exported", *_MESSAGE)
        insert_rows(self._database, connection, journey_messages, columns, messages)
        over = update(journey_messages).where(journey_messages.c.message_id == bindparam("id"))
        if advance.taken:
            taken = over.where(journey_messages.c.state == KNOWN).values(state=OVER)
            connection.execute(taken, [{"id": each} for each in advance.taken])
        self._calls(connection, journey, advance, at)
        if advance.cancelled:
            cancelled = _at_place(journey_messages, journey).values(not_sent(at))
            connection.execute(cancelled, [_where(each) for each in advance.cancelled])

    def _calls(self, connection: Connection, journey: str, advance: Advance, at: datetime) -> None:
        calls = [(journey, OPEN, each.reached_at, 0, *_values(each, _CALL)) for each in advance.calls]
        columns = ("journey", "state", "not_before", "attempts", *_CALL)
        insert_rows(self._database, connection, journey_calls, columns, calls)
        over = update(journey_calls).where(journey_calls.c.call_id == bindparam("id"))
        if advance.answered:
            answered = over.where(journey_calls.c.state == KNOWN).values(state=OVER)
            connection.execute(answered, [{"id": each} for each in advance.answered])
        if advance.cancelled_calls:
            cancelled = _at_place(journey_calls, journey).values(not_called(at))
            connection.execute(cancelled, [_where(each) for each in advance.cancelled_calls])

    def _beside(self, connection: Connection, journey: str, advance: Advance) -> None:
        if advance.jumps:
            rows = [{name: getattr(each, name) for name in _EVENT} for each in advance.jumps]
            connection.execute(self._database.insert_new(events), rows)
        readings = [(journey, *_values(each, _READING)) for each in advance.readings]
        put_rows(self._database, connection, journey_readings, ("journey", *_READING), readings)

    def _traits(self, connection: Connection, journey: str, advances: Iterable[Advance]) -> None:
        """Of everybody at once, in the order of the key: other journeys set traits of the same people."""
        # A test's are its own: what it tries holds nowhere else.
        table, own = (journey_test_traits, "test") if as_test(journey) else (journey_traits, "journey")
        latest: dict[tuple[str, str], tuple[str, datetime]] = {}
        for advance in advances:
            for key, (value, set_at) in advance.traits.items():
                if key not in latest or latest[key][1] <= set_at:
                    latest[key] = (value, set_at)
        rows = [(*key, value, journey, set_at) for key, (value, set_at) in sorted(latest.items())]
        columns = ("profile_id", "trait", "value_json", own, "set_at")
        put_rows(self._database, connection, table, columns, rows, newest="set_at")

    def _counts(
        self, connection: Connection, journey: str, advances: Sequence[Advance], at: datetime
    ) -> None:
        """The last of a transaction, once and in one order: who adds to the same rows at the same time waits
        for this one's end, and never holds what this one waits for."""
        skips: Counter[str] = Counter()
        passages: Counter[tuple[str, str]] = Counter()
        for each in advances:
            skips.update(each.skips)
            passages.update(each.passages)
        for reason, count in sorted(skips.items()):
            key = {"journey": journey, "reason": reason}
            add_count(self._database, connection, journey_skips.c.events, key, count, at=at)
        self._pass(connection, journey, passages, at)

    def _pass(
        self, connection: Connection, journey: str, passages: Mapping[tuple[str, str], int], at: datetime
    ) -> None:
        for (step, reason), count in sorted(passages.items()):
            key = {"journey": journey, "step": step, "end_reason": reason}
            add_count(self._database, connection, journey_passages.c.entries, key, count, at=at)


def _values(each: object, names: tuple[str, ...]) -> tuple[object, ...]:
    return tuple([getattr(each, name) for name in names])


def _at_place(table: Table, journey: str) -> Update:
    """What waits at a place."""
    return update(table).where(
        table.c.journey == journey,
        table.c.profile_id == bindparam("who"),
        table.c.instance_key == bindparam("key"),
        table.c.entry == bindparam("number"),
        table.c.move == bindparam("of_moves"),
        table.c.state == OPEN,
    )


def _where(place: Place) -> dict[str, object]:
    return dict(zip(("who", "key", "number", "of_moves"), place, strict=True))


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
