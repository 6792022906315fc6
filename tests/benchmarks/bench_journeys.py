"""How many events a second an advance acts on with a million people inside, and what waiting people cost:
``--people 10000000`` for ten million.

Events are in the inbox already: what the service takes to put them there is measured in ``bench_public``. A
third of them let somebody in, a third let somebody go on, a third are about others.

``due_all_inside`` over ``due_few_inside``: 10,000 who are due among all of them, against 10,000 who are
alone. ``one_found`` and ``one_let_in`` are what one person costs: to find where they are, as ``kundresa
journey explain`` does, and to enter by name, durably, as each ``POST /messages`` does.
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

import stores
from report import at_least, at_most
from stores import StoreServer

from kundresa import settings as configuration
from kundresa.journeys import Asked, Versions, advance, enter_asked
from kundresa.runs.journey_people import JourneyPeople
from kundresa.spec.frozen import freeze
from kundresa.spec.journey import EventEntry, Journey
from kundresa.store import Advance, MessageRequest, NewEvent, Position, Store, open_store
from kundresa.warehouse.people_index import _TABLES
from kundresa.warehouse.published_people import MARTS

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
EVENTS = 120_000
DUE = 10_000
RATE, SECONDS = 5_000, 30
AS_MUCH = 1.5
"""What 10,000 who are due may cost among all, in times of what they cost alone: the same, and the pages of a
tree that is a level or two higher. What went through all who wait would cost tens of times as much among a
million, and hundreds among ten."""
LAG_P95 = 2
"""Seconds that an event may wait until it is acted on: README's "a second or two behind", and a fifth of the
ten that all of the way to a message's server may take at the most (p95)."""
TRIES = 200
ONE = 2
"""What one person may cost among all (p50), in times of what one costs among few: a page or two more are
looked at, and the caches of processor and system hold no longer everything."""
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


def measure(report, *, people: int | None, store: str) -> None:  # type: ignore[no-untyped-def]
    """``people`` is how many are inside."""
    inside = people or 1_000_000
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        _publish(home, inside * 2)
        settings = configuration.load({"KUNDRESA_HOME": name})
        for what, size in (("few", DUE), ("all", inside)):
            with (
                stores.of_engine(store, home / f"{what}.sqlite") as server,
                open_store(server.url) as own,
                JourneyPeople(settings) as known,
            ):
                _fill(own, size, DUE)
                _measure_due(report, own, known, what, size)
                _measure_one(report, own, known, what, size)
                if what == "all":
                    _measure_counts(report, own, inside)
                    _measure_events(report, own, server, known, inside)


def _measure_due(report, store: Store, known: JourneyPeople, what: str, size: int) -> None:  # type: ignore[no-untyped-def]
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


def _measure_counts(report, store: Store, inside: int) -> None:  # type: ignore[no-untyped-def]
    started = time.perf_counter()
    counts = store.journey_counts.of("cart")
    totals = store.journey_counts.totals()
    assert totals["cart"].inside == sum(each.people for each in counts.steps)
    report.add("counts_of_a_page", time.perf_counter() - started, "s", inside=inside)


def _measure_one(report, store: Store, known: JourneyPeople, what: str, inside: int) -> None:  # type: ignore[no-untyped-def]
    pick = random.Random("one of all")
    whom = [f"p{each:09}" for each in pick.sample(range(inside), TRIES)]
    found = []
    for profile_id in whom:
        started = time.perf_counter()
        [position] = store.journey_positions.of("cart", [profile_id])
        store.journey_positions.moves("cart", profile_id)
        found.append((time.perf_counter() - started) * 1_000)
        assert position.profile_id == profile_id
    row = store.journeys.require("cart")
    versions = Versions(row.version, store.journeys.versions("cart"))
    let_in = []
    for number, profile_id in enumerate(whom):
        request = MessageRequest(
            f"r{number}", "bench", str(number), "hash", "cart", profile_id, None, None, NOW
        )
        started = time.perf_counter()
        asked = [Asked(profile_id, request.request_id, "{}")]
        [into] = enter_asked(store, known, versions, asked, now=NOW)
        new = store.journeys.enter("cart", row.version, [(request, into)], at=NOW)
        let_in.append((time.perf_counter() - started) * 1_000)
        assert new == {request.request_id}
    for name, took in (("found", found), ("let_in", let_in)):
        few = f"one_{name}_among_few" if what == "all" else None
        aims = [at_most(ONE, "ratio")] if few else []
        p50 = statistics.median(took)
        report.add(f"one_{name}_among_{what}", p50, "ms", ratio_to=few, aims=aims, inside=inside, tries=TRIES)


def _measure_events(report, store: Store, server: StoreServer, known: JourneyPeople, inside: int) -> None:  # type: ignore[no-untyped-def]
    _append(store, list(_events(inside, inside * 2, "first")))
    cpu, store_cpu = time.process_time(), server.cpu_seconds()
    took, acted, moved = _advance(store, known, NOW + timedelta(hours=2))
    cpu, store_cpu = time.process_time() - cpu, server.cpu_seconds() - store_cpu
    assert acted == EVENTS, acted
    assert moved > EVENTS * 0.6, moved
    told = {"inside": inside, "moved": moved}
    report.add("events_per_second", acted / took, "1/s", aims=[at_least(RATE)], **told)
    report.add("events_cpu", cpu / acted * 1e6, "µs/event")
    if store_cpu:
        report.add("events_store_cpu", store_cpu / acted * 1e6, "µs/event")
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
    context = multiprocessing.get_context("fork")
    took = context.Value("d", 0.0)
    url = store.database.url.render_as_string()
    writer = context.Process(target=_write, args=(url, inside, took))
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
    # A tenth less: the lag of fewer events would be of something else.
    written = RATE * SECONDS / took.value
    report.add("written_per_second", written, "1/s", aims=[at_least(RATE / 1.1)], seconds=SECONDS)
    p95 = statistics.quantiles(lags, n=20)[18]
    report.add("lag_p95", p95, "s", aims=[at_most(LAG_P95)], per_second=RATE, seconds=SECONDS)


def _write(url: str, inside: int, took) -> None:  # type: ignore[no-untyped-def]
    """Writes events at their rate, or as fast as it can; ``took`` is how many seconds that was."""
    with open_store(url) as store:
        events = _events(inside, inside * 2, "third", RATE * SECONDS)
        started = time.monotonic()
        for number in range(SECONDS * 10):
            store.inbox.append([*itertools.islice(events, RATE // 10)])
            wait = started + (number + 1) / 10 - time.monotonic()
            time.sleep(max(0.0, wait))
        took.value = time.monotonic() - started


def _append(store: Store, events: Sequence[NewEvent]) -> None:
    for start in range(0, EVENTS, 5_000):
        store.inbox.append(events[start : start + 5_000])
