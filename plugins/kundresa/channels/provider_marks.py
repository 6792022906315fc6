"""What a mail tells its provider, so that the provider's reports name our message.

Providers that keep our Message-ID give it back by itself. Others give the mail one of their own, or leave it
out of some events. They take header fields by which they are told what to give back, and remove them before
the mail goes on:

| ``provider`` | fields | come back as |
|---|---|---|
| ``ses`` | ``X-SES-MESSAGE-TAGS``, and ``X-SES-CONFIGURATION-SET`` of ``configuration_set`` | ``mail.tags`` |
| ``sendgrid`` | ``X-SMTPAPI`` with ``unique_args`` | a member of every event |
| ``postmark`` | ``X-PM-Metadata-…``, and ``X-PM-Message-Stream`` of ``message_stream`` | ``Metadata`` |

Postmark is also told to keep the Message-ID (``X-PM-KeepID``). Mailgun needs none. ``feedback.webhooks``
reads them.
"""

from __future__ import annotations

import json
import re

from kundresa.channels.accounts import Account, AccountError
from kundresa.spec.keys import MESSAGE_MARK

PLACE = "{message id}"
"""Where the message's id goes."""
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_OPTIONS = {"configuration_set": "ses", "message_stream": "postmark"}


def provider_marks(account: Account) -> str:
    """The header fields that the account's ``provider`` wants, each with its CRLF, and ``PLACE`` in them;
    empty for none.

    Raises:
        AccountError: for a provider that is not known, or an option of another one.
    """
    provider = account.extra.get("provider", "")
    for option, owner in _OPTIONS.items():
        value = account.extra.get(option)
        if value is not None and provider != owner:
            raise AccountError(f"{account.place}: {option} is for provider={owner}")
        if value is not None and not _NAME.match(value):
            raise AccountError(f"{account.place}: {option} is letters, digits, dashes and underscores")
    if provider == "ses":
        marks = [f"X-SES-MESSAGE-TAGS: {MESSAGE_MARK}={PLACE}"]
        marks += _optional(account, "configuration_set", "X-SES-CONFIGURATION-SET")
    elif provider == "sendgrid":
        marks = [f"X-SMTPAPI: {json.dumps({'unique_args': {MESSAGE_MARK: PLACE}})}"]
    elif provider == "postmark":
        marks = [f"X-PM-Metadata-{MESSAGE_MARK}: {PLACE}", "X-PM-KeepID: true"]
        marks += _optional(account, "message_stream", "X-PM-Message-Stream")
    elif provider:
        raise AccountError(f"{account.place}: provider is {provider}; it takes ses, sendgrid or postmark")
    else:
        marks = []
    return "".join(f"{mark}\r\n" for mark in marks)


def _optional(account: Account, option: str, name: str) -> list[str]:
    value = account.extra.get(option)
    return [f"{name}: {value}"] if value else []
