"""Reports that providers send: each kind in a module of its own, with its signature, and nothing believed
without.

``KUNDRESA_WEBHOOKS`` names them: ``texts=twilio:<auth token>,mail=sendgrid:<public key>``. Each is answered
at ``/webhooks/<name>``. What its kind's secret is, its module says. An entry may say over which sender
account the messages leave that it tells of (``texts@gateway=twilio:…``); of others it is not believed then.
How to add a kind: ``NEW-WEBHOOK.md``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

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
    "accounts_of",
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

_ENTRY = re.compile(
    r"(?P<name>[a-z][a-z0-9_]{0,40})(?:@(?P<account>[a-z][a-z0-9_]*))?=(?P<kind>[a-z]+):(?P<secret>\S{8,})\Z"
)


def parse_webhooks(text: str, fetch: Fetch = fetch) -> dict[str, Webhook]:
    """The entries of ``KUNDRESA_WEBHOOKS`` by name.

    Args:
        fetch: gets what a kind needs from its provider: the certificates of Amazon SNS.

    Raises:
        SettingsError: naming the entry by its number, since its text holds a secret.
    """
    found: dict[str, Webhook] = {}
    for place, match in _entries(text):
        if match["kind"] not in KINDS:
            raise SettingsError(f"{place}: its kind is none of {', '.join(KINDS)}")
        if match["name"] in found:
            raise SettingsError(f"{place}: another one has its name")
        try:
            found[match["name"]] = KINDS[match["kind"]](match["secret"], fetch)
        except ValueError as error:
            raise SettingsError(f"{place}: {error}") from None
    return found


def accounts_of(text: str) -> dict[str, str]:
    """Of the entries that say one: name → sender account.

    Raises:
        SettingsError: as :func:`parse_webhooks`.
    """
    return {match["name"]: match["account"] for _, match in _entries(text) if match["account"]}


def _entries(text: str) -> Iterator[tuple[str, re.Match[str]]]:
    for number, entry in enumerate((part.strip() for part in text.split(",") if part.strip()), 1):
        place = f"KUNDRESA_WEBHOOKS, entry {number}"
        match = _ENTRY.match(entry)
        if match is None:
            raise SettingsError(
                f"{place}: expected name=kind:secret or name@account=kind:secret, the secret of 8 characters "
                "or more"
            )
        yield place, match
