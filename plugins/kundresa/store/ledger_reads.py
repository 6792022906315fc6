"""What the ledger is asked: where messages stand, how many, and all of them for the export."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Connection,
    Select,
    and_,
    exists,
    func,
    or_,
    select,
    text,
    tuple_,
    union_all,
)

from kundresa.spec.keys import SEED_BATCH
from kundresa.spec.vocabulary import DeliveryReason, FeedbackKind, MessageState
from kundresa.store.bulk import among
from kundresa.store.engine import Database
from kundresa.store.feedback import is_known_to_be_a_persons
from kundresa.store.inbox_tables import feedback
from kundresa.store.records import BatchTally, Lease, LedgerCount, LedgerLine, PartTally, Pending, Standing
from kundresa.store.tables import attempts, batches, messages

EXPORTED = (
    "message_id",
    "run_key",
    "channel",
    "batch_number",
    "profile_id",
    "variant",
    "state",
    "reason",
    "provider_id",
    "code",
    "attempts",
    "first_claimed_at",
    "settled_at",
)
"""What ``rows`` gives of each message."""


class LedgerReads:
    """Questions to ``messages`` that change nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def standing(self, lease: Lease) -> dict[str, Standing]:
        """Where every message of the batch stands that has a line: message_id → standing.

        One query, so that a resumed batch passes over what is done at the cost of a look-up each. At
        most ``lease.size`` entries of ~0.3 KB.
        """
        of = messages.c
        columns = (of.message_id, of.state, of.attempts, of.retry_at, of.fence, of.claimed_at)
        with self._database.read() as connection:
            return {
                row.message_id: Standing(
                    MessageState(row.state), row.attempts, row.retry_at, row.fence, row.claimed_at
                )
                for row in connection.execute(select(*columns).where(in_batch(lease)))
            }

    def tally(self, run_key: str, channel: str, batch_number: int) -> BatchTally:
        """How the messages of one batch stand. ``retry_at`` is the earliest of any that has one."""
        with self._database.read() as connection:
            return _tally(connection, _of(run_key, channel, batch_number))

    def part_tally(self, run_key: str, batch_numbers: Mapping[str, Sequence[int]]) -> PartTally:
        """How the messages of some batches stand: channel → batch numbers, at most a few thousand."""
        last = func.max(func.coalesce(messages.c.first_claimed_at, messages.c.settled_at)).label("last_at")
        by = (messages.c.state, messages.c.reason)
        query = select(*by, func.count().label("messages"), last).where(messages.c.run_key == run_key)
        counts: Counter[tuple[MessageState, DeliveryReason | None]] = Counter()
        instants = []
        with self._database.read() as connection:
            for channel, numbers in batch_numbers.items():
                of_channel = query.where(
                    messages.c.channel == channel, messages.c.batch_number.in_(numbers)
                ).group_by(*by)
                for row in connection.execute(of_channel):
                    reason = DeliveryReason(row.reason) if row.reason else None
                    counts[MessageState(row.state), reason] += row.messages
                    instants.append(row.last_at)
        return PartTally(counts, max(instants, default=None))

    def people_by_variant(
        self,
        run_key: str,
        batch_numbers: Mapping[str, Sequence[int]],
        *,
        with_feedback: tuple[FeedbackKind, datetime] | None = None,
    ) -> dict[str, int]:
        """Variant → people whose messages of some batches were taken; ``with_feedback`` only those of whom
        such feedback came, that at that moment is known to be a person's. A person with two messages counts
        once.
        """
        query = select(messages.c.variant, messages.c.profile_id).where(
            messages.c.run_key == run_key,
            messages.c.state == MessageState.ACCEPTED.value,
            messages.c.variant.is_not(None),
            or_(
                *(
                    and_(messages.c.channel == channel, messages.c.batch_number.in_(numbers))
                    for channel, numbers in batch_numbers.items()
                )
            ),
        )
        if with_feedback is not None:
            kind, now = with_feedback
            query = query.join(feedback, feedback.c.message_id == messages.c.message_id).where(
                feedback.c.kind == kind.value, is_known_to_be_a_persons(now)
            )
        people = query.distinct().subquery()
        counted = select(people.c.variant, func.count().label("people")).group_by(people.c.variant)
        with self._database.read() as connection:
            return {row.variant: row.people for row in connection.execute(counted)}

    def counts(self, run_key: str) -> list[LedgerCount]:
        """Messages of a run by channel, state and reason, in that order. Seeds are not counted."""
        by = (messages.c.channel, messages.c.state, messages.c.reason)
        query = select(*by, func.count().label("messages")).where(
            messages.c.run_key == run_key, messages.c.batch_number != SEED_BATCH
        )
        with self._database.read() as connection:
            lines = connection.execute(query.group_by(*by).order_by(*by)).all()
        return [
            LedgerCount(
                channel=line.channel,
                state=MessageState(line.state),
                reason=DeliveryReason(line.reason) if line.reason else None,
                messages=line.messages,
            )
            for line in lines
        ]

    def pending(self, run_key: str) -> Pending:
        """What of the run's registered batches has not come to its end."""
        registered = select(func.coalesce(func.sum(batches.c.size), 0)).where(batches.c.run_key == run_key)
        with self._database.read() as connection:
            tally = _tally(connection, messages.c.run_key == run_key)
            size = int(connection.execute(registered).scalar_one())
        return Pending(
            unclaimed=size - sum(tally.counts.values()),
            claimed=tally.counts.get(MessageState.CLAIMED, 0),
            deferred=tally.counts.get(MessageState.DEFERRED, 0),
            retry_at=tally.retry_at,
        )

    def asked_again(self, run_key: str) -> int:
        """Messages of a run whose outcome is unknown, and that are to be handed over, or asked about, again.
        Seeds are not counted."""
        under_way = exists().where(
            batches.c.run_key == messages.c.run_key,
            batches.c.channel == messages.c.channel,
            batches.c.batch_number == messages.c.batch_number,
            batches.c.finished_at.is_(None),
        )
        query = select(func.count()).where(
            messages.c.run_key == run_key,
            messages.c.batch_number != SEED_BATCH,
            messages.c.state == MessageState.UNKNOWN.value,
            messages.c.retry_at.is_not(None),
            under_way,
        )
        with self._database.read() as connection:
            return int(connection.execute(query).scalar_one())

    def rows(
        self, run_key: str, chunk: int = 5_000, *, states: Collection[MessageState] | None = None
    ) -> Iterator[list[dict[str, Any]]]:
        """All lines of a run, or those in some states, in chunks of at most ``chunk`` dicts with the keys of
        ``EXPORTED``. Not those of its seeds, who are in no account.

        Each chunk is a query of its own that starts after the last key of the one before, so memory
        does not grow with the run and no transaction stays open meanwhile. A line that is settled in
        between comes once, before or after.
        """
        position = (messages.c.channel, messages.c.batch_number, messages.c.message_id)
        query = (
            select(*(messages.c[name] for name in EXPORTED))
            .where(messages.c.run_key == run_key, messages.c.batch_number != SEED_BATCH)
            .order_by(*position)
            .limit(chunk)
        )
        if states is not None:
            query = query.where(messages.c.state.in_([state.value for state in states]))
        page: Select[Any] = query
        while True:
            with self._database.read() as connection:
                lines = [dict(row._mapping) for row in connection.execute(page)]
            if lines:
                yield lines
            if len(lines) < chunk:
                return
            last = lines[-1]
            after = (last["channel"], last["batch_number"], last["message_id"])
            page = query.where(tuple_(*position) > after)

    def lines(self, message_ids: Sequence[str]) -> dict[str, LedgerLine]:
        """Of these messages (at most a few thousand), those that have a line: message_id → line."""
        columns = [messages.c[each.name] for each in fields(LedgerLine)]
        query = select(*columns).where(messages.c.message_id.in_(message_ids))
        with self._database.read() as connection:
            found = [dict(row._mapping) for row in connection.execute(query)]
        for line in found:
            line["state"] = MessageState(line["state"])
            line["reason"] = DeliveryReason(line["reason"]) if line["reason"] else None
        return {line["message_id"]: LedgerLine(**line) for line in found}

    def by_provider_id(
        self,
        provider_ids: Sequence[str],
        channel: str,
        *,
        is_of_account: Callable[[str], bool] = lambda _: True,
    ) -> dict[str, str]:
        """Of these names that providers have given to messages of a channel (at most a few thousand), those
        that are known: the provider's id → ours. Not of emails, whose id is ours. A provider may use a name
        again, as do two providers: the message that was claimed last has it, of those whose run key
        ``is_of_account`` accepts."""
        if not provider_ids:
            return {}
        query = (
            select(messages.c.provider_id, messages.c.message_id, messages.c.run_key)
            .where(
                messages.c.provider_id.in_(provider_ids),
                messages.c.channel == channel,
                text("channel <> 'email'"),  # as the index says it
            )
            .order_by(messages.c.claimed_at)
        )
        with self._database.read() as connection:
            lines = connection.execute(query).all()
        # Outside of the connection: what is asked may need one of its own.
        return {line.provider_id: line.message_id for line in lines if is_of_account(line.run_key)}

    def without_result(self, run_key: str, channel: str) -> int:
        """Messages of a run on a channel that were taken, and of which nothing has come back that says
        whether they arrived. Seeds are not counted."""
        told = exists().where(
            feedback.c.message_id == messages.c.message_id,
            feedback.c.kind.in_((FeedbackKind.DELIVERED.value, FeedbackKind.BOUNCED.value)),
        )
        query = select(func.count()).where(
            messages.c.run_key == run_key,
            messages.c.channel == channel,
            messages.c.batch_number != SEED_BATCH,
            messages.c.state == MessageState.ACCEPTED.value,
            ~told,
        )
        with self._database.read() as connection:
            return int(connection.execute(query).scalar_one())

    def has_result(self, message_ids: Sequence[str]) -> bool:
        """Whether one of these was reported delivered or come back: then it has left, whatever its line
        says."""
        query = (
            select(feedback.c.position)
            .where(
                among(self._database, feedback.c.message_id, message_ids),
                feedback.c.kind.in_((FeedbackKind.DELIVERED.value, FeedbackKind.BOUNCED.value)),
            )
            .limit(1)
        )
        with self._database.read() as connection:
            return connection.execute(query).first() is not None

    def has_accepted(self, run_key: str, channel: str) -> bool:
        """Whether a message of this run was taken on this channel, among the first 10,000 of its account:
        where nothing is taken, no more lines are read than that."""
        first = (
            select(messages.c.state)
            .where(messages.c.run_key == run_key, messages.c.channel == channel)
            .order_by(messages.c.batch_number, messages.c.message_id)
            .limit(10_000)
            .subquery()
        )
        query = select(first.c.state).where(first.c.state == MessageState.ACCEPTED.value).limit(1)
        with self._database.read() as connection:
            return connection.execute(query).first() is not None

    def last_answers(self, message_ids: Sequence[str]) -> dict[str, tuple[str, str | None]]:
        """Of these messages (at most a few thousand), those that were answered at an attempt before the one
        of their line: message_id → code and detail of the last such answer."""
        query = (
            select(attempts.c.message_id, attempts.c.code, attempts.c.detail)
            .where(attempts.c.message_id.in_(message_ids), attempts.c.code.is_not(None))
            .order_by(attempts.c.attempt)
        )
        with self._database.read() as connection:
            return {row.message_id: (row.code, row.detail) for row in connection.execute(query)}

    def attempts_of(self, message_id: str) -> list[dict[str, Any]]:
        """The attempts of one message that came to an end, the first one first, as plain dicts."""
        ended = ended_attempts(messages.c.message_id == message_id).subquery()
        with self._database.read() as connection:
            return [dict(row._mapping) for row in connection.execute(select(ended).order_by(ended.c.attempt))]


