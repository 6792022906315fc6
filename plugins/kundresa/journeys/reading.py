"""Reading an audience at a rate: whose turn it is, and when the next one comes.

A reading goes through a segment in the order of a hash of its people, and remembers the last one whose turn
came: no list of who waits is kept, so who leaves or joins meanwhile costs nothing. It begins with the clock,
or with an event about nobody.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Self

from kundresa.spec.journey import DURATIONS, AudienceEntry, BusinessEventEntry

Read = AudienceEntry | BusinessEventEntry


@dataclass(frozen=True, slots=True)
class Reading:
    """How far one reading has come. ``since`` and ``began_at`` are aware, in UTC."""

    audience: str
    since: datetime
    """When the first reading began."""
    began_at: datetime
    """From when on its periods are counted: of readings by events those of several together, while one
    follows the other within a period."""
    after: str = ""
    """The place of the last one whose turn came."""
    period: int = 0
    """The period, counted from ``began_at``, in which turns came last."""
    turns: int = 0
    """Turns in that period."""
    is_over: bool = False
    number: int = 0
    """Of the event that has started it; 0 where the clock has."""
    per: str = ""
    """How long a period is, as the rate says it; empty in what was kept before it was."""

    @classmethod
    def first(cls, entry: Read, since: datetime) -> Self:
        """The first one, at its beginning."""
        return cls(entry.audience, since, since, per=entry.rate.per)

    @classmethod
    def from_text(cls, text: str, entry: Read, since: datetime) -> Self:
        """What :attr:`text` said; the first one, from ``since`` on, when it was about another audience, or
        was started by an event and is now by the clock."""
        if not text:
            return cls.first(entry, since)
        told: dict[str, Any] = json.loads(text)
        is_by_clock = isinstance(entry, AudienceEntry)
        if told["audience"] != entry.audience or (is_by_clock and told.get("number")):
            return cls.first(entry, since)
        instants = {name: datetime.fromisoformat(told[name]) for name in ("since", "began_at")}
        found = cls(**{**told, **instants})
        if found.per in ("", entry.rate.per):
            return replace(found, per=entry.rate.per)
        # Another version counts in other times: the one in which turns came last is that of the same moment.
        last = found.period * DURATIONS[found.per]
        return replace(found, per=entry.rate.per, period=last // entry.rate.duration)

    @property
    def text(self) -> str:
        """As it is kept."""
        return json.dumps(asdict(self), default=datetime.isoformat)

    def at(self, entry: AudienceEntry, now: datetime) -> Self:
        """The reading that is under way at ``now``: the next one where this one is over and its time has
        come. One whose time passed while nobody looked is left out."""
        begins_at = self._next_at(entry)
        if not self.is_over or begins_at is None or now < begins_at:
            return self
        assert isinstance(entry.every, timedelta)  # noqa: S101  # for mypy: there is no next one of 'once'
        number = (now - self.since) // entry.every
        return replace(
            self, began_at=self.since + number * entry.every, after="", period=0, turns=0, is_over=False
        )

    def started_by(self, number: int, entry: BusinessEventEntry, now: datetime) -> Self:
        """The reading that is under way at ``now``, by the first event that is not over: this one, or the one
        that follows it. That has what this one has left of its period; after a period without turns it begins
        one of its own."""
        if number == self.number:
            return self
        following = replace(self, number=number, after="", is_over=False)
        is_idle = self._period(entry, now) > self.period
        return replace(following, began_at=now, period=0, turns=0) if is_idle else following

    def turns_left(self, entry: Read, now: datetime) -> int:
        """How many may still have their turn in the period of ``now``."""
        if self.is_over or now < self.began_at:
            return 0
        return entry.rate.people - self._turns_in(self._period(entry, now))

    def moved(self, entry: Read, now: datetime, turns: int, after: str, *, is_over: bool) -> Self:
        """After so many turns in the period of ``now``."""
        period = self._period(entry, now)
        taken = self._turns_in(period) + turns
        return replace(self, after=after, period=max(period, self.period), turns=taken, is_over=is_over)

    def next_turn_at(self, entry: AudienceEntry, now: datetime) -> datetime | None:
        """When turns come next, at ``now`` or later; None when none come any more."""
        reading = self.at(entry, now)
        return reading._next_at(entry) if reading.is_over else reading.goes_on_at(entry, now)

    def goes_on_at(self, entry: Read, now: datetime) -> datetime:
        """When the next turn of a reading that is not over comes, at ``now`` or later."""
        if now < self.began_at:
            return self.began_at
        if self.turns_left(entry, now) > 0:
            return now
        period = max(self._period(entry, now), self.period)
        return self.began_at + (period + 1) * entry.rate.duration

    def _turns_in(self, period: int) -> int:
        """A clock that was set back comes to a period of before, in which no more turns come either."""
        return self.turns if period <= self.period else 0

    def _period(self, entry: Read, now: datetime) -> int:
        return (now - self.began_at) // entry.rate.duration

    def _next_at(self, entry: AudienceEntry) -> datetime | None:
        """When the reading after this one may begin."""
        if not isinstance(entry.every, timedelta):
            return None
        return self.since + ((self.began_at - self.since) // entry.every + 1) * entry.every
