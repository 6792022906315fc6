"""How a sender proves itself to FCM and APNs: tokens from a private key, made anew before they expire."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jwt

from kundresa.channels.accounts import Account, AccountError
from kundresa.channels.http_peer import NotSentError
from kundresa.channels.receipts import clean_detail

if TYPE_CHECKING:
    import httpx

APNS_TOKEN_LIFE = timedelta(minutes=40)
"""Apple refuses a token older than an hour, and one made anew within 20 minutes of the last
("Establishing a token-based connection to APNs")."""
GOOGLE_SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
GOOGLE_TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
GOOGLE_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTION_LIFE = timedelta(minutes=60)
EARLY = timedelta(minutes=5)
"""A token is made anew so long before it expires."""


class ApnsToken:
    """APNs' provider token: an ES256 JWT of team and key."""

    def __init__(self, account: Account, clock: Callable[[], datetime]) -> None:
        """
        Raises:
            AccountError: when team, key id or key are missing or no such key.
        """
        self._account = account
        self._clock = clock
        self._team = _required(account, "team_id", account.extra.get("team_id", ""))
        self._key_id = _required(account, "key_id (or the user)", account.extra.get("key_id") or account.user)
        self._key = private_key(account)
        self._token = ""
        self._made_at: datetime | None = None

    def get(self) -> str:
        """The token to use now."""
        now = self._clock()
        if self._made_at is None or now - self._made_at >= APNS_TOKEN_LIFE:
            claims = {"iss": self._team, "iat": int(now.timestamp())}
            self._token = _signed(self._account, claims, self._key, "ES256", self._key_id)
            self._made_at = now
        return self._token

    def forget(self) -> None:
        self._made_at = None


class GoogleToken:
    """An OAuth 2.0 access token of a service account: an RS256 assertion exchanged for it (RFC 7523)."""

    def __init__(self, account: Account, clock: Callable[[], datetime]) -> None:
        """
        Raises:
            AccountError: when client, key or project are missing or no such key.
        """
        self._account = account
        self._clock = clock
        service = _service_account(account)
        self.project = _required(account, "project", service["project_id"])
        self._client = _required(account, "the client's address (or key_file)", service["client_email"])
        self._key_id = service["private_key_id"]
        self._key = service["private_key"]
        self._url = service["token_uri"]
        self._token = ""
        self._until: datetime | None = None

    def get(self) -> str:
        """The token to use now. Asks for it where there is none; that takes one round trip an hour, while
        which nothing else is sent.

        Raises:
            AccountError: the service account is refused.
            NotSentError: the token server cannot be reached.
        """
        if self._until is None or self._clock() >= self._until - EARLY:
            self._exchange()
        return self._token

    def forget(self) -> None:
        self._until = None

    def _exchange(self) -> None:
        import httpx  # 50 ms, which tasks of other channels need not wait

        now = self._clock()
        claims = {
            "iss": self._client,
            "scope": GOOGLE_SCOPE,
            "aud": self._url,
            "iat": int(now.timestamp()),
            "exp": int((now + ASSERTION_LIFE).timestamp()),
        }
        assertion = _signed(self._account, claims, self._key, "RS256", self._key_id)
        form = {"grant_type": GOOGLE_GRANT, "assertion": assertion}
        proxy = self._account.extra.get("proxy")
        try:
            with httpx.Client(trust_env=False, timeout=10.0, proxy=proxy) as client:
                response = client.post(self._url, data=form)
        except httpx.TransportError as error:
            raise NotSentError(f"no token: {type(error).__name__} from {self._url}") from None
        body = _object(response)
        token = body.get("access_token")
        if response.status_code == httpx.codes.OK and isinstance(token, str) and token:
            self._token = token
            self._until = now + timedelta(seconds=_seconds(body.get("expires_in")))
            return
        said = clean_detail(str(body.get("error_description") or body.get("error") or ""))
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS or response.status_code >= 500:
            raise NotSentError(f"no token: HTTP {response.status_code} {said}".strip())
        raise AccountError(
            f"{self._account.place}: no token for {self._client}: HTTP {response.status_code} {said}".strip()
        )


def private_key(account: Account) -> str:
    """The PEM text: the account's password, or its ``key_file``.

    Raises:
        AccountError: when there is none.
    """
    path = account.extra.get("key_file")
    if not path:
        return _required(account, "a private key (the password, or key_file)", account.password)
    try:
        return Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = type(error).__name__
        raise AccountError(f"account {account.name}: key_file cannot be read: {why}") from None


def _service_account(account: Account) -> dict[str, str]:
    """The fields of Google's key file, from it or from the account itself."""
    extra = account.extra
    fields = {
        "project_id": extra.get("project", ""),
        "client_email": account.user,
        "private_key": account.password,
        "private_key_id": extra.get("key_id", ""),
        "token_uri": extra.get("token_uri", GOOGLE_TOKEN_URL),
    }
    if extra.get("key_file"):
        try:
            found = json.loads(private_key(account))
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise AccountError(f"account {account.name}: key_file is no service account's JSON")
        fields |= {key: str(found[key]) for key in fields if found.get(key)}
        fields |= {"project_id": extra["project"]} if extra.get("project") else {}
    return fields


def _signed(account: Account, claims: dict[str, Any], key: str, algorithm: str, key_id: str) -> str:
    headers = {"kid": key_id} if key_id else None
    try:
        return jwt.encode(claims, key, algorithm=algorithm, headers=headers)
    except (ValueError, TypeError, jwt.PyJWTError) as error:
        # The text of the error may quote the key.
        raise AccountError(
            f"account {account.name}: the private key cannot sign {algorithm} ({type(error).__name__})"
        ) from None


def _required(account: Account, what: str, value: str) -> str:
    if not value:
        raise AccountError(f"account {account.name} of kind {account.kind} needs {what}")
    return value


def _object(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _seconds(value: object) -> float:
    return float(value) if isinstance(value, int | float) and 0 < value < 86_400 else 600.0
