"""The service over a real store and a small publication."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uvicorn
import yaml
from starlette.applications import Starlette

from kundresa import settings as configuration
from kundresa.content import Links, Token, templates_to_freeze
from kundresa.public import server as server_module
from kundresa.public.app import build_app
from kundresa.runs.journeys import open_standing_runs
from kundresa.sandbox import Sandbox
from kundresa.settings import Settings
from kundresa.spec.frozen import freeze
from kundresa.spec.journey import Journey
from kundresa.spec.loading import load_campaign, load_shared_sources, load_sources
from kundresa.spec.messages import Receipt
from kundresa.spec.vocabulary import MessageState, Trigger
from kundresa.store import Candidate, NewRun, Store, open_store
from kundresa.warehouse import cursor_at
from kundresa.warehouse.people_index import write_index

from .post import Post

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
ANNA = Token("a" * 32, "p-anna", "email", "offers")
SVEN = Token("b" * 32, "p-sven", "email", "offers")

POLICIES = """
topics:
  offers: {consent: "yes", labels: {en: Offers, sv: Erbjudanden}}
  newsletter: {consent: "yes"}
  surveys: {consent: not_no, because: a legitimate interest}
  order_updates: {consent: exempt, because: part of the order}
  pages: {consent: not_no, because: the terms say so, channels: [webhook]}
"""
EVENTS = """
namespaces: [email, crm_id, phone]
events:
  order_placed:
    description: An order
    properties:
      order_id: {kind: text, required: true, max_length: 20}
      order_value: {kind: number, required: true}
      note: {kind: text}
  cart_updated:
    description: The cart
    properties:
      cart_id: {kind: text, required: true}
      cart_value: {kind: number}
      product_ids: {kind: texts}
  back_in_stock:
    description: A product can be bought again
    about: business
    properties:
      product_id: {kind: text, required: true, max_length: 20}
