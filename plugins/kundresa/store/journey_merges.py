"""Profiles that turn out to be one: what a journey knows of the former ids goes on under the id of now."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, and_, bindparam, delete, select, update

from kundresa.spec.journey_steps import END
from kundresa.spec.keys import as_test
from kundresa.spec.vocabulary import JourneyEnd, JourneyState
from kundresa.store.bulk import among, insert_rows, put_rows
from kundresa.store.engine import Database
from kundresa.store.errors import JourneyMoved
from kundresa.store.journey_calls import not_called
from kundresa.store.journey_counts import add_count
from kundresa.store.journey_messages import OPEN, not_sent
from kundresa.store.journey_positions import POSITION, position_of
from kundresa.store.journey_records import Position
from kundresa.store.journey_tables import (
    journey_calls,
    journey_messages,
    journey_moves,
    journey_passages,
    journey_positions,
    journey_test_traits,
    journey_traits,
    journeys,
    message_requests,
)
from kundresa.store.locks import hold_rows

_OF_ENTRIES = (journey_moves, journey_messages, journey_calls)


class JourneyMerges:
    """What a merge of profiles does to a journey, in one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def known(self, journey: str, profile_ids: Collection[str]) -> set[str]:
        """Of these, who is or was in the journey, or has a trait that a journey has set."""
        positions = select(journey_positions.c.profile_id).where(
            journey_positions.c.journey == journey,
            among(self._database, journey_positions.c.profile_id, profile_ids),
        )
        traits = select(journey_traits.c.profile_id).where(
            among(self._database, journey_traits.c.profile_id, profile_ids)
        )
        with self._database.read() as connection:
            return {*connection.execute(positions).scalars(), *connection.execute(traits).scalars()}

    def merge(self, journey: str, generation: int, formers: Mapping[str, str], *, at: datetime) -> int:
        """Let everything that the journey knows of these people go on under their id of now: positions,
        moves, messages, calls, requests; and the traits that journeys have set, of which the latest counts.

        Where several are under one instance key, the entry goes on that is inside since the longest, or else
        has begun last. The others that are inside end as ``merged``: their message or call that waits is not
        made. The entries of all are numbered one after the other, the one that goes on last, so that what is
        told of one is never taken for another's. Ids of messages and calls stay as they are.

        Args:
            formers: former id → the one of now.

        Returns how many entries ended.

        Raises:
            JourneyMoved: when the journey is not as it was read, or does not run; nothing is written.
        """
        with self._database.write() as connection:
            moved = connection.execute(
                update(journeys)
                .where(
                    journeys.c.journey == journey,
                    journeys.c.generation == generation,
                    journeys.c.state == JourneyState.RUNNING.value,
                )
                .values(generation=generation + 1)
            ).rowcount
            if moved != 1:
                raise JourneyMoved(f"journey {journey} has moved on since generation {generation}")
            everybody = {*formers, *formers.values()}
            for table in (journey_messages, journey_calls):
                theirs = among(self._database, table.c.profile_id, everybody)
                hold_rows(connection, table, and_(table.c.journey == journey, theirs))
            groups = self._groups(connection, journey, formers)
            _number_entries(connection, journey, groups)
            _rename(connection, journey, formers, groups)
            ended = self._put_together(connection, journey, formers, groups, at)
            self._traits(connection, journey_traits, formers)
            if as_test(journey):
                self._traits(connection, journey_test_traits, formers, journey_test_traits.c.test == journey)
            if ended:
                key = {"journey": journey, "step": END, "end_reason": JourneyEnd.MERGED.value}
                counter = journey_passages.c.entries
                add_count(self._database, connection, counter, key, len(ended), at=at)
        return len(ended)

    def _groups(
        self, connection: Connection, journey: str, formers: Mapping[str, str]
    ) -> list[Sequence[Position]]:
        """The positions of each person under each instance key, the one that goes on last."""
        everybody = {*formers, *formers.values()}
        query = select(*POSITION).where(
            journey_positions.c.journey == journey,
            among(self._database, journey_positions.c.profile_id, everybody),
        )
        found: dict[tuple[str, str], list[Position]] = {}
        for row in connection.execute(query):
            each = position_of(row)
            key = (formers.get(each.profile_id, each.profile_id), each.instance_key)
            found.setdefault(key, []).append(each)
        return [_in_order(own) for own in found.values()]

    def _put_together(
        self,
        connection: Connection,
        journey: str,
        formers: Mapping[str, str],
        groups: Iterable[Sequence[Position]],
        at: datetime,
    ) -> list[Position]:
        """One position in the place of each group's; returns those that end by it, as numbered now."""
        kept, ended = [], []
        for own in groups:
            *others, last = own
            now = formers.get(last.profile_id, last.profile_id)
            before = 0
            for each in others:
                before += each.entry
                if each.step is not None:
                    ended.append(replace(each, profile_id=now, entry=before))
            heard = _heard([each for each in own if each.version == last.version])
            kept.append(replace(last, profile_id=now, entry=before + last.entry, heard_json=heard))
        connection.execute(
            delete(journey_positions).where(
                journey_positions.c.journey == journey,
                among(self._database, journey_positions.c.profile_id, formers),
            )
        )
        columns = ("journey", *(each.name for each in POSITION))
        rows = [(journey, *(getattr(each, name) for name in columns[1:])) for each in kept]
        put_rows(self._database, connection, journey_positions, columns, rows)
        why = json.dumps([[END, at.isoformat(), JourneyEnd.MERGED.value]], separators=(",", ":"))
        moves = [(journey, each.profile_id, each.instance_key, each.entry, at, why) for each in ended]
        columns = ("journey", "profile_id", "instance_key", "entry", "moved_at", "moves_json")
        insert_rows(self._database, connection, journey_moves, columns, moves)
        if ended:
            places = [
                {"who": each.profile_id, "key": each.instance_key, "number": each.entry} for each in ended
            ]
            for table, values in ((journey_messages, not_sent(at)), (journey_calls, not_called(at))):
                waits = update(table).where(
                    table.c.journey == journey,
                    table.c.profile_id == bindparam("who"),
                    table.c.instance_key == bindparam("key"),
                    table.c.entry == bindparam("number"),
                    table.c.state == OPEN,
                )
                connection.execute(waits.values(values), places)
        return ended

    def _traits(
        self, connection: Connection, table: Table, formers: Mapping[str, str], *which: ColumnElement[bool]
    ) -> None:
        """Those of now, of which some are not there yet, are written in their turn among those of the
        formers: who writes them afterwards holds what another waits for, and waits for that one."""
        names = ("profile_id", *(each.name for each in table.c if each.name != "profile_id"))
        of_formers = (among(self._database, table.c.profile_id, formers), *which)
        query = select(*[table.c[name] for name in names]).where(*of_formers).order_by(table.c.set_at)

        def put(rows: Mapping[tuple[str, str], tuple[Any, ...]]) -> None:
            in_order = [rows[key] for key in sorted(rows)]
            put_rows(self._database, connection, table, names, in_order, newest="set_at")

        def read() -> dict[tuple[str, str], tuple[Any, ...]]:
            return {(row.profile_id, row.trait): tuple(row) for row in connection.execute(query)}

        first = read()
        if first:
            put({**first, **_of_now(first, formers)})
            # They are held by now, with what another journey has set meanwhile. What it has added stays for
            # the next merge.
            held = {key: row for key, row in read().items() if key in first}
            put(_of_now(held, formers))
            key = and_(table.c.profile_id == bindparam("who"), table.c.trait == bindparam("what"))
            gone = delete(table).where(key, *which)
            connection.execute(gone, [{"who": who, "what": what} for who, what in held])


