"""What a push notification looks like on its way, and how large it is.

Both services refuse more than 4,096 octets: APNs of the whole payload ("Generating a remote notification"),
FCM of notification and data ("About FCM messages").
"""

from __future__ import annotations

import json
from typing import Any

from kundresa.spec.messages import PushContent

MAX_PAYLOAD = 4_096
"""Octets."""
MESSAGE_ID_LENGTH = 32
RESERVED_KEYS = frozenset({"aps", "from", "link", "message_id", "message_type"})
"""Names in ``data`` that the services or we give a meaning to."""
RESERVED_PREFIXES = ("google", "gcm")


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


def fcm_message(message_id: str, token: str, content: PushContent) -> dict[str, Any]:
    """Google's ``message`` (FCM HTTP v1). A notification that comes a second time takes the first one's
    place on the device: tag and collapse id are the message's id."""
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
    return message


def payload_octets(content: PushContent) -> int:
    """The larger of what the two services count."""
    some_id = "0" * MESSAGE_ID_LENGTH
    google = fcm_message(some_id, "", content)
    counted = {"notification": google["notification"], "data": google["data"]}
    return max(len(apns_payload(some_id, content)), len(compact(counted)))
