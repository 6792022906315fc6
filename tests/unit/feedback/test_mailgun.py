"""Mailgun's webhooks: the signature, its token, and each documented event."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kundresa.feedback.webhooks import NotBelieved, NotUnderstood, Report, Told
from kundresa.feedback.webhooks.mailgun import MailgunEvents
from kundresa.feedback.webhooks.reports import Call
from kundresa.spec.vocabulary import Automation, BounceClass, FeedbackKind

from .provider_calls import URL, call, mailgun_signed

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
OURS = "0a1b2c3d4e5f60718293a4b5c6d7e8f9"
SECRET = "key-of-the-account"
TOKEN = "e0b5477167110d68991efc6b9f89f0a11066af27834600e123"
WEBHOOK = MailgunEvents(SECRET)
COMMON = {
    "id": "CCXMjJ7nQi2N3BPigGOdgQ",
    "timestamp": NOW.timestamp() - 60.5,
    "log-level": "info",
    "recipient": "anna@x.example",
    "message": {"headers": {"to": "anna@x.example", "message-id": f"{OURS}@shop.example", "subject": "Hi"}},
    "user-variables": {},
}
"""What all events of "Webhook Payloads" have."""


def told(event: object, *, at: datetime = NOW, **signing: Any) -> Told:
    return WEBHOOK.read(call(mailgun_signed(event, SECRET, NOW, TOKEN, **signing), at))


def one(**members: Any) -> Report:
    [report] = told(COMMON | {name.replace("_", "-"): value for name, value in members.items()}).reports
    return report


def failed(reason: str, **status: Any) -> Report:
    given = {name.replace("_", "-"): value for name, value in status.items()}
    return one(event="failed", severity="permanent", reason=reason, delivery_status=given)


def test_delivered() -> None:
    status = {"code": 250, "message": "OK", "attempt-no": 1, "mx-host": "mx.x.example"}
    assert one(event="delivered", delivery_status=status) == Report(
        TOKEN,
        FeedbackKind.DELIVERED,
        "email",
        message_id=OURS,
        occurred_at=NOW - timedelta(seconds=60.5),
    )


def test_what_is_forged_or_old_is_not_believed() -> None:
    event = COMMON | {"event": "complained"}
    assert len(told(event).reports) == 1
    for wrong in (
        mailgun_signed(event, "another-key", NOW, TOKEN),
        mailgun_signed(event, SECRET, NOW, TOKEN, own="00" * 32),
        ({}, json.dumps({"event-data": event}).encode()),
        ({}, json.dumps({"signature": 7, "event-data": event}).encode()),
        ({}, b"[]"),
        ({}, b"{"),
    ):
        with pytest.raises(NotBelieved):
            WEBHOOK.read(call(wrong, NOW))
    _, body = mailgun_signed(event, SECRET, NOW, TOKEN)
    for changed in (TOKEN.encode(), str(int(NOW.timestamp())).encode()):
        octets = body.replace(changed, changed[:-1] + bytes([changed[-1] ^ 1]))
        assert octets != body
        with pytest.raises(NotBelieved, match="signature"):
            WEBHOOK.read(Call(URL, {}, octets, NOW))


def test_a_subaccount_s_event_is_believed_by_the_main_account_s_signature() -> None:
    event = COMMON | {"event": "complained"}
    assert len(told(event, own="ab" * 32, parent=SECRET).reports) == 1
    assert len(told(event, parent="another").reports) == 1
    with pytest.raises(NotBelieved):
        told(event, own="ab" * 32, parent="another")


def test_told_again_for_eight_hours_it_is_believed() -> None:
    event = COMMON | {"event": "delivered"}
    assert told(event, at=NOW + timedelta(hours=8)) == told(event)
    for late in (timedelta(hours=13), -timedelta(minutes=6)):
        with pytest.raises(NotBelieved, match="too old"):
            told(event, at=NOW + late)


def test_nothing_else_is_recorded_under_a_token_that_was_used() -> None:
    """The signature does not cover what is said: another event under it has the same id."""
    [first] = told(COMMON | {"event": "delivered"}).reports
    [forged] = told(COMMON | {"event": "complained", "id": "another"}).reports
    assert first.event_id == forged.event_id


@pytest.mark.parametrize("event", [None, [], "delivered", 7])
def test_what_is_signed_and_makes_no_sense(event: object) -> None:
    with pytest.raises(NotUnderstood):
        told(event)


@pytest.mark.parametrize(
    "event",
    [
        {},
        COMMON,
        COMMON | {"event": ["failed"]},
        COMMON | {"event": "accepted", "method": "HTTP"},
        COMMON | {"event": "stored"},
        COMMON | {"event": "failed", "severity": "temporary", "delivery-status": {"code": 452}},
        COMMON | {"event": "failed"},
        COMMON | {"event": "delivered", "message": {"headers": {"message-id": "2026.0be9@mg.example"}}},
        COMMON | {"event": "delivered", "message": []},
    ],
)
def test_what_is_no_outcome_of_ours_is_skipped(event: dict[str, Any]) -> None:
    assert told(event) == Told(skipped=1)


@pytest.mark.parametrize(
    ("reason", "status", "expected"),
    [
        ("bounce", {"code": 550, "enhanced_code": "5.1.1", "message": "5.1.1 does not exist"}, "hard"),
        ("bounce", {"code": 550, "message": "No such user here"}, "hard"),
        ("generic", {"code": 552, "enhanced_code": "5.2.2", "message": "mailbox full"}, "soft"),
        ("old", {"code": 421, "message": "Try again"}, "soft"),
        ("old", {"code": 550, "message": "user unknown"}, "soft"),
        ("espblock", {"code": 421, "enhanced_code": "4.7.0", "message": "unusual rate"}, "block"),
        ("generic", {"code": 550, "enhanced_code": "5.7.1", "message": "spam detected"}, "block"),
        ("generic", {"code": 554, "message": "no"}, "undetermined"),
        ("generic", {}, "undetermined"),
    ],
)
def test_a_permanent_failure_is_weighed(reason: str, status: dict[str, Any], expected: str) -> None:
    report = failed(reason, **status)
    assert (report.kind, report.bounce_class) == (FeedbackKind.BOUNCED, expected)
    code = status.get("enhanced_code") or status.get("code")
    assert report.code == (None if code is None else str(code))
    assert report.detail == status.get("message")


@pytest.mark.parametrize(
    ("reason", "code", "kind", "bounced"),
    [
        ("suppress-bounce", 605, FeedbackKind.BOUNCED, BounceClass.HARD),
        ("suppress-unsubscribe", 606, FeedbackKind.UNSUBSCRIBED, None),
        ("suppress-complaint", 607, FeedbackKind.COMPLAINED, None),
    ],
)
def test_what_was_not_tried_is_what_it_was(
    reason: str, code: int, kind: FeedbackKind, bounced: BounceClass | None
) -> None:
    words = "Not delivering to previously bounced address"
    report = failed(reason, code=code, message="", description=words)
    assert (report.kind, report.bounce_class, report.code, report.detail) == (kind, bounced, str(code), words)


def test_what_mailgun_refuses_is_a_block() -> None:
    report = one(event="rejected", reject={"reason": "Sandbox subdomains are for test purposes only."})
    assert (report.kind, report.bounce_class) == (FeedbackKind.BOUNCED, BounceClass.BLOCK)
    assert report.detail == "Sandbox subdomains are for test purposes only."


@pytest.mark.parametrize("name", ["complained", "unsubscribed"])
def test_a_no(name: str) -> None:
    assert one(event=name).kind == name


@pytest.mark.parametrize(
    ("name", "bot", "expected"),
    [
        ("opened", "", None),
        ("opened", "apple", Automation.PREFETCH),
        ("opened", "gmail", Automation.PREFETCH),
        ("opened", "generic", Automation.SCANNER),
        ("clicked", "", None),
        ("clicked", "generic", Automation.SCANNER),
        ("clicked", "apple", Automation.SCANNER),
    ],
)
def test_opens_and_clicks_say_who_did_it(name: str, bot: str, expected: Automation | None) -> None:
    client = {"client-name": "Chrome", "device-type": "desktop", "user-agent": "Mozilla/5.0 X", "bot": bot}
    url = {"url": "https://shop.example/a"} if name == "clicked" else {}
    report = one(event=name, client_info=client, **url)
    assert (report.kind, report.user_agent, report.automation) == (name, "Mozilla/5.0 X", expected)
    assert report.target == url.get("url")
