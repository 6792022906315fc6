"""The last look before a message leaves: has the person said no since the decision?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from kundresa.delivery.protocols import GuardBooks, PeopleBook, Row
from kundresa.spec.vocabulary import DeliveryReason
from kundresa.store.opt_outs import EVERY_TOPIC

MARGIN = timedelta(minutes=5)
"""Opt-outs this much older than the decision are looked at again: its clock and the recorder's may
differ, and its snapshot was read a little before. Longer costs nothing but rows read."""


class StoreGuard:
    """Asks the operational store, with two queries for a window, and three more where somebody in it has had
    another id."""

    def __init__(
        self,
        books: GuardBooks,
        *,
        channel: str,
        topic: str,
        decided_at: datetime,
        is_exempt: bool = False,
        people: PeopleBook | None = None,
    ) -> None:
        """
        Args:
            people: tells who goes by several ids. None: nobody does.
        """
        self._books = books
        self._channel = channel
        self._topic = topic
        self._is_exempt = is_exempt
        self._since = decided_at - MARGIN
        self._people = people

    def held(self, rows: Sequence[Row]) -> Mapping[str, DeliveryReason]:
        """Of these rows, the messages that must not leave: message_id → reason. What counts is what counted
        in the decision: for a topic that is exempt from consent only a no to that very topic.

        A suppression counts whenever it was made: it may be older than a decision that read another
        address. It comes before an opt-out, as in the decision. Of who goes by several ids everything is
        looked at that they, or whoever has the address, have ever said: the decision may not have known yet
        that they are one.
        """
        suppressed = self._books.suppressions.active(
            channel=self._channel, addresses=[row["address"] for row in rows]
        )
        formers = self._people.merged([row["profile_id"] for row in rows]) if self._people else {}
        merged = {*formers, *formers.values()}
        refusing = self._since_decision([row for row in rows if row["profile_id"] not in merged])
        if self._people is not None:
            of_several = [row for row in rows if row["profile_id"] in merged]
            refusing |= self._under_any_id(of_several, formers, self._people)
        held = {}
        for row in rows:
            if row["address"] in suppressed:
                held[row["message_id"]] = DeliveryReason.SUPPRESSED_SINCE_DECISION
            elif row["message_id"] in refusing:
                held[row["message_id"]] = DeliveryReason.OPTED_OUT_SINCE_DECISION
        return held

    def _since_decision(self, rows: Sequence[Row]) -> set[str]:
        """The messages to people who go by one id and have said no since the decision."""
        if not rows:
            return set()
        opted_out = self._books.opt_outs.since(
            self._since,
            channel=self._channel,
            topic=self._topic,
            with_every_topic=not self._is_exempt,
            profile_ids=[row["profile_id"] for row in rows],
            addresses=[row["address"] for row in rows],
        )
        return {
            row["message_id"]
            for row in rows
            if row["profile_id"] in opted_out.profile_ids or row["address"] in opted_out.addresses
        }

    def _under_any_id(self, rows: Sequence[Row], formers: Mapping[str, str], people: PeopleBook) -> set[str]:
        """The messages to people whose last word under all of their ids is a no, by the decision's rule: the
        latest yes against the latest no."""
        if not rows:
            return set()
        ids = {row["profile_id"] for row in rows}
        now = {each: formers.get(each, each) for each in ids}
        answers = self._books.answers.latest(
            channel=self._channel,
            topic=self._topic,
            is_exempt=self._is_exempt,
            profile_ids=sorted({*ids, *formers, *formers.values()}),
            addresses=sorted({row["address"] for row in rows}),
        ).together(ids, formers)
        topics = (self._topic,) if self._is_exempt else (self._topic, EVERY_TOPIC)
        published = people.granted({*now.values()}, channel=self._channel, topics=topics)
        refusing = set()
        for row in rows:
            said_yes, said_no = answers.of(row["profile_id"], row["address"])
            granted = max(filter(None, (said_yes, published.get(now[row["profile_id"]]))), default=None)
            if said_no is not None and (granted is None or granted <= said_no):
                refusing.add(row["message_id"])
        return refusing
