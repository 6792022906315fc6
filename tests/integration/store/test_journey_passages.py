"""How often steps were come to, of journeys that ran before it was counted."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, text

from kundresa.spec.frozen import FrozenSpec
from kundresa.spec.journey_steps import END
from kundresa.store import ENTERED, open_store
from kundresa.store.migrate import HEAD, downgrade, upgrade

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
AT = "2026-11-23 09:00:00"


def put(connection: Connection, table: str, **values: Any) -> None:
    columns = ", ".join(values)
    marks = ", ".join(f":{name}" for name in values)
    connection.execute(text(f"insert into {table} ({columns}) values ({marks})"), values)


def test_they_are_counted_from_what_is_still_known(empty_url: str) -> None:
    with open_store(empty_url) as store:
        downgrade(store.database, "0012")
        with store.database.write() as connection:
            place = {"journey": "cart", "instance_key": "", "version": 1, "entered_at": AT, "step_at": AT}
            place |= {"entry": 1, "moves": 1, "event_json": "{}"}
            people: list[tuple[str, str | None, str | None]] = [
                ("p1", "wait", None),
                ("p2", "wait", None),
                ("p3", "say", None),
                ("p4", None, "exit"),
                ("p5", None, "stopped"),  # of which no move tells
            ]
            for profile_id, step, reason in people:
                ended = AT if reason else None
                rest = {"profile_id": profile_id, "step": step, "end_reason": reason, "ended_at": ended}
                put(connection, "journey_positions", **place, **rest)
            # Of p2 and p3 the moves are forgotten; p4 was in it once before.
            moves: list[tuple[str, int, list[list[str]]]] = [
                ("p1", 1, [["wait", AT, "entered"]]),
                ("p4", 1, [["wait", AT, "entered"]]),
                ("p4", 1, [["say", AT, "waited"], ["end", AT, "finished"]]),
                ("p4", 2, [["wait", AT, "entered"], ["end", AT, "exit"]]),
            ]
            for profile_id, entry, told in moves:
                of = {"journey": "cart", "profile_id": profile_id, "instance_key": "", "entry": entry}
                put(connection, "journey_moves", **of, moved_at=AT, moves_json=json.dumps(told))
            for number in range(3):
                put(
                    connection,
                    "journey_messages",
                    message_id=f"m{number}",
                    journey="cart",
                    version=1,
                    step="say",
                    profile_id="p3",
                    instance_key="",
                    entry=1,
                    move=2,
                    state="over",
                    reached_at=AT,
                    valid_until=AT,
                    not_before=AT,
                    is_delayed=0,
                    channel="email",
                    topic="offers",
                    event_json="{}",
                    exported=0,
                )
        upgrade(store.database, HEAD)
        assert store.journey_positions.passages("cart") == {
            (ENTERED, ""): 6,  # three inside, three ended
            ("wait", ""): 3,
            ("say", ""): 3,  # as many as there are messages of it
            (END, "finished"): 1,
            (END, "exit"): 1,
            (END, "stopped"): 1,
        }


def test_who_is_inside_when_a_journey_is_stopped_has_left(empty_url: str) -> None:
    with open_store(empty_url) as store:
        store.journeys.start("cart", FrozenSpec("{}", "a" * 64), cursor="", at=NOW)
        store.journeys.stop("cart", at=NOW)
        assert store.journey_positions.passages("cart") == {}
        store.journeys.start("other", FrozenSpec("{}", "a" * 64), cursor="", at=NOW)
        with store.database.write() as connection:
            put(
                connection,
                "journey_positions",
                journey="other",
                profile_id="p1",
                instance_key="",
                entry=1,
                version=1,
                step="wait",
                moves=1,
                entered_at=AT,
                step_at=AT,
                event_json="{}",
            )
        assert store.journeys.stop("other", at=NOW) == 1
        assert store.journey_positions.passages("other") == {(END, "stopped"): 1}
