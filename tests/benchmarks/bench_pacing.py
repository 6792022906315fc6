"""What keeping an account's pace costs per window of 100 messages, on SQLite.

The sender answers at once and the pace is never reached: what is measured is the ledger, and what a pace adds
to it. The ways take turns, batch by batch, and each figure is the median of its rounds.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from kundresa.delivery import Batch, Pacing, deliver_batch
from kundresa.spec.messages import Content, Message, Receipt, SmsContent
from kundresa.spec.pace import FASTEST, WHOLE_ACCOUNT
from kundresa.spec.vocabulary import DeliveryPolicy, MessageState, Trigger
from kundresa.store import NewRun, Store, open_store

WINDOW = 100
ROUNDS = 9
WAYS: Mapping[str, Mapping[str, float] | None] = {
    "not asked": None,
    "no pace": {},
    "a pace": {WHOLE_ACCOUNT: FASTEST},
    "a pace and 20 domains": {WHOLE_ACCOUNT: FASTEST, **{f"d{each}.example": FASTEST for each in range(20)}},
}


class Writer:
    def render(self, _row: Mapping[str, Any], /) -> Content:
        return SmsContent("hello")


class Instant:
    def send(self, window: Sequence[Message]) -> Iterable[Receipt]:
        for message in window:
            yield Receipt(message.message_id, MessageState.ACCEPTED)

    def close(self) -> None: ...


def clock() -> datetime:
    return datetime.now(tz=UTC)


def deliver(store: Store, number: int, size: int, rates: Mapping[str, float] | None) -> float:
    """Seconds for one batch."""
    store.batches.register("bench--1", "email", number, size)
    now = clock()
    batch = Batch(
        run_key="bench--1",
        channel="email",
        number=number,
        topic="news",
        policy=DeliveryPolicy.AT_MOST_ONCE,
        window=WINDOW,
        decided_at=now,
        not_before=now,
        valid_until=now + timedelta(hours=1),
    )
    rows = [
        {
            "message_id": f"{number:04}{each:028}",
            "profile_id": f"p{each}",
            "address": f"p{each}@d{each % 40}.example",
            "variant": None,
        }
        for each in range(size)
    ]
    started = time.perf_counter()
    result = deliver_batch(
        store,
        batch,
        rows=lambda: iter(rows),
        renderer=Writer(),
        open_sender=Instant,
        owner="bench",
        lease=timedelta(seconds=60),
        clock=clock,
        pacing=None if rates is None else Pacing("newsletter", rates),
    )
    seconds = time.perf_counter() - started
    if result.counts != {MessageState.ACCEPTED: size}:
        raise RuntimeError(f"not all were accepted: {result.counts}")
    return seconds


def measure(report, *, people: int | None) -> None:  # type: ignore[no-untyped-def]
    """``people`` is the messages of a batch."""
    size = people or 5_000
    taken: dict[str, list[float]] = {name: [] for name in WAYS}
    with (
        tempfile.TemporaryDirectory() as folder,
        open_store(f"sqlite:///{Path(folder) / 'store.sqlite'}") as store,
    ):
        now = clock()
        until = now + timedelta(hours=1)
        store.runs.open(NewRun("bench--1", "bench", now, Trigger.MANUAL, "{}", "0" * 64, now, until))
        store.runs.mark_decided(["bench--1"], at=now)
        store.runs.mark_checked("bench--1")
        number = 0
        for turn in range(ROUNDS + 1):
            for name, rates in WAYS.items():
                number += 1
                seconds = deliver(store, number, size, rates)
                if turn:  # the first of each opens connections
                    taken[name].append(seconds)
    windows = size / WINDOW
    for name, seconds_of in taken.items():
        milliseconds = 1_000 * statistics.median(seconds_of) / windows
        report.add(name, milliseconds, "ms a window", ratio_to=None if name == "not asked" else "not asked")
