"""What Amazon SES tells, and Amazon SNS signs: with a certificate made here, and each documented event."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kundresa.feedback.webhooks import NotBelieved, NotNow, NotUnderstood, Report, Told
from kundresa.feedback.webhooks.ses import SesEvents
from kundresa.feedback.webhooks.sns import (
    ABSENT_FOR,
    REMEMBERED,
    WAITING,
    AbsentError,
    Certificates,
    FetchError,
)
from kundresa.spec.vocabulary import BounceClass, FeedbackKind

from .provider_calls import Sns, altered, call

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
OURS = "0a1b2c3d4e5f60718293a4b5c6d7e8f9"
SNS = Sns(NOW)
WEBHOOK = SesEvents.of(SNS.arn, SNS.fetch)
THEIRS = "EXAMPLE7c191be45-e9aedb9a-02f9-4d12-a87d-dd0099a07f8a-000000"
MAIL = {
    "timestamp": "2026-11-23T08:40:02.012Z",
    "source": "Sender Name <sender@example.com>",
    "sendingAccountId": "123456789012",
    "messageId": THEIRS,
    "destination": ["recipient@example.com"],
    "headersTruncated": False,
    "headers": [{"name": "From", "value": "sender@example.com"}],
    "commonHeaders": {"from": ["sender@example.com"], "messageId": THEIRS, "subject": "Hi"},
    "tags": {"ses:configuration-set": ["ConfigSet"], "kundresa-message": [OURS]},
}
AT = "2026-11-23T08:41:02.669Z"
SAID_AT = datetime(2026, 11, 23, 8, 41, 2, 669000, tzinfo=UTC)


def told(event: object, webhook: SesEvents = WEBHOOK, sns: Sns = SNS) -> Told:
    return webhook.read(call(sns.signed(sns.message(event, NOW)), NOW))


def one(name: str, mail: dict[str, Any] | None = None, **members: Any) -> Report:
    [report] = told({"eventType": name, "mail": mail or MAIL} | members).reports
    return report


def bounce(kind: str, subtype: str, **recipient: str) -> dict[str, Any]:
    return {
        "bounceType": kind,
        "bounceSubType": subtype,
        "bouncedRecipients": [{"emailAddress": "recipient@example.com", "action": "failed"} | recipient],
        "timestamp": AT,
        "feedbackId": "01000157c44f053b-61b59c11-9236-11e6-8f96-7be8aexample-000000",
        "reportingMTA": "dsn; mta.example.com",
    }


# --- the signature


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("subject", [None, "Amazon SES Email Event Notification"])
def test_both_versions_of_the_signature_are_believed(version: str, subject: str | None) -> None:
    others = {"SignatureVersion": version} | ({"Subject": subject} if subject else {})
    message = SNS.message({"eventType": "Send", "mail": MAIL, "send": {}}, NOW, **others)
    assert WEBHOOK.read(call(SNS.signed(message), NOW)) == Told(skipped=1)
    for wrong in (SNS.signed(message | {"SignatureVersion": "3"}), altered(SNS.signed(message))):
        with pytest.raises(NotBelieved):
            WEBHOOK.read(call(wrong, NOW))
    other_version = {"1": "2", "2": "1"}[version]
    headers, body = SNS.signed(message)
    told_other = json.dumps(json.loads(body) | {"SignatureVersion": other_version}).encode()
    with pytest.raises(NotBelieved, match="signature"):
        WEBHOOK.read(call((headers, told_other), NOW))


@pytest.mark.parametrize("name", ["Message", "MessageId", "Timestamp", "TopicArn", "Type", "Signature"])
def test_every_field_that_is_signed_must_be_there_as_it_was(name: str) -> None:
    headers, body = SNS.signed(SNS.message({"eventType": "Send", "mail": MAIL}, NOW))
    for other in ("another", None, 7, "\ud800"):
        changed = json.dumps(json.loads(body) | {name: other}).encode()
        with pytest.raises(NotBelieved):
            WEBHOOK.read(call((headers, changed), NOW))
    # What is signed once is not signed for another way to cut it up: its id would be another.
    signed = SNS.signed(SNS.message({"eventType": "Send", "mail": MAIL}, NOW, Subject="s"))
    whole = json.loads(signed[1])
    cut = {**whole, "MessageId": f"{whole['MessageId']}\nSubject\ns"}
    del cut["Subject"]
    with pytest.raises(NotBelieved, match="several lines"):
        WEBHOOK.read(call((headers, json.dumps(cut).encode()), NOW))
    # One that is left out of what is signed may be put in by nobody either.
    with pytest.raises(NotBelieved, match="signature"):
        WEBHOOK.read(call((headers, json.dumps(json.loads(body) | {"Subject": "x"}).encode()), NOW))


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b"{}", b"[" * 100_000])
def test_what_is_no_message_is_not_believed(body: bytes) -> None:
    with pytest.raises(NotBelieved):
        WEBHOOK.read(call(({}, body), NOW))


def test_raw_delivery_has_no_signature_and_says_so() -> None:
    with pytest.raises(NotBelieved, match="raw message delivery"):
        WEBHOOK.read(call(({"x-amz-sns-rawdelivery": "true"}, b"{}"), NOW))


def test_told_again_within_the_hour_it_is_believed_and_the_same() -> None:
    signed = SNS.signed(SNS.message({"eventType": "Open", "mail": MAIL, "open": {"timestamp": AT}}, NOW))
    first = WEBHOOK.read(call(signed, NOW))
    assert WEBHOOK.read(call(signed, NOW + timedelta(hours=1))) == first
    for late in (timedelta(hours=49), -timedelta(minutes=6)):
        with pytest.raises(NotBelieved, match="too old"):
            WEBHOOK.read(call(signed, NOW + late))


# --- the certificate


def test_the_certificate_is_fetched_once() -> None:
    sns = Sns(NOW)
    webhook = SesEvents.of(sns.arn, sns.fetch)
    for _ in range(3):
        told({"eventType": "Send", "mail": MAIL}, webhook, sns)
    assert sns.fetched == [sns.certificate_url]


@pytest.mark.parametrize(
    "url",
    [
        "https://sns.eu-north-1.amazonaws.com.evil.example/SimpleNotificationService-0f0f0f0f.pem",
        "https://evil.example/SimpleNotificationService-0f0f0f0f.pem",
        "http://sns.eu-north-1.amazonaws.com/SimpleNotificationService-0f0f0f0f.pem",
        "https://sns.eu-north-1.amazonaws.com@evil.example/SimpleNotificationService-0f0f0f0f.pem",
        "https://sns.eu-north-1.amazonaws.com:8443/SimpleNotificationService-0f0f0f0f.pem",
        "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0f0f0f0f.pem",
        "https://sns.eu-north-1.amazonaws.com/other.pem",
        "https://sns.eu-north-1.amazonaws.com/SimpleNotificationService-0f0f0f0f.pem?x=1",
        "https://sns.eu-north-1.amazonaws.com/x/SimpleNotificationService-0f0f0f0f.pem",
        "https://sns.eu-north-1.amazonaws.com/SimpleNotificationService-0f0f0f0f.pem\n",
        "",
    ],
)
def test_no_certificate_is_fetched_from_elsewhere(url: str) -> None:
    sns = Sns(NOW)
    webhook = SesEvents.of(sns.arn, sns.fetch)
    with pytest.raises(NotBelieved, match="certificate"):
        webhook.read(call(sns.signed(sns.message({}, NOW, SigningCertURL=url)), NOW))
    assert sns.fetched == []


@pytest.mark.parametrize(
    "names",
    [
        ("sns.amazonaws.com",),
        ("x", "sns-signing.eu-south-1.amazonaws.com"),
        ("sns.eu-north-1.amazonaws.com",),
    ],
)
def test_a_certificate_of_amazon_sns_is_taken(names: tuple[str, ...]) -> None:
    sns = Sns(NOW, names=names)
    assert told({"eventType": "Send", "mail": MAIL}, SesEvents.of(sns.arn, sns.fetch), sns).skipped == 1


@pytest.mark.parametrize(
    "names",
    [
        ("evil.example",),
        ("sns.amazonaws.com.evil.example",),
        ("evil-sns.amazonaws.com",),
        ("sns.amazonaws.com", "evil.example"),
    ],
)
def test_a_certificate_of_somebody_else_is_not(names: tuple[str, ...]) -> None:
    """Alternative names, where there are any, are those that count."""
    sns = Sns(NOW, names=names)
    with pytest.raises(NotBelieved, match="no certificate"):
        told({"eventType": "Send", "mail": MAIL}, SesEvents.of(sns.arn, sns.fetch), sns)


def test_a_certificate_that_has_run_out_is_not() -> None:
    sns = Sns(NOW, days=-1)
    with pytest.raises(NotBelieved, match="not valid now"):
        told({"eventType": "Send", "mail": MAIL}, SesEvents.of(sns.arn, sns.fetch), sns)


def raising(error: Exception, counted: list[str]) -> Callable[[str], bytes]:
    def fetch(url: str) -> bytes:
        counted.append(url)
        raise error

    return fetch


def test_what_cannot_be_fetched_now_is_asked_for_again() -> None:
    counted: list[str] = []
    webhook = SesEvents.of(SNS.arn, raising(FetchError("TimeoutError"), counted))
    for _ in range(2):
        with pytest.raises(NotNow, match="TimeoutError"):
            told({"eventType": "Send", "mail": MAIL}, webhook)
    assert len(counted) == 2


@pytest.mark.parametrize(
    "page", [b"", b"<html>", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"]
)
def test_what_is_no_certificate_is_remembered(page: bytes) -> None:
    sns = Sns(NOW)
    sns.pages[sns.certificate_url] = page
    webhook = SesEvents.of(sns.arn, sns.fetch)
    counted: list[str] = []
    absent = SesEvents.of(sns.arn, raising(AbsentError("404"), counted))
    for _ in range(2):
        for each in (webhook, absent):
            with pytest.raises(NotBelieved, match="no certificate"):
                told({"eventType": "Send", "mail": MAIL}, each, sns)
    assert (len(sns.fetched), len(counted)) == (1, 1)


def test_where_there_was_no_certificate_it_is_looked_for_again() -> None:
    """A proxy had refused it, say: a topic's reports must not be lost until the service starts anew."""
    sns = Sns(NOW)
    there = sns.pages.pop(sns.certificate_url)

    def fetch(url: str) -> bytes:
        if url not in sns.pages:
            raise AbsentError("403")
        return sns.fetch(url)

    certificates = Certificates(fetch)
    with pytest.raises(NotBelieved):
        certificates.key(sns.certificate_url, NOW)
    sns.pages[sns.certificate_url] = there
    with pytest.raises(NotBelieved):
        certificates.key(sns.certificate_url, NOW + ABSENT_FOR)
    for _ in range(2):
        certificates.key(sns.certificate_url, NOW + ABSENT_FOR + timedelta(seconds=1))
    assert len(sns.fetched) == 1


