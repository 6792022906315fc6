"""Reports that providers send: each kind in a module of its own, with its signature, and nothing believed
without.

``KUNDRESA_WEBHOOKS`` names them: ``texts=twilio:<auth token>,mail=sendgrid:<public key>``. Each is answered
at ``/webhooks/<name>``. What its kind's secret is, its module says. How to add one: ``NEW-WEBHOOK.md``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from kundresa.feedback.webhooks.mailgun import MailgunEvents
from kundresa.feedback.webhooks.postmark import PostmarkEvents
from kundresa.feedback.webhooks.reports import (
    Call,
    NotBelieved,
    NotNamed,
    NotNow,
    NotUnderstood,
    Report,
    SuppressionChange,
    Told,
    Webhook,
    report_key,
)
from kundresa.feedback.webhooks.sendgrid import SendGridEvents
from kundresa.feedback.webhooks.ses import SesEvents
from kundresa.feedback.webhooks.signed_events import REPORTED_KINDS, SignedEvents
from kundresa.feedback.webhooks.sns import Fetch, fetch
from kundresa.feedback.webhooks.twilio import TwilioStatus
from kundresa.settings import SettingsError

__all__ = [
    "KINDS",
    "REPORTED_KINDS",
    "Call",
    "Fetch",
    "NotBelieved",
    "NotNamed",
    "NotNow",
    "NotUnderstood",
    "Report",
    "SignedEvents",
    "SuppressionChange",
    "Told",
    "Webhook",
    "fetch",
    "parse_webhooks",
    "report_key",
]

KINDS: Mapping[str, Callable[[str, Fetch], Webhook]] = {
    "twilio": lambda secret, _: TwilioStatus(secret),
    "hmac": lambda secret, _: SignedEvents(secret),
    "sendgrid": lambda secret, _: SendGridEvents.of(secret),
    "mailgun": lambda secret, _: MailgunEvents(secret),
    "ses": SesEvents.of,
    "postmark": lambda secret, _: PostmarkEvents(secret),
}
"""Kind → (the entry's secret, how to fetch a page) → the webhook. Raises ValueError for a secret that cannot
be one; the secret is not in it."""

_ENTRY = re.compile(r"([a-z][a-z0-9_]{0,40})=([a-z]+):(\S{8,})\Z")


def parse_webhooks(text: str, fetch: Fetch = fetch) -> dict[str, Webhook]:
    """The entries of ``KUNDRESA_WEBHOOKS`` by name.

    Args:
        fetch: gets what a kind needs from its provider: the certificates of Amazon SNS.

    Raises:
        SettingsError: naming the entry by its number, since its text holds a secret.
    """
    found: dict[str, Webhook] = {}
    for number, entry in enumerate((part.strip() for part in text.split(",") if part.strip()), 1):
        place = f"KUNDRESA_WEBHOOKS, entry {number}"
        match = _ENTRY.match(entry)
        if match is None:
            raise SettingsError(f"{place}: expected name=kind:secret, the secret of 8 characters or more")
        if match[2] not in KINDS:
            raise SettingsError(f"{place}: its kind is none of {', '.join(KINDS)}")
        if match[1] in found:
            raise SettingsError(f"{place}: another one has its name")
        try:
            found[match[1]] = KINDS[match[2]](match[3], fetch)
        except ValueError as error:
            raise SettingsError(f"{place}: {error}") from None
    return found
