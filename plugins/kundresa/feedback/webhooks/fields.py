"""What stands in the JSON of reports, whatever somebody has put there: the right type, cut, and printable."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from kundresa.feedback.webhooks.reports import NotUnderstood
from kundresa.spec.events import parse_instant
from kundresa.spec.keys import message_ids_in

MAX_TEXT = 500
"""Characters of free texts that are kept."""
MAX_URL = 2_000
MAX_CODE = 20


def parse_body(body: bytes | str) -> Any:
    """
    Raises:
        NotUnderstood: when it is no JSON.
    """
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise NotUnderstood("the body is not JSON") from None


def an_object(value: object) -> Mapping[str, Any]:
    """
    Raises:
        NotUnderstood: when it is none.
    """
    if not isinstance(value, dict):
        raise NotUnderstood("expected an object")
    return value


def part(value: object, *path: str) -> object:
    """What stands under these names, one in another; None where one of them is not there."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def text(value: object, *path: str, most: int = MAX_TEXT) -> str:
    """The text or number under these names, one line of at most ``most`` characters; empty where there is
    none."""
    found = part(value, *path)
    if isinstance(found, bool) or not isinstance(found, str | int | float):
        return ""
    return printable(str(found))[:most]


def printable(value: str) -> str:
    """Line breaks and what else no store takes as spaces."""
    return "".join(each if each.isprintable() else " " for each in value).strip()


def first_of(value: object) -> object:
    """The first one of a list; None of whatever else, and of an empty one."""
    return value[0] if isinstance(value, list) and value else None


def instant(value: object, *path: str) -> datetime | None:
    """ISO 8601 with a zone, or seconds since 1970; None for what is neither."""
    found = part(value, *path)
    if isinstance(found, str):
        return parse_instant(found)
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    try:
        at = datetime.fromtimestamp(found, tz=UTC)
    except (ValueError, OverflowError, OSError):
        return None
    # As parse_instant: beyond these years a change of zone may leave what a datetime can hold.
    return at if 1 < at.year < 9999 else None


def our_message_id(*candidates: str) -> str:
    """The first that may be a message id of ours, within a Message-ID or by itself; empty when none may."""
    return next((found for each in candidates for found in message_ids_in(each)), "")


def id_of(*parts: str) -> str:
    """An event's id made of what it says, for providers that give it none."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
