"""Sender accounts: where a channel connects and as whom. Secrets come from Airflow connections,
never from YAML."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from types import MappingProxyType
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

Security = Literal["none", "starttls", "tls"]

VARIABLE_PREFIX = "AIRFLOW_CONN_KUNDRESA_"
DEFAULT_TIMEOUT = 30.0
"""Seconds without an answer until the connection counts as lost. RFC 5321 4.5.3.2 would wait up to ten
minutes; a batch's lease would not, and an answer later than this is rarer than a dead peer. Raise it
(``?timeout=120``) for a relay that scans a message before it answers: what it accepts after the
timeout is ``unknown``."""

Kind = Literal["smtp", "http", "fcm", "apns", "smpp", "file", "sftp", "s3", "redis"]

_SMTP_KINDS = {"smtp": None, "smtps": "tls", "email": None}
_HTTP_KINDS = {"http": "none", "https": "tls"}
# Kind: usual host, security, port with it, port without.
_OTHER_KINDS: Mapping[str, tuple[Kind, str, Security, int, int]] = {
    "fcm": ("fcm", "fcm.googleapis.com", "tls", 443, 80),
    "apns": ("apns", "api.push.apple.com", "tls", 443, 80),
    "smpp": ("smpp", "", "none", 3550, 2775),
    "smpps": ("smpp", "", "tls", 3550, 2775),
    # A folder has no host.
    "file": ("file", "-", "none", 0, 0),
    "sftp": ("sftp", "", "tls", 22, 22),
    # The bucket stands in the host's place.
    "s3": ("s3", "", "tls", 443, 80),
    "redis": ("redis", "", "none", 6379, 6379),
    "rediss": ("redis", "", "tls", 6379, 6379),
}
_PASSWORD_STAYS = ("fcm", "apns", "file", "s3")
"""Kinds whose password is a private key that signs here and never travels, or none."""
_CLEAR_TEXT_ALLOWED = ("smpp", "redis")
"""Protocols that are clear text more often than not, over a VPN: with ``clear_text=allowed``."""


class AccountError(Exception):
    """The account cannot be used as it is set up; a person must mend it, retrying does not help.

    When a ``send`` raises it, every message that has no receipt yet was certainly not sent. The message
    names account, host and user, never the password.
    """


@dataclass(frozen=True, slots=True)
class Account:
    """One sender account, as its Airflow connection says it."""

    name: str
    kind: Kind
    host: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)
    security: Security = "starttls"
    """``starttls`` and ``tls`` verify the server's certificate and name."""
    path: str = ""
    """HTTP: where messages are posted, with its leading slash; empty for the gateway's usual path. A folder
    for files."""
    extra: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """``timeout`` (seconds), ``ca_file`` (PEM of a private authority), ``helo`` (the name given in EHLO),
    ``feedback_id`` (the sender's part of Feedback-ID), ``proxy`` (HTTP), ``idempotent`` (HTTP: ``true``
    when the gateway honours Idempotency-Key), ``rate`` (messages a second per connection), ``connections``
    (at once; by SMTP at most 10). SMTP only: ``per_domain`` (messages in flight to one receiving domain),
    ``domains`` (``gmail.com=20,web.de=4``: the same for some), ``bounce_domain`` (return paths of our own,
    see ``return_path``), ``provider`` (see ``provider_marks``), ``dkim_domain``, ``dkim_selector``,
    ``dkim_key_file`` or ``dkim_key`` (see ``dkim``). What else a channel takes stands in its module. Redis:
    the number of the database is ``path``."""

    @property
    def timeout(self) -> float:
        return float(self.extra.get("timeout", DEFAULT_TIMEOUT))

    @property
    def is_idempotent(self) -> bool:
        """Whether the gateway honours Idempotency-Key, or the receiver knows a ``message_id`` it has had."""
        return self.extra.get("idempotent", "").lower() == "true"

    @property
    def connections(self) -> int | None:
        """How many connections at once, where the account says so: 1 to 256.

        Raises:
            AccountError: when it is no such number.
        """
        text = self.extra.get("connections")
        if text is None:
            return None
        if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 256):
            raise AccountError(f"account {self.name}: connections takes 1 to 256")
        return int(text)

    @property
    def place(self) -> str:
        """For error messages: account, host, port and user."""
        user = f" as {self.user}" if self.user else ""
        return f"account {self.name} ({self.host}:{self.port}{user})"


def resolve_account(name: str, environ: Mapping[str, str] | None = None) -> Account:
    """The account ``name`` from the environment: ``AIRFLOW_CONN_KUNDRESA_<NAME>``, as URI or JSON.

    Raises:
        AccountError: when there is none, or it is not usable.
    """
    env = os.environ if environ is None else environ
    variable = f"{VARIABLE_PREFIX}{name.upper()}"
    text = env.get(variable, "").strip()
    if not text:
        raise AccountError(
            f"account {name} is not set up: there is no {variable}. It takes a connection such as "
            "smtp://user:password@mail.example:587 or https://user:password@gateway.example/messages"
        )
    return account_from_uri(text, name=name)


