"""The messages of journeys: from the step that was reached to the outcome that moves the person on.

``open`` → ``batched`` → ``known`` → ``over``. Who gets none goes from ``open`` to ``known`` at once. The
ledger says what became of a batch; here it is only copied, once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BindParameter,
    Row,
    and_,
    bindparam,
    exists,
    func,
    literal_column,
    or_,
    select,
    update,
)

from kundresa.spec.journey_outcomes import DELAYED, NOT_SENT, SENT
from kundresa.spec.vocabulary import DeliveryReason, MessageState
from kundresa.store.bulk import among
from kundresa.store.engine import Database
from kundresa.store.journey_counts import Outcomes, outcomes_in
from kundresa.store.journey_message_records import (
    Approved,
    Delayed,
    JourneyMessage,
    MessageOutcome,
    Refused,
    Supposed,
)
from kundresa.store.journey_tables import journey_messages as table
from kundresa.store.journey_tables import journeys
from kundresa.store.locks import hold_rows
from kundresa.store.tables import UtcDateTime, batches, messages, runs

_LONGEST_LEASE = timedelta(hours=1)
"""Longer than a worker takes a batch for."""
_DOMAINS: dict[str, Any] = {
    "sender_domain": bindparam("from_domain"),
    "address_domain": bindparam("to_domain"),
}
OPEN, BATCHED, KNOWN, OVER = "open", "batched", "known", "over"
UNDER_WAY = table.c.state != literal_column("'over'")
"""What the partial index has. SQLite uses it only where a query says so, in these words: it does not infer it
from another state, and would read every message that the journey ever had."""


class JourneyMessages:
    """The table ``journey_messages``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(self, journey: str, now: datetime, limit: int) -> list[JourneyMessage]:
        """Messages that may be decided now, the longest waiting first; always in the same order."""
        query = (
            select(table)
            .where(table.c.journey == journey, table.c.state == OPEN, UNDER_WAY, table.c.not_before <= now)
            .order_by(table.c.not_before, table.c.message_id)
            .limit(limit)
        )
        with self._database.read() as connection:
            return [_message(row) for row in connection.execute(query)]

    def waiting(self, journey: str, now: datetime, limit: int) -> set[str]:
        """Whose messages :meth:`open` has."""
        query = (
            select(table.c.profile_id)
            .where(table.c.journey == journey, table.c.state == OPEN, UNDER_WAY, table.c.not_before <= now)
            .order_by(table.c.not_before, table.c.message_id)
            .limit(limit)
        )
        with self._database.read() as connection:
            return {*connection.execute(query).scalars()}

    def next_at(self, journey: str) -> datetime | None:
        """When the next message may be decided; None when none waits."""
        query = select(func.min(table.c.not_before)).where(
            table.c.journey == journey, table.c.state == OPEN, UNDER_WAY
        )
        with self._database.read() as connection:
            found: datetime | None = connection.execute(query).scalar_one()
            return found

    def decide(
        self,
        *,
        refused: Sequence[Refused],
        delayed: Sequence[Delayed],
        approved: Mapping[tuple[str, str], Sequence[Approved]],
        now: datetime,
        put_off: Mapping[str, datetime] | None = None,
    ) -> list[tuple[str, str, int]]:
        """Record what is decided of open messages, in one transaction; those that are no longer open are
        left alone. What is delayed or approved counts against caps, capacities and warm-ups from now on.

        Args:
            approved: (run_key, channel) → the messages of a new batch.
            put_off: message_id → when to look again at one of which nothing is decided.

        Returns the batches: run_key, channel, number.
        """
        still = update(table).where(table.c.message_id == bindparam("id"), table.c.state == OPEN)
        made = []
        ids = [each.message_id for each in refused] + [each.message_id for each in delayed]
        ids += [each.message_id for some in approved.values() for each in some] + [*(put_off or {})]
        theirs = select(table.c.journey).where(among(self._database, table.c.message_id, ids))
        with self._database.write() as connection:
            hold_rows(connection, journeys, journeys.c.journey.in_(theirs))
            if refused:
                known = still.values(
                    state=KNOWN,
                    outcome=NOT_SENT,
                    reason=bindparam("why"),
                    settled_at=_at("now"),
                    cap=bindparam("over"),
                    capacity=bindparam("full"),
                    exported=0,
                )
                connection.execute(
                    known,
                    [
                        {"id": each.message_id, "why": each.reason, "now": now}
                        | {"over": each.cap, "full": each.capacity}
                        for each in refused
                    ],
                )
            if delayed:
                later = still.values(
                    not_before=_at("later"),
                    send_at=_at("later"),
                    is_delayed=1,
                    capacity=bindparam("full"),
                    **_DOMAINS,
                    exported=0,
                )
                connection.execute(
                    later,
                    [
                        {"id": each.message_id, "later": each.at, "full": each.capacity, **_domains(each)}
                        for each in delayed
                    ],
                )
            if put_off:
                again = still.values(not_before=_at("later"))
                connection.execute(again, [{"id": key, "later": at} for key, at in put_off.items()])
            for (run_key, channel), some in approved.items():
                # The run's row is the lock: two that cut batches of one run take turns.
                connection.execute(select(runs.c.run_key).where(runs.c.run_key == run_key).with_for_update())
                last = select(func.coalesce(func.max(batches.c.batch_number), 0)).where(
                    batches.c.run_key == run_key, batches.c.channel == channel
                )
                number = int(connection.execute(last).scalar_one()) + 1
                into = still.values(
                    state=BATCHED,
                    batch_number=number,
                    row_json=bindparam("row"),
                    send_at=_at("now"),
                    **_DOMAINS,
                    exported=0,
                )
                rows = [
                    {"id": each.message_id, "row": each.row_json, "now": now} | _domains(each)
                    for each in some
                ]
                size = connection.execute(into, rows).rowcount
                if size:
                    batch = {"run_key": run_key, "channel": channel, "batch_number": number, "fence": 0}
                    connection.execute(batches.insert(), batch | {"size": size})
                    made.append((run_key, channel, number))
        return made

    def suppose(self, outcomes: Sequence[Supposed]) -> None:
        """In a plan's own store: say at once what becomes of open messages, as of when they were reached, or
        as of when those that were delayed were to leave."""
        known = (
            update(table)
            .where(table.c.message_id == bindparam("id"), table.c.state == OPEN)
            .values(
                state=KNOWN,
                outcome=bindparam("what"),
                reason=bindparam("why"),
                settled_at=table.c.not_before,
                send_at=table.c.not_before,
                **_DOMAINS,
            )
        )
        if outcomes:
            rows = [
                {"id": each.message_id, "what": each.outcome, "why": each.reason, **_domains(each)}
                for each in outcomes
            ]
            with self._database.write() as connection:
                connection.execute(known, rows)

    def unfinished(self, run_keys: Collection[str]) -> list[tuple[str, str, int]]:
        """The batches of these runs that are not delivered to their end, in order."""
        query = (
            select(batches.c.run_key, batches.c.channel, batches.c.batch_number)
            .where(batches.c.run_key.in_(sorted(run_keys)), batches.c.finished_at.is_(None))
            .order_by(batches.c.run_key, batches.c.channel, batches.c.batch_number)
        )
        with self._database.read() as connection:
            return [(row.run_key, row.channel, row.batch_number) for row in connection.execute(query)]

    def may_deliver(self, run_keys: Collection[str], now: datetime) -> bool:
        """Whether a batch of these runs is worth a look now: one that is not finished, that nobody is
        delivering, and of which no message waits for a later retry."""
        waits = exists().where(
            messages.c.run_key == batches.c.run_key,
            messages.c.channel == batches.c.channel,
            messages.c.batch_number == batches.c.batch_number,
            messages.c.state.in_((MessageState.DEFERRED.value, MessageState.UNKNOWN.value)),
            messages.c.retry_at > now,
        )
        query = select(batches.c.batch_number).where(
            batches.c.run_key.in_(sorted(run_keys)),
            batches.c.finished_at.is_(None),
            ~waits,
            # One whose lease ends far ahead was taken by a clock that was wrong: who asks for it cuts it.
            or_(
                batches.c.owner.is_(None),
                batches.c.lease_expires_at <= now,
                batches.c.lease_expires_at > now + _LONGEST_LEASE,
            ),
        )
        with self._database.read() as connection:
            return connection.execute(query.limit(1)).first() is not None

    def batch(self, run_key: str, number: int) -> list[JourneyMessage]:
        """The messages of one batch, always in the same order."""
        query = select(table).where(table.c.run_key == run_key, table.c.batch_number == number)
        with self._database.read() as connection:
            return [_message(row) for row in connection.execute(query.order_by(table.c.message_id))]

    def get(self, message_id: str) -> JourneyMessage | None:
        """One message, long after it was sent; None when it is none of a journey's."""
        with self._database.read() as connection:
            row = connection.execute(select(table).where(table.c.message_id == message_id)).first()
            return None if row is None else _message(row)

    def of_instance(self, journey: str, profile_id: str, instance_key: str) -> list[JourneyMessage]:
        """Every message of one person under one instance key, in the order in which they came to them."""
        return [each for each in self.of(profile_id, journey) if each.instance_key == instance_key]

    def of(self, profile_id: str, journey: str | None = None) -> Iterator[JourneyMessage]:
        """Every message of one person in a journey, or in all, in the order in which they came to them."""
        query = select(table).where(table.c.profile_id == profile_id)
        if journey is not None:
            query = query.where(table.c.journey == journey)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(table.c.reached_at, table.c.entry, table.c.move)).all()
        return (_message(row) for row in rows)

    def collect(self, journey: str, *, now: datetime, limit: int) -> int:
        """Copy from the ledger what became of messages under way. Returns how many.

        Of those whose outcome is unknown, the ones that stay so: not what is to be sent again, or asked
        about, while it is valid.
        """
        final = [each.value for each in (MessageState.ACCEPTED, MessageState.FAILED, MessageState.WITHHELD)]
        is_over = or_(
            messages.c.retry_at.is_(None),
            table.c.valid_until < now,
            exists().where(
                batches.c.run_key == messages.c.run_key,
                batches.c.channel == messages.c.channel,
                batches.c.batch_number == messages.c.batch_number,
                batches.c.finished_at.is_not(None),
            ),
        )
        stays_unknown = and_(messages.c.state == MessageState.UNKNOWN.value, is_over)
        query = (
            select(
                table.c.message_id,
                table.c.is_delayed,
                messages.c.state,
                messages.c.reason,
                messages.c.settled_at,
            )
            .join(messages, messages.c.message_id == table.c.message_id)
            .where(
                table.c.journey == journey,
                table.c.state == BATCHED,
                UNDER_WAY,
                or_(messages.c.state.in_(final), stays_unknown),
            )
            .order_by(messages.c.message_id)
            .limit(limit)
            # An unknown one may be reported delivered at this moment: it is collected by the next look, as
            # whatever it is then.
            .with_for_update(of=messages, skip_locked=True)
        )
        known = (
            update(table)
            .where(table.c.message_id == bindparam("id"), table.c.state == BATCHED)
            .values(
                state=KNOWN,
                outcome=bindparam("what"),
                reason=bindparam("why"),
                settled_at=_at("when"),
                exported=0,
            )
        )
        with self._database.write() as connection:
            rows = connection.execute(query).all()
            if rows:
                connection.execute(
                    known,
                    [
                        {
                            "id": row.message_id,
                            "what": _outcome(row.state, is_delayed=bool(row.is_delayed)),
                            "why": row.reason,
                            "when": row.settled_at,
                        }
                        for row in rows
                    ],
                )
        return len(rows)

    def known(self, journey: str, limit: int) -> list[MessageOutcome]:
        """Outcomes that nobody has acted on yet."""
        query = (
            select(table).where(table.c.journey == journey, table.c.state == KNOWN, UNDER_WAY).limit(limit)
        )
        with self._database.read() as connection:
            return [
                MessageOutcome(
                    row.message_id,
                    row.profile_id,
                    row.instance_key,
                    row.entry,
                    row.move,
                    row.outcome,
                    row.reason,
                    row.settled_at,
                )
                for row in connection.execute(query)
            ]

    def counts(self, journey: str) -> Outcomes:
        """The account of a journey: step, outcome (None while under way), reason, messages."""
        with self._database.read() as connection:
            return outcomes_in(connection, table, journey)


def not_sent(at: datetime) -> dict[str, object]:
    """What becomes of a message whose person has left before it did."""
    reason = DeliveryReason.RUN_CANCELLED.value
    return {"state": OVER, "outcome": NOT_SENT, "reason": reason, "settled_at": at, "exported": 0}


def _domains(each: Approved | Delayed | Supposed) -> dict[str, str | None]:
    return {"from_domain": each.sender_domain, "to_domain": each.address_domain}


def _at(name: str) -> BindParameter[datetime]:
    return bindparam(name, type_=UtcDateTime())


def _outcome(state: str, *, is_delayed: bool) -> str:
    if state != MessageState.ACCEPTED:
        return NOT_SENT
    return DELAYED if is_delayed else SENT


def _message(row: Row[Any]) -> JourneyMessage:
    values = {each.name: getattr(row, each.name) for each in fields(JourneyMessage)}
    return JourneyMessage(**values | {"is_delayed": bool(row.is_delayed)})