def test_made_up_names_push_no_certificate_out() -> None:
    sns = Sns(NOW)

    def fetch(url: str) -> bytes:
        sns.fetched.append(url)
        if url not in sns.pages:
            raise AbsentError("404")
        return sns.pages[url]

    certificates = Certificates(fetch)
    certificates.key(sns.certificate_url, NOW)
    for number in range(REMEMBERED + 10):
        with pytest.raises(NotBelieved):
            certificates.key(f"https://{sns.host}/SimpleNotificationService-{number:08}.pem", NOW)
    certificates.key(sns.certificate_url, NOW)
    assert sns.fetched.count(sns.certificate_url) == 1
    assert len(certificates._known) == REMEMBERED


def test_few_wait_for_a_certificate_and_one_fetches_it() -> None:
    sns = Sns(NOW)
    may_go, is_asked = threading.Event(), threading.Event()

    def fetch(url: str) -> bytes:
        is_asked.set()
        assert may_go.wait(30)
        return sns.fetch(url)

    certificates = Certificates(fetch)
    done: list[object] = []
    threads = [
        threading.Thread(target=lambda: done.append(certificates.key(sns.certificate_url, NOW)))
        for _ in range(WAITING)
    ]
    for each in threads:
        each.start()
    assert is_asked.wait(30)
    while certificates._waiting._value > 0:  # type: ignore[attr-defined]
        pass
    with pytest.raises(NotNow):
        certificates.key(sns.certificate_url, NOW)
    may_go.set()
    for each in threads:
        each.join(30)
    assert (len(done), len(sns.fetched)) == (WAITING, 1)


