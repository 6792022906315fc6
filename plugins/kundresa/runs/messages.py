"""One message of a run, long after it was sent: what it was decided from, and where it went."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kundresa import warehouse
from kundresa.runs.journey_rows import read_row
from kundresa.settings import Settings
from kundresa.store import Store


def find_message(settings: Settings, store: Store, message_id: str) -> Mapping[str, Any] | None:
    """The decision that a message of the ledger came from, with ``profile`` as it was then; None when the
    ledger or the publications do not have it (any more). A journey keeps the rows of its own messages."""
    line = store.ledger.lines([message_id]).get(message_id)
    if line is None:
        return None
    of_journey = store.journey_messages.get(message_id)
    if of_journey is not None:
        return read_row(of_journey.row_json) if of_journey.row_json else None
    try:
        return warehouse.read_message(settings, line.run_key, line.channel, line.batch_number, message_id)
    except (warehouse.RunNotPublished, KeyError):
        return None
