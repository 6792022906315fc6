"""What the service's handlers share: built once per process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from kundresa.content import Links
from kundresa.public.rules import Rules
from kundresa.settings import Settings
from kundresa.spec.events import EventTypes
from kundresa.spec.policies import Policies
from kundresa.store import Store
from kundresa.warehouse import PeopleIndex

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(tz=UTC)


@dataclass(frozen=True, slots=True)
class Service:
    """One process of the service."""

    settings: Settings
    store: Store
    links: Links
    people: PeopleIndex
    rules: Rules
    clock: Clock = utc_now

    @property
    def policies(self) -> Policies:
        """Those that hold now."""
        return self.rules.policies

    @property
    def event_types(self) -> EventTypes:
        """Those that hold now."""
        return self.rules.event_types
