"""What a sender does that has to stop while messages are under way."""

from __future__ import annotations

from datetime import datetime

from kundresa.channels.receipts import deferred
from kundresa.spec.messages import Receipt

WIND_UP = 3.0
"""Seconds that a sender which has to stop waits for the answers to what has left: each one that arrives is
one outcome less unknown. Airflow gives a task that it ends longer than that."""
UNANSWERED = "stopped before the answer came"


def not_sent(message_id: str, now: datetime) -> Receipt:
    """It was to leave, and certainly has not: due again at once."""
    return deferred(message_id, None, "stopped before it was sent", now)
