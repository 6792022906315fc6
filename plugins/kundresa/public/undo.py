"""The token of an undo button: it lives in the page that confirms a no, and takes back that no alone."""

from __future__ import annotations

import hashlib
from datetime import datetime

from itsdangerous import BadData, URLSafeTimedSerializer

from kundresa.content import Token, TokenError

UNDO_SALT = "kundresa.undo.v1"
UNDO_SECONDS = 24 * 3600
"""How long the button works; the preferences are there after it."""
MAX_UNDO = 1_000


def sign_undo(secret: str, token: Token, topic: str, said_no_at: datetime) -> str:
    """The button's value: which message's page, which topic, and the instant of the no."""
    payload = [token.message_id, token.profile_id, token.channel, token.topic, topic, said_no_at.isoformat()]
    return str(_serializer(secret).dumps(payload))


def read_undo(secret: str, text: str, *, max_age_seconds: int = UNDO_SECONDS) -> tuple[Token, str, datetime]:
    """Message, topic and instant of the no.

    Raises:
        TokenError: when it is forged, altered, of another kind, or older than ``max_age_seconds``.
    """
    if len(text) > MAX_UNDO:
        raise TokenError("this button is not valid")
    try:
        payload = _serializer(secret).loads(text, max_age=max_age_seconds)
        *parts, topic, said_no_at = payload
        return Token(*parts), topic, datetime.fromisoformat(said_no_at)
    except (BadData, UnicodeError, TypeError, ValueError):
        raise TokenError("this button is not valid") from None


def _serializer(secret: str) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(
        secret,
        salt=UNDO_SALT,
        signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
    )
