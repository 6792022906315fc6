"""Feedback: what came back about messages, and the suppressions that follow from it at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, or_, select, update

from kundresa.spec.bounces import HARD_BOUNCE
from kundresa.spec.machines import KNOWN_AFTER
from kundresa.spec.vocabulary import Automation, BounceClass, FeedbackKind
from kundresa.store.engine import Database
from kundresa.store.inbox import end_of, take_turns
from kundresa.store.inbox_records import NewFeedback
from kundresa.store.inbox_tables import feedback
from kundresa.store.journey_tables import journey_messages, journey_tests
from kundresa.store.reported import accept_reported
from kundresa.store.soft_bounces import SOFT_BOUNCES, SoftBounceRule, over
from kundresa.store.tables import suppressions

COMPLAINT = "complaint"
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Hit:
    """An open or a click that is known: when, where to, and what kind of machine did it."""

    position: int
    message_id: str
    kind: FeedbackKind
    target: str | None
    automation: Automation | None
    occurred_at: datetime


JudgedHits = tuple[Sequence[NewFeedback], Collection[int]]
"""Hits to record, and the positions of earlier clicks that they show to have been a scanner's."""


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

    def record_hits(
        self, message_ids: Sequence[str], judge: Callable[[list[Hit]], JudgedHits]
    ) -> list[NewFeedback]:
        """Record opens and clicks as they are judged by the earlier ones of these messages (at most a few
        thousand), in one transaction that nobody else's hits come into; returns what was new.

        Args:
            judge: the earlier hits by position → what to record, and the positions of clicks that turn out to
                have been a scanner's, where they were taken for a person's. Called within the transaction: it
                calculates, and asks nobody.
        """
        with self._database.write() as connection:
            take_turns(self._database, connection)
            items, scanned = judge(_hits(connection, message_ids))
            if scanned:
                connection.execute(
                    update(feedback)
                    .where(feedback.c.position.in_(scanned), feedback.c.automation.is_(None))
                    .values(automation=Automation.SCANNER.value, is_automated=True)
                )
            return record_feedback(self._database, connection, items, SoftBounceRule())

    def known(self, keys: Sequence[str]) -> set[str]:
        """Of these feedback keys (at most a few thousand), those that are recorded."""
        query = select(feedback.c.feedback_key).where(feedback.c.feedback_key.in_(keys))
        with self._database.read() as connection:
            return set(connection.execute(query).scalars())

    def hits(self, message_ids: Sequence[str]) -> list[Hit]:
        """The opens and clicks of these messages (at most a few thousand), by position."""
        with self._database.read() as connection:
            return _hits(connection, message_ids)

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

    def end(self) -> int:
        """The position of the last line; 0 when there is none."""
        with self._database.read() as connection:
            return end_of(connection, feedback)

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


def _hits(connection: Connection, message_ids: Sequence[str]) -> list[Hit]:
    query = (
        select(*(feedback.c[name] for name in Hit.__slots__))
        .where(
            feedback.c.message_id.in_(message_ids),
            feedback.c.kind.in_((FeedbackKind.OPENED.value, FeedbackKind.CLICKED.value)),
        )
        .order_by(feedback.c.position)
    )
    return [
        Hit(
            position=row.position,
            message_id=row.message_id,
            kind=FeedbackKind(row.kind),
            target=row.target,
            automation=Automation(row.automation) if row.automation else None,
            occurred_at=row.occurred_at,
        )
        for row in connection.execute(query)
    ]


def is_known_to_be_a_persons(now: datetime) -> ColumnElement[bool]:
    """Whether a person did it, and no later hit shows that it was a machine: only of clicks one does."""
    return and_(
        feedback.c.is_automated.is_(False),
        or_(feedback.c.kind != FeedbackKind.CLICKED.value, feedback.c.received_at <= now - KNOWN_AFTER),
    )


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
    if item.bounce_class is BounceClass.SOFT and over(
        connection, item.channel, [item.address], rule, at=item.occurred_at
    ):
        return SOFT_BOUNCES
    return None
