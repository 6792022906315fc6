"""Messages of a run, long after they were sent: what they were decided from, and where they went."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from kundresa import warehouse
from kundresa.runs.journey_rows import read_row
from kundresa.settings import Settings
from kundresa.store import LedgerLine, Store


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


def addresses_of(settings: Settings, store: Store, lines: Iterable[LedgerLine]) -> dict[str, str]:
    """Where these messages of the ledger went, by message id, without those of which it is not kept. The
    files of each batch are read once."""
    of_batch: defaultdict[tuple[str, str, int], list[str]] = defaultdict(list)
    for line in lines:
        of_batch[line.run_key, line.channel, line.batch_number].append(line.message_id)
    found: dict[str, str] = {}
    for batch, message_ids in of_batch.items():
        try:
            found |= warehouse.read_addresses(settings, *batch, message_ids)
        # A journey's, whose rows the store keeps; or a seed, or a run whose publication is gone.
        except (warehouse.RunNotPublished, KeyError):
            for message_id in message_ids:
                row = find_message(settings, store, message_id)
                if row is not None:
                    found[message_id] = str(row["address"])
    return found