def in_batch(lease: Lease) -> ColumnElement[bool]:
    """The messages of a leased batch."""
    return _of(lease.run_key, lease.channel, lease.batch_number)


def _of(run_key: str, channel: str, batch_number: int) -> ColumnElement[bool]:
    return and_(
        messages.c.run_key == run_key,
        messages.c.channel == channel,
        messages.c.batch_number == batch_number,
    )


def ended_attempts(which: ColumnElement[bool]) -> CompoundSelect[Any]:
    """The attempts of some messages that came to an end, with the columns of ``attempts``: those put aside,
    and the last one of each settled line."""
    aside = select(attempts).join_from(messages, attempts, attempts.c.message_id == messages.c.message_id)
    last = select(
        messages.c.message_id,
        messages.c.attempts.label("attempt"),
        messages.c.claimed_by,
        messages.c.claimed_at,
        messages.c.settled_at,
        messages.c.state,
        messages.c.code,
        messages.c.detail,
    ).where(
        which,
        messages.c.claimed_at.is_not(None),
        messages.c.settled_at.is_not(None),
        # Of an earlier release, which wrote each attempt aside at its end.
        ~exists().where(
            attempts.c.message_id == messages.c.message_id, attempts.c.attempt == messages.c.attempts
        ),
    )
    return union_all(aside.where(which), last)


def _tally(connection: Connection, which: ColumnElement[bool]) -> BatchTally:
    count, retry_at = func.count().label("messages"), func.min(messages.c.retry_at).label("retry_at")
    query = select(messages.c.state, count, retry_at).where(which).group_by(messages.c.state)
    lines = connection.execute(query).all()
    return BatchTally(
        counts={MessageState(line.state): line.messages for line in lines},
        retry_at=min((line.retry_at for line in lines if line.retry_at), default=None),
    )
