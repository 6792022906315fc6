"""What an advance of a journey writes, table by table: within a transaction that has the journey."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime

from sqlalchemy import Connection, Table, Update, bindparam, text, update

from kundresa.spec.keys import as_test
from kundresa.store.bulk import among, as_table, insert_rows, put_rows
from kundresa.store.engine import Database
from kundresa.store.inbox_records import NewEvent
from kundresa.store.inbox_tables import events
from kundresa.store.journey_calls import not_called
from kundresa.store.journey_counts import add_count
from kundresa.store.journey_message_records import NewCall, NewMessage
from kundresa.store.journey_messages import KNOWN, OPEN, OVER, not_sent
from kundresa.store.journey_records import (
    Advance,
    MoveRow,
    Place,
    Position,
    ReadingRow,
)
from kundresa.store.journey_tables import (
    journey_calls,
    journey_messages,
    journey_moves,
    journey_passages,
    journey_positions,
    journey_readings,
    journey_skips,
    journey_test_traits,
    journey_traits,
)
from kundresa.store.locks import hold_rows

_POSITION = tuple(each.name for each in fields(Position))
_MOVE = tuple(each.name for each in fields(MoveRow))
_MESSAGE = tuple(each.name for each in fields(NewMessage) if each.name != "not_before")
_CALL = tuple(each.name for each in fields(NewCall))
_EVENT = tuple(each.name for each in fields(NewEvent))
_READING = tuple(each.name for each in fields(ReadingRow))
_PLACE = ("profile_id", "instance_key", "entry", "move")


class JourneyWrites:
    """The writes of one transaction about one journey. In which order, say ``locks``."""

    def __init__(self, database: Database, connection: Connection, journey: str, at: datetime) -> None:
        self._database = database
        self._connection = connection
        self._journey = journey
        self._at = at

    def hold(self, advance: Advance) -> None:
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
                asked = values | {"journey": self._journey, "open": OPEN}
                found: Iterable[str] = self._connection.execute(at_places, asked).scalars()
                hold_rows(self._connection, table, among(self._database, key, [*ids, *found]))

    def people(self, advance: Advance) -> None:
        """Where people are, how they have come there, and the messages and calls that they have come to."""
        positions = [(self._journey, *_values(each, _POSITION)) for each in advance.positions]
        put_rows(self._database, self._connection, journey_positions, ("journey", *_POSITION), positions)
        moves = [(self._journey, *_values(each, _MOVE)) for each in advance.moves]
        insert_rows(self._database, self._connection, journey_moves, ("journey", *_MOVE), moves)
        is_test = int(as_test(self._journey) is not None)
        messages = [
            (self._journey, is_test, OPEN, each.not_before or each.reached_at, 0, 0, *_values(each, _MESSAGE))
            for each in advance.messages
        ]
        columns = ("journey", "is_test", "state", "not_before", "is_delayed", "exported", *_MESSAGE)
        insert_rows(self._database, self._connection, journey_messages, columns, messages)
        over = update(journey_messages).where(journey_messages.c.message_id == bindparam("id"))
        if advance.taken:
            taken = over.where(journey_messages.c.state == KNOWN).values(state=OVER)
            self._connection.execute(taken, [{"id": each} for each in advance.taken])
        self._calls(advance)
        if advance.cancelled:
            cancelled = _at_place(journey_messages, self._journey).values(not_sent(self._at))
            self._connection.execute(cancelled, [_where(each) for each in advance.cancelled])

    def _calls(self, advance: Advance) -> None:
        calls = [(self._journey, OPEN, each.reached_at, 0, *_values(each, _CALL)) for each in advance.calls]
        columns = ("journey", "state", "not_before", "attempts", *_CALL)
        insert_rows(self._database, self._connection, journey_calls, columns, calls)
        over = update(journey_calls).where(journey_calls.c.call_id == bindparam("id"))
        if advance.answered:
            answered = over.where(journey_calls.c.state == KNOWN).values(state=OVER)
            self._connection.execute(answered, [{"id": each} for each in advance.answered])
        if advance.cancelled_calls:
            cancelled = _at_place(journey_calls, self._journey).values(not_called(self._at))
            self._connection.execute(cancelled, [_where(each) for each in advance.cancelled_calls])

    def beside(self, advance: Advance) -> None:
        """The events by which people jump into other journeys, and how far readings have come."""
        if advance.jumps:
            rows = [{name: getattr(each, name) for name in _EVENT} for each in advance.jumps]
            self._connection.execute(self._database.insert_new(events), rows)
        readings = [(self._journey, *_values(each, _READING)) for each in advance.readings]
        put_rows(self._database, self._connection, journey_readings, ("journey", *_READING), readings)

    def traits(self, advances: Iterable[Advance]) -> None:
        """Of everybody at once, in the order of the key: other journeys set traits of the same people."""
        # A test's are its own: what it tries holds nowhere else.
        table, own = (journey_test_traits, "test") if as_test(self._journey) else (journey_traits, "journey")
        latest: dict[tuple[str, str], tuple[str, datetime]] = {}
        for advance in advances:
            for key, (value, set_at) in advance.traits.items():
                if key not in latest or latest[key][1] <= set_at:
                    latest[key] = (value, set_at)
        rows = [(*key, value, self._journey, set_at) for key, (value, set_at) in sorted(latest.items())]
        columns = ("profile_id", "trait", "value_json", own, "set_at")
        put_rows(self._database, self._connection, table, columns, rows, newest="set_at")

    def counts(self, advances: Sequence[Advance]) -> None:
        """The last of a transaction, once and in one order: who adds to the same rows at the same time waits
        for this one's end, and never holds what this one waits for."""
        skips: Counter[str] = Counter()
        passages: Counter[tuple[str, str]] = Counter()
        for each in advances:
            skips.update(each.skips)
            passages.update(each.passages)
        for reason, count in sorted(skips.items()):
            key = {"journey": self._journey, "reason": reason}
            add_count(self._database, self._connection, journey_skips.c.events, key, count, at=self._at)
        self.passages(passages)

    def passages(self, passages: Mapping[tuple[str, str], int]) -> None:
        """(step, end reason) → entries that have come there."""
        for (step, reason), count in sorted(passages.items()):
            key = {"journey": self._journey, "step": step, "end_reason": reason}
            add_count(self._database, self._connection, journey_passages.c.entries, key, count, at=self._at)


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
