"""What answers say of addresses: those that are dead get nothing any more, from this moment on; those that
take none for now are counted, with what came back from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from kundresa.channels import is_soft_refusal, judges_addresses
from kundresa.delivery.protocols import Books, Row, SuppressionBook
from kundresa.spec.messages import Message, Receipt
from kundresa.spec.vocabulary import DeliveryReason, MessageState
from kundresa.store.soft_bounces import SoftBounceRule

SOURCE = "delivery"


def suppress_dead(
    book: SuppressionBook,
    channel: str,
    messages: Sequence[Message],
    receipts: Sequence[Receipt],
    *,
    now: datetime,
) -> None:
    """Suppress the addresses of the receipts that say so, with their reason.

    Raises:
        StoreUnavailable: when it cannot be written.
    """
    reasons = {each.message_id: each.suppress for each in receipts if each.suppress}
    if reasons:
        dead = {each.address: reasons[each.message_id] for each in messages if each.message_id in reasons}
        book.add_many(channel=channel, reasons=dead, source=SOURCE, recorded_at=now)


class RefusalCounter:
    """Counts messages that an address has refused softly, once each: when it is known that they will not be
    tried again. Nothing is asked on channels whose receivers do not judge addresses.

    What counts is the last answer that a server gave, at whichever attempt. Nothing is counted before a
    message of the run was taken on the channel: a relay that is broken, or a staging one, says the same of
    everybody.
    """

    def __init__(self, books: Books, run_key: str, channel: str, rule: SoftBounceRule) -> None:
        self._books = books
        self._run_key = run_key
        self._channel = channel
        self._rule = rule
        self._is_judged = judges_addresses(channel)
        self._has_taken = False
        """Whether a message of the run is known to have been taken."""

    def sent(self, messages: Sequence[Message], receipts: Sequence[Receipt], *, now: datetime) -> None:
        """Of messages that were handed over: those that have failed by it, and those that were taken, whose
        addresses have refused nothing any more.

        Raises:
            StoreUnavailable: when it cannot be written.
        """
        if not self._is_judged:
            return
        addresses = {each.message_id: each.address for each in messages}
        taken = [addresses[each.message_id] for each in receipts if each.state is MessageState.ACCEPTED]
        self._has_taken = self._has_taken or bool(taken)
        self._count(addresses, receipts, now)
        if taken:
            self._books.soft_refusals.taken(channel=self._channel, addresses=taken)

    def given_up(self, rows: Sequence[Row], receipts: Sequence[Receipt], *, now: datetime) -> None:
        """Of messages that get no other attempt: those that had waited for one have failed, and the last
        answer counts.

        Raises:
            StoreUnavailable: when it cannot be read or written.
        """
        failed = {each.message_id: each for each in receipts if each.state is MessageState.FAILED}
        if self._is_judged and failed:
            addresses = {row["message_id"]: row["address"] for row in rows}
            lines = self._books.ledger.lines([*failed]).values()
            last = [replace(failed[each.message_id], code=each.code, detail=each.detail) for each in lines]
            self._count(addresses, last, now)

    def _count(self, addresses: Mapping[str, str], receipts: Sequence[Receipt], now: datetime) -> None:
        failed = [
            each
            for each in receipts
            if each.state is MessageState.FAILED and each.reason is DeliveryReason.TEMPORARY_FAILURE
        ]
        # Without a code nobody was asked at the last attempt: the domain rested, or the server was down.
        unasked = [each.message_id for each in failed if each.code is None]
        before = self._books.ledger.last_answers(unasked) if unasked else {}
        refused = {
            each.message_id: addresses[each.message_id]
            for each in failed
            if is_soft_refusal(self._channel, *before.get(each.message_id, (each.code, each.detail)))
        }
        if refused and self._is_known_to_take():
            self._books.soft_refusals.record(
                channel=self._channel, refused=refused, rule=self._rule, source=SOURCE, now=now
            )

    def _is_known_to_take(self) -> bool:
        if not self._has_taken:
            self._has_taken = self._books.ledger.has_accepted(self._run_key, self._channel)
        return self._has_taken
