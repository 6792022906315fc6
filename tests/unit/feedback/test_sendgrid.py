"""SendGrid's event webhook: believed by its signature, and each documented event is what it should be."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from kundresa.feedback.webhooks import NotBelieved, NotUnderstood, Report, Told
from kundresa.feedback.webhooks.reports import Call
from kundresa.feedback.webhooks.sendgrid import SIGNATURE, TIMESTAMP, SendGridEvents
from kundresa.spec.vocabulary import Automation, BounceClass, FeedbackKind

from .provider_calls import URL, SendGrid, altered, call

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
OURS = "0a1b2c3d4e5f60718293a4b5c6d7e8f9"
ACCOUNT = SendGrid()
WEBHOOK = SendGridEvents.of(ACCOUNT.secret)
COMMON = {
    "email": "anna@x.example",
    "timestamp": int(NOW.timestamp()) - 60,
    "smtp-id": f"<{OURS}@shop.example>",
    "category": "cat facts",
    "sg_event_id": "6g4ZI7SA-xmRDv57GoPIPw==",
    "sg_message_id": "14c5d75ce93.dfd.64b469.filter0001.16648.5515E0B88.0",
}
"""What all events of the "Event Webhook Reference" have."""


def told(*events: object) -> Told:
    return WEBHOOK.read(call(ACCOUNT.signed(list(events), NOW), NOW))


def one(**members: Any) -> Report:
    [report] = told(COMMON | members).reports
    return report


def test_the_signature_is_the_one_of_sendgrid_s_own_example() -> None:
    """Key, payload, timestamp and signature of the test that SendGrid's libraries come with."""
    key = (
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaIN"
        "XvVpiglSI8eNEc6wEA3F+g=="
    )
    event = {
        "email": "hello@world.com",
        "event": "dropped",
        "reason": "Bounced Address",
        "sg_event_id": "ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA",
        "sg_message_id": "LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0",
        "smtp-id": "<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>",
        "timestamp": 1600112492,
    }
    headers = {
        SIGNATURE: "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M"
        "15TluLtEZtM=",
        TIMESTAMP: "1600112502",
    }
    body = json.dumps([event], sort_keys=True, separators=(",", ":")).encode() + b"\r\n"
    at = datetime.fromtimestamp(1600112510, tz=UTC)
    # What another system of the account has sent is nothing to us.
    assert SendGridEvents.of(key).read(Call(URL, headers, body, at)) == Told([], 1)
    with pytest.raises(NotBelieved):
        SendGridEvents.of(key).read(Call(URL, headers, body.replace(b"world", b"woxld"), at))


def test_what_is_altered_forged_or_old_is_not_believed() -> None:
    event = COMMON | {"event": "spamreport"}
    signed = ACCOUNT.signed([event], NOW)
    assert len(WEBHOOK.read(call(signed, NOW)).reports) == 1
    headers, body = signed
    for name in (SIGNATURE, TIMESTAMP):
        lacking = {key: value for key, value in headers.items() if key.lower() != name}
        with pytest.raises(NotBelieved):
            WEBHOOK.read(call((lacking, body), NOW))
    for garbage in ("", "MEUC", "ÿ", "not base64!"):
        with pytest.raises(NotBelieved):
            WEBHOOK.read(call(({**headers, "X-Twilio-Email-Event-Webhook-Signature": garbage}, body), NOW))
    for wrong in (altered(signed), SendGrid().signed([event], NOW)):
        with pytest.raises(NotBelieved, match="signature"):
            WEBHOOK.read(call(wrong, NOW))


def test_a_batch_that_is_told_again_for_a_day_is_believed() -> None:
    signed = ACCOUNT.signed([COMMON | {"event": "delivered"}], NOW)
    first = WEBHOOK.read(call(signed, NOW))
    again = WEBHOOK.read(call(signed, NOW + timedelta(hours=24)))
    assert first.reports == again.reports
    for late in (timedelta(hours=49), -timedelta(minutes=6)):
        with pytest.raises(NotBelieved, match="too old"):
            WEBHOOK.read(call(signed, NOW + late))


@pytest.mark.parametrize("body", [b"", b"{", b"{}", b"7", b"[1]", b"[" * 100_000, b"\xff"])
def test_what_is_signed_and_makes_no_sense(body: bytes) -> None:
    with pytest.raises(NotUnderstood):
        WEBHOOK.read(call(ACCOUNT.signed(body, NOW), NOW))


def test_odd_members_cost_their_neighbours_nothing() -> None:
    odd: list[dict[str, Any]] = [
        {},
        {"event": ["bounce"]},
        COMMON | {"event": None},
        COMMON | {"event": "loved"},
        COMMON | {"event": "bounce", "smtp-id": 7},
        {"event": "delivered", "sg_event_id": "1"},
    ]
    found = told(*odd, COMMON | {"event": "delivered", "timestamp": float("nan"), "sg_event_id": None})
    assert found.skipped == len(odd)
    [report] = found.reports
    assert (report.kind, report.occurred_at, len(report.event_id)) == (FeedbackKind.DELIVERED, None, 64)


@pytest.mark.parametrize("name", ["processed", "deferred", "group_resubscribe", "account_status_change"])
def test_what_is_no_outcome_is_skipped(name: str) -> None:
    assert told(COMMON | {"event": name, "response": "400 try again later"}) == Told([], 1)


