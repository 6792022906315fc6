"""The messages of journeys as others count them: the warehouse, a day of a journey at a time, and caps,
capacities and warm-ups."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, ColumnElement, and_, exists, func, literal_column, or_, select, text, update

from kundresa.spec.journey_outcomes import NOT_SENT
from kundresa.spec.vocabulary import DeliveryReason, JourneyState, MessageState
from kundresa.store.bulk import among
from kundresa.store.engine import Database
from kundresa.store.journey_message_records import CountedMessage
from kundresa.store.journey_messages import BATCHED, OVER, UNDER_WAY
from kundresa.store.journey_tables import COUNTED_MESSAGE, journeys
from kundresa.store.journey_tables import journey_messages as table
from kundresa.store.locks import hold_rows
from kundresa.store.tables import messages

WRITING, WRITTEN = 1, 2
CHUNK = 5_000
"""Rows of one transaction: some 50 ms of SQLite's one write lock."""
# As the indexes say it, or SQLite does not see that it may use them. Texts, not columns of truth values:
# SQLAlchemy compares those with 1 there.
_COUNTED = text(f"({COUNTED_MESSAGE})")
"""Whether somebody got a message, or still may."""
_UNEXPORTED = text("journey_messages.exported <> 2")
_LEFT = exists().where(
    messages.c.message_id == table.c.message_id, messages.c.state != MessageState.DEFERRED.value
)
_UNSENT = and_(table.c.state == BATCHED, ~_LEFT)
"""What has a batch and has not left, nor may have left."""

_OWN = (
    "message_id",
    "version",
    "step",
    "topic",
    "profile_id",
    "instance_key",
    "channel",
    "variant",
    "state",
    "outcome",
    "reason",
    "batch_number",
    "reached_at",
    "send_at",
    "settled_at",
    "cap",
    "capacity",
    "sender_domain",
    "address_domain",
)
_LEDGER = {
    "message_state": messages.c.state,
    "delivery_reason": messages.c.reason,
    "provider_id": messages.c.provider_id,
    "code": messages.c.code,
    "attempts": messages.c.attempts,
    "first_claimed_at": messages.c.first_claimed_at,
    "left_at": messages.c.settled_at,
}


@dataclass(frozen=True, slots=True)
class AccountedMessages:
    """How many messages of journeys are alike, as the journey has them and as the ledger does."""

    channel: str
    outcome: str | None
    """None while under way."""
    reason: str | None
    is_decided: bool
    """Whether it leaves, or has left, as decided."""
    state: str | None
    """The ledger's; None without a line."""
    delivery_reason: str | None
    messages: int


@dataclass(frozen=True, slots=True)
class JourneyAccount:
    """Some messages of a journey in numbers, all of one moment. ``considered`` is counted by itself;
    ``extra`` are lines of the ledger without a message."""

    considered: Mapping[str, int]
    lines: tuple[AccountedMessages, ...]
    extra: int
    people_considered: int
    people_reached: int


