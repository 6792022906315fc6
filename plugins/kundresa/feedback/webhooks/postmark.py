"""``postmark``: the webhooks of Postmark ("Webhooks overview" and the pages of each).

Postmark signs nothing. It can be given a user and a password, in the webhook's address
(``https://user:password@…``) or its settings, and headers of one's own. The entry's secret is
``user:password``, or, without a colon, what stands in ``X-Kundresa-Secret``. Over TLS nobody else learns it;
who does can tell anything, so let it be long. A wrong one is answered with 401: after a 403 Postmark does not
tell again.

| ``RecordType`` | comes to |
|---|---|
| Delivery | delivered |
| Bounce | by its ``Type``, and the words in ``Details``; see ``_TYPES`` |
| SpamComplaint | complained |
| Open, Click | opened, clicked |
| SubscriptionChange, with ``SuppressSending`` | by its reason: unsubscribed, bounced hard, complained |
| SubscriptionChange of no message, by staff | the address is suppressed, or, reactivated, no more |
| whatever else | skipped |

``MessageID`` is Postmark's own. A message is known by the metadata that the account's ``provider=postmark``
sends along, which every webhook gives back. What staff change is about no message but an address, which
counts where it is one of our people's (``runs.suppression_changes``).
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kundresa.feedback.webhooks.fields import (
    MAX_CODE,
    MAX_URL,
    an_object,
    id_of,
    instant,
    our_message_id,
    parse_body,
    text,
)
from kundresa.feedback.webhooks.reports import Call, NotNamed, Report, SuppressionChange, Told
from kundresa.spec.bounces import weigh
from kundresa.spec.keys import MESSAGE_MARK
from kundresa.spec.vocabulary import BounceClass, ChannelKind, FeedbackKind

NAMED_BY = "x-kundresa-secret"
"""The header in lower case."""

_TYPES: Mapping[str, FeedbackKind | BounceClass] = {
    "HardBounce": BounceClass.HARD,
    "BadEmailAddress": BounceClass.HARD,
    "SoftBounce": BounceClass.SOFT,
    "DnsError": BounceClass.SOFT,
    "Blocked": BounceClass.BLOCK,
    "DMARCPolicy": BounceClass.BLOCK,
    "SpamNotification": BounceClass.BLOCK,
    "VirusNotification": BounceClass.BLOCK,
    "ManuallyDeactivated": BounceClass.BLOCK,
    "Unconfirmed": BounceClass.BLOCK,
    "SMTPApiError": BounceClass.BLOCK,
    "TemplateRenderingFailed": BounceClass.BLOCK,
    "Unknown": BounceClass.UNDETERMINED,
    "SpamComplaint": FeedbackKind.COMPLAINED,
    "Unsubscribe": FeedbackKind.UNSUBSCRIBED,
}
"""``Type`` of a bounce. Not in here, and skipped: Transient, which goes on being tried, and what is no
outcome of the message: AutoResponder, AddressChange, ChallengeVerification, Subscribe, OpenRelayTest,
InboundError."""
_CHANGES: Mapping[str, FeedbackKind | BounceClass] = {
    "HardBounce": BounceClass.HARD,
    "SpamComplaint": FeedbackKind.COMPLAINED,
    "ManualSuppression": FeedbackKind.UNSUBSCRIBED,
}
_STAFF = ("Customer", "Admin")
"""``Origin`` of a change that no recipient has made: whose account it is, and Postmark itself."""
_RECORDS: Mapping[str, FeedbackKind] = {
    "Delivery": FeedbackKind.DELIVERED,
    "SpamComplaint": FeedbackKind.COMPLAINED,
    "Open": FeedbackKind.OPENED,
    "Click": FeedbackKind.CLICKED,
}
_TIMES = ("DeliveredAt", "BouncedAt", "ReceivedAt", "ChangedAt")


@dataclass(frozen=True, slots=True)
class PostmarkEvents:
    """One event a call."""

    secret: str = field(repr=False)

    def read(self, call: Call) -> Told:
        if ":" in self.secret:
            expected = f"Basic {base64.b64encode(self.secret.encode()).decode()}"
            given = call.headers.get("authorization", "")
        else:
            expected, given = self.secret, call.headers.get(NAMED_BY, "")
        if not hmac.compare_digest(expected.encode(), given.encode("utf-8", "surrogateescape")):
            raise NotNamed("user and password, or the secret header, are missing or wrong")
        event = an_object(parse_body(call.body))
        report, change = _report(event), _by_staff(event)
        if report is not None:
            return Told([report])
        return Told(skipped=1) if change is None else Told(changes=[change])


def _report(event: Mapping[str, Any]) -> Report | None:
    message_id = our_message_id(text(event, "Metadata", MESSAGE_MARK))
    found = _outcome(event)
    if found is None or not message_id:
        return None
    words = text(event, "Details") or text(event, "Description")
    if isinstance(found, BounceClass):
        kind, bounced = FeedbackKind.BOUNCED, weigh(found, "", text(event, "Details"))
    else:
        kind, bounced = found, None
    return Report(
        _event_id(event, kind, bounced, message_id),
        kind,
        ChannelKind.EMAIL,
        message_id=message_id,
        bounce_class=bounced,
        code=(text(event, "Type", most=MAX_CODE) or None) if bounced else None,
        detail=words if bounced and words else None,
        occurred_at=next((at for name in _TIMES if (at := instant(event, name)) is not None), None),
        user_agent=text(event, "UserAgent"),
        target=text(event, "OriginalLink", most=MAX_URL) or None,
    )


def _by_staff(event: Mapping[str, Any]) -> SuppressionChange | None:
    address, is_suppressed = text(event, "Recipient"), event.get("SuppressSending")
    if (
        text(event, "RecordType") != "SubscriptionChange"
        or text(event, "Origin") not in _STAFF
        or not address
    ):
        return None
    if is_suppressed is True and text(event, "SuppressionReason") == "ManualSuppression":
        return SuppressionChange(address, is_suppressed=True, changed_at=instant(event, "ChangedAt"))
    if is_suppressed is False:
        return SuppressionChange(address, is_suppressed=False, changed_at=instant(event, "ChangedAt"))
    return None


def _outcome(event: Mapping[str, Any]) -> FeedbackKind | BounceClass | None:
    record = text(event, "RecordType")
    if record == "Bounce":
        return _TYPES.get(text(event, "Type"))
    if record == "SubscriptionChange":
        is_off = event.get("SuppressSending") is True
        return _CHANGES.get(text(event, "SuppressionReason")) if is_off else None
    return _RECORDS.get(record)


def _event_id(
    event: Mapping[str, Any], kind: FeedbackKind, bounced: BounceClass | None, message_id: str
) -> str:
    """Postmark names no events. A message has one outcome of each kind, whichever webhooks tell of it, and
    one open or click a moment and link."""
    if kind in (FeedbackKind.OPENED, FeedbackKind.CLICKED):
        return id_of(kind, message_id, text(event, "ReceivedAt"), text(event, "OriginalLink", most=MAX_URL))
    return id_of(kind, message_id, bounced or "")