# --- the subscription


def test_a_subscription_to_our_topic_is_confirmed() -> None:
    sns = Sns(NOW)
    confirmation = (
        f"https://{sns.host}/?Action=ConfirmSubscription&TopicArn="
        f"{sns.arn.replace(':', '%3A')}&Token=2336412f37"
    )
    sns.pages[confirmation] = b"<ConfirmSubscriptionResponse/>"
    webhook = SesEvents.of(sns.arn, sns.fetch)
    message = sns.subscription(NOW) | {"SubscribeURL": "https://evil.example/?Action=ConfirmSubscription"}
    assert webhook.read(call(sns.signed(message), NOW)) == Told(skipped=1)
    assert sns.fetched == [sns.certificate_url, confirmation]


def test_no_other_subscription_is() -> None:
    sns, other = Sns(NOW), Sns(NOW, region="us-east-1")
    webhook = SesEvents.of(sns.arn, sns.fetch)
    for wrong in (
        sns.signed(sns.subscription(NOW) | {"TopicArn": other.arn}),
        sns.signed(sns.subscription(NOW) | {"TopicArn": f"{sns.arn}2"}),
        other.signed(other.subscription(NOW)),
    ):
        with pytest.raises(NotBelieved, match="another topic"):
            webhook.read(call(wrong, NOW))
    assert sns.fetched == []
    forged = other.signed(sns.subscription(NOW))
    with pytest.raises(NotBelieved, match="signature"):
        webhook.read(call(forged, NOW))
    assert sns.fetched == [sns.certificate_url]


