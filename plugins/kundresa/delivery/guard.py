"""The last look before a message leaves: has the person said no since the decision?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from kundresa.delivery.protocols import OptOutBook, Row, SuppressionBook
from kundresa.spec.vocabulary import DeliveryReason

MARGIN = timedelta(minutes=5)
"""Opt-outs this much older than the decision are looked at again: its clock and the recorder's may
differ, and its snapshot was read a little before. Longer costs nothing but rows read."""


class StoreGuard:
    """Asks the operational store, with two queries for a window."""

    def __init__(
        self,
        opt_outs: OptOutBook,
        suppressions: SuppressionBook,
        *,
        channel: str,
        topic: str,
        decided_at: datetime,
        is_exempt: bool = False,
        merged: Callable[[Sequence[str]], Mapping[str, str]] | None = None,
    ) -> None:
        """
        Args:
            merged: tells every former id of the people who go by these ids, or did: former id → the one of
                now. A no or a yes that was said under any of them is theirs. None: nobody has another.
        """
        self._opt_outs = opt_outs
        self._suppressions = suppressions
        self._channel = channel
        self._topic = topic
        self._is_exempt = is_exempt
        self._since = decided_at - MARGIN
        self._merged = merged

    def held(self, rows: Sequence[Row]) -> Mapping[str, DeliveryReason]:
        """Of these rows, the messages that must not leave: message_id → reason. What counts is what counted
        in the decision: for a topic that is exempt from consent only a no to that very topic.

        A suppression counts whenever it was made: it may be older than a decision that read another
        address. It comes before an opt-out, as in the decision.
        """
        addresses = [row["address"] for row in rows]
        ids = [row["profile_id"] for row in rows]
        formers = self._merged(ids) if self._merged else {}
        suppressed = self._suppressions.active(channel=self._channel, addresses=addresses)
        opted_out = self._opt_outs.since(
            self._since,
            channel=self._channel,
            topic=self._topic,
            with_every_topic=not self._is_exempt,
            profile_ids=sorted({*ids, *formers, *formers.values()}) if formers else ids,
            addresses=addresses,
            merged=formers,
        )
        refusing = {formers.get(each, each) for each in opted_out.profile_ids}
        held = {}
        for row in rows:
            if row["address"] in suppressed:
                held[row["message_id"]] = DeliveryReason.SUPPRESSED_SINCE_DECISION
            elif (
                formers.get(row["profile_id"], row["profile_id"]) in refusing
                or row["address"] in opted_out.addresses
            ):
                held[row["message_id"]] = DeliveryReason.OPTED_OUT_SINCE_DECISION
        return held
