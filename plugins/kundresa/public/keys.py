"""Keys of those who call the API: made once, shown once, kept as hashes."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus

from starlette.requests import Request

from kundresa.public.refusals import Refused
from kundresa.settings import SettingsError

_ENTRY = re.compile(r"(?P<name>[a-z][a-z0-9_-]{0,40}):(?P<scopes>[a-z+]+):(?P<digest>[0-9a-f]{64})\Z")


class Scope(StrEnum):
    """What a key may do."""

    EVENTS = "events"
    """Send events."""
    MESSAGES = "messages"
    """Ask for messages to be sent, and what became of them."""
    AUDIENCES = "audiences"
    """Ask about people's memberships and shared traits."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One caller. The key has 256 random bits, so one SHA-256 is enough: there is nothing to guess."""

    name: str
    scopes: frozenset[Scope]
    digest: str

    @classmethod
    def of(cls, name: str, scopes: frozenset[Scope], key: str) -> ApiKey:
        """The entry of a key that is known."""
        return cls(name, scopes, _digest(key))

    def __str__(self) -> str:
        return f"{self.name}:{'+'.join(sorted(self.scopes))}:{self.digest}"


def new_key(name: str, scopes: frozenset[Scope]) -> tuple[str, ApiKey]:
    """A new key, to be given to the caller, and its entry of ``KUNDRESA_API_KEYS``.

    Raises:
        SettingsError: when the name cannot stand in an entry.
    """
    key = f"kdr_{secrets.token_urlsafe(32)}"
    entry = ApiKey.of(name, scopes, key)
    return key, parse_keys(str(entry))[0]


def parse_keys(text: str) -> list[ApiKey]:
    """The entries of ``KUNDRESA_API_KEYS``.

    Raises:
        SettingsError: naming the entry by its number, since its text may be a key.
    """
    found = []
    for number, entry in enumerate((part.strip() for part in text.split(",") if part.strip()), 1):
        match = _ENTRY.match(entry)
        known = {scope.value for scope in Scope}
        if match is None or not set(match["scopes"].split("+")) <= known:
            raise SettingsError(
                f"KUNDRESA_API_KEYS, entry {number}: expected name:scopes:sha256, as `kundresa api-key` "
                f"prints it, with scopes of {' and '.join(sorted(known))} joined by +"
            )
        scopes = frozenset(Scope(scope) for scope in match["scopes"].split("+"))
        found.append(ApiKey(match["name"], scopes, match["digest"]))
    if len({key.name for key in found}) != len(found):
        raise SettingsError("KUNDRESA_API_KEYS: two entries have the same name")
    return found


class Keys:
    """Tells callers by their key."""

    def __init__(self, keys: list[ApiKey]) -> None:
        self._keys = keys

    def require(self, request: Request, scope: Scope) -> ApiKey:
        """The caller, by ``Authorization: Bearer …`` (RFC 6750) or ``X-API-Key``.

        Raises:
            Refused: 401 without a known key, 403 when it may not do this.
        """
        kind, _, bearer = request.headers.get("authorization", "").partition(" ")
        given = bearer.strip() if kind.lower() == "bearer" else request.headers.get("x-api-key", "")
        digest = _digest(given)
        caller = None
        for key in self._keys:  # all of them, so that the time tells nothing
            if hmac.compare_digest(key.digest, digest):
                caller = key
        if not given or caller is None:
            raise Refused(HTTPStatus.UNAUTHORIZED, "a key is needed", {"WWW-Authenticate": "Bearer"})
        if scope not in caller.scopes:
            raise Refused(HTTPStatus.FORBIDDEN, f"this key is not for {scope.value}")
        return caller


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
