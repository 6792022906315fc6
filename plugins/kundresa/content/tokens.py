"""Signed links: a token says which message it came with, and only this installation can make one.

The form is ``itsdangerous``' URL-safe one: base64url JSON, a dot, an HMAC-SHA-256. The salt carries
the kind and version of the token, so that a token made for one purpose, or by a later format, never
passes for another. No address is in it: links end up in logs, proxies and forwarded mail. It has no
expiry: an opt-out must still work on a mail that is years old.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from functools import lru_cache

from itsdangerous import BadData, URLSafeSerializer

from kundresa.settings import Settings

UNSUBSCRIBE_SALT = "kundresa.unsubscribe.v1"
MAX_TOKEN = 1_000
"""Characters. Ours have under 300; longer input is refused before any work is done on it."""


class TokenError(Exception):
    """The token is not one of ours, or was changed on its way."""


@dataclass(frozen=True, slots=True)
class Token:
    """What a link of a message vouches for."""

    message_id: str
    profile_id: str
    channel: str
    topic: str


@lru_cache(maxsize=8)
def _signing_key(secret: str) -> bytes:
    """The key that ``itsdangerous`` derives for this kind of token."""
    return hmac.digest(secret.encode("utf-8"), UNSUBSCRIBE_SALT.encode("utf-8"), "sha256")


def _encoded(octets: bytes) -> bytes:
    return urlsafe_b64encode(octets).rstrip(b"=")


@dataclass(frozen=True, slots=True)
class Links:
    """Makes and reads the links of messages."""

    public_url: str
    """Base of all links, without a trailing slash."""
    secret: str = field(repr=False)

    def __post_init__(self) -> None:
        if not self.secret:
            raise ValueError("links need a signing secret")

    @classmethod
    def from_settings(cls, settings: Settings) -> Links:
        """
        Raises:
            SettingsError: when no signing secret is set.
        """
        return cls(settings.public_url, settings.signing_secret())

    def unsubscribe_url(self, token: Token) -> str:
        """The link of one message to opt out of its topic on its channel; ASCII, no spaces."""
        return f"{self.public_url}/u/{self.sign(token)}"

    def sign(self, token: Token) -> str:
        """The token as ``itsdangerous`` would write it, without its compression: that takes 60 µs,
        and every message needs one. It reads both."""
        payload = json.dumps(
            (token.message_id, token.profile_id, token.channel, token.topic), separators=(",", ":")
        )
        value = _encoded(payload.encode("utf-8"))
        signature = hmac.digest(_signing_key(self.secret), value, "sha256")
        return (value + b"." + _encoded(signature)).decode("ascii")

    def read_token(self, text: str) -> Token:
        """The token in a link.

        Raises:
            TokenError: when it is forged, altered, of another kind or not a token; it says no more,
                since whoever reads it may be the one who altered it.
        """
        if len(text) > MAX_TOKEN:
            raise TokenError("this link is not valid")
        try:
            payload = self._serializer().loads(text)
        except (BadData, UnicodeError):
            raise TokenError("this link is not valid") from None
        parts = payload if isinstance(payload, list) else []
        if len(parts) != 4 or not all(isinstance(part, str) for part in parts):
            raise TokenError("this link is not valid")
        return Token(*parts)

    def _serializer(self) -> URLSafeSerializer:
        return URLSafeSerializer(
            self.secret,
            salt=UNSUBSCRIBE_SALT,
            signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
        )