def test_a_confirmation_that_fails() -> None:
    sns = Sns(NOW)
    for error, expected in ((FetchError("timeout"), NotNow), (AbsentError("400"), NotUnderstood)):

        def fetch(url: str, error: Exception = error) -> bytes:
            if url == sns.certificate_url:
                return sns.pages[url]
            raise error

        webhook = SesEvents.of(sns.arn, fetch)
        with pytest.raises(expected):
            webhook.read(call(sns.signed(sns.subscription(NOW)), NOW))


def test_the_end_of_a_subscription_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    message = SNS.subscription(NOW, "UnsubscribeConfirmation")
    assert WEBHOOK.read(call(SNS.signed(message), NOW)) == Told(skipped=1)
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@pytest.mark.parametrize(
    "secret",
    ["arn:aws:sqs:eu-north-1:123456789012:x", "arn:aws:sns:evil.example/:123456789012:x", "12345678"],
)
def test_a_secret_that_is_no_topic(secret: str) -> None:
    with pytest.raises(ValueError, match="ARN"):
        SesEvents.of(secret)


def test_a_topic_in_china_is_elsewhere() -> None:
    sns = Sns(NOW, region="cn-north-1", partition="aws-cn", names=("sns-cn-north-1.amazonaws.com.cn",))
    assert told({"eventType": "Send", "mail": MAIL}, SesEvents.of(sns.arn, sns.fetch), sns).skipped == 1


# --- the events


@pytest.mark.parametrize("content", ["no JSON", "[]", "7", "[" * 100_000])
def test_what_is_signed_and_makes_no_sense(content: str) -> None:
    with pytest.raises(NotUnderstood):
        told(content)


@pytest.mark.parametrize(
    "event",
    [
        "Successfully validated SNS topic for Amazon SES event publishing.",
        {},
        {"eventType": ["Bounce"], "mail": MAIL},
        {"notificationType": "AmazonSnsSubscriptionSucceeded"},
        {"eventType": "Delivery", "mail": {}},
        {"eventType": "Delivery", "mail": [MAIL]},
        {"eventType": "Delivery", "mail": {"headers": [7, {}], "tags": {"kundresa-message": []}}},
        {"eventType": "Delivery", "mail": MAIL | {"tags": {}}},
        {"eventType": "Send", "mail": MAIL, "send": {}},
        {"eventType": "Rendering Failure", "mail": MAIL, "failure": {"errorMessage": "no"}},
        {
            "eventType": "DeliveryDelay",
            "mail": MAIL,
            "deliveryDelay": {"timestamp": AT, "delayType": "TransientCommunicationFailure"},
        },
    ],
)
def test_what_is_no_outcome_of_ours_is_skipped(event: object) -> None:
    assert told(event) == Told(skipped=1)