"""

_INSTANT = pa.timestamp("us")
MARTS: dict[str, pa.Schema] = {
    "profiles": pa.schema([("profile_id", pa.string()), ("language", pa.string()), ("country", pa.string())]),
    "contact_points": pa.schema(
        [
            ("profile_id", pa.string()),
            ("channel", pa.string()),
            ("address", pa.string()),
            ("is_valid", pa.bool_()),
        ]
    ),
    "consents": pa.schema(
        [
            ("profile_id", pa.string()),
            ("channel", pa.string()),
            ("topic", pa.string()),
            ("status", pa.string()),
            ("recorded_at", _INSTANT),
        ]
    ),
    "segment_memberships": pa.schema(
        [
            ("segment", pa.string()),
            ("profile_id", pa.string()),
            ("entity_id", pa.string()),
            ("entered_at", _INSTANT),
            ("exited_at", _INSTANT),
        ]
    ),
    "segment_changes": pa.schema(
        [
            ("segment", pa.string()),
            ("profile_id", pa.string()),
            ("entity_id", pa.string()),
            ("change", pa.string()),
            ("reason", pa.string()),
            ("changed_at", _INSTANT),
        ]
    ),
    "profile_identifiers": pa.schema(
        [("profile_id", pa.string()), ("namespace", pa.string()), ("identifier", pa.string())]
    ),
    "profile_redirects": pa.schema(
        [("profile_id", pa.string()), ("current_profile_id", pa.string()), ("redirected_at", _INSTANT)]
    ),
}
EARLIER = datetime(2026, 1, 1)  # noqa: DTZ001  marts hold UTC without saying so
PEOPLE: dict[str, list[dict[str, Any]]] = {
    "profiles": [
        {"profile_id": "p-anna", "language": "en", "country": "GB"},
        {"profile_id": "p-sven", "language": "sv", "country": "SE"},
    ],
    "contact_points": [
        {"profile_id": "p-anna", "channel": "email", "address": "anna@x.example", "is_valid": True},
        {"profile_id": "p-anna", "channel": "sms", "address": "+441632960001", "is_valid": True},
        {"profile_id": "p-sven", "channel": "email", "address": "sven@x.example", "is_valid": True},
    ],
    "consents": [
        {"profile_id": "p-anna", "channel": "email", "topic": "offers", "status": "yes"},
        {"profile_id": "p-anna", "channel": "email", "topic": "newsletter", "status": "no"},
        {"profile_id": "p-sven", "channel": "email", "topic": "offers", "status": "yes"},
    ],
    "segment_memberships": [
        {"segment": "vip", "profile_id": "p-anna", "entity_id": "", "exited_at": None},
        {"segment": "left", "profile_id": "p-anna", "entity_id": "", "exited_at": EARLIER},
    ],
    "segment_changes": [],
    "profile_identifiers": [
        {"profile_id": "p-anna", "namespace": "crm_id", "identifier": "C1"},
        {"profile_id": "p-anna", "namespace": "crm_id", "identifier": "10012345"},
        {"profile_id": "p-anna", "namespace": "email", "identifier": "anna.second@x.example"},
        {"profile_id": "p-anna", "namespace": "phone", "identifier": "+441632960002"},
        {"profile_id": "p-anna", "namespace": "phone", "identifier": "+441632960009"},
        {"profile_id": "p-sven", "namespace": "phone", "identifier": "+441632960009"},
    ],
    "profile_redirects": [{"profile_id": "p-old", "current_profile_id": "p-anna"}],
}


def publish(settings: Settings, build_id: str, people: dict[str, list[dict[str, Any]]]) -> None:
    """Marts of these rows as the current publication, with its index."""
    folder = settings.published / "builds" / build_id
    for name, schema in MARTS.items():
        (folder / name).mkdir(parents=True)
        rows = [dict.fromkeys(schema.names) | _dated(schema, row) for row in people[name]]
        pq.write_table(pa.Table.from_pylist(rows, schema), folder / name / "data_0.parquet")
    write_index(folder, ["language", "country"])
    pointer = {"build_id": build_id, "published_at": NOW.isoformat()}
    (settings.published / "current.json").write_text(json.dumps(pointer))


def _dated(schema: pa.Schema, row: dict[str, Any]) -> dict[str, Any]:
    instants = {"recorded_at", "entered_at", "redirected_at"} & set(schema.names)
    return dict.fromkeys(instants, EARLIER) | row


KEYS = {"shop": "events", "engine": "audiences", "both": "audiences+events+messages", "till": "messages"}


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


@dataclass
class Clock:
    """Ticks a second with each look, as a person's clicks would be apart."""

    now: datetime = NOW
    step: timedelta = field(default_factory=lambda: timedelta(seconds=1))

    def __call__(self) -> datetime:
        self.now += self.step
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def settings(tmp_path: Path, store_url: str) -> Settings:
    dags = tmp_path / "project" / "dags"
    dags.mkdir(parents=True)
    (dags / "policies.yaml").write_text(POLICIES)
    (dags / "events.yaml").write_text(EVENTS)
    made = configuration.load(
        {
            "KUNDRESA_PROJECT": str(tmp_path / "project"),
            "KUNDRESA_HOME": str(tmp_path / "home"),
            "KUNDRESA_STORE_URL": store_url,
            "KUNDRESA_SECRET": "a secret for tests",
            "KUNDRESA_PUBLIC_URL": "https://mail.shop.example",
            "KUNDRESA_PUBLIC_NAME": "Nordlys Shop",
            "KUNDRESA_WEBHOOKS": "texts=twilio:auth-token, mail=hmac:mail-secret",
            "KUNDRESA_API_KEYS": ", ".join(
                f"{name}:{scopes}:{_digest(name)}" for name, scopes in KEYS.items()
            ),
        }
    )
    publish(made, "20261123T040000.000000Z", PEOPLE)
    return made


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """For looking at what the service wrote."""
    with open_store(store_url) as opened:
        yield opened


@pytest.fixture
def links(settings: Settings) -> Links:
    return Links.from_settings(settings)


