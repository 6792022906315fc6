"""Reading an audience at a rate: whose turn it is, and when the next one comes.

A reading goes through a segment in the order of a hash of its people, and remembers the last one whose turn
came: no list of who waits is kept, so who leaves or joins meanwhile costs nothing.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Self

from kundresa.spec.journey import AudienceEntry


@dataclass(frozen=True, slots=True)
class Reading:
    """How far one reading has come. ``since`` and ``began_at`` are aware, in UTC."""

    audience: str
    since: datetime
    """When the first reading began."""
    began_at: datetime
    after: str = ""
    """The place of the last one whose turn came."""
    period: int = 0
    """The period, counted from ``began_at``, in which turns came last."""
    turns: int = 0
    """Turns in that period."""
    per: str = ""
    """What a period is, as the rate says it."""
    is_over: bool = False

    @classmethod
    def first(cls, entry: AudienceEntry, since: datetime) -> Self:
        """The first one, at its beginning."""
        return cls(entry.audience, since, since, per=entry.rate.per)

    @classmethod
    def from_text(cls, text: str, entry: AudienceEntry, since: datetime) -> Self:
        """What :attr:`text` said; the first one, from ``since`` on, when it was about another audience."""
        if not text:
            return cls.first(entry, since)
        told: dict[str, Any] = json.loads(text)
        if told["audience"] != entry.audience:
            return cls.first(entry, since)
        instants = {name: datetime.fromisoformat(told[name]) for name in ("since", "began_at")}
        return cls(**{**told, **instants})

    @property
    def text(self) -> str:
        """As it is kept."""
        return json.dumps(asdict(self), default=datetime.isoformat)

    def at(self, entry: AudienceEntry, now: datetime) -> Self:
        """The reading that is under way at ``now``: the next one where this one is over and its time has
        come. One whose time passed while nobody looked is left out. Where the rate is by another period than
        before, counting begins anew: so many minutes are not so many days."""
        reading = self._under_way(entry, now)
        if reading.per == entry.rate.per:
            return reading
        return replace(reading, per=entry.rate.per, period=max(0, reading._period(entry, now)), turns=0)

    def _under_way(self, entry: AudienceEntry, now: datetime) -> Self:
        begins_at = self._next_at(entry)
        if not self.is_over or begins_at is None or now < begins_at:
            return self
        assert isinstance(entry.every, timedelta)  # noqa: S101  # for mypy: there is no next one of 'once'
        number = (now - self.since) // entry.every
        return replace(
            self, began_at=self.since + number * entry.every, after="", period=0, turns=0, is_over=False
        )

    def turns_left(self, entry: AudienceEntry, now: datetime) -> int:
        """How many may still have their turn in the period of ``now``."""
        if self.is_over or now < self.began_at:
            return 0
        return entry.rate.people - self._turns_in(self._period(entry, now))

    def moved(self, entry: AudienceEntry, now: datetime, turns: int, after: str, *, is_over: bool) -> Self:
        """After so many turns in the period of ``now``."""
        period = self._period(entry, now)
        taken = self._turns_in(period) + turns
        return replace(self, after=after, period=max(period, self.period), turns=taken, is_over=is_over)

    def next_turn_at(self, entry: AudienceEntry, now: datetime) -> datetime | None:
        """When turns come next, at ``now`` or later; None when none come any more."""
        reading = self.at(entry, now)
        if reading.is_over:
            return reading._next_at(entry)
        if now < reading.began_at:
            return reading.began_at
        if reading.turns_left(entry, now) > 0:
            return now
        period = max(reading._period(entry, now), reading.period)
        return reading.began_at + (period + 1) * entry.rate.duration

    def _turns_in(self, period: int) -> int:
        """A clock that was set back comes to a period of before, in which no more turns come either."""
        return self.turns if period <= self.period else 0

    def _period(self, entry: AudienceEntry, now: datetime) -> int:
        return (now - self.began_at) // entry.rate.duration

    def _next_at(self, entry: AudienceEntry) -> datetime | None:
        """When the reading after this one may begin."""
        if not isinstance(entry.every, timedelta):
            return None
        return self.since + ((self.began_at - self.since) // entry.every + 1) * entry.every
