"""Whatever a provider has signed is told, skipped or not understood; nothing else comes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kundresa.feedback.webhooks import NotUnderstood, Told, Webhook, parse_webhooks
from kundresa.spec.vocabulary import FeedbackKind

from .provider_calls import SendGrid, Signed, Sns, call, mailgun_signed, postmark_signed

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
OURS = "0a1b2c3d4e5f60718293a4b5c6d7e8f9"
SENDGRID, SNS = SendGrid(), Sns(NOW)
FAR = timezone(timedelta(hours=-12))
WEBHOOKS: Mapping[str, Webhook] = parse_webhooks(
    f"sendgrid=sendgrid:{SENDGRID.secret},mailgun=mailgun:12345678,ses=ses:{SNS.arn},postmark=postmark:user:1234",
    SNS.fetch,
)
SIGNED: Mapping[str, Callable[[Any], Signed]] = {
    "sendgrid": lambda event: SENDGRID.signed([event], NOW),
    "mailgun": lambda event: mailgun_signed(event, "12345678", NOW, "t" * 50),
    "ses": lambda event: SNS.signed(SNS.message(event, NOW)),
    "postmark": lambda event: postmark_signed(event, "user:1234"),
}
NAMES = {
    "sendgrid": """event smtp-id kundresa-message sg_event_id type status reason timestamp url useragent
        sg_machine_open bounce_classification""",
    "mailgun": """event message headers message-id severity reason delivery-status code enhanced-code
        client-info bot timestamp url reject""",
    "ses": """eventType notificationType mail headers name value tags kundresa-message commonHeaders messageId
        destination bounce bounceType bounceSubType bouncedRecipients emailAddress status diagnosticCode
        timestamp feedbackId complaint complaintFeedbackType open click link subscription reject
        newTopicPreferences unsubscribeAll topicSubscriptionStatus""",
    "postmark": """RecordType Metadata kundresa-message Type Details Description BouncedAt ReceivedAt
        OriginalLink SuppressSending SuppressionReason Origin Recipient ChangedAt""",
}
WORDS = """bounce dropped open click failed permanent opened suppress-bounce Bounce Complaint Open Click
    Delivery Subscription Reject Permanent Message-ID SubscriptionChange HardBounce blocked
    ManualSuppression Customer anna@x.example
    2026-11-23T08:00:00Z"""
KNOWN = {
    "sendgrid": {"event": "bounce", "smtp-id": f"<{OURS}@x>"},
    "mailgun": {
        "event": "failed",
        "severity": "permanent",
        "message": {"headers": {"message-id": f"{OURS}@x"}},
    },
    "ses": {"eventType": "Bounce", "mail": {"tags": {"kundresa-message": [OURS]}}},
    "postmark": {"RecordType": "Bounce", "Type": "HardBounce", "Metadata": {"kundresa-message": OURS}},
}


def anything(names: str) -> st.SearchStrategy[Any]:
    single = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=20)
        | st.sampled_from([*WORDS.split(), OURS])
    )
    keys = st.sampled_from(names.split())
    return st.recursive(
        single,
        lambda some: st.lists(some, max_size=3) | st.dictionaries(keys, some, max_size=5),
        max_leaves=20,
    )


@pytest.mark.parametrize("name", WEBHOOKS)
def test_whatever_is_signed(name: str) -> None:
    told: list[Told] = []

    @settings(max_examples=300, deadline=timedelta(seconds=5))
    @given(
        anything(NAMES[name]),
        st.dictionaries(st.sampled_from(NAMES[name].split()), anything(NAMES[name]), max_size=4),
    )
    def read(whole: object, changed: dict[str, Any]) -> None:
        for event in (whole, KNOWN[name] | changed):
            try:
                found = WEBHOOKS[name].read(call(SIGNED[name](event), NOW))
            except NotUnderstood:
                continue
            told.append(found)
            for report in found.reports:
                assert report.message_id == OURS
                assert report.event_id.isprintable()
                assert report.occurred_at is None or report.occurred_at.astimezone(FAR) is not None
                assert (report.bounce_class is not None) == (report.kind is FeedbackKind.BOUNCED)
                for text in (report.code, report.detail, report.target):
                    assert text is None or (text and text.isprintable())

    read()
    assert any(each.reports for each in told)
    assert any(each.skipped for each in told)