def test_delivered() -> None:
    report = one("Delivery", delivery={"timestamp": AT, "smtpResponse": "250 2.6.0 Message received"})
    assert (report.kind, report.channel, report.message_id) == (FeedbackKind.DELIVERED, "email", OURS)
    assert report.occurred_at == SAID_AT
    assert one("Delivery", delivery={"timestamp": AT}).event_id == report.event_id


def test_a_notification_of_an_identity_has_the_original_headers() -> None:
    """Without tags; SES has its own Message-ID by then."""
    headers = [{"name": "Message-Id", "value": f"<{OURS.upper()}@shop.example>"}]
    mail = {key: value for key, value in MAIL.items() if key != "tags"} | {"headers": headers}
    event = {"notificationType": "Complaint", "mail": mail, "complaint": {"feedbackId": "f", "timestamp": AT}}
    [report] = told(event).reports
    assert (report.message_id, report.event_id) == (OURS, "f")
    common = {key: value for key, value in mail.items() if key != "headers"}
    common["commonHeaders"] = {"messageId": f" {OURS}@shop.example"}
    [report] = told(event | {"mail": common}).reports
    assert report.message_id == OURS


@pytest.mark.parametrize(
    ("kind", "subtype", "recipient", "expected"),
    [
        # The guide's own.
        (
            "Permanent",
            "General",
            {"status": "5.1.1", "diagnosticCode": "smtp; 550 5.1.1 user unknown"},
            "hard",
        ),
        ("Permanent", "General", {"status": "5.0.0", "diagnosticCode": "X-Postfix; unknown user"}, "hard"),
        ("Permanent", "General", {}, "hard"),
        ("Permanent", "General", {"status": "5.7.1", "diagnosticCode": "smtp; 550 5.7.1 spam"}, "block"),
        ("Permanent", "General", {"status": "5.2.2", "diagnosticCode": "smtp; 552 full"}, "soft"),
        ("Permanent", "NoEmail", {}, "hard"),
        ("Permanent", "Suppressed", {"status": "5.1.1"}, "hard"),
        ("Permanent", "OnAccountSuppressionList", {"status": "5.7.1"}, "hard"),
        ("Transient", "General", {}, "soft"),
        ("Transient", "General", {"status": "5.1.1", "diagnosticCode": "smtp; 550 user unknown"}, "soft"),
        ("Transient", "General", {"status": "4.7.1", "diagnosticCode": "smtp; 450 4.7.1 later"}, "block"),
        ("Transient", "MailboxFull", {}, "soft"),
        ("Transient", "CustomTimeoutExceeded", {}, "soft"),
        ("Transient", "MessageTooLarge", {}, "block"),
        ("Transient", "ContentRejected", {}, "block"),
        ("Transient", "AttachmentRejected", {}, "block"),
        ("Undetermined", "Undetermined", {}, "undetermined"),
        ("Undetermined", "Undetermined", {"status": "5.1.1"}, "hard"),
        ("", "", {}, "undetermined"),
    ],
)
def test_a_bounce_is_weighed(kind: str, subtype: str, recipient: dict[str, str], expected: str) -> None:
    report = one("Bounce", bounce=bounce(kind, subtype, **recipient))
    assert (report.kind, report.bounce_class) == (FeedbackKind.BOUNCED, expected)
    assert report.code == recipient.get("status")
    assert report.detail == recipient.get("diagnosticCode", f"{kind}/{subtype}")
    assert report.occurred_at == SAID_AT


