"""Feedback: what came back about messages, and the suppressions that follow from it at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, distinct, func, or_, select, update

from kundresa.spec.bounces import HARD_BOUNCE
from kundresa.spec.vocabulary import Automation, BounceClass, FeedbackKind
from kundresa.store.engine import Database
from kundresa.store.inbox import take_turns
from kundresa.store.inbox_records import NewFeedback
from kundresa.store.inbox_tables import feedback
from kundresa.store.journey_tables import journey_messages, journey_tests
from kundresa.store.reported import accept_reported
from kundresa.store.tables import suppressions

SOFT_BOUNCES = "soft_bounces"
COMPLAINT = "complaint"
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
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


@dataclass(frozen=True, slots=True)
class Hit:
    """An open or a click that is known: when, where to, and what kind of machine did it."""

    position: int
    message_id: str
    kind: FeedbackKind
    target: str | None
    automation: Automation | None
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class CameBack:
    """One thing that came back about a message, as it is told to people."""

    kind: FeedbackKind
    occurred_at: datetime
    provider: str
    """Who told it, as in ``NewFeedback``."""
    bounce_class: BounceClass | None
    automation: Automation | None
    """What kind of machine did it; None for a person."""
    target: str | None
    """Where a click led to."""
    code: str | None
    detail: str | None


class Feedback:
    """The table ``feedback``. Rows are added; only what is known of a hit's machine changes later."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(
        self, items: Sequence[NewFeedback], *, rule: SoftBounceRule | None = None
    ) -> list[NewFeedback]:
        """Record what is new of these, and suppress what follows from it, in one transaction; returns what
        was new. A hard bounce and a complaint suppress at once, soft ones by the rule. A message that is
        unknown and reported delivered is accepted.
        """
        if not items:
            return []
        with self._database.write() as connection:
            take_turns(self._database, connection)
            return record_feedback(self._database, connection, items, rule or SoftBounceRule())

    def known(self, keys: Sequence[str]) -> set[str]:
        """Of these feedback keys (at most a few thousand), those that are recorded."""
        query = select(feedback.c.feedback_key).where(feedback.c.feedback_key.in_(keys))
        with self._database.read() as connection:
            return set(connection.execute(query).scalars())

    def hits(self, message_ids: Sequence[str]) -> list[Hit]:
        """The opens and clicks of these messages (at most a few thousand), by position."""
        query = (
            select(*(feedback.c[name] for name in Hit.__slots__))
            .where(
                feedback.c.message_id.in_(message_ids),
                feedback.c.kind.in_((FeedbackKind.OPENED.value, FeedbackKind.CLICKED.value)),
            )
            .order_by(feedback.c.position)
        )
        with self._database.read() as connection:
            found = connection.execute(query).all()
        return [
            Hit(
                position=row.position,
                message_id=row.message_id,
                kind=FeedbackKind(row.kind),
                target=row.target,
                automation=Automation(row.automation) if row.automation else None,
                occurred_at=row.occurred_at,
            )
            for row in found
        ]

    def about(self, message_ids: Sequence[str]) -> dict[str, list[CameBack]]:
        """What has come back about each of these messages (at most a few thousand), in the order in which it
        happened. A message about which nothing came is not in it."""
        query = (
            select(feedback.c.message_id, *(feedback.c[name] for name in CameBack.__slots__))
            .where(feedback.c.message_id.in_(message_ids))
            .order_by(feedback.c.occurred_at, feedback.c.position)
        )
        found: dict[str, list[CameBack]] = {}
        with self._database.read() as connection:
            for row in connection.execute(query):
                came = CameBack(
                    kind=FeedbackKind(row.kind),
                    occurred_at=row.occurred_at,
                    provider=row.provider,
                    bounce_class=BounceClass(row.bounce_class) if row.bounce_class else None,
                    automation=Automation(row.automation) if row.automation else None,
                    target=row.target,
                    code=row.code,
                    detail=row.detail,
                )
                found.setdefault(row.message_id, []).append(came)
        return found

    def mark_automated(self, positions: Sequence[int], automation: Automation) -> int:
        """These hits were a machine's, as later ones have shown; returns how many were not known to be."""
        change = (
            update(feedback)
            .where(feedback.c.position.in_(positions), feedback.c.automation.is_(None))
            .values(automation=automation.value, is_automated=True)
        )
        with self._database.write() as connection:
            return connection.execute(change).rowcount

    def all_rows(self) -> Iterator[dict[str, Any]]:
        """All lines that are kept, as ``rows`` gives them, but for those about messages of journeys' tests:
        they say nothing of what people do by themselves."""
        tests = select(journey_tests.c.test)
        tested = select(journey_messages.c.message_id).where(journey_messages.c.journey.in_(tests))
        is_own = or_(feedback.c.message_id.is_(None), feedback.c.message_id.not_in(tested))
        return self.rows(_FIRST, _LAST, which=is_own)

    def rows(
        self,
        start: datetime,
        end: datetime,
        chunk: int = 5_000,
        *,
        which: ColumnElement[bool] | None = None,
    ) -> Iterator[dict[str, Any]]:
        """The lines received from ``start`` to before ``end`` as dicts, by position; read in pages. Only
        ``which``, where that is said."""
        last = 0
        while True:
            query = (
                select(feedback)
                .where(
                    feedback.c.received_at >= start,
                    feedback.c.received_at < end,
                    feedback.c.position > last,
                )
                .order_by(feedback.c.position)
                .limit(chunk)
            )
            if which is not None:
                query = query.where(which)
            with self._database.read() as connection:
                page = [dict(row._mapping) for row in connection.execute(query)]
            yield from page
            if len(page) < chunk:
                return
            last = page[-1]["position"]


