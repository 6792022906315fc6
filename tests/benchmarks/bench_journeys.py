"""How many events a second an advance acts on with a million people inside, and what waiting people cost.

Events are in the inbox already: what the service takes to put them there is measured in ``bench_public``. A
third of them let somebody in, a third let somebody go on, a third are about others. On SQLite.
``asking`` is the same where the entry asks for a column of the profile and a segment; ``late`` with a
lateness and events that come up to two seconds out of order: what is about who may enter late, of the third
that is about others, is kept, and as much that was kept before is removed.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from report import at_least, at_most

from kundresa import settings as configuration
from kundresa.journeys import advance
from kundresa.runs.journey_people import JourneyPeople
from kundresa.spec.frozen import freeze
from kundresa.spec.journey import EventEntry, Journey
from kundresa.store import Advance, NewEvent, Position, Store, open_store
from kundresa.warehouse.people_index import _TABLES
from kundresa.warehouse.published_people import MARTS

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
EVENTS = 120_000
DUE = 10_000
RATE, SECONDS = 5_000, 30
AS_MUCH = 1.5
"""What 10,000 who are due may cost among a million, in times of what they cost alone."""
JOURNEY = Journey.model_validate(
    {
        "name": "cart",
        "owner": "bench",
        "description": "of a benchmark",
        "entry": {"event": "cart_updated", "where": {"event": {"cart_value": {"at_least": 50}}}},
        "topic": "offers",
        "reentrance": "7d",
        "steps": {
            "ordered": {
                "kind": "wait_for",
                "event": "order_placed",
                "within": "30d",
                "next": "thanks",
                "timeout": "end",
            },
            "thanks": {"kind": "wait", "duration": "1d"},
        },
    }
)
ASKING = JOURNEY.model_copy(
    update={
        "entry": EventEntry.model_validate(
            {"event": "cart_updated", "where": {"profile": {"country": "SE"}, "in_segment": ["vip"]}}
        )
    }
)
LATE = JOURNEY.model_copy(update={"lateness": timedelta(minutes=5)})


def _publish(home: Path, people: int) -> None:
    folder = home / "published" / "builds" / "20261123T040000.000000Z"
    folder.mkdir(parents=True)
    with sqlite3.connect(folder / "people.sqlite") as index:
        index.executescript(_TABLES)
        ids = (f"p{each:09}" for each in range(people))
        index.executemany("insert into people values (?, '{}')", ((each,) for each in ids))
        index.executemany(
            "insert into identifiers values ('crm_id', ?, ?)",
            ((f"C{each:09}", f"p{each:09}") for each in range(people)),
        )
    _publish_marts(folder, people)
    pointer = {"build_id": folder.name, "published_at": NOW.isoformat()}
    (home / "published" / "current.json").write_text(json.dumps(pointer))


def _publish_marts(folder: Path, people: int) -> None:
    """What is asked of people, as a build publishes it: every second one is in a segment."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    ids = [f"p{each:09}" for each in range(people)]
    none: list[str] = []
    marts = {
        "profiles": {"profile_id": ids, "country": ["SE" if each % 4 else "NO" for each in range(people)]},
        "segment_memberships": {
            "segment": pa.array(["vip"] * (people // 2)),
            "profile_id": ids[::2],
            "exited_at": pa.nulls(people // 2, pa.timestamp("us")),
        },
        "profile_redirects": {
            "profile_id": pa.array(none, pa.string()),
            "current_profile_id": pa.array(none, pa.string()),
            "redirected_at": pa.array([], pa.timestamp("us")),
        },
    }
    for name in MARTS:
        (folder / name).mkdir()
        table = pa.table(marts.get(name, {"profile_id": pa.array(none, pa.string())}))
        pq.write_table(table, folder / name / "data_0.parquet", row_group_size=122_880)


def _fill(store: Store, inside: int, due: int) -> None:
    """So many people at the first step, of whom some are due an hour later."""
    store.journeys.start("cart", freeze(JOURNEY, {}), cursor="", at=NOW)
    for start in range(0, inside, 50_000):
        positions = [
            Position(
                f"p{each:09}",
                "",
                1,
                1,
                "ordered",
                1,
                NOW,
                NOW,
                NOW + (timedelta(hours=1) if each < due else timedelta(days=30)),
                None,
                None,
                '{"cart_id": "c", "cart_value": 60}',
            )
            for each in range(start, min(start + 50_000, inside))
        ]
        row = store.journeys.require("cart")
        store.journeys.commit("cart", row.generation, Advance(0, "", positions=positions), at=NOW)


def _events(
    inside: int, people: int, source: str, count: int = EVENTS, *, since: datetime = NOW, lag: int = 0
) -> Iterator[NewEvent]:
    """One a millisecond ``since`` then, come at most ``lag`` milliseconds after they happened."""
    pick = random.Random(source)
    for number in range(count):
        kind = number % 3
        who = pick.randrange(inside, people) if kind != 1 else pick.randrange(inside)
        name = "order_placed" if kind else "cart_updated"
        data = '{"order_id": "o"}' if kind else '{"cart_id": "c", "cart_value": 60}'
        at = since + timedelta(milliseconds=number)
        ago = timedelta(milliseconds=pick.randrange(lag) if lag else 0)
        yield NewEvent(source, str(number), name, "crm_id", f"C{who:09}", data, at - ago, at)


def _advance(store: Store, people: JourneyPeople, now: datetime) -> tuple[float, int, int]:
    """Seconds, events and moves of everything there is to do."""
    events = moved = 0
    started = time.perf_counter()
    while True:
        done = advance(store, people, "cart", now=now)
        events, moved = events + done.events, moved + done.moved
        if not done.is_behind:
            return time.perf_counter() - started, events, moved


def measure(report, *, people: int | None) -> None:  # type: ignore[no-untyped-def]
    """``people`` is how many are inside."""
    inside = people or 1_000_000
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        _publish(home, inside * 2)
        settings = configuration.load({"KUNDRESA_HOME": name})
        for what, size in (("few", DUE), ("all", inside)):
            with (
                open_store(f"sqlite:///{home / f'{what}.sqlite'}") as store,
                JourneyPeople(settings) as known,
            ):
                _fill(store, size, DUE)
                with store.database.write() as connection:
                    connection.exec_driver_sql(
                        "update journey_positions set step = 'thanks', "
                        "step_at = '2026-11-22 10:00:00.000000' where due_at < '2026-11-24'"
                    )
                took, _, moved = _advance(store, known, NOW + timedelta(hours=1))
                assert moved == DUE, moved
                ratio = "due_few_inside" if what == "all" else None
                aims = [at_most(AS_MUCH, "ratio")] if ratio else []
                report.add(f"due_{what}_inside", took, "s", ratio_to=ratio, aims=aims, due=DUE, inside=size)
                if what == "all":
                    started = time.perf_counter()
                    counts = store.journey_counts.of("cart")
                    totals = store.journey_counts.totals()
                    assert totals["cart"].inside == sum(each.people for each in counts.steps)
                    report.add("counts_of_a_page", time.perf_counter() - started, "s", inside=inside)
                    _measure_events(report, store, known, inside)


def _measure_events(report, store: Store, known: JourneyPeople, inside: int) -> None:  # type: ignore[no-untyped-def]
    _append(store, list(_events(inside, inside * 2, "first")))
    cpu = time.process_time()
    took, acted, moved = _advance(store, known, NOW + timedelta(hours=2))
    cpu = time.process_time() - cpu
    assert acted == EVENTS, acted
    assert moved > EVENTS * 0.6, moved
    told = {"inside": inside, "moved": moved}
    report.add("events_per_second", acted / took, "1/s", aims=[at_least(RATE)], **told)
    report.add("events_cpu", cpu / acted * 1e6, "µs/event")
    store.journeys.start("cart", freeze(ASKING, {}), cursor="", at=NOW)
    _append(store, list(_events(inside, inside * 2, "second")))
    took, acted, moved = _advance(store, known, NOW + timedelta(hours=2))
    assert acted == EVENTS, acted
    told = {"inside": inside, "moved": moved}
    report.add("events_per_second_asking", acted / took, "1/s", aims=[at_least(RATE)], **told)
    store.journeys.start("cart", freeze(JOURNEY, {}), cursor="", at=NOW)
    _measure_keeping_up(report, store, known, inside)
    _measure_late(report, store, known, inside)


def _measure_late(report, store: Store, known: JourneyPeople, inside: int) -> None:  # type: ignore[no-untyped-def]
    """As many events again, of which a third is kept while those of ten minutes before are removed."""
    store.journeys.start("cart", freeze(LATE, {}), cursor="", at=NOW)
    for what in ("before", "late"):
        since = NOW + timedelta(hours=4, minutes=10 * (what == "late"))
        events = list(_events(inside, inside * 2, what, since=since, lag=2_000))
        _append(store, events)
        cpu = time.process_time()
        took, acted, moved = _advance(store, known, since + timedelta(minutes=2))
        cpu = time.process_time() - cpu
        assert acted == EVENTS, acted
        kept = store.journey_early_events.count("cart")
        assert EVENTS * 0.1 < kept < EVENTS * 0.4, kept
    report.add("events_per_second_late", acted / took, "1/s", ratio_to="events_per_second", moved=moved)
    report.add("events_cpu_late", cpu / acted * 1e6, "µs/event", ratio_to="events_cpu", kept=kept)


def _measure_keeping_up(report, store: Store, known: JourneyPeople, inside: int) -> None:  # type: ignore[no-untyped-def]
    """Another process appends events at a steady rate, as the service does, while this one advances."""
    before = store.journeys.require("cart").event_position
    writer = multiprocessing.get_context("fork").Process(
        target=_write, args=(store.database.url.render_as_string(), inside)
    )
    writer.start()
    lags = []
    while True:
        is_writing = writer.is_alive()
        end = store.inbox.end()
        done = advance(store, known, "cart", now=NOW + timedelta(hours=3))
        lags.append((end - store.journeys.require("cart").event_position + done.events) / RATE)
        if not is_writing and not done.is_behind and not done.events:
            break
    writer.join()
    assert writer.exitcode == 0
    assert store.journeys.require("cart").event_position - before >= RATE * SECONDS
    report.add("lag_p95", statistics.quantiles(lags, n=20)[18], "s", per_second=RATE, seconds=SECONDS)


def _write(url: str, inside: int) -> None:
    with open_store(url) as store:
        events = _events(inside, inside * 2, "third", RATE * SECONDS)
        started = time.monotonic()
        for number in range(SECONDS * 10):
            store.inbox.append([*itertools.islice(events, RATE // 10)])
            wait = started + (number + 1) / 10 - time.monotonic()
            time.sleep(max(0.0, wait))
        took = time.monotonic() - started
        assert took < SECONDS * 1.1, f"{RATE} events a second could not be written: {took:.1f} s"


def _append(store: Store, events: Sequence[NewEvent]) -> None:
    for start in range(0, EVENTS, 5_000):
        store.inbox.append(events[start : start + 5_000])