def known_account(name: str, environ: Mapping[str, str] | None = None) -> Account | None:
    """As :func:`resolve_account`; None where the environment has no such account.

    Raises:
        AccountError: when it is not usable.
    """
    env = os.environ if environ is None else environ
    return resolve_account(name, env) if env.get(f"{VARIABLE_PREFIX}{name.upper()}", "").strip() else None


def account_from_uri(text: str, *, name: str = "unnamed") -> Account:
    """An account from an Airflow connection, in its URI or JSON form.

    ``smtp://user:password@host:587/?security=starttls&timeout=30``; ``security`` is ``starttls``
    (default), ``tls`` (default on port 465) or ``none``. ``https://user:password@host/path`` for a
    gateway. User and password are percent-encoded. Extras may also stand in Airflow's ``__extra__``.

    Raises:
        AccountError: for another kind, a missing host, a port or timeout that is no number, or a
            password that would travel unencrypted to another machine.
    """
    try:
        raw = _from_json(text) if text.lstrip().startswith("{") else _from_uri(text)
    except (ValueError, TypeError) as error:
        # The text holds a password, and the parser's message may quote it.
        raise AccountError(
            f"account {name} is not a connection URI or JSON ({type(error).__name__})"
        ) from None
    kind = str(raw["kind"]).replace("_", "-")
    if kind in _SMTP_KINDS:
        return _smtp(name, kind, raw)
    if kind in _HTTP_KINDS:
        return _http(name, kind, raw)
    if kind in _OTHER_KINDS:
        return _other(name, kind, raw)
    expected = "smtp, http, https, fcm, apns, smpp, file, sftp, s3 or redis"
    raise AccountError(f"account {name} is of kind {kind}; expected {expected}")


def _smtp(name: str, kind: str, raw: Mapping[str, Any]) -> Account:
    port = raw["port"]
    security = raw["extra"].get("security") or _SMTP_KINDS[kind] or ("tls" if port == 465 else "starttls")
    return _checked(name, "smtp", port or (465 if security == "tls" else 587), security, raw)


def _http(name: str, kind: str, raw: Mapping[str, Any]) -> Account:
    # Airflow's HTTP connections name the protocol in `schema`; a URI of its own has it as the kind.
    security = "tls" if raw["path"].strip("/") == "https" else _HTTP_KINDS[kind]
    path = raw["extra"].get("path") or raw["path"]
    if path.strip("/") in ("http", "https"):
        path = ""
    raw = {**raw, "path": f"/{path.lstrip('/')}" if path.strip("/") else ""}
    return _checked(name, "http", raw["port"] or (443 if security == "tls" else 80), security, raw)


def _other(name: str, kind: str, raw: Mapping[str, Any]) -> Account:
    known, host, usual, encrypted, clear = _OTHER_KINDS[kind]
    security = raw["extra"].get("security") or usual
    raw = {**raw, "host": raw["host"] or host}
    return _checked(name, known, raw["port"] or (encrypted if security == "tls" else clear), security, raw)


def _checked(name: str, kind: Kind, port: int, security: Any, raw: Mapping[str, Any]) -> Account:
    if not raw["host"]:
        raise AccountError(f"account {name} has no host")
    if security not in ("none", "starttls", "tls"):
        raise AccountError(f"account {name}: security is {security}; expected none, starttls or tls")
    account = Account(
        name=name,
        kind=kind,
        host=raw["host"],
        port=port,
        user=raw["user"],
        password=raw["password"],
        security=security,
        path=raw["path"],
        extra=MappingProxyType({key: str(value) for key, value in raw["extra"].items()}),
    )
    try:
        positive = account.timeout > 0
    except ValueError:
        positive = False
    if not positive:
        raise AccountError(f"account {name}: timeout takes seconds above 0")
    if account.password and security == "none" and not _may_be_clear(account):
        raise AccountError(
            f"{account.place} would send its password unencrypted; use security=starttls or tls, or https"
        )
    return account


def _may_be_clear(account: Account) -> bool:
    if account.kind in _PASSWORD_STAYS or is_loopback(account.host):
        return True
    return account.kind in _CLEAR_TEXT_ALLOWED and account.extra.get("clear_text") == "allowed"


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name or its address (RFC 6761 6.3)."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower().rstrip(".").rpartition(".")[2] == "localhost"


def _from_uri(text: str) -> dict[str, Any]:
    parts = urlsplit(text)
    extra: dict[str, Any] = dict(parse_qsl(parts.query))
    nested = extra.pop("__extra__", None)
    if nested:
        extra.update(json.loads(nested))
    return {
        "kind": parts.scheme,
        "host": unquote(parts.hostname or ""),
        "port": parts.port or 0,
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "path": unquote(parts.path),
        "extra": extra,
    }


def _from_json(text: str) -> dict[str, Any]:
    values = json.loads(text)
    extra = values.get("extra") or {}
    return {
        "kind": values.get("conn_type") or "",
        "host": values.get("host") or "",
        "port": int(values.get("port") or 0),
        "user": values.get("login") or "",
        "password": values.get("password") or "",
        "path": values.get("schema") or "",
        "extra": json.loads(extra) if isinstance(extra, str) else dict(extra),
    }
