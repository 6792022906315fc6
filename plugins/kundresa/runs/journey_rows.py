"""The row of a journey's message as text: a retry writes the same message, whatever was published since."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from kundresa.store import JourneyMessage
from kundresa.warehouse import Recipient

_MARK = "~"
"""No column and no property of an event can be called so."""


def row_text(row: dict[str, Any]) -> str:
    """JSON with days, instants and decimals as what they are."""
    return json.dumps(row, separators=(",", ":"), default=_marked)


def read_row(text: str) -> dict[str, Any]:
    """What :func:`row_text` wrote."""
    found: dict[str, Any] = json.loads(text, object_hook=_unmarked)
    return found


def _marked(value: object) -> dict[str, str]:
    # A datetime is a date as well, so it is asked for first.
    for kind, name in ((datetime, "instant"), (date, "day"), (Decimal, "decimal")):
        if isinstance(value, kind):
            return {_MARK: name, "is": value.isoformat() if isinstance(value, date) else str(value)}
    raise TypeError(f"a message's row cannot hold a {type(value).__name__}")


def _unmarked(value: dict[str, Any]) -> Any:
    match value:
        case {"~": "instant", "is": str(text)}:
            return datetime.fromisoformat(text)
        case {"~": "day", "is": str(text)}:
            return date.fromisoformat(text)
        case {"~": "decimal", "is": str(text)}:
            return Decimal(text)
        case _:
            return value


def row_of(message: JourneyMessage, recipient: Recipient, event: Mapping[str, Any]) -> dict[str, Any]:
    """What delivery reads of a message that leaves: a ``send`` decision, and the event."""
    return {
        "message_id": message.message_id,
        "profile_id": message.profile_id,
        "channel": message.channel,
        "address": recipient.address,
        "variant": message.variant,
        "time_zone": recipient.profile.get("time_zone"),
        "profile": dict(recipient.profile),
        "event": dict(event),
        "logical_at": message.reached_at,
    }
