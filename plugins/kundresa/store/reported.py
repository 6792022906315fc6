"""Messages of which it was unknown what became of them, and that are reported delivered: they were taken."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import ColumnElement, Connection, and_, case, exists, or_, select, update

from kundresa.spec.journey_outcomes import DELAYED, SENT
from kundresa.spec.vocabulary import ChannelKind, DeliveryReason, FeedbackKind, MessageState
from kundresa.store.inbox_tables import feedback
from kundresa.store.journey_tables import journey_messages
from kundresa.store.locks import hold_rows
from kundresa.store.tables import batches, messages

DETAIL = "it was not known whether it had been taken; reported delivered since"
_UNKNOWN = (
    messages.c.state == MessageState.UNKNOWN.value,
    # Whoever holds a print file asks about all of it together; until then it is left to them.
    or_(messages.c.retry_at.is_(None), messages.c.channel != ChannelKind.DIRECT_MAIL.value),
)


def accept_reported(connection: Connection, message_ids: Collection[str]) -> None:
    """Within the transaction that records them as delivered: the unknown ones of these are accepted, whatever
    the state of their run, as nothing leaves by it; in a journey they were sent.

    ``settled_at`` stays: the attempt ended then. One that is claimed right now is its worker's to settle; one
    that a worker left claimed is whoever recovers its batch's. Should it be unknown then, both look for what
    is recorded here.
    """
    if not message_ids:
        return
    query = select(messages.c.run_key, messages.c.channel, messages.c.batch_number).where(
        messages.c.message_id.in_(message_ids),
        messages.c.state.in_((MessageState.CLAIMED.value, MessageState.UNKNOWN.value)),
    )
    of_batches = sorted({(row.run_key, row.channel, row.batch_number) for row in connection.execute(query)})
    for run_key, channel, number in of_batches:
        # As every write about a batch does: nobody claims one of these again meanwhile, and who settles a
        # claimed one has done so, or does when this is recorded.
        connection.execute(
            select(batches.c.fence)
            .where(
                batches.c.run_key == run_key, batches.c.channel == channel, batches.c.batch_number == number
            )
            .with_for_update()
        ).one()
    if of_batches:
        _accept(connection, messages.c.message_id.in_(message_ids))


def accept_delivered(connection: Connection, which: ColumnElement[bool]) -> None:
    """Under the lease of their batch: accepted are those of these that are unknown and were reported
    delivered before they were known to be unknown."""
    told = exists().where(
        feedback.c.message_id == messages.c.message_id, feedback.c.kind == FeedbackKind.DELIVERED.value
    )
    _accept(connection, and_(which, told))


def _accept(connection: Connection, which: ColumnElement[bool]) -> None:
    query = select(messages.c.message_id).where(which, *_UNKNOWN).order_by(messages.c.message_id)
    accepted: list[str] = list(connection.execute(query.with_for_update(of=messages)).scalars())
    if not accepted:
        return
    connection.execute(
        update(messages)
        .where(messages.c.message_id.in_(accepted))
        .values(state=MessageState.ACCEPTED.value, reason=None, detail=DETAIL, retry_at=None)
    )
    own = journey_messages
    is_unknown = and_(own.c.message_id.in_(accepted), own.c.reason == DeliveryReason.OUTCOME_UNKNOWN.value)
    hold_rows(connection, own, is_unknown)
    connection.execute(
        update(own)
        .where(is_unknown)
        .values(outcome=case((own.c.is_delayed == 1, DELAYED), else_=SENT), reason=None, exported=0)
    )