def record_feedback(
    database: Database, connection: Connection, items: Sequence[NewFeedback], rule: SoftBounceRule
) -> list[NewFeedback]:
    """Within a write transaction that has taken its turn: what ``Feedback.record`` does."""
    keys = {item.feedback_key for item in items}
    query = select(feedback.c.feedback_key).where(feedback.c.feedback_key.in_(keys))
    known: set[str] = set(connection.execute(query).scalars())
    new = list({item.feedback_key: item for item in items if item.feedback_key not in known}.values())
    if new:
        connection.execute(database.insert_new(feedback), [item.as_row() for item in new])
    for item in new:
        reason = _suppressed_by(connection, item, rule)
        if reason is not None:
            suppression = {
                "channel": item.channel,
                "address": item.address,
                "reason": reason,
                "source": item.provider,
                "recorded_at": item.received_at,
            }
            connection.execute(database.insert_new(suppressions), suppression)
    accept_reported(
        connection,
        {item.message_id for item in new if item.kind is FeedbackKind.DELIVERED and item.message_id},
    )
    return new


def _suppressed_by(connection: Connection, item: NewFeedback, rule: SoftBounceRule) -> str | None:
    if not item.address:
        return None
    if item.kind is FeedbackKind.COMPLAINED:
        return COMPLAINT
    if item.kind is not FeedbackKind.BOUNCED:
        return None
    if item.bounce_class is BounceClass.HARD:
        return HARD_BOUNCE
    if item.bounce_class is BounceClass.SOFT and _soft_bounces(connection, item, rule) >= rule.limit:
        return SOFT_BOUNCES
    return None


def _soft_bounces(connection: Connection, item: NewFeedback, rule: SoftBounceRule) -> int:
    """Messages that bounced softly within the period, after the last success. One message counts once."""
    here = and_(feedback.c.channel == item.channel, feedback.c.address == item.address)
    successes = select(func.max(feedback.c.occurred_at)).where(
        here,
        feedback.c.kind.in_([kind.value for kind in _SUCCESSES]),
        # A machine that loads images proves a mailbox as little as it proves a reader.
        or_(feedback.c.is_automated.is_(False), feedback.c.kind == FeedbackKind.DELIVERED.value),
        feedback.c.occurred_at <= item.occurred_at,
    )
    since = item.occurred_at - rule.within
    success: datetime | None = connection.execute(successes).scalar_one()
    bounces = select(
        func.count(distinct(func.coalesce(feedback.c.message_id, feedback.c.feedback_key)))
    ).where(
        here,
        feedback.c.kind == FeedbackKind.BOUNCED.value,
        feedback.c.bounce_class == BounceClass.SOFT.value,
        feedback.c.occurred_at > (max(success, since) if success else since),
        feedback.c.occurred_at <= item.occurred_at,
    )
    return int(connection.execute(bounces).scalar_one())
