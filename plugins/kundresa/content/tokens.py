"""Signed links: a token says which message it came with, and only this installation can make one.

``/u/`` and ``/p/`` (unsubscribe, preferences) carry a :class:`Token`, in ``itsdangerous``' URL-safe form:
base64url JSON, a dot, an HMAC-SHA-256. ``/o/`` and ``/m/`` (open pixel, mirror page) carry the message id
and a signature: whose it is, the ledger knows. ``/c/`` (click) is the message id, its signature, the link's
number, the target and *their* signature: the second half is the same for everybody who gets a constant link,
so it is signed once per template; a valid first half with another valid second half leads only where one of
our messages leads.

The salt carries the kind and version of the token, so that a token made for one purpose, or by a later
format, never passes for another. No address is in it: links end up in logs, proxies and forwarded mail. It
has no expiry: an opt-out must still work on a mail that is years old."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from dataclasses import dataclass, field
from functools import lru_cache

from itsdangerous import BadData, URLSafeSerializer

from kundresa.settings import Settings

UNSUBSCRIBE_SALT = "kundresa.unsubscribe.v1"
PREFERENCES_SALT = "kundresa.preferences.v1"
OPEN_SALT = "kundresa.open.v1"
MIRROR_SALT = "kundresa.mirror.v1"
CLICK_SALT = "kundresa.click.v1"
TARGET_SALT = "kundresa.target.v1"
MAX_TOKEN = 1_000
"""Characters. Ours have under 300; longer input is refused before any work is done on it."""
MAX_TARGET = 2_000
"""Characters of a link's target: what every browser and proxy takes."""
MAX_CLICK_TOKEN = 4_000
SIGNATURE_OCTETS = 16
"""Of a short signature: half of SHA-256's, the least that RFC 2104 section 5 allows."""

