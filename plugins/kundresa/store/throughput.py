"""How fast a run's messages left, by the attempts that the ledger still has."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, func, select

from kundresa.spec.keys import SEED_BATCH
from kundresa.store.engine import Database
from kundresa.store.ledger_reads import ended_attempts
from kundresa.store.tables import messages


@dataclass(frozen=True, slots=True)
class Work:
    """What was done on one channel of a run: attempts that came to an end, and the seconds in which at least
    one worker was at one. Waiting (for send times, for a retry, for a worker) is not counted."""

    attempts: int
    seconds: float


class Throughput:
    """Questions to the ledger's attempts that change nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def work(self, run_key: str, channel: str) -> Work:
        """The work of a run on a channel, seeds apart; nothing when no attempt is left.

        A window of messages is claimed at one instant: one row for each comes out of the database, and the
        times in which they overlap, of workers side by side, count once.
        """
        ended = ended_attempts(
            and_(
                messages.c.run_key == run_key,
                messages.c.channel == channel,
                messages.c.batch_number != SEED_BATCH,
            )
        ).subquery()
        query = (
            select(
                ended.c.claimed_at,
                func.max(ended.c.settled_at).label("settled_at"),
                func.count().label("attempts"),
            )
            .group_by(ended.c.claimed_by, ended.c.claimed_at)
            .order_by(ended.c.claimed_at)
        )
        total, seconds = 0, 0.0
        until: datetime | None = None
        with self._database.read() as connection:
            for row in connection.execute(query):
                total += row.attempts
                since = row.claimed_at if until is None else max(row.claimed_at, until)
                seconds += max((row.settled_at - since).total_seconds(), 0.0)
                until = row.settled_at if until is None else max(until, row.settled_at)
        return Work(total, seconds)
