"""Return paths that say which message came back (VERP), and that nobody else can make.

``bounces+<message id>-<16 hex digits of an HMAC>@<bounce domain>``: hexadecimal, since some servers change
the case of a local part. 64 bits of signature are enough against guessing by mail, one try a message.
``runs.feedback`` reads what comes back.
"""

from __future__ import annotations

import hmac
import re

from kundresa.channels.addresses import MAX_LOCAL

PREFIX = "bounces+"
_SALT = b"kundresa.return-path.v1|"
_FORM = re.compile(r"bounces\+([A-Za-z0-9._-]{1,39})-([0-9a-f]{16})\Z", re.IGNORECASE)


def return_path(message_id: str, domain: str, secret: str) -> str:
    """The envelope sender of one message.

    Raises:
        ValueError: when the message id does not fit into a local part.
    """
    local = f"{PREFIX}{message_id}-{_signature(message_id, secret)}"
    if len(local) > MAX_LOCAL:
        raise ValueError("the message id is too long for a return path")
    return f"{local}@{domain}"


def read_return_path(address: str, secret: str) -> str | None:
    """The message id in a return path of ours, whatever its case; None for any other address."""
    match = _FORM.match(address.rpartition("@")[0])
    if match is None:
        return None
    message_id = match[1].lower()
    if not hmac.compare_digest(match[2].lower(), _signature(message_id, secret)):
        return None
    return message_id


def _signature(message_id: str, secret: str) -> str:
    return hmac.digest(secret.encode("utf-8"), _SALT + message_id.encode("utf-8"), "sha256").hex()[:16]