@contextlib.contextmanager
def serving(app: Starlette) -> Iterator[str]:
    """The application under uvicorn, on a thread; gives its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, **server_module.OPTIONS))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.005)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()


@pytest.fixture
def client(settings: Settings, clock: Clock) -> Iterator[httpx.Client]:
    app = build_app(settings, open_store(settings.store_url), clock=clock)
    with serving(app) as address, httpx.Client(base_url=address, timeout=30, trust_env=False) as opened:
        yield opened


@pytest.fixture
def path(links: Links) -> Callable[[str], str]:
    """The path of a link, as a request names it."""
    return lambda url: url.removeprefix(links.public_url)


ORDERS = """
owner: shop
description: Confirms an order.
entry: {event: order_placed, where: {event: {order_value: {at_least: 10}}}}
exit: [{segment: vip_gone}]
topic: order_updates
policy: POLICY
steps:
  confirmation:
    kind: message
    channel: {kind: email, template: mail, account: mails, sender: Shop <orders@shop.example>}
    "on": {sent: end, suppressed: text}
    next: end
  text:
    kind: message
    channel: {kind: sms, template: text, account: texts, sender: Shop}
"""
ORDER_TEMPLATES = {
    "mail.subject.j2": "{{ profile.country | default('Nowhere') }}: order {{ event.order_id }}",
    "mail.html.j2": "<p>{{ event.order_value }} {{ event.note | default('no note') }}</p>"
    '<a href="{{ unsubscribe_url }}">off</a>',
    "text.txt.j2": "Order {{ event.order_id }}",
}


def start_orders(
    store: Store, name: str = "orders", text: str = ORDERS, *, policy: str = "at_least_once"
) -> None:
    """Start a journey that confirms orders, without the checkout and the dbt project behind a check."""
    spec = yaml.safe_load(text.replace("POLICY", policy)) | {"name": name}
    frozen = freeze(Journey.model_validate(spec), ORDER_TEMPLATES)
    store.journeys.start(name, frozen, cursor=cursor_at(NOW), at=NOW)
    open_standing_runs(store, name)


@pytest.fixture
def orders(store: Store) -> None:
    """The journey ``orders`` runs."""
    start_orders(store)


RUN = "winback--20261123T080000Z"
CHECKOUT = Path(__file__).resolve().parents[3]


@pytest.fixture
def sent(settings: Settings, store: Store) -> Token:
    """A mail of the example campaign to Anna: decided, published, and accepted at NOW. Its links' token."""
    folder = CHECKOUT / "dags" / "campaigns" / "winback"
    templates = templates_to_freeze(load_sources(folder), load_shared_sources(CHECKOUT / "dags"))
    spec_json = freeze(load_campaign(folder), templates).json
    store.runs.open(
        NewRun(
            run_key=RUN,
            campaign="winback",
            logical_at=NOW,
            trigger=Trigger.SCHEDULED,
            spec_json=spec_json,
            spec_hash="a" * 64,
            opened_at=NOW,
            valid_until=NOW + timedelta(hours=48),
        )
    )
    store.runs.mark_decided([RUN], at=NOW)
    store.runs.mark_checked(RUN)
    store.batches.register(RUN, "email", 1, 2)
    lease = store.batches.lease(RUN, "email", 1, owner="test", seconds=60, now=NOW)
    people = [Candidate(token.message_id, token.profile_id) for token in (ANNA, SVEN)]
    store.ledger.claim(lease, people, now=NOW)
    store.ledger.settle(
        lease, [Receipt(each.message_id, MessageState.ACCEPTED, provider_id="q") for each in people], now=NOW
    )
    rows = [
        {
            "message_id": token.message_id,
            "run_key": RUN,
            "profile_id": token.profile_id,
            "address": f"then-{name.lower()}@x.example",
            "variant": None,
            "profile": {
                "first_name": name,
                "favourite_category": "lamps",
                "days_since_last_order": 200,
                "customer_since_date": date(2020, 5, 1),
                "language": "en",
                "total_spend": 10.0,
            },
        }
        for token, name in ((ANNA, "Anna"), (SVEN, "Sven"))
    ]
    run = settings.published / "runs" / RUN
    (run / "decisions").mkdir(parents=True)
    batch = run / "batches" / "channel=email" / "batch_number=1"
    batch.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), batch / "data_0.parquet")
    return ANNA


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("sandbox")) as started:
        yield started


@pytest.fixture
def post(settings: Settings, clock: Clock, sandbox: Sandbox) -> Post:
    return Post(settings, clock, sandbox)
