"""What a provider calls dead is suppressed at once."""

from __future__ import annotations

from typing import Any

from kundresa.spec.messages import Message, Receipt
from kundresa.spec.vocabulary import DeliveryReason, MessageState

Bench = Any


def test_a_dead_address_is_suppressed_with_the_window_that_found_it(bench: Bench) -> None:
    dead, refused = bench.rows[1], bench.rows[2]

    def answer(message: Message) -> Receipt | None:
        if message.message_id not in (dead["message_id"], refused["message_id"]):
            return None
        return Receipt(
            message.message_id,
            MessageState.FAILED,
            DeliveryReason.ADDRESS_REFUSED,
            code="HTTP 410",
            suppress="apns unregistered" if message.message_id == dead["message_id"] else None,
        )

    bench.provider.before = answer
    bench.deliver()
    addresses = [row["address"] for row in bench.rows]
    assert bench.store.suppressions.active(channel="sms", addresses=addresses) == {
        dead["address"]: "apns unregistered"
    }
    assert bench.store.suppressions.active(channel="push", addresses=addresses) == {}
    [row] = bench.store.suppressions.rows()
    assert row["source"] == "delivery"


def test_an_earlier_suppression_keeps_its_reason(bench: Bench) -> None:
    book, now = bench.store.suppressions, bench.clock()
    book.add(channel="push", address="t1", reason="manual", source="x", recorded_at=now)
    book.add_many(channel="push", reasons={"t1": "dead", "t2": "dead"}, source="delivery", recorded_at=now)
    book.add_many(channel="push", reasons={}, source="delivery", recorded_at=now)
    assert book.active(channel="push", addresses=["t1", "t2"]) == {"t1": "manual", "t2": "dead"}


def test_what_a_sender_withholds_is_in_the_account_with_its_reason(bench: Bench) -> None:
    """A row of a print file that is equal to another."""
    again = bench.ids[3]
    bench.provider.before = lambda message: (
        Receipt(again, MessageState.WITHHELD, DeliveryReason.DUPLICATE_ROW)
        if message.message_id == again
        else None
    )
    result = bench.deliver()
    assert result.counts == {MessageState.ACCEPTED: 9, MessageState.WITHHELD: 1}
    assert result.retry_at is None
    assert bench.lines()[again].reason is DeliveryReason.DUPLICATE_ROW
