"""The capacities and the budget of a run, as the decision models read them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from kundresa import warehouse
from kundresa.spec.campaign import Campaign
from kundresa.spec.capacity import Capacity, capacity_levels
from kundresa.spec.costs import micros
from kundresa.spec.periods import first_instant, periods
from kundresa.spec.policies import Policies
from kundresa.spec.references import without_cost
from kundresa.spec.vocabulary import ChannelKind

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
END = datetime(2200, 1, 1, tzinfo=UTC)
"""Before and after every message."""


class CostNotFound(ValueError):
    """A campaign has a budget, and the policies do not say what one of its channels costs."""


def require_costs(spec: Campaign, policies: Policies) -> None:
    """Nothing, when the policies say what the messages of a campaign with a budget cost.

    Raises:
        CostNotFound: naming the channels.
    """
    missing = without_cost(spec, policies)
    if missing:
        raise CostNotFound(
            f"budget: dags/policies.yaml does not say what a message by {', '.join(missing)} costs"
        )


def run_capacities(
    spec: Campaign, policies: Policies, *, decided_at: datetime, valid_until: datetime
) -> tuple[warehouse.RunCapacity, ...]:
    """The capacities that the campaign's messages draw on, with the periods that these can fall into."""
    levels = capacity_levels(policies.capacities)
    return tuple(
        _run_capacity(capacity, level, decided_at, max(decided_at, valid_until))
        for capacity, level in zip(policies.capacities, levels, strict=True)
        if capacity.campaigns is None or spec.name in capacity.campaigns
    )


def _run_capacity(capacity: Capacity, level: int, first: datetime, last: datetime) -> warehouse.RunCapacity:
    return warehouse.RunCapacity(
        capacity=capacity.name,
        level=level,
        channels=tuple(capacity.channels or (str(kind) for kind in ChannelKind)),
        campaigns=capacity.campaigns,
        periods=capacity_periods(capacity, first, last),
    )


def capacity_periods(
    capacity: Capacity, first: datetime, last: datetime
) -> tuple[tuple[datetime, datetime, int], ...]:
    """(start, end, messages) of everything that holds an instant from ``first`` to ``last``, both included,
    in order and without gaps."""
    return tuple(each for each in _periods(capacity, first, last) if each[1] > first and each[0] <= last)


def _periods(capacity: Capacity, first: datetime, last: datetime) -> Iterator[tuple[datetime, datetime, int]]:
    """(start, end, messages). Of dates also what is between them, where there is room for nothing."""
    if capacity.period is not None:
        for start, end in periods(capacity.period, capacity.time_zone, first, last):
            yield start, end, capacity.max or 0
        return
    where = ZoneInfo(capacity.time_zone)
    reached = BEGINNING
    for dates in capacity.dates or ():
        start, end = (first_instant(day, where) for day in (dates.first, dates.last + timedelta(days=1)))
        yield reached, start, 0
        yield start, end, dates.max
        reached = end
    yield reached, END, 0


def run_budgets(
    spec: Campaign, policies: Policies, *, decided_at: datetime, valid_until: datetime
) -> tuple[warehouse.RunBudget, ...]:
    """The campaign's budget for each channel and period that its messages can fall into; none without one.

    Raises:
        CostNotFound: when what a channel costs is not known.
    """
    budget = spec.budget
    if budget is None:
        return ()
    require_costs(spec, policies)
    spans = [(BEGINNING, END)]
    if budget.per == "month":
        spans = periods("month", budget.time_zone, decided_at, max(decided_at, valid_until))
    # Of every channel: an earlier run of the campaign may have used one that this one has not.
    costs = policies.costs.per_message if policies.costs else {}
    return tuple(
        warehouse.RunBudget(
            channel=str(channel),
            is_shared=budget.per == "month",
            cost_micros=micros(cost),
            budget_micros=micros(budget.amount),
            starts_at=start,
            ends_at=end,
        )
        for channel, cost in costs.items()
        for start, end in spans
    )
