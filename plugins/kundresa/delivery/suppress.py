"""Addresses that a provider has called dead: nothing is sent there again, from this moment on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from kundresa.delivery.protocols import SuppressionBook
from kundresa.spec.messages import Message, Receipt

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
