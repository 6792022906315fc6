"""The token of an undo button: it lives in the page that confirms a no, and takes back that no alone."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from itsdangerous import BadData, URLSafeSerializer

from kundresa.content import Token, TokenError

UNDO_SALT = "kundresa.undo.v2"
UNDO_FOR = timedelta(hours=24)
"""How long after the no the button works; the preferences are there after it."""
MAX_UNDO = 1_000


def sign_undo(secret: str, token: Token, topic: str, said_no_at: datetime) -> str:
    """The button's value: which message's page, which topic, and the instant of the no."""
    payload = [token.message_id, token.profile_id, token.channel, token.topic, topic, said_no_at.isoformat()]
    return str(_serializer(secret).dumps(payload))


def read_undo(secret: str, text: str, *, now: datetime) -> tuple[Token, str, datetime]:
    """Message, topic and instant of the no.

    Raises:
        TokenError: when it is forged, altered, of another kind, or the no is longer ago than ``UNDO_FOR``.
    """
    if len(text) > MAX_UNDO:
        raise TokenError("this button is not valid")
    try:
        *parts, topic, said = _serializer(secret).loads(text)
        token, said_no_at = Token(*parts), datetime.fromisoformat(said)
        is_late = now - said_no_at > UNDO_FOR
    except (BadData, UnicodeError, TypeError, ValueError):
        raise TokenError("this button is not valid") from None
    if is_late:
        raise TokenError("this button worked for a day")
    return token, topic, said_no_at


def _serializer(secret: str) -> URLSafeSerializer:
    return URLSafeSerializer(
        secret,
        salt=UNDO_SALT,
        signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
    )
