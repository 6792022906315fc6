"""``mailgun``: the webhooks of Mailgun ("Webhook Payloads", "Securing Webhooks").

The body is a JSON object with ``event-data`` and ``signature``: ``timestamp``, ``token``, and the hex
HMAC-SHA-256 of both, keyed by the account's HTTP webhook signing key, which is the entry's secret. Of a
subaccount's event ``parent-signature`` is the main account's.

| ``event`` | comes to |
|---|---|
| delivered | delivered |
| failed, ``severity: permanent`` | bounced, by ``delivery-status``; ``suppress-…``: what it was |
| rejected | bounced, block: Mailgun refused the message |
| opened, clicked | opened, clicked; with ``client-info.bot`` a machine's |
| complained, unsubscribed | complained, unsubscribed |
| failed, ``severity: temporary``, accepted, whatever else | skipped: no outcome |

A message is known by ``message.headers.message-id``, which Mailgun keeps.

**The signature does not cover what is said.** Who has seen one could tell anything under it. So its token is
the event's id: under a token that was used nothing is recorded again, whatever it says. Mailgun's own ``id``
of an event is unique within a day only. It tells again for 8 hours what was not taken.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from kundresa.feedback.webhooks.fields import (
    MAX_CODE,
    MAX_URL,
    an_object,
    instant,
    our_message_id,
    parse_body,
    text,
)
from kundresa.feedback.webhooks.reports import (
    Call,
    NotBelieved,
    NotUnderstood,
    Report,
    Told,
    believe,
    believe_age,
    unix_time,
)
from kundresa.spec.bounces import weigh
from kundresa.spec.vocabulary import Automation, BounceClass, ChannelKind, FeedbackKind

MAX_AGE = timedelta(hours=12)
"""Shorter than other providers': see above."""

_KINDS: Mapping[str, FeedbackKind] = {
    "delivered": FeedbackKind.DELIVERED,
    "failed": FeedbackKind.BOUNCED,
    "rejected": FeedbackKind.BOUNCED,
    "opened": FeedbackKind.OPENED,
    "clicked": FeedbackKind.CLICKED,
    "complained": FeedbackKind.COMPLAINED,
    "unsubscribed": FeedbackKind.UNSUBSCRIBED,
}
_SUPPRESSED: Mapping[str, FeedbackKind] = {
    "suppress-bounce": FeedbackKind.BOUNCED,
    "suppress-complaint": FeedbackKind.COMPLAINED,
    "suppress-unsubscribe": FeedbackKind.UNSUBSCRIBED,
}
"""``reason`` of a message that was not tried: the address is on a list of Mailgun's (codes 605 to 607)."""
_VERDICTS: Mapping[str, BounceClass] = {
    "suppress-bounce": BounceClass.HARD,
    "espblock": BounceClass.BLOCK,
    "blacklist": BounceClass.BLOCK,
    "old": BounceClass.SOFT,  # tried for eight hours
}


@dataclass(frozen=True, slots=True)
class MailgunEvents:
    """One event a call."""

    secret: str = field(repr=False)

    def read(self, call: Call) -> Told:
        try:
            told = an_object(parse_body(call.body))
        except NotUnderstood:
            raise NotBelieved("there is no signature") from None
        timestamp, token, own, parent = (
            text(told, "signature", name) for name in ("timestamp", "token", "signature", "parent-signature")
        )
        digest = hmac.digest(self.secret.encode(), f"{timestamp}{token}".encode(), "sha256").hex()
        is_own = hmac.compare_digest(digest.encode(), own.encode())
        believe(digest, own if is_own else parent)
        believe_age(call.at, unix_time(timestamp), MAX_AGE)
        report = _report(token, an_object(told.get("event-data")))
        return Told(skipped=1) if report is None else Told([report])


def _report(token: str, event: Mapping[str, Any]) -> Report | None:
    name, reason = text(event, "event"), text(event, "reason")
    message_id = our_message_id(text(event, "message", "headers", "message-id"))
    if name not in _KINDS or not message_id or not token:
        return None
    kind, bounced, code, words = _KINDS[name], None, "", ""
    if name == "failed":
        if text(event, "severity") != "permanent":
            return None
        kind = _SUPPRESSED.get(reason, kind)
        code, words = _answer(event)
    elif name == "rejected":
        words = text(event, "reject", "reason")
    if kind is FeedbackKind.BOUNCED:
        verdict = BounceClass.BLOCK if name == "rejected" else _VERDICTS.get(reason, BounceClass.UNDETERMINED)
        bounced = weigh(verdict, code, words)
    return Report(
        token,
        kind,
        ChannelKind.EMAIL,
        message_id=message_id,
        bounce_class=bounced,
        code=code or None,
        detail=words or None,
        occurred_at=instant(event, "timestamp"),
        user_agent=text(event, "client-info", "user-agent"),
        target=text(event, "url", most=MAX_URL) or None,
        automation=_machine(kind, text(event, "client-info", "bot")),
    )


def _answer(event: Mapping[str, Any]) -> tuple[str, str]:
    """The code, enhanced where the server gave one, and the server's words, else Mailgun's."""
    status = event.get("delivery-status")
    code = text(status, "enhanced-code", most=MAX_CODE) or text(status, "code", most=MAX_CODE)
    return code, text(status, "message") or text(status, "description")


def _machine(kind: FeedbackKind, bot: str) -> Automation | None:
    """``apple`` and ``gmail`` load images when the mail arrives; ``generic`` is a firewall or a scanner."""
    if not bot:
        return None
    is_proxy = kind is FeedbackKind.OPENED and bot in ("apple", "gmail")
    return Automation.PREFETCH if is_proxy else Automation.SCANNER
