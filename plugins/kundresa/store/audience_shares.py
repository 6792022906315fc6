"""How far each audience share has come, and whose it is at the moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, or_, select, update

from kundresa.store.clocks import SKEW
from kundresa.store.engine import Database
from kundresa.store.errors import BatchBusy, LeaseLost
from kundresa.store.tables import audience_shares


@dataclass(frozen=True, slots=True)
class ShareLease:
    """The right to work on one share; refused at the next write once another worker has it."""

    share: str
    owner: str
    fence: int
    seconds: float

    def __str__(self) -> str:
        return f"audience share {self.share}"


@dataclass(frozen=True, slots=True)
class PendingShare:
    """What is being told to the destination: begun, and not told to the end."""

    sequence: int
    build_id: str
    fingerprint: str
    mode: str
    changes: int
    batch_size: int
    sent_batches: int
    """Those that the destination has confirmed."""

    @property
    def batches(self) -> int:
        return -(-self.changes // self.batch_size)


@dataclass(frozen=True, slots=True)
class ShareState:
    """A share as it stands. ``shared_*`` say what the destination holds: None before the first time."""

    sequence: int
    """Of the last one that was begun; 0 before the first. It only grows."""
    shared_sequence: int | None
    shared_build_id: str | None
    shared_fingerprint: str | None
    shared_at: datetime | None
    pending: PendingShare | None


class AudienceShares:
    """The table ``audience_shares``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def lease(self, share: str, *, owner: str, seconds: float, now: datetime) -> ShareLease:
        """Take the share for ``seconds``; every write adds as much again. A lease of a clock that was ahead
        is cut, as those of batches are.

        Raises:
            BatchBusy: while another worker has it.
        """
        mine = audience_shares.c.share == share
        take = (
            update(audience_shares)
            .where(
                mine,
                or_(audience_shares.c.owner.is_(None), audience_shares.c.lease_expires_at <= now),
            )
            .values(
                owner=owner,
                fence=audience_shares.c.fence + 1,
                lease_expires_at=now + timedelta(seconds=seconds),
            )
        )
        longest = now + timedelta(seconds=seconds) + SKEW
        cut = (
            update(audience_shares)
            .where(mine, audience_shares.c.lease_expires_at > longest)
            .values(lease_expires_at=longest)
        )
        new = {"share": share, "sequence": 0, "sent_batches": 0, "fence": 0}
        with self._database.write() as connection:
            connection.execute(self._database.insert_new(audience_shares), new)
            taken = connection.execute(take).rowcount
            if not taken:
                connection.execute(cut)
            row = _row(connection, share)
        if taken:
            return ShareLease(share, owner, row.fence, seconds)
        raise BatchBusy(f"audience share {share}", row.owner or "nobody", row.lease_expires_at or now)

    def release(self, lease: ShareLease) -> bool:
        """Give it back. False when another worker has it already."""
        with self._database.write() as connection:
            freed = update(audience_shares).where(_mine(lease)).values(owner=None, lease_expires_at=None)
            return connection.execute(freed).rowcount == 1

    def state(self, share: str) -> ShareState:
        """The share as it stands; all empty for one that was never begun."""
        with self._database.read() as connection:
            row = connection.execute(select(audience_shares).where(audience_shares.c.share == share)).first()
        if row is None:
            return ShareState(0, None, None, None, None, None)
        pending = None
        if row.build_id is not None:
            pending = PendingShare(
                row.sequence,
                row.build_id,
                row.fingerprint,
                row.mode,
                row.changes,
                row.batch_size,
                row.sent_batches,
            )
        return ShareState(
            row.sequence,
            row.shared_sequence,
            row.shared_build_id,
            row.shared_fingerprint,
            row.shared_at,
            pending,
        )

    def begin(self, lease: ShareLease, pending: PendingShare, *, now: datetime) -> None:
        """Write down what is about to be told, before any of it is. One that was begun before is given up.

        Raises:
            LeaseLost: when another worker has the share.
        """
        values = {
            "sequence": pending.sequence,
            "build_id": pending.build_id,
            "fingerprint": pending.fingerprint,
            "mode": pending.mode,
            "changes": pending.changes,
            "batch_size": pending.batch_size,
            "sent_batches": pending.sent_batches,
        }
        self._write(lease, now, values)

    def advance(self, lease: ShareLease, sent_batches: int, *, now: datetime) -> None:
        """So many batches are confirmed.

        Raises:
            LeaseLost: when another worker has the share.
        """
        self._write(lease, now, {"sent_batches": sent_batches})

    def finish(self, lease: ShareLease, pending: PendingShare, *, now: datetime) -> None:
        """All of it is confirmed.

        Raises:
            LeaseLost: when another worker has the share.
        """
        values: dict[str, Any] = dict.fromkeys(
            ("build_id", "fingerprint", "mode", "changes", "batch_size")
        ) | {
            "sent_batches": 0,
            "shared_sequence": pending.sequence,
            "shared_build_id": pending.build_id,
            "shared_fingerprint": pending.fingerprint,
            "shared_at": now,
        }
        self._write(lease, now, values)

    def renew(self, lease: ShareLease, *, now: datetime) -> None:
        """Keep the share for another ``lease.seconds``.

        Raises:
            LeaseLost: when another worker has it.
        """
        self._write(lease, now, {})

    def _write(self, lease: ShareLease, now: datetime, values: dict[str, Any]) -> None:
        until = {"lease_expires_at": now + timedelta(seconds=lease.seconds)}
        with self._database.write() as connection:
            changed = update(audience_shares).where(_mine(lease)).values(values | until)
            if connection.execute(changed).rowcount != 1:
                raise LeaseLost(f"{lease} was given to another worker while {lease.owner} held it")


def _mine(lease: ShareLease) -> Any:
    return and_(
        audience_shares.c.share == lease.share,
        audience_shares.c.fence == lease.fence,
        audience_shares.c.owner.is_not(None),
    )


def _row(connection: Connection, share: str) -> Any:
    return connection.execute(select(audience_shares).where(audience_shares.c.share == share)).one()