def _of_now(
    traits: Mapping[tuple[str, str], tuple[Any, ...]], formers: Mapping[str, str]
) -> dict[tuple[str, str], tuple[Any, ...]]:
    """The latest of each, of rows of former ids in the order of when they were set, as the row of the id of
    now."""
    return {(formers[who], name): (formers[who], *row[1:]) for (who, name), row in traits.items()}


def _heard(inside: Sequence[Position]) -> str | None:
    """What these remember of events while an outcome is not known, in order of time: it happened to the
    one person that they are."""
    told = [each.heard_json for each in inside if each.step is not None and each.heard_json is not None]
    if len(told) < 2:
        return told[0] if told else None
    heard = [what for each in told for what in json.loads(each)]
    heard.sort(key=lambda what: datetime.fromisoformat(what[1]))
    return json.dumps(heard, separators=(",", ":"))


def _in_order(own: Sequence[Position]) -> Sequence[Position]:
    """By when they were entered, the one that goes on last."""
    by_time = sorted(own, key=lambda each: (each.entered_at, each.profile_id))
    kept = next((each for each in by_time if each.step is not None), by_time[-1])
    return [*(each for each in by_time if each is not kept), kept]


def _number_entries(connection: Connection, journey: str, groups: Iterable[Sequence[Position]]) -> None:
    """Let the entries of each position follow those of the one before; they are still under their own ids."""
    shifts = []
    for own in groups:
        before = 0
        for each in own:
            if before:
                shifts.append({"who": each.profile_id, "key": each.instance_key, "by": before})
            before += each.entry
    if shifts:
        for table in _OF_ENTRIES:
            connection.execute(
                update(table)
                .where(
                    table.c.journey == journey,
                    table.c.profile_id == bindparam("who"),
                    table.c.instance_key == bindparam("key"),
                )
                .values(entry=table.c.entry + bindparam("by")),
                shifts,
            )


def _rename(
    connection: Connection,
    journey: str,
    formers: Mapping[str, str],
    groups: Iterable[Sequence[Position]],
) -> None:
    renamed = [{"former": former, "now": formers[former]} for former in sorted(formers)]
    for table in _OF_ENTRIES:
        connection.execute(
            update(table)
            .where(table.c.journey == journey, table.c.profile_id == bindparam("former"))
            .values(profile_id=bindparam("now")),
            renamed,
        )
    requests = [
        {"former": each.profile_id, "now": formers[each.profile_id], "request": each.instance_key}
        for own in groups
        for each in own
        if each.instance_key and each.profile_id in formers
    ]
    if requests:
        connection.execute(
            update(message_requests)
            .where(
                message_requests.c.request_id == bindparam("request"),
                message_requests.c.profile_id == bindparam("former"),
                message_requests.c.journey == journey,
            )
            .values(profile_id=bindparam("now")),
            requests,
        )
