"""Receipts, and what may be written into them."""

from __future__ import annotations

import re
from datetime import datetime

from kundresa.spec.messages import Receipt
from kundresa.spec.vocabulary import DeliveryReason, MessageState

MAX_DETAIL = 500
MAX_PROVIDER_ID = 200
MAX_CODE = 100

_ADDRESS = re.compile(r"[^\s<>()\[\]\"',;:]+@[^\s<>()\[\]\"',;]+")
_NUMBER = re.compile(r"(?<!\w)\+?\d[\d ()-]{5,}\d(?!\w)")


def clean_detail(text: str, *secrets: str) -> str:
    """What a server said, fit for the ledger: one line of at most 500 characters in which addresses,
    telephone numbers and the given secrets are replaced by what they are."""
    return _one_line(_NUMBER.sub("<number>", _hidden(text, secrets)))[:MAX_DETAIL]


def clean_provider_id(text: str, *secrets: str) -> str:
    """The provider's own name for a message: as ``clean_detail``, at most 200 characters, but digits
    stay, since that is what such names are made of."""
    if len(text) <= MAX_PROVIDER_ID and "@" not in text and text.isprintable() and " " not in text:
        for secret in secrets:
            if secret:
                text = text.replace(secret, "<hidden>")
        return text
    return _one_line(_hidden(text, secrets))[:MAX_PROVIDER_ID]


def _hidden(text: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        if secret:
            text = text.replace(secret, "<hidden>")
    return _ADDRESS.sub("<address>", text)


def _one_line(text: str) -> str:
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable.split())


def _clean_code(code: str | None) -> str | None:
    """A provider's own word may be anything."""
    if code is None or (len(code) <= MAX_CODE and code.isprintable()):
        return code
    return _one_line(code)[:MAX_CODE]


def accepted(message_id: str, provider_id: str | None, code: str) -> Receipt:
    """The provider took it; from here on it is theirs."""
    return Receipt(message_id, MessageState.ACCEPTED, provider_id=provider_id or None, code=_clean_code(code))


def failed(
    message_id: str, reason: DeliveryReason, code: str | None, detail: str, *, suppress: str | None = None
) -> Receipt:
    """It will not be taken, however often it is tried. With ``suppress``, nothing will to this address."""
    return Receipt(
        message_id, MessageState.FAILED, reason, code=_clean_code(code), detail=detail, suppress=suppress
    )


def deferred(message_id: str, code: str | None, detail: str, retry_at: datetime) -> Receipt:
    """It was certainly not taken, and may be later."""
    reason = DeliveryReason.TEMPORARY_FAILURE
    return Receipt(
        message_id, MessageState.DEFERRED, reason, code=_clean_code(code), detail=detail, retry_at=retry_at
    )


def unknown(message_id: str, code: str | None, detail: str) -> Receipt:
    """It was handed over and the answer did not arrive."""
    reason = DeliveryReason.OUTCOME_UNKNOWN
    return Receipt(message_id, MessageState.UNKNOWN, reason, code=_clean_code(code), detail=detail)