_MESSAGE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_NUMBER = re.compile(r"[0-9]{1,5}\Z")
_PLAIN = re.compile(r"[A-Za-z0-9 ._:/@+-]*\Z")
"""What JSON writes as it is."""


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
    """What a tracked link vouches for: ``target`` is where it leads, ``link`` the link's number in its
    template, from 1 in the order of the page."""

    message_id: str
    link: int
    target: str


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
        """The link of one message to the person's page of choices."""
        return f"{self.public_url}/p/{self._signed(token, PREFERENCES_SALT)}"

    def open_url(self, message_id: str) -> str:
        """The picture that says that a message was shown."""
        return f"{self.public_url}/o/{self._message(message_id, OPEN_SALT)}"

    def mirror_url(self, message_id: str) -> str:
        """The message as a page."""
        return f"{self.public_url}/m/{self._message(message_id, MIRROR_SALT)}"

    def click_url(self, message_id: str) -> str:
        """The first half of every tracked link of a message; ``.`` and :meth:`sign_target` follow."""
        return f"{self.public_url}/c/{self._message(message_id, CLICK_SALT)}"

    def sign_target(self, link: int, target: str) -> str:
        """The second half: number and target of a link, signed.

        Raises:
            ValueError: when the target is longer than ``MAX_TARGET``.
        """
        if len(target) > MAX_TARGET:
            raise ValueError(f"a link has at most {MAX_TARGET} characters")
        payload = f"{link}.{_packed(target.encode())}"
        return f"{payload}.{self._short(payload, TARGET_SALT)}"

    def sign(self, token: Token) -> str:
        return self._signed(token, UNSUBSCRIBE_SALT)

    def read_preferences(self, text: str) -> Token:
        """The token in a ``/p/`` link.

        Raises:
            TokenError: as :meth:`read_token`.
        """
        return self._read(text, PREFERENCES_SALT)

    def read_open(self, text: str) -> str:
        """The message id in an ``/o/`` link.

        Raises:
            TokenError: as :meth:`read_token`.
        """
        return self._read_message(text, OPEN_SALT)

    def read_mirror(self, text: str) -> str:
        """The message id in an ``/m/`` link.

        Raises:
            TokenError: as :meth:`read_token`.
        """
        return self._read_message(text, MIRROR_SALT)

    def read_click(self, text: str) -> Click:
        """What a ``/c/`` link vouches for.

        Raises:
            TokenError: as :meth:`read_token`.
        """
        parts = text.split(".") if len(text) <= MAX_CLICK_TOKEN else []
        if len(parts) != 5 or not text.isascii() or not _NUMBER.match(parts[2]):
            raise TokenError("this link is not valid")
        message_id = self._read_message(".".join(parts[:2]), CLICK_SALT)
        payload = f"{parts[2]}.{parts[3]}"
        if not hmac.compare_digest(self._short(payload, TARGET_SALT), parts[4]):
            raise TokenError("this link is not valid")
        try:
            target = urlsafe_b64decode(parts[3] + "=" * (-len(parts[3]) % 4)).decode()
        except (NotBase64, UnicodeError):
            raise TokenError("this link is not valid") from None
        return Click(message_id, int(parts[2]), target)

    def read_token(self, text: str) -> Token:
        """The token in a link.

        Raises:
            TokenError: when it is forged, altered, of another kind or not a token; it says no more,
                since whoever reads it may be the one who altered it.
        """
        return self._read(text, UNSUBSCRIBE_SALT)

    def _read(self, text: str, salt: str) -> Token:
        if len(text) > MAX_TOKEN:
            raise TokenError("this link is not valid")
        packed, _, signature = text.rpartition(".")
        digest = hmac.digest(_key(self.secret, salt), packed.encode("utf-8", "replace"), "sha256")
        # Letter by letter: base64 has several spellings of the same octets, and a token has one.
        if not hmac.compare_digest(_packed(digest), signature.encode("ascii", "replace").decode()):
            raise TokenError("this link is not valid")
        try:
            payload = self._serializer(salt).loads(text)
        except (BadData, UnicodeError):
            raise TokenError("this link is not valid") from None
        parts = payload if isinstance(payload, list) else []
        if len(parts) != 4 or not all(isinstance(part, str) for part in parts):
            raise TokenError("this link is not valid")
        return Token(*parts)

    def _signed(self, token: Token, salt: str) -> str:
        """What ``itsdangerous`` would make, without trying to compress it: a third of its time."""
        parts = (token.message_id, token.profile_id, token.channel, token.topic)
        text = '["' + '","'.join(parts) + '"]'
        if not _PLAIN.match("".join(parts)):
            text = json.dumps(parts, separators=(",", ":"))
        payload = _packed(text.encode())
        return f"{payload}.{_packed(hmac.digest(_key(self.secret, salt), payload.encode(), 'sha256'))}"

    def _message(self, message_id: str, salt: str) -> str:
        if not _MESSAGE_ID.match(message_id):
            raise ValueError("a message id is 1 to 64 letters, digits, - and _")
        return f"{message_id}.{self._short(message_id, salt)}"

    def _read_message(self, text: str, salt: str) -> str:
        message_id, _, signature = text.partition(".")
        if len(text) > MAX_TOKEN or not _MESSAGE_ID.match(message_id) or not signature.isascii():
            raise TokenError("this link is not valid")
        if not hmac.compare_digest(self._short(message_id, salt), signature):
            raise TokenError("this link is not valid")
        return message_id

    def _short(self, text: str, salt: str) -> str:
        digest = hmac.digest(_key(self.secret, salt), text.encode(), "sha256")
        return _packed(digest[:SIGNATURE_OCTETS])

    def _serializer(self, salt: str = UNSUBSCRIBE_SALT) -> URLSafeSerializer:
        return URLSafeSerializer(
            self.secret,
            salt=salt,
            signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
        )


def _packed(octets: bytes) -> str:
    return urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


@lru_cache(maxsize=64)
def _key(secret: str, salt: str) -> bytes:
    """As ``itsdangerous`` derives it (``key_derivation="hmac"``)."""
    return hmac.digest(secret.encode(), salt.encode(), "sha256")
