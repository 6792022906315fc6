"""Warm-up: how many messages a sending domain may send to a receiving provider in a day, while it is new."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated

from pydantic import AfterValidator, Field

from kundresa.spec.fields import HostName, Name, TimeZone, Whole, misplaced
from kundresa.spec.spec import Spec

OTHER = "other"
"""The provider of every address whose domain no group names."""
MAX_WARM_UPS = 100


class Step(Spec):
    """Some days, and how many messages may leave on each of them."""

    days: Annotated[Whole, Field(ge=1, le=366)]
    max: Annotated[Whole, Field(ge=0, le=1_000_000_000)]


def _growing(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    for position in range(1, len(steps)):
        if steps[position].max < steps[position - 1].max:
            raise misplaced(
                (position, "max"),
                f"{steps[position].max:,} is fewer than the {steps[position - 1].max:,} of the step before",
            )
    return steps


Steps = Annotated[tuple[Step, ...], Field(min_length=1, max_length=366), AfterValidator(_growing)]


class WarmUp(Spec):
    """How one sending domain is made known to receiving providers: on each local day each provider gets the
    messages of that day's step at most, over all campaigns and journeys. Before ``start`` nothing leaves,
    after the last step there is no limit. What counts is what was sent, what is decided and not yet sent, and
    what this decision sends."""

    domain: HostName
    """Of the ``sender`` of email channels, exactly; not those below it."""
    start: date
    """The first day of the first step."""
    time_zone: TimeZone = "UTC"
    """Whose midnight days start at."""
    steps: Steps
    """For every provider, the ``other`` one included."""
    per_provider: Mapping[Name, Steps] = {}
    """In their place for some of ``providers``, or ``other``."""

    def limit(self, provider: str, day: date) -> int | None:
        """The most messages to a provider on a local day; None when the warm-up is over."""
        left = (day - self.start).days
        if left < 0:
            return 0
        for step in self.per_provider.get(provider, self.steps):
            if left < step.days:
                return step.max
            left -= step.days
        return None


def _domains_are_distinct(warm_ups: tuple[WarmUp, ...]) -> tuple[WarmUp, ...]:
    seen: set[str] = set()
    for position, each in enumerate(warm_ups):
        if each.domain in seen:
            raise misplaced((position, "domain"), f"there is a warm-up of '{each.domain}' already")
        seen.add(each.domain)
    return warm_ups


def domains_are_apart(providers: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
    """The providers, when no domain is of two of them.

    Raises:
        PydanticCustomError: at the first that is; at a provider that is called as the default one.
    """
    owners: dict[str, str] = {}
    for provider, domains in providers.items():
        if provider == OTHER:
            raise misplaced((provider,), f"'{OTHER}' is every domain that no provider names")
        for position, domain in enumerate(domains):
            if domain in owners:
                raise misplaced((provider, position), f"'{domain}' is a domain of '{owners[domain]}' already")
            owners[domain] = provider
    return providers


AddressDomains = Annotated[tuple[HostName, ...], Field(min_length=1, max_length=1_000)]
WarmUps = Annotated[tuple[WarmUp, ...], Field(max_length=MAX_WARM_UPS), AfterValidator(_domains_are_distinct)]


def require_providers(providers: Mapping[str, tuple[str, ...]], warm_ups: tuple[WarmUp, ...]) -> None:
    """Nothing, when every provider that a warm-up names is one.

    Raises:
        PydanticCustomError: at the first that is not.
    """
    for position, each in enumerate(warm_ups):
        for provider in each.per_provider:
            if provider != OTHER and provider not in providers:
                at = ("warm_ups", position, "per_provider", provider)
                raise misplaced(at, f"there is no provider '{provider}' in 'providers'")
