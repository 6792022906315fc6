"""``ses``: what Amazon SES tells through an SNS topic, as event publishing ("Contents of event data that
Amazon SES publishes to Amazon SNS") or as notifications of an identity ("Amazon SNS notification contents").

The entry's secret is the topic's ARN: whose messages are believed, and whose subscription is confirmed
(``sns``).

| ``eventType`` or ``notificationType`` | comes to |
|---|---|
| Delivery | delivered |
| Bounce | bounced, by the recipient's ``status`` and ``diagnosticCode``, and SES's type and subtype |
| Complaint | complained, but for a feedback type that is about something else (``not-spam``) |
| Reject | bounced, block: SES refused the message |
| Open, Click | opened, clicked |
| Subscription, with ``unsubscribeAll`` or a topic that is newly opted out of | unsubscribed |
| Send, DeliveryDelay, Rendering Failure, whatever else | skipped: no outcome |

SES gives the mail a Message-ID of its own. A message is known by the tag that the account's ``provider=ses``
sets, which event publishing gives back; else by the Message-ID that we gave it, among the original headers:
notifications have them when the identity says so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kundresa.feedback.mails import ABUSE
from kundresa.feedback.webhooks.fields import (
    MAX_CODE,
    MAX_URL,
    an_object,
    first_of,
    id_of,
    instant,
    our_message_id,
    parse_body,
    part,
    text,
)
from kundresa.feedback.webhooks.reports import Call, Report, Told
from kundresa.feedback.webhooks.sns import NOTIFICATION, SUBSCRIPTION, UNSUBSCRIPTION, Fetch, Topic, fetch
from kundresa.spec.bounces import weigh
from kundresa.spec.keys import MESSAGE_MARK
from kundresa.spec.vocabulary import BounceClass, ChannelKind, FeedbackKind

log = logging.getLogger(__name__)

_TYPES: Mapping[str, BounceClass] = {"permanent": BounceClass.HARD, "transient": BounceClass.SOFT}
_SUBTYPES: Mapping[str, BounceClass] = {
    "messagetoolarge": BounceClass.BLOCK,
    "contentrejected": BounceClass.BLOCK,
    "attachmentrejected": BounceClass.BLOCK,
}
"""``bounceSubType`` in lower case, where it says something else than its type: these are "Transient"."""
_LISTED = ("suppressed", "onaccountsuppressionlist")
"""Not tried: the address is on a list of SES's, as one that mail comes back from."""
_VALIDATED = "Successfully validated SNS topic"
"""How the text begins that SES sends to a new topic, which is no JSON."""


@dataclass(frozen=True, slots=True)
class SesEvents:
    """One event a message."""

    topic: Topic

    @classmethod
    def of(cls, secret: str, fetch: Fetch = fetch) -> SesEvents:
        """
        Args:
            secret: the ARN of the topic.

        Raises:
            ValueError: when it is none.
        """
        return cls(Topic(secret, fetch))

    def read(self, call: Call) -> Told:
        message = self.topic.message(call)
        if message["Type"] == SUBSCRIPTION:
            self.topic.confirm(message)
            log.info("the subscription to %s is confirmed", self.topic.arn)
        if message["Type"] == UNSUBSCRIPTION:
            log.warning("the subscription to %s has ended: nothing is told any more", self.topic.arn)
        if message["Type"] != NOTIFICATION or message["Message"].startswith(_VALIDATED):
            return Told(skipped=1)
        report = _report(an_object(parse_body(message["Message"])), message["MessageId"])
        return Told(skipped=1) if report is None else Told([report])


def _report(event: Mapping[str, Any], told_id: str) -> Report | None:
    name = text(event, "eventType") or text(event, "notificationType")
    message_id = _our_message_id(event.get("mail"))
    reader = _READERS.get(name)
    return reader(event, message_id, told_id) if reader and message_id else None


def _our_message_id(mail: object) -> str:
    headers = part(mail, "headers")
    named = [
        text(each, "value")
        for each in (headers if isinstance(headers, list) else [])
        if text(each, "name").lower() == "message-id"
    ]
    tag = first_of(part(mail, "tags", MESSAGE_MARK))
    return our_message_id(str(tag), *named, text(mail, "commonHeaders", "messageId"))


def _delivery(event: Mapping[str, Any], message_id: str, _: str) -> Report:
    return _made(event, "delivery", FeedbackKind.DELIVERED, id_of("delivery", message_id), message_id)


