"""Airflow pools: how much may happen at once. How fast messages leave is ``delivery``'s matter.

Imports no Airflow: what creates the pools reads this too.
"""

from __future__ import annotations

from dataclasses import dataclass

from kundresa.spec.vocabulary import ChannelKind


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool as it should be created; an operator may change ``slots`` at any time."""

    name: str
    slots: int
    description: str


WAREHOUSE = "warehouse"
JOURNEYS = "journeys"

POOLS = (
    # DuckDB takes one writer; a second dbt would wait for the lock inside a worker slot.
    Pool(WAREHOUSE, 1, "dbt runs at once: 1 on DuckDB, more on a server engine"),
    # A run of a journey advances and sends by itself: two of them fill two cores.
    Pool(JOURNEYS, 4, "journeys that are moved at once"),
    *(
        # A batch task needs about 250 MB; beyond the cores, more of them do not send faster.
        Pool(kind.value, 4, f"{kind.value} batches that are sent at once, over all campaigns")
        for kind in ChannelKind
    ),
)
"""Every pool that a DAG of ours names. Deferred tasks (waiting to retry) hold no slot."""
