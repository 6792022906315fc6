"""What is stored stays, and every arrival counts."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from kundresa.sandbox import counts, received
from kundresa.sandbox.reader import message_ids, one
from kundresa.sandbox.store import Arrival, Recorder, connect

ARRIVAL = Arrival(
    "email", "r--1", "m1", "p1", "from@x.example", "to@x.example", "Hi", b"body", "2026-11-23T09:00:00+00:00"
)


def record(folder: Path, *arrivals: Arrival) -> None:
    async def run() -> None:
        with closing(connect(folder)) as connection:
            recorder = Recorder(connection)
            await asyncio.gather(*(recorder.record(arrival) for arrival in arrivals))

    asyncio.run(run())


def test_nothing_yet(tmp_path: Path) -> None:
    assert counts(tmp_path) == []
    assert received(tmp_path) == []
    assert message_ids(tmp_path, "r", "email") == []
    assert one(tmp_path, 1) is None


def test_a_message_that_came_twice_is_two_arrivals(tmp_path: Path) -> None:
    other = replace(ARRIVAL, message_id="m2", recipient="b@x.example")
    record(
        tmp_path, ARRIVAL, ARRIVAL, other, replace(ARRIVAL, channel="sms"), replace(ARRIVAL, run_key="r--2")
    )
    found = [
        (each.run_key, each.channel, each.arrivals, each.messages, each.recipients)
        for each in counts(tmp_path)
    ]
    assert found == [("r--1", "email", 3, 2, 2), ("r--1", "sms", 1, 1, 1), ("r--2", "email", 1, 1, 1)]
    assert message_ids(tmp_path, "r--1", "email") == ["m1", "m1", "m2"]


def test_reading_by_channel_run_and_page(tmp_path: Path) -> None:
    record(tmp_path, *(replace(ARRIVAL, message_id=f"m{number}") for number in range(5)))
    record(tmp_path, replace(ARRIVAL, channel="sms", run_key="r--2", message_id="m9"))
    assert [row.number for row in received(tmp_path)] == [1, 2, 3, 4, 5, 6]
    assert [row.message_id for row in received(tmp_path, channel="sms")] == ["m9"]
    assert [
        row.message_id for row in received(tmp_path, run_key="r--1", newest_first=True, limit=2, offset=1)
    ] == ["m3", "m2"]
    found = one(tmp_path, 1)
    assert found is not None
    assert (found.body, found.subject, found.sender) == (b"body", "Hi", "from@x.example")


def test_an_arrival_that_cannot_be_stored_is_not_acknowledged(tmp_path: Path) -> None:
    async def run() -> list[object]:
        connection = connect(tmp_path)
        recorder = Recorder(connection)
        connection.execute("drop table messages")
        results = await asyncio.gather(
            recorder.record(ARRIVAL), recorder.record(ARRIVAL), return_exceptions=True
        )
        connection.close()
        return list(results)

    results = asyncio.run(run())
    assert [type(result) for result in results] == [sqlite3.OperationalError] * 2


def test_a_connection_that_went_away_does_not_stop_the_others(tmp_path: Path) -> None:
    async def run() -> None:
        with closing(connect(tmp_path)) as connection:
            recorder = Recorder(connection)
            gone = asyncio.create_task(recorder.record(ARRIVAL))
            stays = asyncio.create_task(recorder.record(ARRIVAL))
            await asyncio.sleep(0)
            gone.cancel()
            await stays
            with pytest.raises(asyncio.CancelledError):
                await gone

    asyncio.run(run())
    assert len(received(tmp_path)) == 2
