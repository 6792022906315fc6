"""What a push notification looks like on its way, and how large it is.

Both services refuse more than 4,096 octets: APNs of the whole payload ("Generating a remote notification"),
FCM of notification and data ("About FCM messages").
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kundresa.spec.messages import PushContent

MAX_PAYLOAD = 4_096
"""Octets."""
MESSAGE_ID_LENGTH = 32
MAX_LIFETIME = 28 * 24 * 60 * 60
"""Seconds: four weeks are the most that FCM takes (``AndroidConfig.ttl``)."""
RESERVED_KEYS = frozenset({"aps", "from", "link", "message_id", "message_type"})
"""Names in ``data`` that the services or we give a meaning to."""
RESERVED_PREFIXES = ("google", "gcm")


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long a service keeps a notification for a device that is out of reach."""

    seconds: int
    """From 1 to ``MAX_LIFETIME``: with 0 it is dropped unless it can be delivered at once."""
    until: int
    """Seconds since 1970."""

    @classmethod
    def between(cls, now: datetime, valid_until: datetime) -> Lifetime:
        """To the end of a validity, or of what the services keep."""
        seconds = int((valid_until - now).total_seconds())
        seconds = min(max(seconds, 1), MAX_LIFETIME)
        return cls(seconds, int(now.timestamp()) + seconds)


def compact(value: Any) -> bytes:
    """JSON in UTF-8 without white space."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def apns_payload(message_id: str, content: PushContent) -> bytes:
    """Apple's payload; ``link``, ``message_id`` and the data stand beside ``aps``, for the app."""
    payload: dict[str, Any] = {
        "aps": {"alert": {"title": content.title, "body": content.body}, "sound": "default"},
        "message_id": message_id,
        **content.data,
    }
    if content.link:
        payload["link"] = content.link
    return compact(payload)


def fcm_message(
    message_id: str, token: str, content: PushContent, *, lifetime: Lifetime | None = None
) -> dict[str, Any]:
    """Google's ``message`` (FCM HTTP v1). A notification that comes a second time takes the first one's
    place on the device: tag and collapse id are the message's id.

    Args:
        lifetime: how long it is kept for a device that is out of reach; None leaves it to the service.
    """
    data = {"message_id": message_id, **content.data}
    message: dict[str, Any] = {
        "token": token,
        "notification": {"title": content.title, "body": content.body},
        "data": data,
        "android": {"priority": "HIGH", "notification": {"tag": message_id}},
        "apns": {"headers": {"apns-collapse-id": message_id}},
    }
    if content.link:
        data["link"] = content.link
        if content.link.startswith("https://"):
            message["webpush"] = {"fcm_options": {"link": content.link}}
    if lifetime is not None:
        message["android"]["ttl"] = f"{lifetime.seconds}s"
        message["apns"]["headers"]["apns-expiration"] = str(lifetime.until)
        message.setdefault("webpush", {})["headers"] = {"TTL": str(lifetime.seconds)}
    return message


def payload_octets(content: PushContent) -> int:
    """The larger of what the two services count."""
    some_id = "0" * MESSAGE_ID_LENGTH
    google = fcm_message(some_id, "", content)
    counted = {"notification": google["notification"], "data": google["data"]}
    return max(len(apns_payload(some_id, content)), len(compact(counted)))
