"""Limits and back-off per receiving domain, for one sender.

A provider that is asked too fast answers 4xx for everybody at it. Going on would use up everyone's attempts
and make it angrier; so after a few such answers in a row the domain rests, its messages are deferred
untouched, and afterwards the first answer decides whether it is over. Other domains go on.

A sender is one worker's, for one batch: what it finds is told to those who keep it for all (``changes``), and
what the others have found is told to it (``know``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from kundresa.spec.pace import FIRST_REST, LONGEST_REST, Rest

SLOW_AFTER = 5
"""Temporary refusals of a domain in a row until it rests: fewer happen by chance."""

Item = TypeVar("Item")


@dataclass(slots=True)
class Domain(Generic[Item]):
    """One receiving domain."""

    name: str
    limit: int
    in_flight: int = 0
    refusals: int = 0
    rests: int = 0
    """In a row; what is refused while it rests was under way before."""
    resting_until: datetime | None = None
    detail: str = ""
    waiting: deque[Item] = field(default_factory=deque)


class Domains(Generic[Item]):
    """All receiving domains of one sender. ``Item`` is what waits for a place."""

    def __init__(self, limits: Mapping[str, int], default: int, clock: Callable[[], datetime]) -> None:
        """``limits``: messages in flight at once by domain; others have ``default``."""
        self._limits = limits
        self._default = default
        self._clock = clock
        self._domains: dict[str, Domain[Item]] = {}
        self._changes: dict[str, Rest | None] = {}

    def of(self, name: str) -> Domain[Item]:
        """The domain, known from its first message on."""
        known = self._domains.get(name)
        if known is None:
            known = self._domains[name] = Domain(name, self._limits.get(name, self._default))
        return known

    def all(self) -> Iterable[Domain[Item]]:
        """Those known so far."""
        return self._domains.values()

    def idle(self) -> None:
        """Nothing is in flight any more."""
        for domain in self._domains.values():
            domain.in_flight = 0
            domain.waiting.clear()

    def rests_until(self, domain: Domain[Item]) -> datetime | None:
        """Until when its messages are deferred untouched; None while it does not rest. After a rest the next
        answer decides."""
        if domain.resting_until is None:
            return None
        if self._clock() < domain.resting_until:
            return domain.resting_until
        domain.resting_until = None
        domain.refusals = SLOW_AFTER - 1
        return None

    def refused(self, domain: Domain[Item], detail: str) -> None:
        """A temporary refusal that is the domain's."""
        if domain.resting_until is not None:
            return
        domain.refusals += 1
        if domain.refusals >= SLOW_AFTER:
            domain.rests += 1
            length = min(LONGEST_REST, FIRST_REST * (1 << min(domain.rests - 1, 10)))
            domain.resting_until, domain.detail = self._clock() + length, detail
            self._changes[domain.name] = Rest(domain.resting_until, domain.rests, detail)

    def took(self, domain: Domain[Item]) -> None:
        """It took a message."""
        domain.refusals = 0
        if domain.rests and domain.resting_until is None:
            domain.rests = 0
            self._changes[domain.name] = None

    def know(self, rests: Mapping[str, Rest]) -> None:
        """These rests hold, or have held and the next answer decides; of others nobody knows any more."""
        for domain in self._domains.values():
            if domain.rests and domain.name not in rests:
                domain.refusals = domain.rests = 0
                domain.resting_until = None
        for name, rest in rests.items():
            domain = self.of(name)
            domain.resting_until, domain.rests, domain.detail = rest.until, rest.number, rest.detail

    def changes(self) -> Mapping[str, Rest | None]:
        """What has been found since the last call: rests, and None where one is over for good."""
        changes, self._changes = self._changes, {}
        return changes


def parse_limits(text: str) -> dict[str, int]:
    """``gmail.com=20,web.de=4`` as an account has it.

    Raises:
        ValueError: for anything else.
    """
    limits = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        name, equals, number = part.partition("=")
        if not equals or int(number) < 1:
            raise ValueError(f"{part}: expected domain=number")
        limits[name.strip().lower()] = int(number)
    return limits
