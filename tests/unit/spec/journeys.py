"""A journey that is right, what it may name, and what is told of one that is wrong."""

from __future__ import annotations

from pathlib import Path

from kundresa.spec.events import EventTypes
from kundresa.spec.journey_loading import JOURNEY_FILE, load_journey
from kundresa.spec.journey_references import KnownToJourneys, journey_problems
from kundresa.spec.loading import read_source
from kundresa.spec.problems import SpecError

HEAD = """\
owner: crm-team
description: Reminds people of what they left in their cart.
entry: {event: cart_updated, where: {event: {cart_value: {at_least: 50}}}}
topic: offers
"""
STEPS = """\
steps:
  bought: {kind: wait_for, event: order_placed, within: 1h, next: end, timeout: market}
  market:
    kind: condition
    paths: [{when: {profile: {country: SE}}, go: reminder}]
    otherwise: end
  reminder:
    kind: message
    channel: {kind: email, template: cart, account: newsletter, sender: Shop <a@shop.example>}
    on: {consent_unknown: end, not_sent: text}
  done: {kind: update, trait: reminded, value: true, next: end}
  text: {kind: wait_until, profile: next_delivery, at: "09:00", time_zone: Europe/Stockholm}
"""
KNOWN = KnownToJourneys(
    events=EventTypes.model_validate(
        {
            "events": {
                "cart_updated": {
                    "description": "x",
                    "properties": {
                        "cart_id": {"kind": "text", "required": True},
                        "cart_value": {"kind": "number"},
                        "items": {"kind": "texts"},
                        "state": {"kind": "text", "values": ["open", "closed"]},
                    },
                },
                "order_placed": {"description": "x"},
                "bill_paid": {
                    "description": "x",
                    "properties": {
                        "cart_id": {"kind": "text"},
                        "cart_value": {"kind": "text"},
                        "entity_id": {"kind": "text"},
                        "paid_at": {"kind": "instant"},
                        "amount": {"kind": "whole", "required": True},
                    },
                },
                "back_in_stock": {
                    "description": "x",
                    "about": "business",
                    "properties": {
                        "product_id": {"kind": "text", "required": True, "max_length": 64},
                        "stock": {"kind": "whole"},
                    },
                },
                "price_fell": {
                    "description": "x",
                    "about": "business",
                    "properties": {"entity_id": {"kind": "text"}},
                },
            }
        }
    ),
    segments=("vip", "staff", "waiting"),
    columns={
        "country": "varchar",
        "next_delivery": "date",
        "seen_at": "timestamp",
        "orders": "bigint",
        "spent": "decimal(18, 2)",
        "is_member": "boolean",
        "tags": "varchar[]",
    },
    entity_segments=("waiting",),
)


def problems_of(path: Path, known: KnownToJourneys = KNOWN) -> list[str]:
    try:
        journey = load_journey(path, relative_to=path)
    except SpecError as error:
        return [str(each) for each in error.problems]
    return [str(each) for each in journey_problems(journey, read_source(path, JOURNEY_FILE), known)]
