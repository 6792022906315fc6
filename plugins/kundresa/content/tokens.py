"""Signed links: a token says which message it came with, and only this installation can make one.

The form is ``itsdangerous``' URL-safe one: base64url JSON, a dot, an HMAC-SHA-256. The salt carries
the kind and version of the token, so that a token made for one purpose, or by a later format, never
passes for another. No address is in it: links end up in logs, proxies and forwarded mail. It has no
expiry: an opt-out must still work on a mail that is years old. Only the token of a page's undo button
expires: it lives in that page.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from itsdangerous import BadData, URLSafeSerializer, URLSafeTimedSerializer

from kundresa.settings import Settings

UNSUBSCRIBE_SALT = "kundresa.unsubscribe.v1"
PREFERENCES_SALT = "kundresa.preferences.v1"
OPEN_SALT = "kundresa.open.v1"
CLICK_SALT = "kundresa.click.v1"
MIRROR_SALT = "kundresa.mirror.v1"
UNDO_SALT = "kundresa.undo.v1"
MAX_TOKEN = 1_000
"""Characters. Ours have under 300; longer input is refused before any work is done on it."""
MAX_CLICK_TOKEN = 4_000
"""Characters of a token with a target in it: URLs of up to 2,000 are in use."""


class TokenError(Exception):
    """The token is not one of ours, or was changed on its way."""


@dataclass(frozen=True, slots=True)
class Token:
    """What a link of a message vouches for."""

    message_id: str
    profile_id: str
    channel: str
    topic: str


@dataclass(frozen=True, slots=True)
class Click:
    """A link of a message: where it leads, and whether it is one that no person sees."""

    token: Token
    target: str
    is_honeypot: bool = False


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

    def preferences_url(self, token: Token) -> str:
        """The link to what the person wants to get, by topic and channel."""
        return f"{self.public_url}/p/{self._dump(PREFERENCES_SALT, _parts(token))}"

    def open_url(self, token: Token) -> str:
        """The image that tells that the message was opened."""
        return f"{self.public_url}/o/{self._dump(OPEN_SALT, _parts(token))}"

    def click_url(self, click: Click) -> str:
        """The link that is counted and then leads to its target."""
        payload = [*_parts(click.token), click.target, *([1] if click.is_honeypot else [])]
        return f"{self.public_url}/c/{self._dump(CLICK_SALT, payload)}"

    def mirror_url(self, token: Token) -> str:
        """The message as a page, for who cannot read it as mail."""
        return f"{self.public_url}/m/{self._dump(MIRROR_SALT, _parts(token))}"

    def sign(self, token: Token) -> str:
        return self._dump(UNSUBSCRIBE_SALT, _parts(token))

    def read_token(self, text: str) -> Token:
        """The token in an unsubscribe link.

        Raises:
            TokenError: when it is forged, altered, of another kind or not a token; it says no more,
                since whoever reads it may be the one who altered it.
        """
        return self._read(UNSUBSCRIBE_SALT, text)

    def read_preferences(self, text: str) -> Token:
        """As ``read_token``, of a link to the preferences."""
        return self._read(PREFERENCES_SALT, text)

    def read_open(self, text: str) -> Token:
        """As ``read_token``, of the open image."""
        return self._read(OPEN_SALT, text)

    def read_mirror(self, text: str) -> Token:
        """As ``read_token``, of a link to the mirror page."""
        return self._read(MIRROR_SALT, text)

    def read_click(self, text: str) -> Click:
        """What a counted link leads to.

        Raises:
            TokenError: as ``read_token``. A target that is no web address was never signed.
        """
        parts = self._load(CLICK_SALT, text, MAX_CLICK_TOKEN)
        honeypot = parts[5:] == [1]
        if len(parts) != 5 + honeypot or not all(isinstance(part, str) for part in parts[:5]):
            raise TokenError("this link is not valid")
        if not parts[4].startswith(("https://", "http://")):
            raise TokenError("this link is not valid")
        return Click(Token(*parts[:4]), parts[4], honeypot)

    def sign_undo(self, token: Token, topic: str, said_no_at: str) -> str:
        """The undo button of the page that confirms a no: of which topic, said when (ISO 8601)."""
        serializer = self._timed()
        return str(serializer.dumps([*_parts(token), topic, said_no_at]))

    def read_undo(self, text: str, *, max_age_seconds: int) -> tuple[Token, str, str]:
        """Message, topic and instant of the no that is to be taken back.

        Raises:
            TokenError: as ``read_token``, and when it is older than ``max_age_seconds``.
        """
        parts = _checked(lambda: self._timed().loads(text, max_age=max_age_seconds), text, MAX_TOKEN)
        if len(parts) != 6 or not all(isinstance(part, str) for part in parts):
            raise TokenError("this link is not valid")
        return Token(*parts[:4]), parts[4], parts[5]

    def _read(self, salt: str, text: str) -> Token:
        parts = self._load(salt, text, MAX_TOKEN)
        if len(parts) != 4 or not all(isinstance(part, str) for part in parts):
            raise TokenError("this link is not valid")
        return Token(*parts)

    def _dump(self, salt: str, payload: list[Any]) -> str:
        return str(self._serializer(salt).dumps(payload))

    def _load(self, salt: str, text: str, longest: int) -> list[Any]:
        return _checked(lambda: self._serializer(salt).loads(text), text, longest)

    def _serializer(self, salt: str) -> URLSafeSerializer:
        return URLSafeSerializer(self.secret, salt=salt, signer_kwargs=_SIGNER)

    def _timed(self) -> URLSafeTimedSerializer:
        return URLSafeTimedSerializer(self.secret, salt=UNDO_SALT, signer_kwargs=_SIGNER)


_SIGNER: dict[str, Any] = {"key_derivation": "hmac", "digest_method": hashlib.sha256}


def _parts(token: Token) -> list[Any]:
    return [token.message_id, token.profile_id, token.channel, token.topic]


def _checked(load: Callable[[], object], text: str, longest: int) -> list[Any]:
    if len(text) > longest:
        raise TokenError("this link is not valid")
    try:
        payload = load()
    except (BadData, UnicodeError):
        raise TokenError("this link is not valid") from None
    return payload if isinstance(payload, list) else []
