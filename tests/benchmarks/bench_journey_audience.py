"""How fast a business event lets an audience into a journey, and what memory that takes.

A million people wait for a product that is back; the rate allows all of them in the first minute, so that the
engine alone is measured. The same with a tenth of them, for how it grows: each advance takes the next ten
thousand in the order of their places. On SQLite.
"""

from __future__ import annotations

import json
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from bench_journeys import _publish
from report import peak_mb

from kundresa import settings as configuration
from kundresa.journeys import advance
from kundresa.runs.journey_people import JourneyPeople
from kundresa.spec.frozen import freeze
from kundresa.spec.journey import Journey
from kundresa.store import NewEvent, open_store

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
PEOPLE = 1_000_000
JOURNEY = Journey.model_validate(
    {
        "name": "back",
        "owner": "bench",
        "description": "of a benchmark",
        "entry": {
            "event": "product_back",
            "audience": "waiting",
            "entity": "product_id",
            "rate": {"people": 10_000_000, "per": "minute"},
        },
        "topic": "offers",
        "steps": {"pause": {"kind": "wait", "duration": "1d"}},
    }
)


def measure(report, *, people: int | None) -> None:  # type: ignore[no-untyped-def]
    """``people`` is how many wait for the product."""
    size = people or PEOPLE
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        _publish(home, size)
        _publish_waiting(home, {"P1": size, "P2": size // 10})
        settings = configuration.load({"KUNDRESA_HOME": name})
        for product, waiting in (("P2", size // 10), ("P1", size)):
            with (
                open_store(f"sqlite:///{home / f'{product}.sqlite'}") as store,
                JourneyPeople(settings) as known,
            ):
                store.journeys.start("back", freeze(JOURNEY, {}), cursor="", at=NOW)
                data = json.dumps({"product_id": product})
                store.inbox.append([NewEvent("shop", "1", "product_back", "", "", data, NOW, NOW)])
                entered, longest = 0, 0.0
                started = time.perf_counter()
                while True:
                    begun = time.perf_counter()
                    done = advance(store, known, "back", now=NOW)
                    longest = max(longest, time.perf_counter() - begun)
                    entered += done.entered
                    if not done.is_behind:
                        break
                took = time.perf_counter() - started
                assert entered == waiting, entered
                report.add(
                    f"people_per_second_of_{'all' if waiting == size else 'a_tenth'}",
                    entered / took,
                    "1/s",
                    ratio_to="people_per_second_of_a_tenth" if waiting == size else None,
                    peak=peak_mb(),
                    waiting=waiting,
                    longest_advance=f"{longest:.2f} s",
                )


def _publish_waiting(home: Path, products: dict[str, int]) -> None:
    """Who waits for which product, as a build publishes it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    [folder] = (home / "published" / "builds").iterdir()
    total = sum(products.values())
    table = pa.table(
        {
            "segment": pa.array(["waiting"] * total),
            "profile_id": [f"p{each:09}" for size in products.values() for each in range(size)],
            "entity_id": [product for product, size in products.items() for _ in range(size)],
            "exited_at": pa.nulls(total, pa.timestamp("us")),
        }
    )
    file = folder / "segment_memberships" / "data_0.parquet"
    pq.write_table(table, file, row_group_size=122_880)
