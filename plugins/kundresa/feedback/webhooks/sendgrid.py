"""``sendgrid``: the event webhook of Twilio SendGrid ("Event Webhook Reference"), signed ("Getting Started
with the Event Webhook Security Features").

``X-Twilio-Email-Event-Webhook-Signature`` is a base64 ECDSA signature (P-256, SHA-256) of
``X-Twilio-Email-Event-Webhook-Timestamp`` and the body. The entry's secret is SendGrid's public key, as its
settings show it.

| ``event`` | comes to |
|---|---|
| delivered | delivered |
| bounce | bounced, by ``status`` and ``reason``; ``type: blocked`` is never hard |
| dropped | what had put the address on SendGrid's list: a bounce, a complaint, a no; else bounced |
| open, click | opened, clicked; with ``sg_machine_open`` Apple's proxy |
| spamreport | complained |
| unsubscribe, group_unsubscribe | unsubscribed |
| processed, deferred, group_resubscribe, whatever else | skipped: no outcome |

A message is known by the argument that the account's ``provider=sendgrid`` sends along, which all events give
back, else by ``smtp-id``, the Message-ID that delivery events have and opens and clicks may lack.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from kundresa.feedback.webhooks.fields import (
    MAX_CODE,
    MAX_URL,
    id_of,
    instant,
    our_message_id,
    parse_body,
    text,
)
from kundresa.feedback.webhooks.reports import (
    MAX_RETOLD_AGE,
    Call,
    NotBelieved,
    NotUnderstood,
    Report,
    Told,
    believe_age,
    unix_time,
)
from kundresa.spec.bounces import weigh
from kundresa.spec.keys import MESSAGE_MARK
from kundresa.spec.vocabulary import Automation, BounceClass, ChannelKind, FeedbackKind

SIGNATURE = "x-twilio-email-event-webhook-signature"
TIMESTAMP = "x-twilio-email-event-webhook-timestamp"

_KINDS: Mapping[str, FeedbackKind] = {
    "delivered": FeedbackKind.DELIVERED,
    "bounce": FeedbackKind.BOUNCED,
    "dropped": FeedbackKind.BOUNCED,
    "open": FeedbackKind.OPENED,
    "click": FeedbackKind.CLICKED,
    "spamreport": FeedbackKind.COMPLAINED,
    "unsubscribe": FeedbackKind.UNSUBSCRIBED,
    "group_unsubscribe": FeedbackKind.UNSUBSCRIBED,
}
_DROPPED: Mapping[str, FeedbackKind | BounceClass] = {
    "bounced address": BounceClass.HARD,
    "spam reporting address": FeedbackKind.COMPLAINED,
    "unsubscribed address": FeedbackKind.UNSUBSCRIBED,
    "invalid smtpapi header": BounceClass.BLOCK,
    "invalid": BounceClass.HARD,
    "spam content": BounceClass.BLOCK,
    "recipient list over package quota": BounceClass.BLOCK,
}
"""How ``reason`` of a message that was not tried begins, in lower case; the first that fits."""
_CLASSIFIED: Mapping[str, BounceClass] = {
    "invalid address": BounceClass.HARD,
    "mailbox unavailable": BounceClass.SOFT,
    "technical": BounceClass.SOFT,
    "content": BounceClass.BLOCK,
    "reputation": BounceClass.BLOCK,
    "frequency": BounceClass.BLOCK,
}
"""How ``bounce_classification`` begins, in lower case; "Unclassified" says nothing."""


@dataclass(frozen=True, slots=True)
class SendGridEvents:
    """Batches of events, each a JSON array."""

    key: ec.EllipticCurvePublicKey

    @classmethod
    def of(cls, secret: str) -> SendGridEvents:
        """
        Args:
            secret: the public key: base64 of its DER form (SubjectPublicKeyInfo).

        Raises:
            ValueError: when it is none.
        """
        try:
            key = load_der_public_key(base64.b64decode(secret, validate=True))
        except (ValueError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
            raise ValueError(
                "the secret of a sendgrid webhook is the public key that its settings show, in base64"
            )
        return cls(key)

    def read(self, call: Call) -> Told:
        timestamp = call.headers.get(TIMESTAMP, "")
        try:
            signature = base64.b64decode(call.headers.get(SIGNATURE, ""), validate=True)
            self.key.verify(signature, timestamp.encode() + call.body, ec.ECDSA(hashes.SHA256()))
        except (ValueError, InvalidSignature):
            raise NotBelieved("the signature is missing or wrong") from None
        believe_age(call.at, unix_time(timestamp), MAX_RETOLD_AGE)
        events = parse_body(call.body)
        if not isinstance(events, list) or not all(isinstance(event, dict) for event in events):
            raise NotUnderstood("expected an array of objects")
        reports = [report for event in events if (report := _report(event)) is not None]
        return Told(reports, len(events) - len(reports))


def _report(event: Mapping[str, Any]) -> Report | None:
    name = text(event, "event")
    message_id = our_message_id(text(event, MESSAGE_MARK), text(event, "smtp-id"))
    if name not in _KINDS or not message_id:
        return None
    kind, bounced = _KINDS[name], None
    status, reason = text(event, "status", most=MAX_CODE), text(event, "reason")
    if name == "bounce":
        bounced = weigh(_verdict(event), status, reason)
    elif name == "dropped":
        kind, bounced = _dropped(status, reason)
    is_machine = kind is FeedbackKind.OPENED and event.get("sg_machine_open") is True
    return Report(
        text(event, "sg_event_id") or id_of(name, message_id, text(event, "timestamp"), text(event, "url")),
        kind,
        ChannelKind.EMAIL,
        message_id=message_id,
        bounce_class=bounced,
        code=status or None,
        detail=reason or None,
        occurred_at=instant(event, "timestamp"),
        user_agent=text(event, "useragent"),
        target=text(event, "url", most=MAX_URL) or None,
        automation=Automation.PREFETCH if is_machine else None,
    )


def _verdict(event: Mapping[str, Any]) -> BounceClass:
    if text(event, "type") == "blocked":
        return BounceClass.BLOCK
    classified = text(event, "bounce_classification").lower()
    found = (verdict for start, verdict in _CLASSIFIED.items() if classified.startswith(start))
    return next(found, BounceClass.UNDETERMINED)


def _dropped(status: str, reason: str) -> tuple[FeedbackKind, BounceClass | None]:
    """What a message that was not tried says of its address: nothing new, but what it was."""
    found = next((was for start, was in _DROPPED.items() if reason.lower().startswith(start)), None)
    if isinstance(found, FeedbackKind):
        return found, None
    return FeedbackKind.BOUNCED, found or weigh(BounceClass.UNDETERMINED, status, reason)
