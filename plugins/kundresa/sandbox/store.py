"""What the sandbox received, in one SQLite file.

A message is committed before its sender hears that it was accepted, so killing the process loses
nothing that was acknowledged. ``synchronous=NORMAL`` in WAL mode: safe against the end of the process;
a power cut may lose the last commits, which does not matter for a sandbox and would cost a disk flush
per message.
"""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import astuple, dataclass
from pathlib import Path

FILE_NAME = "received.sqlite"

SCHEMA = """
create table if not exists messages (
    number integer primary key autoincrement,
    channel text not null,
    run_key text not null,
    message_id text not null,
    provider_id text not null,
    sender text not null,
    recipient text not null,
    subject text not null,
    body blob not null,
    received_at text not null
);
create index if not exists messages_by_run on messages (run_key, channel);
create index if not exists messages_by_message on messages (message_id);
create table if not exists audience_shares (
    share text primary key, build_id text not null, sequence integer not null, mode text not null,
    batch integer not null, batches integer not null, told_at text not null
);
create table if not exists audience_members (
    share text not null, identifier text not null, segments text not null, primary key (share, identifier)
);
"""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message as it arrived. Every arrival is kept, also of a message that came before: whoever
    counts duplicates must see them."""

    channel: str
    run_key: str
    """From ``X-Kundresa-Run``; empty when the sender gave none."""
    message_id: str
    """The local part of Message-ID, or the Idempotency-Key; empty when there was none."""
    provider_id: str
    sender: str
    recipient: str
    subject: str
    """As it stood in the header, encoded words and all; of a text over SMPP its segments and validity."""
    body: bytes
    """The email's octets as sent, or the text message in UTF-8."""
    received_at: str
    """UTC, ISO 8601."""


def connect(folder: Path) -> sqlite3.Connection:
    """Opens the file for writing, creating it when it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(
        folder / FILE_NAME, timeout=30, check_same_thread=False, isolation_level=None
    )
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = normal")
    connection.executescript(SCHEMA)
    return connection


class Recorder:
    """Writes arrivals for one event loop. What arrives on several connections in the same turn of the
    loop shares one transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._waiting: list[tuple[Arrival, asyncio.Future[None]]] = []

    async def record(self, arrival: Arrival) -> None:
        """Returns when the arrival is committed.

        Raises:
            sqlite3.Error: when it could not be: disk full, file gone.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._commit)
        self._waiting.append((arrival, done))
        await done

    def _commit(self) -> None:
        """Blocks the loop for one commit, ~0.1 ms. A thread would cost as much to reach."""
        batch, self._waiting = self._waiting, []
        try:
            self._connection.execute("begin immediate")
            self._connection.executemany(
                "insert into messages (channel, run_key, message_id, provider_id, sender, recipient, subject,"
                " body, received_at) values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [astuple(arrival) for arrival, _ in batch],
            )
            self._connection.execute("commit")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute("rollback")
            _finish(batch, error)
            return
        _finish(batch, None)


def _finish(batch: list[tuple[Arrival, asyncio.Future[None]]], error: Exception | None) -> None:
    for _, done in batch:
        if done.done():  # its connection went away meanwhile
            continue
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)
