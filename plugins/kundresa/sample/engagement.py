"""What people did with the messages that they got, as a sending service exports it."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

from kundresa.sample.dirt import Dirt
from kundresa.sample.files import Row, Tables
from kundresa.sample.people import Person

ENGAGEMENTS_HEADER = ("event_id", "channel", "event_type", "namespace", "identifier", "occurred_at")

# Channel, share of people who react at all, most reactions, share of clicks among them. Text messages
# have no opens.
_CHANNELS = (("email", 0.45, 24, 0.25), ("sms", 0.08, 4, 1.0), ("push", 0.12, 8, 0.4))


class Engagement:
    """Writes one shop's opens and clicks. ``end`` is the last instant of the shop (UTC).

    It draws from a stream of its own: the other tables of a seed do not change with it.
    """

    def __init__(self, tables: Tables, seed: int, dirt: Dirt, end: datetime) -> None:
        self._tables = tables
        self._random = random.Random(f"{seed}|engagements").random  # noqa: S311  must repeat, not protect
        self._dirt = dirt
        self._end = end
        self._last = end - timedelta(seconds=1)
        self._count = 0

    def write(self, person: Person, start: datetime) -> None:
        """Everything since ``start``; most of it lately."""
        rnd = self._random
        for channel, reacting, most, clicks in _CHANNELS:
            if rnd() >= reacting or not _is_reachable(person, channel):
                continue
            for _ in range(1 + int(most * rnd() * rnd())):
                event_type = "click" if rnd() < clicks else "open"
                occurred_at = self._end - (self._end - start) * (rnd() * rnd())
                self._add(channel, event_type, self._who(person, channel), min(occurred_at, self._last))

    def _who(self, person: Person, channel: str) -> tuple[str, str]:
        """Namespace and identifier: the address that was written to, or the id that was sent along."""
        u = self._random()
        if channel == "push":
            return "account_id", person.account_id
        if channel == "sms":
            return "phone", f"+{person.country.calling_code}{person.phone}"
        if u < 0.01:
            self._dirt.planted["engagement_of_nobody"] += 1
            return "email", f"gone.{person.email}"
        if u < 0.30 and person.crm_id:
            return "crm_id", person.crm_id
        return "email", person.email.title() if u < 0.40 else person.email

    def _add(self, channel: str, event_type: str, who: tuple[str, str], occurred_at: datetime) -> None:
        self._count += 1
        row: Row = (f"G{self._count:09d}", channel, event_type, *who, occurred_at)
        self._tables.add("engagements", row)


def _is_reachable(person: Person, channel: str) -> bool:
    return bool({"email": person.email, "sms": person.phone, "push": person.account_id}[channel])