class JourneyAccounts:
    """Questions about ``journey_messages`` from outside of journeys."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def counted(self, profile_ids: Collection[str], since: datetime) -> list[CountedMessage]:
        """What these people got from journeys, or still may, from an instant on. What waits for the end of
        quiet hours is among it; what is not decided yet, was refused, withheld or failed, is not."""
        query = select(
            table.c.message_id, table.c.profile_id, table.c.channel, table.c.topic, table.c.send_at
        ).where(among(self._database, table.c.profile_id, profile_ids), table.c.send_at >= since, _COUNTED)
        with self._database.read() as connection:
            return [CountedMessage(**row._mapping) for row in connection.execute(query)]

    def counted_between(
        self,
        first: datetime,
        end: datetime,
        *,
        channels: Collection[str],
        sender_domain: str | None = None,
        address_domains: Collection[str] = (),
        is_other: bool = False,
    ) -> int:
        """How many messages of all journeys leave, or have left, from ``first`` to before ``end``: those of
        :meth:`counted`. It costs what there are of them.

        Args:
            sender_domain: only those from there; None is any, and asks for no address either.
            address_domains: only those to there.
            is_other: to anywhere but there.
        """
        own = table.c.address_domain.in_(sorted(address_domains))
        query = select(func.count()).where(
            table.c.send_at >= first, table.c.send_at < end, table.c.channel.in_(sorted(channels)), _COUNTED
        )
        if sender_domain is not None:
            query = query.where(table.c.sender_domain == sender_domain, ~own if is_other else own)
        with self._database.read() as connection:
            return int(connection.execute(query).scalar_one())

    def changed_from(self, journey: str, since: datetime | None) -> datetime | None:
        """When the first message was reached, from an instant on, of which the warehouse does not know all;
        None when there is none."""
        # Not the bare column: by it SQLite takes the index of all messages, of which most are known.
        own = table.c.journey.concat("") == journey
        query = select(func.min(table.c.reached_at)).where(own, _UNEXPORTED)
        if since is not None:
            query = query.where(table.c.reached_at >= since)
        with self._database.read() as connection:
            found: datetime | None = connection.execute(query).scalar_one()
            return found

    def reached(
        self, journey: str, first: datetime, end: datetime, *, chunk: int = CHUNK
    ) -> Iterator[list[dict[str, Any]]]:
        """All messages that were reached from ``first`` to before ``end``, with their lines of the ledger, in
        chunks; :meth:`written` says that they have arrived. What changes after it was read is read again the
        next time. For one reader at a time.

        Each is a dict of the columns of ``journey_messages``, ``message_state`` to ``first_claimed_at`` and
        ``left_at`` (when it was settled) of the ledger, None without a line, and ``is_counted`` as
        :meth:`counted` has it.
        """
        place = (table.c.reached_at, table.c.message_id)
        own = (table.c.journey == journey, table.c.reached_at >= first, table.c.reached_at < end)
        page = select(*place).where(*own).order_by(*place).limit(chunk)
        columns = [table.c[name] for name in _OWN] + [each.label(name) for name, each in _LEDGER.items()]
        line = (
            select(*columns, literal_column(_COUNTED.text, Boolean).label("is_counted"))
            .join(messages, messages.c.message_id == table.c.message_id, isouter=True)
            .order_by(*place)
        )
        after = page
        while True:
            with self._database.write() as connection:
                places = connection.execute(after).all()
                some = among(self._database, table.c.message_id, [row.message_id for row in places])
                hold_rows(connection, table, some)
                # Before they are read: a change that comes later leaves a 0, which stays.
                connection.execute(update(table).where(some, _UNEXPORTED).values(exported=WRITING))
                rows = [dict(row._mapping) for row in connection.execute(line.where(some))]
            if rows:
                yield rows
            if len(places) < chunk:
                return
            at, message_id = places[-1]
            beyond = or_(
                table.c.reached_at > at, and_(table.c.reached_at == at, table.c.message_id > message_id)
            )
            after = page.where(beyond)

    def of_day(self, journey: str, first: datetime, end: datetime) -> JourneyAccount:
        """What was reached from ``first`` to before ``end``, and what the ledger says of it."""
        return self._account(
            and_(table.c.journey == journey, table.c.reached_at >= first, table.c.reached_at < end), None
        )

    def of_run(self, run_key: str) -> JourneyAccount:
        """The messages of one standing run. Those that wait for their decision have a run as well."""
        return self._account(table.c.run_key == run_key, run_key)

    def _account(self, which: ColumnElement[bool], run_key: str | None) -> JourneyAccount:
        considered = select(table.c.channel, func.count()).where(which).group_by(table.c.channel)
        columns = (
            table.c.channel,
            table.c.outcome,
            table.c.reason,
            table.c.send_at.is_not(None).label("is_decided"),
            messages.c.state,
            messages.c.reason.label("delivery_reason"),
        )
        joined = table.join(messages, messages.c.message_id == table.c.message_id, isouter=True)
        lines = select(*columns, func.count()).select_from(joined).where(which).group_by(*columns)
        got = messages.c.state == MessageState.ACCEPTED.value
        everybody = func.count(table.c.profile_id.distinct())
        people = select(everybody).where(which)
        reached = select(everybody).select_from(joined).where(which, got)
        known = select(table.c.message_id).where(table.c.message_id == messages.c.message_id)
        beyond = select(func.count()).where(messages.c.run_key == run_key, ~known.exists())
        with self._database.snapshot() as connection:
            return JourneyAccount(
                considered={row[0]: int(row[1]) for row in connection.execute(considered)},
                lines=tuple(
                    AccountedMessages(
                        row.channel,
                        row.outcome,
                        row.reason,
                        bool(row.is_decided),
                        row.state,
                        row.delivery_reason,
                        int(row[6]),
                    )
                    for row in connection.execute(lines)
                ),
                extra=0 if run_key is None else int(connection.execute(beyond).scalar_one()),
                people_considered=int(connection.execute(people).scalar_one()),
                people_reached=int(connection.execute(reached).scalar_one()),
            )

    def written(self, journey: str, first: datetime, end: datetime, *, chunk: int = CHUNK) -> None:
        """The warehouse has what :meth:`reached` gave for this time."""
        some = (
            select(table.c.message_id)
            .where(
                table.c.journey == journey,
                table.c.reached_at >= first,
                table.c.reached_at < end,
                _UNEXPORTED,
                table.c.exported == WRITING,
            )
            .limit(chunk)
        )
        while True:
            with self._database.write() as connection:
                ids: Sequence[str] = connection.execute(some).scalars().all()
                those = among(self._database, table.c.message_id, ids)
                hold_rows(connection, table, those)
                connection.execute(
                    update(table).where(those, table.c.exported == WRITING).values(exported=WRITTEN)
                )
            if len(ids) < chunk:
                return

    def with_unsent(self) -> frozenset[str]:
        """The journeys, and tests, that are stopped and have messages with a batch that have not left."""
        query = select(table.c.journey).distinct()
        query = query.join(journeys, journeys.c.journey == table.c.journey)
        is_over = journeys.c.state == JourneyState.STOPPED.value
        with self._database.read() as connection:
            return frozenset(connection.execute(query.where(is_over, UNDER_WAY, _UNSENT)).scalars())

    def cancel_unsent(self, journey: str, *, at: datetime) -> int:
        """Of a journey whose standing runs are closed: what has a batch and has not left is not sent. Returns
        how many."""
        unsent = and_(table.c.journey == journey, _UNSENT)
        with self._database.write() as connection:
            hold_rows(connection, table, unsent)
            return connection.execute(
                update(table)
                .where(unsent)
                .values(
                    state=OVER,
                    outcome=NOT_SENT,
                    reason=DeliveryReason.RUN_CANCELLED.value,
                    settled_at=at,
                    exported=0,
                )
            ).rowcount
