"""People of the demo's shop: some fill a cart, some of these and others order. Two journeys react to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kundresa import warehouse
from kundresa.demo.service import PublicService
from kundresa.runs.journey_reports import JourneyReport, journey_report
from kundresa.runs.journeys import start_journey
from kundresa.settings import Settings

CONFIRMATION, CART = "order_confirmation", "abandoned_cart"
JOURNEYS = (CONFIRMATION, CART)
ORDERS = 50
CARTS = 40
UNORDERED = 25
"""Of the carts: who has left them. They are inside until nothing was put into it for an hour, and are
reminded then."""
_PEOPLE = """
    select min(identifier) as email
    from profile_identifiers
    where
        namespace = 'email'
        and identifier in (
            select identifier from profile_identifiers
            where namespace = 'email' group by identifier having count(distinct profile_id) = 1
        )
    group by profile_id
    order by email
    limit $people
"""


@dataclass(frozen=True, slots=True)
class Told:
    """How many events the service was told: fewer in a shop of fewer people."""

    orders: int
    carts: int
    ordered_carts: int
    """Of the carts: those whose person orders as well."""


def let_people_shop(settings: Settings, service: PublicService, now: datetime) -> Told:
    """Start the journeys, and tell the service of the carts and, after them, of the orders. A second time
    changes nothing: an event counts once by its id. (None says when it happened, which is when it is told: a
    second demo would say something else under the same id, and be refused.)

    Raises:
        ServiceError: when the service does not take them.
    """
    for journey in JOURNEYS:
        start_journey(settings, journey, clock=lambda: now)
    people = addresses(settings, ORDERS + UNORDERED)
    first_cart = ORDERS - (CARTS - UNORDERED)
    carts = [
        _event("cart_updated", f"C{number:04}", email, {"cart_value": 60 + number})
        for number, email in enumerate(people[first_cart:], 1)
    ]
    orders = [
        _event("order_placed", f"D{number:04}", email, {"order_value": 20 + number})
        for number, email in enumerate(people[:ORDERS], 1)
    ]
    for events in filter(None, (carts, orders)):
        service.post_events(events)
    return Told(len(orders), len(carts), len(people[first_cart:ORDERS]))


def addresses(settings: Settings, most: int) -> list[str]:
    """Email addresses of as many people, each of one person only; fewer in a smaller shop."""
    return [row["email"] for row in warehouse.query(settings, _PEOPLE, people=most)]


def _event(kind: str, number: str, email: str, data: dict[str, Any]) -> dict[str, Any]:
    what = kind.partition("_")[0]
    return {
        "id": f"{what}-{number}",
        "type": kind,
        "subject": f"email:{email}",
        "data": data | {f"{what}_id": number},
    }


def movements(settings: Settings) -> list[JourneyReport]:
    """Where the people of the two journeys are now."""
    return [journey_report(settings, journey) for journey in JOURNEYS]


def have_arrived(journeys: Sequence[JourneyReport], told: Told) -> bool:
    """Whether everybody is where their events lead: every order is confirmed, and who has ordered has left
    their cart. Whom something kept out, such as an event that was read too late, counts as arrived."""
    return all(
        each.entered + sum(each.skips.values()) >= entries and each.left + sum(each.skips.values()) >= exits
        for each, (entries, exits) in zip(
            journeys, ((told.orders, told.orders), (told.carts, told.ordered_carts)), strict=True
        )
    )