def test_of_several_recipients_ours_counts() -> None:
    several = bounce("Permanent", "General")
    several["bouncedRecipients"] = [
        {"status": "5.1.1", "emailAddress": "member@list.example"},
        {"status": "5.2.2", "emailAddress": "Recipient@example.com"},
    ]
    assert one("Bounce", bounce=several).bounce_class is BounceClass.SOFT
    several["bouncedRecipients"] = "nobody"
    assert one("Bounce", bounce=several).bounce_class is BounceClass.HARD


def test_a_bounce_that_is_told_twice_is_one() -> None:
    """As an event and as a notification: the bounce has an id of its own."""
    first = one("Bounce", bounce=bounce("Permanent", "General"))
    [second] = told(
        {"notificationType": "Bounce", "mail": MAIL, "bounce": bounce("Permanent", "General")}
    ).reports
    assert first == second


@pytest.mark.parametrize(
    ("members", "detail"),
    [
        ({"complaintFeedbackType": "abuse"}, "abuse"),
        ({"complaintFeedbackType": "fraud"}, "fraud"),
        ({"complaintFeedbackType": None, "complaintSubType": None}, None),
        ({"complaintSubType": "OnAccountSuppressionList"}, "OnAccountSuppressionList"),
        ({"complaintFeedbackType": "not-spam"}, "skipped"),
        ({"complaintFeedbackType": "auth-failure"}, "skipped"),
    ],
)
def test_a_complaint(members: dict[str, Any], detail: str | None) -> None:
    complaint = {"timestamp": AT, "feedbackId": "f-1", "userAgent": "AOL"} | members
    found = told({"eventType": "Complaint", "mail": MAIL, "complaint": complaint})
    if detail == "skipped":
        assert found == Told(skipped=1)
        return
    [report] = found.reports
    assert (report.kind, report.event_id, report.detail) == (FeedbackKind.COMPLAINED, "f-1", detail)
    assert report.user_agent == ""


def test_what_ses_refuses_is_a_block() -> None:
    report = one("Reject", reject={"reason": "Bad content"})
    assert (report.kind, report.bounce_class, report.detail) == (
        FeedbackKind.BOUNCED,
        BounceClass.BLOCK,
        "Bad content",
    )


def test_opens_and_clicks() -> None:
    hit = {"ipAddress": "192.0.2.1", "timestamp": AT, "userAgent": "Mozilla/5.0 (iPhone)"}
    opened = one("Open", open=hit)
    assert (opened.kind, opened.user_agent, opened.occurred_at) == (
        FeedbackKind.OPENED,
        "Mozilla/5.0 (iPhone)",
        SAID_AT,
    )
    link = "http://docs.aws.amazon.com/ses/latest/DeveloperGuide/send-email-smtp.html"
    clicked = one("Click", click=hit | {"link": link, "linkTags": {"a": ["b"]}})
    assert (clicked.kind, clicked.user_agent, clicked.target) == (
        FeedbackKind.CLICKED,
        "Mozilla/5.0 (iPhone)",
        link,
    )
    assert opened.event_id != clicked.event_id


def preferences(*, everything: bool, **topics: str) -> dict[str, Any]:
    status = [{"topicName": name, "subscriptionStatus": told} for name, told in topics.items()]
    return {"unsubscribeAll": everything, "topicSubscriptionStatus": status}


@pytest.mark.parametrize(
    ("new", "is_no"),
    [
        (preferences(everything=True, sport="OptIn", news="OptOut"), True),
        (preferences(everything=False, sport="OptOut", news="OptOut"), True),
        (preferences(everything=False, sport="OptIn", news="OptOut"), False),
        (preferences(everything=False, sport="OptIn", news="OptIn"), False),
        ({}, False),
    ],
)
def test_a_change_of_the_subscription_is_a_no_when_it_takes_something_away(
    new: dict[str, Any], is_no: bool
) -> None:
    change = {
        "contactList": "ContactListName",
        "timestamp": AT,
        "source": "UnsubscribeHeader",
        "newTopicPreferences": new,
        "oldTopicPreferences": preferences(everything=False, sport="OptIn", news="OptOut"),
    }
    found = told({"eventType": "Subscription", "mail": MAIL, "subscription": change})
    assert [each.kind for each in found.reports] == [FeedbackKind.UNSUBSCRIBED] * is_no
