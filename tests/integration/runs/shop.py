"""An installation with one journey over a small publication, and what is declared for it."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kundresa.channels import account_from_uri
from kundresa.runs.journey_rounds import JourneyRun
from kundresa.runs.journeys import run_journey, start_journey
from kundresa.sandbox import Received, Sandbox, received
from kundresa.settings import Settings
from kundresa.store import NewEvent, Store, open_store
from kundresa.warehouse.people_index import write_index

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
EARLIER = datetime(2026, 1, 1)  # noqa: DTZ001  marts hold UTC without saying so
EVENTS = """
namespaces: [email]
events:
  cart:
    description: The cart
    properties:
      value: {kind: number, required: true}
      note: {kind: text}
  order: {description: An order}
  back:
    description: A product can be bought again
    about: business
    properties:
      product: {kind: text, required: true}
      stock: {kind: whole}
"""
JOURNEY = """
owner: crm
description: The cart.
entry: {event: cart}
exit: [{event: order}]
topic: offers
steps:
  pause: {kind: wait, duration: 1h}
  mail:
    kind: message
    channel: {kind: email, template: m, account: mails, sender: Shop <hello@shop.example>}
    on: {contact_point_missing: text, not_sent: refused}
    next: rest
  text:
    kind: message
    channel: {kind: sms, template: t, account: texts, sender: Shop}
  rest: {kind: wait, duration: 1d, next: end}
  refused: {kind: wait, duration: 1d}