def _bounce(event: Mapping[str, Any], message_id: str, told_id: str) -> Report:
    bounce = event.get("bounce")
    recipient = _recipient(
        part(bounce, "bouncedRecipients"), text(first_of(part(event, "mail", "destination")))
    )
    status, words = text(recipient, "status", most=MAX_CODE), text(recipient, "diagnosticCode")
    subtype = text(bounce, "bounceSubType")
    verdict = _SUBTYPES.get(subtype.lower()) or _TYPES.get(
        text(bounce, "bounceType").lower(), BounceClass.UNDETERMINED
    )
    is_listed = subtype.lower() in _LISTED
    return _made(
        event,
        "bounce",
        FeedbackKind.BOUNCED,
        # One that is told both as an event and as a notification is one.
        text(bounce, "feedbackId") or told_id,
        message_id,
        bounce_class=BounceClass.HARD if is_listed else weigh(verdict, status, words),
        code=status,
        detail=words or f"{text(bounce, 'bounceType')}/{subtype}",
    )


def _recipient(recipients: object, address: str) -> object:
    """Whom the mail was for: each of ours has one recipient; a list behind it may bounce for several."""
    found = recipients if isinstance(recipients, list) else []
    same = (each for each in found if text(each, "emailAddress").lower() == address.lower())
    return next(same, first_of(found))


def _complaint(event: Mapping[str, Any], message_id: str, told_id: str) -> Report | None:
    complaint = event.get("complaint")
    feedback_type = text(complaint, "complaintFeedbackType").lower()
    if feedback_type and feedback_type not in ABUSE:
        return None
    return _made(
        event,
        "complaint",
        FeedbackKind.COMPLAINED,
        text(complaint, "feedbackId") or told_id,
        message_id,
        detail=text(complaint, "complaintSubType") or feedback_type,
    )


def _reject(event: Mapping[str, Any], message_id: str, told_id: str) -> Report:
    return _made(
        event,
        "reject",
        FeedbackKind.BOUNCED,
        told_id,
        message_id,
        bounce_class=BounceClass.BLOCK,
        detail=text(event, "reject", "reason"),
    )


def _open(event: Mapping[str, Any], message_id: str, told_id: str) -> Report:
    return _made(event, "open", FeedbackKind.OPENED, told_id, message_id)


def _click(event: Mapping[str, Any], message_id: str, told_id: str) -> Report:
    return _made(event, "click", FeedbackKind.CLICKED, told_id, message_id)


def _subscription(event: Mapping[str, Any], message_id: str, told_id: str) -> Report | None:
    change = event.get("subscription")
    new, old = (
        _opted_out(part(change, "newTopicPreferences")),
        _opted_out(part(change, "oldTopicPreferences")),
    )
    if not new - old:
        return None
    return _made(event, "subscription", FeedbackKind.UNSUBSCRIBED, told_id, message_id)


def _opted_out(preferences: object) -> set[str]:
    """The topics of a contact list that are opted out of; ``*`` for all."""
    topics = part(preferences, "topicSubscriptionStatus")
    found = {
        text(each, "topicName")
        for each in (topics if isinstance(topics, list) else [])
        if text(each, "subscriptionStatus").lower() == "optout"
    }
    return found | ({"*"} if part(preferences, "unsubscribeAll") is True else set())


def _made(
    event: Mapping[str, Any],
    name: str,
    kind: FeedbackKind,
    event_id: str,
    message_id: str,
    *,
    bounce_class: BounceClass | None = None,
    code: str = "",
    detail: str = "",
) -> Report:
    occurred_at: datetime | None = instant(event, name, "timestamp")
    return Report(
        event_id,
        kind,
        ChannelKind.EMAIL,
        message_id=message_id,
        bounce_class=bounce_class,
        code=code or None,
        detail=detail or None,
        occurred_at=occurred_at,
        user_agent=text(event, name, "userAgent") if kind in _HITS else "",
        target=text(event, name, "link", most=MAX_URL) or None,
    )


_HITS = (FeedbackKind.OPENED, FeedbackKind.CLICKED)
_READERS: Mapping[str, Callable[[Mapping[str, Any], str, str], Report | None]] = {
    "Delivery": _delivery,
    "Bounce": _bounce,
    "Complaint": _complaint,
    "Reject": _reject,
    "Open": _open,
    "Click": _click,
    "Subscription": _subscription,
}
