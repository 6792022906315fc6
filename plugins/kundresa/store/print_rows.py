"""Rows of print files by what they say: of equal ones in a run one leaves.

A row's digest is written with its claim. Whether it keeps equal ones back is told by its message's state:
what is on its way, has left or may have left does; what was put off or came to another end does not, and the
next one that is claimed leaves in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from kundresa.spec.messages import Receipt
from kundresa.spec.vocabulary import DeliveryReason, MessageState
from kundresa.store.bulk import among, put_rows
from kundresa.store.engine import Database
from kundresa.store.records import Candidate, Lease, Untried
from kundresa.store.tables import messages, print_rows, runs

LOOK_AGAIN = timedelta(minutes=1)
"""Until it is looked again what became of the equal row that is on its way."""
_ON_ITS_WAY = "an equal row is on its way in another print file"
_KEEPS_BACK = (MessageState.CLAIMED.value, MessageState.ACCEPTED.value, MessageState.UNKNOWN.value)


def repeated(
    database: Database, connection: Connection, lease: Lease, candidates: Sequence[Candidate], now: datetime
) -> list[Untried]:
    """Of these messages, which are about to be claimed together, those whose row another one of the run keeps
    back. For good when that has left, or nobody will know whether it has; else until that is known.

    Claims of a run with rows take turns from here on, until the transaction ends.
    """
    given = {each.message_id: each for each in candidates if each.row_digest is not None}
    if not given:
        return []
    connection.execute(select(runs.c.run_key).where(runs.c.run_key == lease.run_key).with_for_update())
    digests = {str(each.row_digest) for each in given.values()}
    others = (
        select(print_rows.c.message_id, print_rows.c.row_digest, messages.c.state, messages.c.retry_at)
        .join(messages, messages.c.message_id == print_rows.c.message_id)
        .where(
            print_rows.c.run_key == lease.run_key,
            among(database, print_rows.c.row_digest, sorted(digests)),
            messages.c.state.in_(_KEEPS_BACK),
        )
    )
    known: dict[str, bool] = {}
    for row in connection.execute(others):
        if row.message_id not in given:
            is_final = row.state == MessageState.ACCEPTED.value or (
                row.state == MessageState.UNKNOWN.value and row.retry_at is None
            )
            known[row.row_digest] = known.get(row.row_digest, False) or is_final
    return [
        Untried(each, _receipt(each.message_id, now, is_final=known[str(each.row_digest)]))
        for each in given.values()
        if each.row_digest in known
    ]


def keep_rows(
    database: Database, connection: Connection, lease: Lease, candidates: Sequence[Candidate]
) -> None:
    """Write down the rows of messages that are claimed."""
    rows = [
        (each.message_id, lease.run_key, each.row_digest)
        for each in candidates
        if each.row_digest is not None
    ]
    put_rows(database, connection, print_rows, ("message_id", "run_key", "row_digest"), rows)


def _receipt(message_id: str, now: datetime, *, is_final: bool) -> Receipt:
    if is_final:
        return Receipt(message_id, MessageState.WITHHELD, DeliveryReason.DUPLICATE_ROW)
    reason = DeliveryReason.TEMPORARY_FAILURE
    return Receipt(message_id, MessageState.DEFERRED, reason, detail=_ON_ITS_WAY, retry_at=now + LOOK_AGAIN)