"""
TEMPLATES = {
    "m.subject.j2": "{{ profile.first_name | default('You') }}: {{ event.value }}",
    "m.html.j2": "<html><body><p>{{ event.note | default('none') }} {{ profile.since | date }}</p>"
    '<a href="{{ mirror_url }}">see</a> <a href="{{ unsubscribe_url }}">off</a></body></html>',
    "t.txt.j2": "Your cart of {{ event.value }}",
}
_TEXT, _INSTANT = pa.string(), pa.timestamp("us")
MARTS: dict[str, dict[str, Any]] = {
    "profiles": {
        "profile_id": _TEXT,
        "first_name": _TEXT,
        "language": _TEXT,
        "country": _TEXT,
        "time_zone": _TEXT,
        "since": pa.date32(),
    },
    "contact_points": {
        "profile_id": _TEXT,
        "channel": _TEXT,
        "address": _TEXT,
        "is_valid": pa.bool_(),
        "invalid_reason": _TEXT,
    },
    "consents": {
        "profile_id": _TEXT,
        "channel": _TEXT,
        "topic": _TEXT,
        "status": _TEXT,
        "source": _TEXT,
        "recorded_at": _INSTANT,
    },
    "suppressions": {
        "channel": _TEXT,
        "address": _TEXT,
        "reason": _TEXT,
        "source": _TEXT,
        "recorded_at": _INSTANT,
    },
    "segment_memberships": {
        "segment": _TEXT,
        "profile_id": _TEXT,
        "entity_id": _TEXT,
        "entered_at": _INSTANT,
        "exited_at": _INSTANT,
    },
    "segment_changes": {
        "segment": _TEXT,
        "profile_id": _TEXT,
        "entity_id": _TEXT,
        "change": _TEXT,
        "reason": _TEXT,
        "changed_at": _INSTANT,
    },
    "profile_identifiers": {"profile_id": _TEXT, "namespace": _TEXT, "identifier": _TEXT},
    "profile_redirects": {"profile_id": _TEXT, "current_profile_id": _TEXT, "redirected_at": _INSTANT},
}
PEOPLE = ("anna", "bo", "eva", "ida")
"""Anna may be written to, Bo has said no, Eva has a telephone only, Ida has said nothing."""


def rows() -> dict[str, list[dict[str, Any]]]:
    points = [(who, "email", f"{who}@shop.example") for who in ("anna", "bo", "ida")]
    points.append(("eva", "sms", "+46701234567"))
    answers = [("anna", "email", "yes"), ("bo", "email", "no"), ("eva", "sms", "yes")]
    return {
        "profiles": [
            {
                "profile_id": f"p-{who}",
                "first_name": who.title(),
                "country": "SE",
                "time_zone": "Europe/Stockholm",
                "since": date(2026, 1, 2),
            }
            for who in PEOPLE
        ],
        "contact_points": [
            {"profile_id": f"p-{who}", "channel": channel, "address": address, "is_valid": True}
            for who, channel, address in points
        ],
        "consents": [
            {
                "profile_id": f"p-{who}",
                "channel": channel,
                "topic": "offers",
                "status": status,
                "source": "shop",
                "recorded_at": EARLIER,
            }
            for who, channel, status in answers
        ],
        "suppressions": [],
        "segment_memberships": [
            {"segment": "vip", "profile_id": "p-anna", "entity_id": "", "entered_at": EARLIER}
        ],
        "segment_changes": [
            {
                "segment": "vip",
                "profile_id": f"p-{who}",
                "entity_id": "",
                "change": "entered",
                "reason": reason,
                "changed_at": changed_at,
            }
            for who, reason, changed_at in (
                ("anna", "rule", EARLIER),
                ("bo", "rule", NOW.replace(tzinfo=None) + timedelta(hours=2)),
                ("eva", "rule", NOW.replace(tzinfo=None) + timedelta(hours=2)),
                ("ida", "merged", NOW.replace(tzinfo=None) + timedelta(hours=2)),
            )
        ],
        "profile_identifiers": [
            {"profile_id": f"p-{who}", "namespace": "email", "identifier": f"{who}@shop.example"}
            for who in PEOPLE
        ],
        "profile_redirects": [
            {"profile_id": "p-old", "current_profile_id": "p-anna", "redirected_at": EARLIER}
        ],
    }


def publish(settings: Settings) -> None:
    folder = settings.published / "builds" / "20261123T040000.000000Z"
    for name, some in rows().items():
        (folder / name).mkdir(parents=True)
        schema = pa.schema(list(MARTS[name].items()))
        table = pa.Table.from_pylist([dict.fromkeys(schema.names) | each for each in some], schema)
        pq.write_table(table, folder / name / "data_0.parquet")
    write_index(folder, ["language", "country"])
    pointer = {"build_id": folder.name, "published_at": NOW.isoformat()}
    (settings.published / "current.json").write_text(json.dumps(pointer))


class Shop:
    """An installation with one journey, and a clock."""

    def __init__(self, settings: Settings, sandbox: Sandbox) -> None:
        self.settings = settings
        self.sandbox = sandbox
        self.now = NOW
        self.accounts = {"mails": sandbox.ports.smtp_uri, "texts": sandbox.ports.sms_uri}
        self._events = 0

    def journey(self, text: str = JOURNEY, **templates: str) -> None:
        folder = self.settings.journeys / "cart"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "journey.yaml").write_text(text)
        for name, content in (TEMPLATES | templates).items():
            (folder / name).write_text(content)

    def policies(self, text: str) -> None:
        (self.settings.project / "dags" / "policies.yaml").write_text(text)

    def start(self) -> None:
        start_journey(self.settings, "cart", clock=lambda: self.now)

    def event(self, who: str, kind: str = "cart", **data: Any) -> None:
        self._events += 1
        made = NewEvent(
            "shop",
            str(self._events),
            kind,
            "email",
            f"{who}@shop.example",
            json.dumps(data),
            self.now,
            self.now,
        )
        with self.store() as store:
            store.inbox.append([made])

    def business(self, kind: str = "back", **data: Any) -> None:
        self._events += 1
        told = (json.dumps(data), self.now, self.now)
        with self.store() as store:
            store.inbox.append([NewEvent("shop", str(self._events), kind, "", "", *told)])

    def run(self, **forward: float) -> JourneyRun:
        self.now += timedelta(**forward)
        return run_journey(
            self.settings,
            "cart",
            owner=f"test {self.now}",
            account_of=lambda name: account_from_uri(self.accounts[name], name=name),
            clock=lambda: self.now,
        )

    def store(self) -> Store:
        return open_store(self.settings.store_url)

    def arrived(self) -> list[Received]:
        home = self.sandbox.home / "sandbox"
        found = [*received(home, channel="email"), *received(home, channel="sms")]
        return sorted(found, key=lambda each: each.number)

    def step(self, who: str) -> str | None:
        with self.store() as store:
            found = store.journey_positions.of("cart", [f"p-{who}"])
        return found[0].step if found else None

    def outcome(self, who: str) -> list[tuple[str, str | None]]:
        with self.store() as store:
            return [
                (each.outcome or "", each.reason) for each in store.journey_messages.of(f"p-{who}", "cart")
            ]


CAPPED = (
    JOURNEY.replace("on: {", "on: {capped: late, ")
    .replace("topic: offers", "topic: offers\nreentrance: always\ninstance_key: cart_id")
    .replace("  refused:", "  late: {kind: wait, duration: 1d, next: end}\n  refused:")
)
ONE_A_DAY = "pressure: {default: [{name: one_a_day, max: 1, within: 1d}]}\n"
WITH_CART_ID = EVENTS.replace("value:", "cart_id: {kind: text, required: true, max_length: 64}\n      value:")
