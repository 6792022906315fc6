"""Reading what the sandbox received, while it runs or after: the independent count beside the account."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from kundresa.sandbox.store import FILE_NAME


@dataclass(frozen=True, slots=True)
class Received:
    """One arrival; the fields are those of ``store.Arrival``, ``number`` counts up from 1."""

    number: int
    channel: str
    run_key: str
    message_id: str
    provider_id: str
    sender: str
    recipient: str
    subject: str
    body: bytes
    received_at: str


@dataclass(frozen=True, slots=True)
class RunCount:
    """What arrived of one run on one channel."""

    run_key: str
    channel: str
    arrivals: int
    messages: int
    """Different message ids; fewer than arrivals when something came twice."""
    recipients: int


_COLUMNS = ", ".join(Received.__slots__)


@contextmanager
def _reading(folder: Path) -> Iterator[sqlite3.Connection | None]:
    path = folder / FILE_NAME
    if not path.exists():
        yield None
        return
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=30)) as connection:
        yield connection


def counts(folder: Path) -> list[RunCount]:
    """Arrivals per run and channel, in that order; empty when nothing was ever received.

    Args:
        folder: ``settings.sandbox``.
    """
    with _reading(folder) as connection:
        if connection is None:
            return []
        rows = connection.execute(
            "select run_key, channel, count(*), count(distinct message_id), count(distinct recipient)"
            " from messages group by run_key, channel order by run_key, channel"
        )
        return [RunCount(*row) for row in rows]


def received(
    folder: Path,
    *,
    channel: str | None = None,
    run_key: str | None = None,
    newest_first: bool = False,
    limit: int = -1,
    offset: int = 0,
) -> list[Received]:
    """Arrivals, oldest first unless asked otherwise.

    Args:
        folder: ``settings.sandbox``.
        limit: at most so many; -1 is all. A run of 200,000 at 5 KB each is a gigabyte: ask for less, or
            use ``message_ids``.
    """
    order = "desc" if newest_first else "asc"
    values = {"channel": channel, "run_key": run_key, "limit": limit, "offset": offset}
    with _reading(folder) as connection:
        if connection is None:
            return []
        rows = connection.execute(
            f"select {_COLUMNS} from messages where (:channel is null or channel = :channel)"
            " and (:run_key is null or run_key = :run_key)"
            f" order by number {order} limit :limit offset :offset",
            values,
        )
        return [Received(*row) for row in rows]


def message_ids(folder: Path, run_key: str, channel: str) -> list[str]:
    """The message id of every arrival of a run on a channel, sorted, repeated where it came twice."""
    with _reading(folder) as connection:
        if connection is None:
            return []
        rows = connection.execute(
            "select message_id from messages where run_key = ? and channel = ? order by message_id",
            (run_key, channel),
        )
        return [row[0] for row in rows]


def one(folder: Path, number: int) -> Received | None:
    """One arrival by its number."""
    with _reading(folder) as connection:
        if connection is None:
            return None
        row = connection.execute(f"select {_COLUMNS} from messages where number = ?", (number,)).fetchone()
        return Received(*row) if row else None
