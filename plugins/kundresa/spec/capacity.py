"""Capacities and budgets: what a call centre, a printer or a gateway can take, what a campaign may spend."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from kundresa.spec.costs import whole_micros
from kundresa.spec.fields import Name, OneOrMoreNames, TimeZone, Whole, misplaced
from kundresa.spec.spec import Spec

MAX_LEVELS = 4
"""How many capacities one message may draw on. Each is a pass over the lines that draw on any; the models
have that many (see ``int_decisions__capacity``)."""
MAX_CAPACITIES = 100

Messages = Annotated[Whole, Field(ge=0, le=1_000_000_000)]
Amount = Annotated[
    float, Field(strict=True, allow_inf_nan=False, gt=0, le=1_000_000_000), AfterValidator(whole_micros)
]


class Dates(Spec):
    """Some days, and how many messages together they can take."""

    first: date
    last: date
    """Included."""
    max: Messages

    @model_validator(mode="after")
    def _in_order(self) -> Dates:
        if self.last < self.first:
            raise misplaced(("last",), f"{self.last} is before {self.first}")
        return self


def _apart(dates: tuple[Dates, ...]) -> tuple[Dates, ...]:
    for position in range(1, len(dates)):
        if dates[position].first <= dates[position - 1].last:
            raise misplaced((position, "first"), f"expected a day after {dates[position - 1].last}")
    return dates


class Capacity(Spec):
    """What some place can take: ``max`` in each calendar ``period``, or what the ``dates`` say, and nothing
    on other days. What counts is what was sent, what is decided and not yet sent, and what this decision
    sends; a message that failed or was withheld counts no more."""

    name: Name
    """Shown as the reason; unique in the file."""
    max: Messages | None = None
    period: Literal["day", "week", "month"] | None = None
    """A calendar period; a week starts on Monday."""
    dates: (
        Annotated[tuple[Dates, ...], Field(min_length=1, max_length=1_000), AfterValidator(_apart)] | None
    ) = None
    """Instead: stretches of days in order."""
    time_zone: TimeZone = "UTC"
    """Whose midnight days start at."""
    channels: (
        Annotated[tuple[Literal["email", "sms", "push", "direct_mail", "webhook"], ...], Field(min_length=1)]
        | None
    ) = None
    """Whose messages draw on it; None is all."""
    campaigns: OneOrMoreNames | None = None
    """Whose messages draw on it; None is those of all campaigns and journeys, also those that are exempt from
    consent."""

    @model_validator(mode="after")
    def _one_time(self) -> Capacity:
        if (self.period is None) == (self.dates is None):
            raise misplaced(("period",), "expected exactly one of 'period' and 'dates'")
        if (self.max is None) != (self.period is None):
            raise misplaced(("max",), "expected with 'period', and not with 'dates'")
        return self


def _drawn_on(capacities: tuple[Capacity, ...]) -> tuple[Capacity, ...]:
    names: set[str] = set()
    for position, (each, level) in enumerate(zip(capacities, capacity_levels(capacities), strict=True)):
        if each.name in names:
            raise misplaced((position, "name"), f"there is a capacity '{each.name}' already")
        names.add(each.name)
        if level > MAX_LEVELS:
            raise misplaced((position,), f"at most {MAX_LEVELS} capacities may limit the same messages")
    return capacities


Capacities = Annotated[tuple[Capacity, ...], Field(max_length=MAX_CAPACITIES), AfterValidator(_drawn_on)]
"""In the order in which they are asked: a message that one has no room for takes none of the later ones'."""


class Budget(Spec):
    """What the campaign's messages may cost, by ``costs`` in ``dags/policies.yaml``."""

    amount: Amount
    """In the currency of the costs."""
    per: Literal["run", "month"] = "run"
    """Each run has it, or all runs of a calendar month together."""
    time_zone: TimeZone = "UTC"
    """Whose midnight months start at."""


def capacity_levels(capacities: Sequence[Capacity]) -> list[int]:
    """For each the pass in which it is asked, from 1: later than each one before it that may limit the same
    message, so that within one pass a message draws on one at most."""
    levels: list[int] = []
    for position, each in enumerate(capacities):
        before = zip(capacities[:position], levels, strict=True)
        levels.append(1 + max((level for other, level in before if _share(each, other)), default=0))
    return levels


def _share(one: Capacity, other: Capacity) -> bool:
    return all(
        left is None or right is None or not set(left).isdisjoint(right)
        for left, right in ((one.channels, other.channels), (one.campaigns, other.campaigns))
    )
