"""What every message goes through in the ledger, a window at a time: one statement for all of it.

SQLAlchemy's binding of each row costs more than the database's work for it. So the rows go in as one value
(see ``bulk.as_table``), and are claimed, settled and looked up by one statement each.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, bindparam, select, text
from sqlalchemy.sql.elements import TextClause

from kundresa.spec.messages import Receipt
from kundresa.spec.vocabulary import MessageState
from kundresa.store.bulk import among, as_table
from kundresa.store.engine import Database
from kundresa.store.errors import BatchConflict
from kundresa.store.records import Candidate, Lease
from kundresa.store.reported import accept_delivered
from kundresa.store.tables import UtcDateTime, attempts, messages

_NOW = bindparam("now", type_=UtcDateTime())

_SETTLED = ("message_id", "state", "reason", "provider_id", "code", "detail", "retry_at")


def insert_claimed(
    database: Database, connection: Connection, lease: Lease, new: Sequence[Candidate], now: datetime
) -> None:
    """The lines of messages that are claimed for the first time."""
    if not new:
        return
    rows = [(each.message_id, each.profile_id, each.variant) for each in new]
    table, values = as_table(database, messages, ("message_id", "profile_id", "variant"), rows)
    statement = _with_now(
        f"""
        insert into messages (
            message_id, profile_id, variant, run_key, channel, batch_number, state, attempts, claimed_by,
            fence, first_claimed_at, claimed_at
        )
        select given.message_id, given.profile_id, given.variant, :run_key, :channel, :batch_number,
            :claimed, 1, :owner, :fence, :now, :now
        from {table} as given
        """
    )
    connection.execute(statement, values | _of(lease) | {"owner": lease.owner, "now": now})


def settle_claimed(
    database: Database, connection: Connection, lease: Lease, receipts: Sequence[Receipt], now: datetime
) -> None:
    """What became of messages that are claimed under this lease. Accepted are unknown ones that were reported
    delivered meanwhile.

    Raises:
        BatchConflict: for a message that is not, or that has two receipts; the transaction is to be undone.
    """
    if not receipts:
        return
    which = "messages.state = :claimed and messages.fence = :fence"
    settled = _settle(database, connection, lease, receipts, now=now, which=which)
    if settled != len(receipts):
        raise BatchConflict(
            f"{lease}: {len(receipts)} receipts for {settled} claimed messages "
            f"({len(receipts) - settled} not claimed under this lease)"
        )


def settle_unknown(
    database: Database, connection: Connection, lease: Lease, receipts: Sequence[Receipt], now: datetime
) -> None:
    """What has become known of messages of a batch of which it was not; of those that stay unknown, as
    ``settle_claimed``.

    Raises:
        BatchConflict: for a message that is not unknown; the transaction is to be undone.
    """
    if not receipts:
        return
    which = "messages.state = :unknown"
    settled = _settle(database, connection, lease, receipts, now=now, which=which)
    if settled != len(receipts):
        raise BatchConflict(f"{lease}: {len(receipts)} receipts for {settled} unknown messages")


def _settle(
    database: Database,
    connection: Connection,
    lease: Lease,
    receipts: Sequence[Receipt],
    *,
    now: datetime,
    which: str,
) -> int:
    rows = [
        (
            each.message_id,
            each.state.value,
            None if each.reason is None else each.reason.value,
            each.provider_id,
            each.code,
            each.detail,
            each.retry_at,
        )
        for each in receipts
    ]
    table, values = as_table(database, messages, _SETTLED, rows)
    # run_key not by its own name: SQLite would take the index of the batch, and go through all of it.
    sets = ", ".join(f"{name} = given.{name}" for name in _SETTLED[1:])
    statement = _with_now(
        f"""
        update messages set {sets}, settled_at = :now
        from {table} as given
        where messages.message_id = given.message_id
            and messages.run_key || '' = :run_key and messages.channel = :channel
            and messages.batch_number = :batch_number
            and {which}
        """
    )
    settled = connection.execute(statement, values | _of(lease) | {"now": now}).rowcount
    unknown = [each.message_id for each in receipts if each.state is MessageState.UNKNOWN]
    if unknown:
        accept_delivered(connection, among(database, messages.c.message_id, unknown))
    return settled


def known_lines(
    database: Database, connection: Connection, lease: Lease, ids: Sequence[str]
) -> dict[str, tuple[MessageState, int]]:
    """Of these messages, those that have a line: its state and its attempts.

    Raises:
        BatchConflict: when one is offered twice, or its line belongs to another batch.
    """
    if len(set(ids)) != len(ids):
        raise BatchConflict(f"{lease}: a message was offered twice at once")
    batch = (messages.c.run_key, messages.c.channel, messages.c.batch_number)
    query = select(messages.c.message_id, messages.c.state, messages.c.attempts, *batch)
    known = {}
    for row in connection.execute(query.where(among(database, messages.c.message_id, ids))):
        if (row.run_key, row.channel, row.batch_number) != (lease.run_key, lease.channel, lease.batch_number):
            raise BatchConflict(
                f"{lease}: message {row.message_id} is in the ledger as one of {row.run_key}, {row.channel} "
                f"batch {row.batch_number}"
            )
        known[row.message_id] = (MessageState(row.state), int(row.attempts))
    return known


def keep_attempts(database: Database, connection: Connection, ids: Sequence[str]) -> None:
    """Write down the last attempts of settled messages, before their lines say something else."""
    ended = select(
        messages.c.message_id,
        messages.c.attempts,
        messages.c.claimed_by,
        messages.c.claimed_at,
        messages.c.settled_at,
        messages.c.state,
        messages.c.code,
        messages.c.detail,
    ).where(
        among(database, messages.c.message_id, ids),
        messages.c.claimed_at.is_not(None),
        messages.c.settled_at.is_not(None),
    )
    # There is one already where an earlier release has settled it.
    keep = database.insert_new(attempts).from_select([each.name for each in attempts.c], ended)
    connection.execute(keep)


def _of(lease: Lease) -> dict[str, object]:
    return {
        "run_key": lease.run_key,
        "channel": lease.channel,
        "batch_number": lease.batch_number,
        "fence": lease.fence,
        "claimed": MessageState.CLAIMED.value,
        "unknown": MessageState.UNKNOWN.value,
    }


def _with_now(statement: str) -> TextClause:
    return text(statement).bindparams(_NOW)
