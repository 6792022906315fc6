"""Orders that are placed while the demo runs, each of which a journey confirms."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from kundresa import warehouse
from kundresa.demo.service import PublicService
from kundresa.runs.journeys import start_journey
from kundresa.settings import Settings
from kundresa.store import open_store

JOURNEY = "order_confirmation"
ORDERS = 50
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
    limit $orders
"""


def place_orders(settings: Settings, service: PublicService, now: datetime) -> int:
    """Start the journey, and tell the service of an order of each of some people. A second time changes
    nothing: an event counts once by its id. Returns how many.

    Raises:
        ServiceError: when the service does not take them.
    """
    start_journey(settings, JOURNEY, clock=lambda: now)
    people = warehouse.query(settings, _PEOPLE, orders=ORDERS)
    events = [
        {
            "id": f"order-{number}",
            "type": "order_placed",
            "subject": f"email:{row['email']}",
            "time": now.isoformat(),
            "data": {"order_id": f"D{number:04}", "order_value": 20 + number},
        }
        for number, row in enumerate(people, 1)
    ]
    service.post_events(events)
    return len(events)


def confirmations(settings: Settings) -> Mapping[str, int]:
    """What has become of the confirmations so far: ``sent``, ``under_way`` or why not → messages."""
    found: dict[str, int] = {}
    with open_store(settings.store_url) as store:
        for _, outcome, reason, count in store.journey_messages.counts(JOURNEY):
            word = reason or outcome or "under_way"
            found[word] = found.get(word, 0) + count
    return found


def is_settled(settings: Settings, orders: int) -> bool:
    """Whether every order has come to its end in the journey."""
    with open_store(settings.store_url) as store:
        ended = sum(each.people for each in store.journey_positions.counts(JOURNEY) if each.step is None)
        skipped = sum(store.journey_positions.skips(JOURNEY).values())
    return ended + skipped >= orders