def test_delivered() -> None:
    report = one(event="delivered", response="250 OK")
    assert report == Report(
        "6g4ZI7SA-xmRDv57GoPIPw==",
        FeedbackKind.DELIVERED,
        "email",
        message_id=OURS,
        occurred_at=NOW - timedelta(seconds=60),
    )


def test_engagement_events_are_known_by_the_argument_that_we_send_along() -> None:
    """They come without ``smtp-id``."""
    event = {name: value for name, value in COMMON.items() if name != "smtp-id"}
    [report] = told(event | {"event": "open", "kundresa-message": OURS.upper()}).reports
    assert report.message_id == OURS


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        # The reference's own.
        ({"type": "bounce", "reason": "500 unknown recipient", "status": "5.0.0"}, "hard"),
        ({"type": "bounce", "status": "5.1.1", "reason": "550 5.1.1 The account does not exist"}, "hard"),
        ({"type": "bounce", "status": "5.2.2", "reason": "552 5.2.2 mailbox full"}, "soft"),
        ({"type": "bounce", "status": "5.7.1", "reason": "550 5.7.1 rejected"}, "block"),
        ({"type": "bounce", "status": "5.0.0", "reason": "550 no"}, "undetermined"),
        ({"type": "bounce", "status": "5.0.0", "bounce_classification": "Invalid Address"}, "hard"),
        ({"type": "bounce", "status": "5.0.0", "bounce_classification": "Technical Failure"}, "soft"),
        ({"type": "bounce", "status": "5.0.0", "bounce_classification": "Reputation"}, "block"),
        ({"type": "bounce", "status": "5.0.0", "bounce_classification": "Unclassified"}, "undetermined"),
        ({"type": "blocked", "status": "5.0.0", "reason": "500 unknown recipient"}, "block"),
        ({"type": "blocked", "status": "5.1.1", "reason": "550 5.1.1 no such user"}, "block"),
        ({"type": "blocked", "status": "4.2.2", "reason": "452 4.2.2 over quota"}, "soft"),
        ({"type": "blocked", "reason": "554 listed at zen.spamhaus.org"}, "block"),
    ],
)
def test_a_bounce_is_weighed(members: dict[str, str], expected: str) -> None:
    report = one(event="bounce", **members)
    assert (report.kind, report.bounce_class) == (FeedbackKind.BOUNCED, expected)
    assert (report.code, report.detail) == (members.get("status"), members.get("reason"))


@pytest.mark.parametrize(
    ("reason", "kind", "bounced"),
    [
        ("Bounced Address", FeedbackKind.BOUNCED, BounceClass.HARD),
        ("Invalid", FeedbackKind.BOUNCED, BounceClass.HARD),
        ("Spam Reporting Address", FeedbackKind.COMPLAINED, None),
        ("Unsubscribed Address", FeedbackKind.UNSUBSCRIBED, None),
        ("Invalid SMTPAPI header", FeedbackKind.BOUNCED, BounceClass.BLOCK),
        ("Spam Content (if spam checker app enabled)", FeedbackKind.BOUNCED, BounceClass.BLOCK),
        ("Recipient List over Package Quota", FeedbackKind.BOUNCED, BounceClass.BLOCK),
        ("whatever comes next", FeedbackKind.BOUNCED, BounceClass.UNDETERMINED),
    ],
)
def test_what_is_dropped_is_what_it_was(reason: str, kind: FeedbackKind, bounced: BounceClass | None) -> None:
    report = one(event="dropped", reason=reason, status="5.0.0")
    assert (report.kind, report.bounce_class, report.detail) == (kind, bounced, reason)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("spamreport", FeedbackKind.COMPLAINED),
        ("unsubscribe", FeedbackKind.UNSUBSCRIBED),
        ("group_unsubscribe", FeedbackKind.UNSUBSCRIBED),
    ],
)
def test_a_no(name: str, kind: FeedbackKind) -> None:
    assert one(event=name, asm_group_id=10).kind is kind


def test_opens_and_clicks_say_what_asked_for_them() -> None:
    agent = "Mozilla/4.0 (compatible; MSIE 6.1; Windows XP; .NET CLR 1.1.4322; .NET CLR 2.0.50727)"
    opened = one(event="open", useragent=agent, ip="255.255.255.255", sg_machine_open=False)
    assert (opened.user_agent, opened.automation, opened.target) == (agent, None, None)
    assert one(event="open", useragent=agent, sg_machine_open=True).automation is Automation.PREFETCH
    clicked = one(event="click", useragent=agent, url="http://www.shop.example/", sg_machine_open=True)
    assert (clicked.kind, clicked.target) == (FeedbackKind.CLICKED, "http://www.shop.example/")
    assert clicked.automation is None


@pytest.mark.parametrize("secret", ["not-a-key", "ÿÿÿÿÿÿÿÿ", "AAAAAAAAAAAA"])
def test_a_secret_that_is_no_public_key(secret: str) -> None:
    with pytest.raises(ValueError, match="public key") as caught:
        SendGridEvents.of(secret)
    assert secret not in str(caught.value)


def test_a_key_on_another_curve_is_refused() -> None:
    with pytest.raises(ValueError, match="public key"):
        SendGridEvents.of(SendGrid(ec.generate_private_key(ec.SECP384R1())).secret)
