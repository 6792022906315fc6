"""A journey from the event to the mailbox, over a small publication: what leaves, what does not and why."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from email import policy
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filelock import FileLock
from sqlalchemy import insert
from typer.testing import CliRunner

from kundresa import settings as configuration
from kundresa import warehouse
from kundresa.channels import Account, AccountError, account_from_uri
from kundresa.cli.journey import journey
from kundresa.feedback.webhooks import Report
from kundresa.journeys import place_of, walking
from kundresa.journeys.outgoing import message_of
from kundresa.runs.capping import RuleSetNotFound
from kundresa.runs.feedback import record_reports
from kundresa.runs.journey_accounts import export_journeys
from kundresa.runs.journey_checking import UnknownJourney, check_journeys
from kundresa.runs.journey_people import JourneyPeople
from kundresa.runs.journey_planning import plan_journey
from kundresa.runs.journey_rehearsing import LaterEvent, Rehearsal, UnfitEvent, rehearse_journey
from kundresa.runs.journey_reports import explain_journey, journey_report, list_journeys
from kundresa.runs.journey_rounds import JourneyRun
from kundresa.runs.journeys import (
    forget_ended,
    has_work,
    pause_journey,
    run_journey,
    start_journey,
    stop_journey,
)
from kundresa.runs.messages import find_message
from kundresa.runs.mirror import render_mirror
from kundresa.runs.proofs import ProofRefused, send_rehearsal
from kundresa.sandbox import Received, Sandbox, received
from kundresa.settings import Settings
from kundresa.spec.buckets import bucket
from kundresa.spec.policies import Policies
from kundresa.spec.problems import SpecError
from kundresa.spec.vocabulary import FeedbackKind, JourneyState, MessageState
from kundresa.store import JourneyNotFound, JourneyStopped, NewEvent, Store, open_store
from kundresa.store.tables import messages, metadata
from kundresa.warehouse.exports import journey_day_path
from kundresa.warehouse.people_index import write_index
from kundresa.warehouse.schemas import PUBLISHED, arrow_schema

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


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("sandbox")) as started:
        yield started


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


@pytest.fixture
def shop(tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Shop:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "events.yaml").write_text(EVENTS)
    settings = configuration.load(
        {"KUNDRESA_PROJECT": str(tmp_path), "KUNDRESA_HOME": str(tmp_path / "home"), "KUNDRESA_SECRET": "s"}
    )
    columns = {"first_name": "string", "since": "date", "country": "string", "time_zone": "string"}
    profiles = {
        "resource_type": "model",
        "name": "profiles",
        "columns": {name: {"data_type": kind} for name, kind in columns.items()},
    }
    manifest = warehouse.Manifest(
        {"nodes": {"model.kundresa.profiles": profiles}},
        tmp_path,
        segments={
            "vip": {"description": "Very."},
            "waiting": {"description": "For a product.", "sql": True, "entity": "product"},
        },
        scores={},
    )
    monkeypatch.setattr(warehouse, "load_manifest", lambda _: manifest)
    publish(settings)
    made = Shop(settings, sandbox)
    made.journey()
    return made


def test_everybody_gets_what_they_may_get_and_the_others_a_reason(shop: Shop) -> None:
    before = len(shop.arrived())
    shop.start()
    for who in PEOPLE:
        shop.event(who, value=60)
    done = shop.run()
    assert (done.entered, done.accepted, done.next_at) == (4, 0, NOW + timedelta(hours=1))
    assert not has_work(shop.settings, "cart", shop.now)
    done = shop.run(hours=1)
    assert (done.decided, done.accepted) == (5, 2)
    new = shop.arrived()[before:]
    assert sorted((each.channel, each.recipient) for each in new) == [
        ("email", "anna@shop.example"),
        ("sms", "+46701234567"),
    ]
    mail = BytesParser(policy=policy.default).parsebytes(new[0].body)
    assert mail["Subject"] == "Anna: 60"
    html = mail.get_body(("html",)).get_content()  # type: ignore[union-attr]
    assert "none" in html
    assert "2 January 2026" in html
    assert b"60" in next(each.body for each in new if each.channel == "sms")
    assert {who: shop.outcome(who) for who in PEOPLE} == {
        "anna": [("sent", None)],
        "bo": [("not_sent", "consent_denied")],
        "eva": [("not_sent", "contact_point_missing"), ("sent", None)],
        "ida": [("not_sent", "consent_unknown")],
    }
    assert {who: shop.step(who) for who in PEOPLE} == {
        "anna": "rest",
        "bo": "refused",
        "eva": "rest",
        "ida": "refused",
    }
    assert shop.run().accepted == 0
    assert len(shop.arrived()) == before + 2


def test_a_message_can_be_found_and_shown_again_long_after(shop: Shop) -> None:
    shop.start()
    shop.event("anna", value=60, note="red shoes")
    shop.run()
    shop.run(hours=1)
    with shop.store() as store:
        [message] = store.journey_messages.of("p-anna", "cart")
        found = find_message(shop.settings, store, message.message_id)
        assert found is not None
        assert found["address"] == "anna@shop.example"
        page = render_mirror(shop.settings, store, message.message_id)
    assert (page.subject, "red shoes" in page.html) == ("Anna: 60", True)
    told = explain_journey(shop.settings, "anna@shop.example", "cart")
    assert [(move["step"], move["why"]) for move in told.entries[0].moves] == [
        ("pause", "entered"),
        ("mail", "waited"),
        ("rest", "sent"),
    ]
    [line] = told.entries[0].messages
    assert (line["outcome"], line["delivery"]["state"]) == ("sent", "accepted")
    assert "anna@" not in str(line["address"])
    report = journey_report(shop.settings, "cart")
    assert {each.step: each.people for each in report.steps if each.people} == {"rest": 1}
    assert next(each.messages for each in report.steps if each.step == "mail") == {"sent": 1}
    assert [(each.journey, each.state) for each in list_journeys(shop.settings)] == [("cart", "running")]


def test_feedback_about_a_journeys_message_is_about_its_line_of_the_account(shop: Shop) -> None:
    shop.start()
    shop.event("eva", value=60)
    shop.run()
    shop.run(hours=1)
    with shop.store() as store:
        sent = list(store.journey_messages.of("p-eva", "cart"))[1]
        provider_id = store.ledger.lines([sent.message_id])[sent.message_id].provider_id
        report = Report("1", FeedbackKind.DELIVERED, "sms", provider_id=provider_id or "")
        record_reports(shop.settings, store, Policies(), "gateway", [report], shop.now)
        [row] = store.feedback.all_rows()
        told = (row["message_id"], row["profile_id"], row["kind"])
        assert told == (sent.message_id, "p-eva", "delivered")
        # To the second: what is on its way now is exported as reserved, what was sent as sent.
        export_journeys(shop.settings, store, shop.now)
    [day] = warehouse.journey_days_due(shop.settings)
    lines = pq.read_table(journey_day_path(shop.settings, day)).to_pylist()
    told = {each["step"]: (each["verdict"], each["reason"], each["is_counted"]) for each in lines}
    assert told == {
        "mail": ("exclude", "contact_point_missing", False),
        "text": ("send", None, True),
    }
    [text] = [each for each in lines if each["step"] == "text"]
    assert (text["message_id"], text["message_state"], text["topic"]) == (
        sent.message_id,
        "accepted",
        "offers",
    )


def test_what_a_stopped_journey_did_not_send_is_free_again(shop: Shop) -> None:
    shop.accounts["mails"] = "smtp://127.0.0.1:9"  # nobody listens: the message waits for a retry
    shop.start()
    shop.event("anna", value=60)
    shop.run()
    shop.run(hours=1)
    with shop.store() as store:
        assert len(store.journey_accounts.counted(["p-anna"], NOW)) == 1
    stop_journey(shop.settings, "cart", clock=lambda: shop.now)
    with shop.store() as store:
        assert store.journey_accounts.counted(["p-anna"], NOW) == []
    assert shop.outcome("anna") == [("not_sent", "run_cancelled")]


def test_an_opt_out_and_a_suppression_hold_at_once(shop: Shop) -> None:
    shop.start()
    shop.event("anna", value=60)
    shop.run()
    with shop.store() as store:
        store.opt_outs.record(
            channel="email",
            address="anna@shop.example",
            source="page",
            recorded_at=shop.now + timedelta(minutes=59),
        )
        store.suppressions.add(
            channel="sms", address="+46701234567", reason="manual", source="cli", recorded_at=shop.now
        )
    shop.event("eva", value=1)
    shop.run(minutes=1)
    shop.run(hours=1)
    assert shop.outcome("anna") == [("not_sent", "consent_denied")]
    assert shop.outcome("eva")[1] == ("not_sent", "suppressed")


def test_quiet_hours_delay_a_message_and_an_order_meanwhile_cancels_it(shop: Shop) -> None:
    shop.policies('quiet_hours: [{start: "13:30", end: "15:00"}]')
    shop.journey(
        JOURNEY.replace("next: rest", "next: rest\n    valid_for: 3h")
        .replace("on: {", "on: {delayed: late, ")
        .replace("  refused:", "  late: {kind: wait, duration: 1d, next: end}\n  refused:")
    )
    shop.start()
    shop.event("anna", value=60)
    shop.run()
    done = shop.run(hours=1)
    assert (done.decided, done.accepted) == (1, 0)
    assert done.next_at == datetime(2026, 11, 23, 14, tzinfo=UTC)
    assert shop.run(minutes=59).accepted == 0
    assert shop.run(minutes=1).accepted == 1
    assert shop.outcome("anna") == [("delayed", None)]
    assert shop.step("anna") == "late"


def test_who_orders_while_a_message_waits_does_not_get_it(shop: Shop) -> None:
    shop.policies('quiet_hours: [{start: "13:30", end: "15:00"}]')
    shop.start()
    shop.event("anna", value=60)
    shop.run()
    shop.run(hours=1)
    shop.event("anna", "order")
    shop.run(minutes=30)
    assert shop.run(hours=1).accepted == 0
    assert shop.outcome("anna") == [("not_sent", "run_cancelled")]


def test_what_is_sent_after_an_experiment_carries_its_variant_into_the_ledger(shop: Shop) -> None:
    arms = "variants: [{name: plain, go: pause}, {name: gift, go: pause}]"
    shop.journey(JOURNEY.replace("steps:\n", f"steps:\n  try: {{kind: experiment, {arms}}}\n"))
    shop.start()
    shop.event("anna", value=60)
    shop.run()
    shop.run(hours=1)
    expected = "plain" if bucket("experiment|journey cart|try", "p-anna") < 5000 else "gift"
    with shop.store() as store:
        [sent] = store.journey_messages.of("p-anna", "cart")
        assert store.ledger.lines([sent.message_id])[sent.message_id].variant == sent.variant == expected
        export_journeys(shop.settings, store, shop.now)
    [day] = warehouse.journey_days_due(shop.settings)
    [line] = pq.read_table(journey_day_path(shop.settings, day)).to_pylist()
    assert line["variant"] == expected


CAPPED = (
    JOURNEY.replace("on: {", "on: {capped: late, ")
    .replace("topic: offers", "topic: offers\nreentrance: always\ninstance_key: cart_id")
    .replace("  refused:", "  late: {kind: wait, duration: 1d, next: end}\n  refused:")
)
ONE_A_DAY = "pressure: {default: [{name: one_a_day, max: 1, within: 1d}]}\n"
WITH_CART_ID = EVENTS.replace("value:", "cart_id: {kind: text, required: true, max_length: 64}\n      value:")


@pytest.fixture
def capped(shop: Shop) -> Shop:
    """A shop in which a person may have several carts, and one message a day."""
    (shop.settings.project / "dags" / "events.yaml").write_text(WITH_CART_ID)
    shop.policies(ONE_A_DAY)
    shop.journey(CAPPED)
    return shop


def test_a_cap_stops_the_second_message_of_a_day_and_the_journey_can_tell(capped: Shop) -> None:
    capped.start()
    capped.event("anna", value=60, cart_id="1")
    capped.event("anna", value=70, cart_id="2")
    capped.event("eva", value=70, cart_id="3")
    capped.run()
    # Both at once: who is decided first takes the place.
    assert capped.run(hours=1).accepted == 2
    assert sorted(capped.outcome("anna"), key=str) == [("not_sent", "capped"), ("sent", None)]
    assert capped.outcome("eva")[-1] == ("sent", None)
    with capped.store() as store:
        assert {each.step for each in store.journey_positions.of("cart", ["p-anna"])} == {"rest", "late"}
    told = explain_journey(capped.settings, "anna@shop.example", "cart")
    assert {message["cap"] for each in told.entries for message in each.messages} == {"one_a_day", None}
    # A day later there is room again.
    capped.event("anna", value=60, cart_id="4")
    capped.run(hours=22)
    assert capped.run(hours=1).accepted == 0
    capped.event("anna", value=60, cart_id="5")
    capped.run()
    assert capped.run(hours=1).accepted == 1


def test_what_waits_for_the_end_of_quiet_hours_holds_its_place(capped: Shop) -> None:
    capped.policies(ONE_A_DAY + 'quiet_hours: [{start: "13:30", end: "15:00"}]')
    capped.start()
    capped.event("anna", value=60, cart_id="1")
    capped.run()
    capped.run(hours=1)
    capped.event("anna", value=70, cart_id="2")
    capped.run()
    # At 14:00 UTC both could leave; the second would be the second of the day.
    assert capped.run(hours=1).accepted == 1
    assert [reason for _, reason in capped.outcome("anna")] == [None, "capped"]
    assert capped.outcome("anna")[0] == ("delayed", None)


def test_what_campaigns_have_sent_or_hold_counts_and_what_failed_does_not(capped: Shop) -> None:
    folder = capped.settings.published / "runs" / "winback--1"
    (folder / "decisions").mkdir(parents=True)
    line = {"run_key": "winback--1", "channel": "email", "verdict": "send"}
    lines = [
        {**line, "message_id": f"c-{who}", "profile_id": f"p-{who}", "send_at": at.replace(tzinfo=None)}
        for who, at in (("old", NOW), ("eva", NOW - timedelta(hours=23)))
    ]
    for path, table, some in (
        (folder / "run.parquet", "decided_runs", [{"run_key": "winback--1", "topic": "offers"}]),
        (folder / "decisions" / "data_0.parquet", "decisions", lines),
    ):
        schema = arrow_schema(PUBLISHED[table])
        pq.write_table(
            pa.Table.from_pylist([dict.fromkeys(schema.names) | each for each in some], schema), path
        )
    capped.start()
    for who in ("anna", "eva"):
        capped.event(who, value=60, cart_id=who)
    capped.run()
    # The first is Anna's by the name that she had before two were merged; Eva's is a day old by then.
    assert capped.run(hours=1).accepted == 1
    assert capped.outcome("anna") == [("not_sent", "capped")]
    assert capped.outcome("eva")[-1] == ("sent", None)
    with capped.store() as store, store.database.write() as connection:
        failed = {"message_id": "c-old", "run_key": "winback--1", "channel": "email", "profile_id": "p-old"}
        connection.execute(insert(messages), failed | {"batch_number": 1, "state": "failed", "attempts": 1})
    capped.event("anna", value=60, cart_id="again")
    capped.run()
    assert capped.run(hours=1).accepted == 1


def test_nothing_is_counted_while_a_campaign_is_deciding(capped: Shop) -> None:
    capped.start()
    capped.event("anna", value=60, cart_id="1")
    capped.run()
    with FileLock(capped.settings.home / "decide.lock"):
        done = capped.run(hours=1)
        assert (done.decided, done.accepted) == (0, 0)
        assert done.next_at == capped.now + timedelta(seconds=5)
        assert not has_work(capped.settings, "cart", capped.now)
    assert capped.run(seconds=5).accepted == 1
    assert capped.outcome("anna") == [("sent", None)]


def test_a_plan_and_a_rehearsal_keep_caps(capped: Shop) -> None:
    capped.start()
    for number in (1, 2):
        capped.event("anna", value=60, cart_id=str(number))
    capped.now += timedelta(hours=2)
    plan = plan_journey(capped.settings, "cart", days=1, clock=lambda: capped.now)
    assert plan.messages["mail"] == {"sent": 1, "capped": 1}

    def rehearsed() -> list[str | None]:
        found = rehearse_journey(
            capped.settings,
            "cart",
            "anna@shop.example",
            data={"value": 1, "cart_id": "x"},
            clock=lambda: capped.now,
        )
        return [each.reason for each in found.messages]

    assert rehearsed() == [None]
    capped.run()
    assert rehearsed() == ["capped"]


def test_a_set_of_caps_that_went_stops_the_journey_with_its_name(capped: Shop) -> None:
    capped.journey("rule_sets: [strict]\n" + CAPPED)
    capped.policies(ONE_A_DAY.replace("default", "strict"))
    capped.start()
    capped.event("anna", value=60, cart_id="1")
    capped.run()
    capped.policies(ONE_A_DAY)
    with pytest.raises(RuleSetNotFound, match="strict"):
        capped.run(hours=1)
    assert capped.outcome("anna") == [("", None)]
    capped.policies(ONE_A_DAY.replace("default", "strict"))
    assert capped.run().accepted == 1


def test_a_pause_holds_people_and_messages_until_it_goes_on(shop: Shop) -> None:
    shop.start()
    shop.event("anna", value=60)
    shop.run()
    pause_journey(shop.settings, "cart", JourneyState.HELD, clock=lambda: shop.now)
    assert shop.run(hours=1).state is JourneyState.HELD
    assert not has_work(shop.settings, "cart", shop.now)
    shop.start()
    assert has_work(shop.settings, "cart", shop.now)
    assert shop.run().accepted == 1


def test_stopped_for_good(shop: Shop) -> None:
    shop.start()
    shop.event("anna", value=60)
    shop.run()
    assert stop_journey(shop.settings, "cart", clock=lambda: shop.now) == 1
    assert shop.run(hours=1).accepted == 0
    with pytest.raises(JourneyStopped):
        shop.start()
    with pytest.raises(JourneyNotFound):
        stop_journey(shop.settings, "other", clock=lambda: shop.now)


def test_an_account_that_refuses_holds_nobody_else_up(shop: Shop) -> None:
    shop.start()
    shop.event("anna", value=60)
    shop.event("eva", value=60)
    shop.run()
    shop.accounts["mails"] = "nothing://127.0.0.1"
    with pytest.raises(AccountError):
        shop.run(hours=1)
    assert shop.outcome("eva")[1] == ("sent", None)
    shop.accounts["mails"] = shop.sandbox.ports.smtp_uri
    assert shop.run().accepted == 1
    assert shop.outcome("anna") == [("sent", None)]


def test_an_edit_is_for_who_enters_after_it(shop: Shop) -> None:
    shop.start()
    shop.event("anna", value=60)
    shop.run()
    shop.journey(**{"m.subject.j2": "New: {{ event.value }}"})
    shop.start()
    shop.start()
    before = len(shop.arrived())
    shop.run(hours=1)
    assert shop.arrived()[before:][0].subject == "Anna: 60"
    assert journey_report(shop.settings, "cart").version == 2


def test_entering_a_segment_by_its_rule_lets_people_in(shop: Shop) -> None:
    shop.journey(
        JOURNEY.replace("entry: {event: cart}", "entry: {segment: vip}").replace("exit:", "#"),
        **{"m.subject.j2": "x", "m.html.j2": '<a href="{{ unsubscribe_url }}">off</a>', "t.txt.j2": "y"},
    )
    shop.start()
    shop.run(hours=2)
    with shop.store() as store:
        found = store.journey_positions.of("cart", [f"p-{who}" for who in PEOPLE])
    assert {each.profile_id for each in found} == {"p-bo", "p-eva"}
    assert shop.run().events == 0


AUDIENCE = (
    JOURNEY.replace("{event: cart}", "{audience: vip, every: once, rate: {people: 2, per: minute}}")
    .replace("exit:", "#")
    .replace("topic: offers", "topic: offers\nreentrance: always")
)
PLAIN = {"m.subject.j2": "x", "m.html.j2": '<a href="{{ unsubscribe_url }}">off</a>', "t.txt.j2": "y"}


def everybody_is_vip(settings: Settings, *without: str) -> None:
    schema = pa.schema(list(MARTS["segment_memberships"].items()))
    members = [
        {
            "segment": "vip",
            "profile_id": f"p-{who}",
            "entity_id": "",
            "entered_at": EARLIER,
            "exited_at": None,
        }
        for who in PEOPLE
        if who not in without
    ]
    [file] = settings.published.glob("builds/*/segment_memberships/*.parquet")
    pq.write_table(pa.Table.from_pylist(members, schema), file)


def test_an_audience_is_read_at_a_rate_as_it_is_published(shop: Shop) -> None:
    everybody_is_vip(shop.settings)
    salt = "journey|cart|vip"
    order = sorted(PEOPLE, key=lambda who: place_of(salt, f"p-{who}", ""))
    with JourneyPeople(shop.settings) as people:
        found = people.members("vip", salt, "", 9)
        assert [each.profile_id for each in found] == [f"p-{who}" for who in order]
        assert [each.place for each in found] == [place_of(salt, each.profile_id, "") for each in found]
        assert people.members("vip", salt, found[1].place, 1) == found[2:3]
        assert people.members("none", salt, "", 9) == []
        some = people.members("vip", salt, "", 9, among=["p-anna", "p-bo", "p-nobody"])
        assert some == [each for each in found if each.profile_id in ("p-anna", "p-bo")]
    shop.journey(AUDIENCE, **PLAIN)
    planned = plan_journey(shop.settings, "cart", days=1, clock=lambda: shop.now)
    assert (planned.entered, planned.messages["mail"]["sent"]) == (4, 1)
    told = rehearse_journey(shop.settings, "cart", "anna@shop.example", data={}, clock=lambda: shop.now)
    assert [move["step"] for move in told.moves][:2] == ["pause", "mail"]
    shop.start()
    assert has_work(shop.settings, "cart", shop.now)
    done = shop.run()
    assert (done.entered, done.next_at) == (2, NOW + timedelta(minutes=1))
    assert not has_work(shop.settings, "cart", shop.now)
    report = journey_report(shop.settings, "cart", clock=lambda: shop.now)
    assert report.next_turn_at == NOW + timedelta(minutes=1)
    everybody_is_vip(shop.settings, order[2])
    assert shop.run(minutes=1).entered == 1
    assert shop.run(minutes=1).entered == 0
    assert journey_report(shop.settings, "cart", clock=lambda: shop.now).next_turn_at is None
    with shop.store() as store:
        inside = {each.profile_id for each in store.journey_positions.of("cart", [f"p-{x}" for x in PEOPLE])}
    assert inside == {f"p-{who}" for who in PEOPLE if who != order[2]}


BUSINESS = (
    JOURNEY.replace(
        "{event: cart}",
        "{event: back, audience: waiting, entity: product, rate: {people: 1, per: minute}, "
        "where: {event: {stock: {at_least: 5}}}}",
    )
    .replace("exit:", "#")
    .replace("topic: offers", "topic: offers\nreentrance: always")
)
IN_STOCK = PLAIN | {
    "m.subject.j2": "{{ event.product }} {{ event.stock }} {{ event.entity_id }}",
    "t.txt.j2": "Back: {{ event.product }}",
}


def waiting_for(settings: Settings, *who: tuple[str, str]) -> None:
    schema = pa.schema(list(MARTS["segment_memberships"].items()))
    members = [
        {"segment": "waiting", "profile_id": f"p-{each}", "entity_id": product, "entered_at": EARLIER}
        for each, product in who
    ]
    [file] = settings.published.glob("builds/*/segment_memberships/*.parquet")
    pq.write_table(pa.Table.from_pylist([{"exited_at": None} | each for each in members], schema), file)


def test_who_waits_for_a_product_is_told_that_it_is_back(shop: Shop) -> None:
    waiting_for(shop.settings, ("anna", "p1"), ("anna", "p2"), ("eva", "p1"), ("bo", "p3"))
    with JourneyPeople(shop.settings) as people:
        found = people.members("waiting", "s", "", 9, "p1")
        assert {(each.profile_id, each.entity_id) for each in found} == {("p-anna", "p1"), ("p-eva", "p1")}
        assert people.members("waiting", "s", found[0].place, 9, "p1") == found[1:]
        assert people.members("waiting", "s", "", 9, "p'9") == []
    shop.journey(BUSINESS, **IN_STOCK)
    shop.start()
    assert not has_work(shop.settings, "cart", shop.now)
    shop.business(product="p1", stock=4)
    shop.business(product="p1", stock=7)
    assert has_work(shop.settings, "cart", shop.now)
    done = shop.run()
    assert (done.entered, done.next_at) == (1, NOW + timedelta(minutes=1))
    assert not has_work(shop.settings, "cart", shop.now)
    report = journey_report(shop.settings, "cart", clock=lambda: shop.now)
    assert (report.next_turn_at, report.readings) == (NOW + timedelta(minutes=1), 1)
    assert report.skips == {"condition": 1}
    assert report.entry.startswith(
        "event `back`: everybody in `waiting` for its `product`, 1 people per minute"
    )
    assert shop.run(minutes=1).entered == 1
    assert shop.run(minutes=1).entered == 0
    assert journey_report(shop.settings, "cart", clock=lambda: shop.now).readings == 0
    before = len(shop.arrived())
    shop.run(hours=1)
    new = shop.arrived()[before:]
    assert sorted(each.recipient for each in new) == ["+46701234567", "anna@shop.example"]
    mail = next(each for each in new if each.channel == "email")
    assert BytesParser(policy=policy.default).parsebytes(mail.body)["Subject"] == "p1 7 p1"
    planned = plan_journey(shop.settings, "cart", days=1, clock=lambda: shop.now)
    assert (planned.entered, planned.skips) == (2, {"condition": 1})
    assert planned.messages["mail"] == {"sent": 1, "contact_point_missing": 1}


def test_one_person_is_rehearsed_as_if_they_were_in_the_audience_of_an_event(shop: Shop) -> None:
    shop.journey(BUSINESS, **IN_STOCK)

    def rehearse(**data: Any) -> Any:
        return rehearse_journey(shop.settings, "cart", "anna@shop.example", data=data, clock=lambda: shop.now)

    told = rehearse(product="p1", stock=7)
    assert [move["step"] for move in told.moves][:2] == ["pause", "mail"]
    assert told.messages[0].text.startswith("p1 7 p1")
    refused = rehearse(product="p1", stock=4)
    assert (refused.moves, refused.skips) == ((), {"condition": 1})
    with pytest.raises(UnfitEvent, match="'product' of back is required"):
        rehearse(stock=7)


def test_a_merged_profile_is_found_under_its_new_id(shop: Shop) -> None:
    with warehouse.PublishedPeople(shop.settings) as people:
        found = people.facts(["p-old", "p-anna", "p-none"], ["first_name", "trait_of_a_journey"])
        assert {key: (each.profile["first_name"], each.segments) for key, each in found.items()} == {
            "p-old": ("Anna", {"vip"}),
            "p-anna": ("Anna", {"vip"}),
        }
    index = warehouse.PeopleIndex(shop.settings)
    asked = {
        ("email", "anna@shop.example"),
        ("email", "x@x"),
        ("profile_id", "p-old"),
        ("profile_id", "p-none"),
    }
    assert index.resolve(asked) == {
        ("email", "anna@shop.example"): "p-anna",
        ("profile_id", "p-old"): "p-anna",
    }
    assert index.merged(["p-anna", "p-none"]) == {"p-old": "p-anna"}
    assert index.merged(["p-old"]) == index.merged(["p-old", "p-anna"]) == {"p-old": "p-anna"}
    assert index.merged(["p-bo", "p-none"]) == {}


def test_nothing_is_taken_for_a_stranger_before_anything_is_published(shop: Shop) -> None:
    shop.start()
    shop.event("anna", value=60)
    (shop.settings.published / "current.json").unlink()
    with pytest.raises(warehouse.NothingPublished):
        shop.run()
    publish(replace(shop.settings, home=shop.settings.home / "again"))
    (shop.settings.published / "current.json").write_text(
        json.dumps({"build_id": "20261123T040000.000000Z", "published_at": NOW.isoformat()})
    )
    assert shop.run().entered == 1


def test_a_plan_plays_the_events_of_before_and_writes_nothing(shop: Shop) -> None:
    for who in PEOPLE:
        shop.event(who, value=60)
    shop.now += timedelta(hours=30)
    before, arrived = _rows(shop), len(shop.arrived())
    planned = plan_journey(shop.settings, "cart", days=2, clock=lambda: shop.now)
    assert (planned.events, planned.entered) == (4, 4)
    assert planned.messages == {
        "mail": {"sent": 1, "consent_denied": 1, "consent_unknown": 1, "contact_point_missing": 1},
        "text": {"sent": 1},
    }
    assert planned.ended == {"finished": 4}
    assert (_rows(shop), len(shop.arrived())) == (before, arrived)


def _rows(shop: Shop) -> dict[str, list[tuple[Any, ...]]]:
    """All that the operational store holds."""
    with shop.store() as store, store.database.read() as connection:
        return {
            table.name: sorted(map(tuple, connection.execute(table.select())), key=repr)
            for table in metadata.sorted_tables
        }


def test_what_is_wrong_is_told_before_anything_is_started(shop: Shop) -> None:
    assert [each.problems for each in check_journeys(shop.settings)] == [()]
    shop.journey(**{"m.subject.j2": "{{ event.valeu }}"})
    with pytest.raises(SpecError, match=r"m\.subject\.j2:1: event has no field valeu; did you mean value"):
        shop.start()
    hidden = "<div style='display:none'><a href='{{ unsubscribe_url }}'></a></div>{{ event.value | number }}"
    shop.journey(**{"m.html.j2": hidden, "m.txt.j2": "{{ unsubscribe_url }}"})
    with pytest.raises(SpecError, match="the unsubscribe link stands where no reader sees it"):
        shop.start()
    with pytest.raises(UnknownJourney, match="did you mean cart"):
        check_journeys(shop.settings, ["carts"])


def test_mail_with_links_that_nobody_can_follow_is_told_and_refused(shop: Shop) -> None:
    shop.accounts["mails"] = "smtp://mail.invalid"
    refusal = "account mails .* sends real mail, and its links would lead to .* set KUNDRESA_PUBLIC_URL"

    def account_of(name: str) -> Account:
        return account_from_uri(shop.accounts[name], name=name)

    [checked] = check_journeys(shop.settings, account_of=account_of)
    [problem] = checked.problems
    assert (problem.line, problem.key) == (11, "steps.mail.channel.account")
    assert re.search(refusal, problem.message)
    planned = plan_journey(shop.settings, "cart", days=1, account_of=account_of, clock=lambda: shop.now)
    [warning] = planned.warnings
    assert re.match(f"mail: {refusal}", warning)
    before = len(shop.arrived())
    shop.start()
    shop.event("anna", value=60)
    shop.run()
    with pytest.raises(AccountError, match=refusal):
        shop.run(hours=2)
    assert shop.outcome("anna") == [("", None)]
    assert len(shop.arrived()) == before
    told = rehearse_journey(shop.settings, "cart", "p-anna", data={"value": 1}, clock=lambda: shop.now)
    with pytest.raises(AccountError, match=refusal):
        send_rehearsal(shop.settings, told, ["me@shop.example"], account_of=account_of)


def test_a_run_that_stays_does_what_comes_meanwhile_and_ends_in_time(shop: Shop) -> None:
    shop.start()
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        shop.now += timedelta(seconds=600)
        if len(slept) == 1:
            shop.event("anna", value=60)

    def run(stay: timedelta, idle: timedelta | None = None) -> JourneyRun:
        return run_journey(
            shop.settings,
            "cart",
            owner=f"stays {shop.now}",
            account_of=lambda name: account_from_uri(shop.accounts[name], name=name),
            clock=lambda: shop.now,
            stay=stay,
            idle=idle,
            sleep=sleep,
        )

    assert run(timedelta(hours=2)).accepted == 1
    assert shop.now >= NOW + timedelta(hours=2)
    assert len(slept) == 12
    assert run(timedelta(hours=9), timedelta(minutes=30)).accepted == 0
    assert len(slept) == 12 + 3


def test_a_rehearsal_shows_one_persons_way_and_what_they_would_read(shop: Shop) -> None:
    def rehearse(who: str, *then: LaterEvent, **data: Any) -> Rehearsal:
        return rehearse_journey(
            shop.settings, "cart", f"{who}@shop.example", data=data, then=then, clock=lambda: shop.now
        )

    anna = rehearse("anna", value=60, note="red shoes")
    assert [(move["step"], move["why"]) for move in anna.moves] == [
        ("pause", "entered"),
        ("mail", "waited"),
        ("rest", "sent"),
        ("end", "finished"),
    ]
    [message] = anna.messages
    assert (message.step, message.at, message.reason) == ("mail", NOW + timedelta(hours=1), None)
    assert "Anna: 60" in message.text
    ordered = rehearse("anna", LaterEvent("order", timedelta(minutes=30), {}), value=60)
    assert [(move["step"], move["why"]) for move in ordered.moves][-1] == ("end", "exit")
    assert ordered.messages == ()
    assert [each.reason for each in rehearse("eva", value=60).messages] == ["contact_point_missing", None]
    with pytest.raises(
        UnfitEvent, match="property 'value' of cart is required; what it says is given by --data"
    ):
        rehearse("anna")
    with shop.store() as store:
        assert store.inbox.count() == 0


@pytest.mark.parametrize(
    ("reentrance", "is_stopped", "removed"),
    [("never", False, 0), ("never", True, 1), ("always", False, 1), ("30d", False, 1), ("60d", False, 0)],
)
def test_nobody_is_forgotten_whom_a_rule_of_reentrance_remembers(
    shop: Shop, reentrance: str, is_stopped: bool, removed: int
) -> None:
    shop.journey(JOURNEY.replace("topic:", f"reentrance: {reentrance}\ntopic:"))
    shop.start()
    shop.event("anna", value=60)
    shop.event("anna", "order")
    shop.run()
    if is_stopped:
        stop_journey(shop.settings, "cart", clock=lambda: shop.now)
    now = NOW + timedelta(days=40)
    with shop.store() as store:
        assert forget_ended(store, now - timedelta(days=20), now) == removed


def test_the_emails_of_a_rehearsal_reach_who_asks_for_them_and_nobody_else(shop: Shop) -> None:
    """Nothing of it is in the store; their links opt nobody out."""
    before = len(shop.arrived())
    told = rehearse_journey(
        shop.settings, "cart", "anna@shop.example", data={"value": 60}, clock=lambda: shop.now
    )
    assert [each.step for each in told.emails] == ["mail"]

    def account_of(name: str) -> Account:
        return account_from_uri(shop.accounts[name], name=name)

    testers = ["me@shop.example", "you@shop.example"]
    proofs = send_rehearsal(shop.settings, told, testers, account_of=account_of, clock=lambda: shop.now)
    assert [(each.address, each.name, each.receipt.state) for each in proofs] == [
        (who, "mail", MessageState.ACCEPTED) for who in testers
    ]
    new = shop.arrived()[before:]
    assert [each.recipient for each in new] == testers
    assert all(each.subject.startswith("[Proof] ") for each in new)
    assert "anna@shop.example" not in str([each.recipient for each in new])
    (shop.settings.project / "dags" / "policies.yaml").write_text("allow_list: ['@shop.example']\n")
    with pytest.raises(ProofRefused, match=r"elsewhere\.example is not in the allow_list"):
        send_rehearsal(shop.settings, told, ["me@elsewhere.example"], account_of=account_of)
    nothing = replace(told, emails=())
    with pytest.raises(ProofRefused, match="would get no email"):
        send_rehearsal(shop.settings, nothing, testers, account_of=account_of)
    assert len(shop.arrived()) == before + 2


def test_who_is_set_aside_is_told_of_and_the_others_get_their_message(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(trail: Any, *rest: Any) -> Any:
        if trail.event["value"] == 61:
            raise ZeroDivisionError
        return message_of(trail, *rest)

    monkeypatch.setattr(walking, "message_of", broken)
    shop.journey(JOURNEY)
    shop.start()
    shop.event("anna", value=60)
    shop.event("bo", value=61)
    shop.run()
    shop.run(hours=1)
    monkeypatch.setattr(configuration, "load", lambda: shop.settings)
    told = CliRunner().invoke(journey, ["show", "cart"], env={"COLUMNS": "200"})
    assert told.exit_code == 0, told.output
    assert "2 entered = 2 inside + 0 left" in told.output
    assert "set aside: 1; the log names whom" in told.output
    assert shop.step("bo") == "pause"
