"""Batches and their leases: at most one worker at a time, and a late one is fenced off."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, func, or_, select, update

from kundresa.spec.vocabulary import MessageState
from kundresa.store.clocks import SKEW
from kundresa.store.engine import Database
from kundresa.store.errors import BatchBusy, BatchConflict, BatchIncomplete, BatchNotFound, LeaseLost
from kundresa.store.records import BatchRecord, Lease, batch_name
from kundresa.store.tables import batches, messages


class Batches:
    """The table ``batches``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(self, run_key: str, channel: str, batch_number: int, size: int) -> None:
        """Make a batch known, once; registering it again changes nothing.

        Raises:
            BatchConflict: when it is known with another size. A decided run is never cut again.
        """
        values = {
            "run_key": run_key,
            "channel": channel,
            "batch_number": batch_number,
            "size": size,
            "fence": 0,
        }
        with self._database.write() as connection:
            connection.execute(self._database.insert_new(batches), values)
            known = _require(connection, run_key, channel, batch_number)
        if known.size != size:
            name = batch_name(run_key, channel, batch_number)
            raise BatchConflict(f"{name} was registered with {known.size} messages, not {size}")

    def get(self, run_key: str, channel: str, batch_number: int) -> BatchRecord:
        """The batch as it stands.

        Raises:
            BatchNotFound: when it was never registered.
        """
        with self._database.read() as connection:
            return _require(connection, run_key, channel, batch_number)

    def list(self, run_key: str) -> list[BatchRecord]:
        """All batches of a run, by channel and number."""
        query = (
            select(batches)
            .where(batches.c.run_key == run_key)
            .order_by(batches.c.channel, batches.c.batch_number)
        )
        with self._database.read() as connection:
            return [BatchRecord(**row._mapping) for row in connection.execute(query)]

    def lease(
        self, run_key: str, channel: str, batch_number: int, *, owner: str, seconds: float, now: datetime
    ) -> Lease:
        """Take the batch for ``seconds``; every claim, settle and renew adds as much again.

        The owner's name is for people: a second lease under the same name is refused as well, since a
        retry has its predecessor's name and must not run beside it.

        A lease that ends further ahead than a worker's clock can have put it was given by a clock that was
        wrong. Whoever finds it cuts it to the longest that it can be; its worker, if it lives, extends it
        with its next sign of life. So a worker that died with such a clock does not keep the batch for as
        long as the clock was ahead.

        Raises:
            BatchNotFound: when it was never registered.
            BatchBusy: while another lease runs.
        """
        take = (
            update(batches)
            .where(
                _is(run_key, channel, batch_number),
                or_(batches.c.owner.is_(None), batches.c.lease_expires_at <= now),
            )
            .values(owner=owner, fence=batches.c.fence + 1, lease_expires_at=now + timedelta(seconds=seconds))
        )
        longest = now + timedelta(seconds=seconds) + SKEW
        cut = (
            update(batches)
            .where(_is(run_key, channel, batch_number), batches.c.lease_expires_at > longest)
            .values(lease_expires_at=longest)
        )
        with self._database.write() as connection:
            taken = connection.execute(take).rowcount
            if not taken:
                connection.execute(cut)
            batch = _require(connection, run_key, channel, batch_number)
        if taken:
            return Lease(run_key, channel, batch_number, batch.size, owner, batch.fence, seconds)
        # Given back between the two statements: no longer held, so it may be asked for at once.
        until = batch.lease_expires_at or now
        raise BatchBusy(batch_name(run_key, channel, batch_number), batch.owner or "nobody", until)

    def renew(self, lease: Lease, *, now: datetime) -> None:
        """Keep the batch for another ``lease.seconds`` from now.

        Raises:
            LeaseLost: when another worker has it.
        """
        with self._database.write() as connection:
            hold(connection, lease, now)

    def release(self, lease: Lease) -> bool:
        """Give the batch back unfinished. False when another worker has it already."""
        with self._database.write() as connection:
            freed = update(batches).where(_mine(lease)).values(owner=None, lease_expires_at=None)
            return connection.execute(freed).rowcount == 1

    def finish(self, lease: Lease, *, at: datetime) -> None:
        """Mark the batch as done and give it back: every message of it has come to its end.

        Raises:
            BatchIncomplete: when one has no line in the ledger or is on its way; the batch stays leased.
            LeaseLost: when another worker has it.
        """
        with self._database.write() as connection:
            hold(connection, lease, at)
            lines, under_way = _lines(connection, lease)
            if lines != lease.size or under_way:
                raise BatchIncomplete(
                    f"{lease}: {lease.size} messages were registered, {lines} have a line in the ledger and "
                    f"{under_way} of these are still on their way"
                )
            done = (
                update(batches).where(_mine(lease)).values(owner=None, lease_expires_at=None, finished_at=at)
            )
            connection.execute(done)


def hold(connection: Connection, lease: Lease, now: datetime) -> None:
    """Within a transaction: prove that the lease is still this worker's, and extend it.

    The update locks the batch's row, so that all writes about one batch take turns on both engines.

    Raises:
        LeaseLost: when another worker has it.
    """
    extend = (
        update(batches).where(_mine(lease)).values(lease_expires_at=now + timedelta(seconds=lease.seconds))
    )
    if connection.execute(extend).rowcount != 1:
        raise LeaseLost(f"{lease} was given to another worker while {lease.owner} held it")


def _is(run_key: str, channel: str, batch_number: int) -> ColumnElement[bool]:
    return and_(
        batches.c.run_key == run_key, batches.c.channel == channel, batches.c.batch_number == batch_number
    )


def _mine(lease: Lease) -> ColumnElement[bool]:
    return and_(
        _is(lease.run_key, lease.channel, lease.batch_number),
        batches.c.fence == lease.fence,
        batches.c.owner.is_not(None),
    )


def _require(connection: Connection, run_key: str, channel: str, batch_number: int) -> BatchRecord:
    row = connection.execute(select(batches).where(_is(run_key, channel, batch_number))).first()
    if row is None:
        raise BatchNotFound(f"{batch_name(run_key, channel, batch_number)} was never registered")
    return BatchRecord(**row._mapping)


def _lines(connection: Connection, lease: Lease) -> tuple[int, int]:
    """How many messages of the batch have a line, and how many of these are on their way."""
    under_way = messages.c.state.in_((MessageState.CLAIMED.value, MessageState.DEFERRED.value))
    query = select(func.count(), func.coalesce(func.sum(case((under_way, 1), else_=0)), 0)).where(
        messages.c.run_key == lease.run_key,
        messages.c.channel == lease.channel,
        messages.c.batch_number == lease.batch_number,
    )
    row: Any = connection.execute(query).one()
    return int(row[0]), int(row[1])
