"""The rule for soft bounces: how many messages an address may turn away for now, until nothing is sent there
any more.

It counts messages, whichever way it was told of each: it came back by mail or webhook (``feedback``), or the
receiving server refused it while it was handed over, for good or until it was given up (``soft_refusals``). A
message counts once, however often it was tried.

What ends it. A sign of life in the feedback ends all that came before. That a server takes a message is no
sign of life: what comes back by mail was taken first. But a server that has refused an address while it was
written to has looked at the mailbox; when it takes a message, that ends its refusals, and no bounces.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, and_, delete, func, or_, select, union

from kundresa.spec.vocabulary import BounceClass, FeedbackKind
from kundresa.store.bulk import among
from kundresa.store.engine import Database
from kundresa.store.inbox import take_turns
from kundresa.store.inbox_tables import feedback, soft_refusals
from kundresa.store.locks import hold_rows
from kundresa.store.tables import suppressions

SOFT_BOUNCES = "soft_bounces"
"""Why an address is suppressed by the rule."""
_SUCCESSES = (
    FeedbackKind.DELIVERED,
    FeedbackKind.OPENED,
    FeedbackKind.CLICKED,
    FeedbackKind.REPLIED,
    FeedbackKind.UNSUBSCRIBED,
)


@dataclass(frozen=True, slots=True)
class SoftBounceRule:
    """How many messages may bounce softly, with no success in between, before the address is suppressed."""

    limit: int = 5
    within: timedelta = timedelta(days=30)


class SoftRefusals:
    """The table ``soft_refusals``: by address, the messages that its server has refused for now and that were
    given up, since it took one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(
        self, *, channel: str, refused: Mapping[str, str], rule: SoftBounceRule, source: str, now: datetime
    ) -> None:
        """Count messages that were given up after they had been refused, and suppress what follows, in one
        transaction. One that is counted already is not counted again.

        Args:
            refused: message id → address.
        """
        if not refused:
            return
        with self._database.write() as connection:
            take_turns(self._database, connection)
            rows = [
                {"channel": channel, "address": address, "message_id": message_id, "refused_at": now}
                for message_id, address in refused.items()
            ]
            connection.execute(self._database.insert_new(soft_refusals), rows)
            dead = [
                {
                    "channel": channel,
                    "address": address,
                    "reason": SOFT_BOUNCES,
                    "source": source,
                    "recorded_at": now,
                }
                for address in sorted(over(connection, channel, {*refused.values()}, rule, at=now))
            ]
            if dead:
                connection.execute(self._database.insert_new(suppressions), dead)

    def taken(self, *, channel: str, addresses: Sequence[str]) -> None:
        """Their servers have taken messages to these addresses: what they had refused counts no more. One
        query for a few thousand, which finds nothing for most."""
        which = and_(
            soft_refusals.c.channel == channel, among(self._database, soft_refusals.c.address, addresses)
        )
        with self._database.read() as connection:
            found: set[str] = set(connection.execute(select(soft_refusals.c.address).where(which)).scalars())
        if found:
            which = and_(soft_refusals.c.channel == channel, soft_refusals.c.address.in_(sorted(found)))
            with self._database.write() as connection:
                hold_rows(connection, soft_refusals, which)
                connection.execute(delete(soft_refusals).where(which))


def over(
    connection: Connection, channel: str, addresses: Collection[str], rule: SoftBounceRule, *, at: datetime
) -> set[str]:
    """Of these addresses, a few thousand at most, those of which as many messages as the rule permits, or
    more, were turned away by then. One query."""
    since = at - rule.within
    here = and_(feedback.c.channel == channel, feedback.c.address.in_(sorted(addresses)))
    successes = (
        select(feedback.c.address, func.max(feedback.c.occurred_at).label("last_at"))
        .where(
            here,
            feedback.c.kind.in_([kind.value for kind in _SUCCESSES]),
            # A machine that loads images proves a mailbox as little as it proves a reader.
            or_(feedback.c.is_automated.is_(False), feedback.c.kind == FeedbackKind.DELIVERED.value),
            feedback.c.occurred_at > since,
            feedback.c.occurred_at <= at,
        )
        .group_by(feedback.c.address)
        .cte("successes")
    )
    bounced = (
        select(
            feedback.c.address, func.coalesce(feedback.c.message_id, feedback.c.feedback_key).label("message")
        )
        .outerjoin(successes, successes.c.address == feedback.c.address)
        .where(
            here,
            feedback.c.kind == FeedbackKind.BOUNCED.value,
            feedback.c.bounce_class == BounceClass.SOFT.value,
            feedback.c.occurred_at > since,
            feedback.c.occurred_at <= at,
            or_(successes.c.last_at.is_(None), feedback.c.occurred_at > successes.c.last_at),
        )
    )
    refused = (
        select(soft_refusals.c.address, soft_refusals.c.message_id)
        .outerjoin(successes, successes.c.address == soft_refusals.c.address)
        .where(
            soft_refusals.c.channel == channel,
            soft_refusals.c.address.in_(sorted(addresses)),
            soft_refusals.c.refused_at > since,
            soft_refusals.c.refused_at <= at,
            or_(successes.c.last_at.is_(None), soft_refusals.c.refused_at > successes.c.last_at),
        )
    )
    told = union(bounced, refused).subquery()  # each message once
    query = select(told.c.address).group_by(told.c.address).having(func.count() >= rule.limit)
    return {*connection.execute(query).scalars()}
