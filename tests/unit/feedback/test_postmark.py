"""Postmark's webhooks: user and password, and each documented record."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from kundresa.feedback.webhooks import NotNamed, NotUnderstood, Report, SuppressionChange, Told
from kundresa.feedback.webhooks.postmark import NAMED_BY, PostmarkEvents
from kundresa.spec.vocabulary import BounceClass, FeedbackKind

from .provider_calls import call, postmark_signed

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
OURS = "0a1b2c3d4e5f60718293a4b5c6d7e8f9"
SECRET = "postmark:a-long-password"
WEBHOOK = PostmarkEvents(SECRET)
COMMON = {
    "MessageID": "883953f4-6105-42a2-a16a-77a8eac79483",
    "ServerID": 23,
    "MessageStream": "broadcasts",
    "Tag": "Test",
    "Metadata": {"kundresa-message": OURS},
}


def told(event: object) -> Told:
    return WEBHOOK.read(call(postmark_signed(event, SECRET), NOW))


def one(record: str, **members: Any) -> Report:
    [report] = told(COMMON | {"RecordType": record} | members).reports
    return report


def bounce(kind: str, code: int, details: str = "") -> dict[str, Any]:
    return {
        "ID": 42,
        "Type": kind,
        "TypeCode": code,
        "Name": kind,
        "Description": "The server was unable to deliver your message (ex: unknown user, mailbox not found).",
        "Details": details,
        "Email": "anna@x.example",
        "BouncedAt": "2026-11-23T09:28:10.2735393+01:00",
        "DumpAvailable": True,
        "Inactive": True,
        "CanActivate": True,
        "Subject": "Test subject",
    }


def test_user_and_password_or_a_secret_header() -> None:
    event = COMMON | {"RecordType": "Delivery"}
    headers, body = postmark_signed(event, SECRET)
    for wrong in ({}, {"Authorization": ""}, {"Authorization": "Bearer x"}, {NAMED_BY: SECRET}):
        with pytest.raises(NotNamed):
            WEBHOOK.read(call((wrong, body), NOW))
    with pytest.raises(NotNamed):
        WEBHOOK.read(call(postmark_signed(event, f"{SECRET}x"), NOW))
    by_header = PostmarkEvents("only-a-secret")
    assert by_header.read(call(({NAMED_BY: "only-a-secret"}, body), NOW)) == told(event)
    for wrong in ({}, {NAMED_BY: "only-a-secreT"}, {NAMED_BY: "ÿ"}, headers):
        with pytest.raises(NotNamed):
            by_header.read(call((wrong, body), NOW))


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b"[" * 100_000])
def test_what_makes_no_sense(body: bytes) -> None:
    with pytest.raises(NotUnderstood):
        told(body)


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"RecordType": ["Bounce"]},
        COMMON | {"RecordType": "Inbound"},
        COMMON | {"RecordType": "Delivery", "Metadata": {}},
        COMMON | {"RecordType": "Delivery", "Metadata": None},
        COMMON | {"RecordType": "Bounce"} | bounce("Transient", 2),
        COMMON | {"RecordType": "Bounce"} | bounce("AutoResponder", 64),
        COMMON | {"RecordType": "Bounce"} | bounce("ChallengeVerification", 16384),
        COMMON | {"RecordType": "SubscriptionChange", "SuppressSending": False, "Origin": "Recipient"},
        COMMON | {"RecordType": "SubscriptionChange", "SuppressSending": True, "SuppressionReason": None},
        {"RecordType": "SubscriptionChange", "SuppressSending": True, "SuppressionReason": "HardBounce"},
    ],
)
def test_what_is_no_outcome_of_ours_is_skipped(event: dict[str, Any]) -> None:
    assert told(event) == Told(skipped=1)


def test_delivered() -> None:
    report = one("Delivery", Recipient="anna@x.example", DeliveredAt="2026-11-23T08:59:00Z", Details="250 OK")
    assert (report.kind, report.channel, report.message_id) == (FeedbackKind.DELIVERED, "email", OURS)
    assert report.occurred_at == datetime(2026, 11, 23, 8, 59, tzinfo=UTC)
    assert (report.bounce_class, report.code, report.detail) == (None, None, None)


@pytest.mark.parametrize(
    ("kind", "code", "details", "expected"),
    [
        ("HardBounce", 1, "smtp;550 5.1.1 user unknown", "hard"),
        ("HardBounce", 1, "Test bounce details", "hard"),
        ("HardBounce", 1, "smtp;550 5.7.1 blocked for spam", "block"),
        ("HardBounce", 1, "smtp;552 5.2.2 mailbox full", "soft"),
        ("BadEmailAddress", 100000, "", "hard"),
        ("SoftBounce", 4096, "smtp;550 5.1.1 user unknown", "soft"),
        ("SoftBounce", 4096, "smtp;550 5.7.1 blocked", "block"),
        ("DnsError", 256, "", "soft"),
        ("Blocked", 100006, "smtp;550 5.1.1 whatever", "block"),
        ("DMARCPolicy", 100009, "", "block"),
        ("SpamNotification", 512, "", "block"),
        ("VirusNotification", 8192, "", "block"),
        ("ManuallyDeactivated", 100002, "", "block"),
        ("SMTPApiError", 100007, "", "block"),
        ("TemplateRenderingFailed", 100010, "", "block"),
        ("Unknown", 2048, "", "undetermined"),
        ("Unknown", 2048, "smtp;550 5.1.1 user unknown", "hard"),
    ],
)
def test_a_bounce_is_weighed(kind: str, code: int, details: str, expected: str) -> None:
    report = one("Bounce", **bounce(kind, code, details))
    assert (report.kind, report.bounce_class) == (FeedbackKind.BOUNCED, expected)
    assert report.code == kind[:20]
    assert report.detail == (details or bounce(kind, code)["Description"])
    assert report.occurred_at == datetime(2026, 11, 23, 8, 28, 10, 273539, tzinfo=UTC)


def test_a_bounce_that_is_another_s_no() -> None:
    assert one("Bounce", **bounce("SpamComplaint", 100001)).kind is FeedbackKind.COMPLAINED
    assert one("Bounce", **bounce("Unsubscribe", 16)).kind is FeedbackKind.UNSUBSCRIBED
    complaint = one("SpamComplaint", **bounce("SpamComplaint", 100001))
    assert (complaint.kind, complaint.bounce_class) == (FeedbackKind.COMPLAINED, None)


@pytest.mark.parametrize(
    ("reason", "kind", "bounced"),
    [
        ("HardBounce", FeedbackKind.BOUNCED, BounceClass.HARD),
        ("SpamComplaint", FeedbackKind.COMPLAINED, None),
        ("ManualSuppression", FeedbackKind.UNSUBSCRIBED, None),
    ],
)
def test_a_change_of_the_subscription_is_what_it_was(
    reason: str, kind: FeedbackKind, bounced: BounceClass | None
) -> None:
    report = one(
        "SubscriptionChange",
        SuppressSending=True,
        SuppressionReason=reason,
        Origin="Recipient",
        ChangedAt="2026-11-23T08:59:00.416071Z",
        Recipient="anna@x.example",
    )
    assert (report.kind, report.bounce_class, report.code) == (kind, bounced, None)


@pytest.mark.parametrize("origin", ["Customer", "Admin"])
@pytest.mark.parametrize(
    ("members", "is_suppressed"),
    [
        ({"SuppressSending": True, "SuppressionReason": "ManualSuppression"}, True),
        ({"SuppressSending": False, "SuppressionReason": None}, False),
    ],
)
def test_what_staff_change_is_of_an_address(
    origin: str, members: dict[str, Any], is_suppressed: bool
) -> None:
    event = {
        "RecordType": "SubscriptionChange",
        "MessageID": None,
        "Metadata": {},
        "Recipient": "Anna@x.example",
        "Origin": origin,
        "ChangedAt": "2026-11-23T08:59:00Z",
    } | members
    at = datetime(2026, 11, 23, 8, 59, tzinfo=UTC)
    assert told(event) == Told(changes=[SuppressionChange("Anna@x.example", is_suppressed, at)])
    for other in ({"Origin": "Recipient"}, {"Origin": None}, {"Recipient": ""}, {"SuppressSending": "no"}):
        assert told(event | other) == Told(skipped=1)


def test_what_two_webhooks_tell_is_one() -> None:
    """A hard bounce comes as such, and as the change that follows from it."""
    first = one("Bounce", **bounce("HardBounce", 1))
    second = one("SubscriptionChange", SuppressSending=True, SuppressionReason="HardBounce")
    assert first.event_id == second.event_id
    # One that was soft before is another one.
    assert one("Bounce", **bounce("SoftBounce", 4096)).event_id != first.event_id


def test_opens_and_clicks_are_one_each_moment_and_link() -> None:
    agent = {"UserAgent": "Mozilla/5.0 X", "Platform": "Desktop", "FirstOpen": True}
    first = one("Open", ReceivedAt="2026-11-23T08:59:54.9070259Z", **agent)
    assert (first.kind, first.user_agent, first.target) == (FeedbackKind.OPENED, "Mozilla/5.0 X", None)
    assert one("Open", ReceivedAt="2026-11-23T08:59:54.9070259Z", **agent) == first
    second = one("Open", ReceivedAt="2026-11-23T08:59:55.9070259Z", **agent)
    clicks = [
        one("Click", ReceivedAt="2026-11-23T08:59:54.9070259Z", OriginalLink=link, **agent)
        for link in ("https://shop.example/a", "https://shop.example/b")
    ]
    assert [each.target for each in clicks] == ["https://shop.example/a", "https://shop.example/b"]
    assert len({each.event_id for each in (first, second, *clicks)}) == 4
