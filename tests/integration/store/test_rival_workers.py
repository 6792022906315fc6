"""Workers that take the same batch from each other, on both engines: fencing under real concurrency."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from kundresa.delivery import Batch, BatchBusy, LeaseLost, deliver_batch
from kundresa.spec.messages import Content, Message, Receipt, SmsContent
from kundresa.spec.vocabulary import DeliveryPolicy, MessageState
from kundresa.store import Candidate, NewRun, open_store

SIZE = 120
WINDOW = 5
LEASE = timedelta(seconds=0.05)
RIVALS = 3


class Writer:
    def render(self, _row: Mapping[str, Any], /) -> Content:
        return SmsContent("hello")


class Sleepy:
    """Now and then sleeps longer than the lease, as a stalled worker does."""

    def __init__(self, reached: Counter[str], lock: threading.Lock, rng: random.Random) -> None:
        self._reached, self._lock, self._rng = reached, lock, rng

    def send(self, window: Sequence[Message]) -> Iterable[Receipt]:
        for message in window:
            with self._lock:
                self._reached[message.message_id] += 1
            if self._rng.random() < 0.03:
                time.sleep(0.12)
            yield Receipt(message.message_id, MessageState.ACCEPTED)

    def close(self) -> None: ...


def test_rivals_never_send_the_same_message(
    store_url: str, new_run: Callable[..., NewRun], people: Callable[..., list[Candidate]]
) -> None:
    now = datetime.now(tz=UTC)
    rows = [
        {
            "message_id": each.message_id,
            "profile_id": each.profile_id,
            "address": each.message_id,
            "variant": None,
        }
        for each in people(SIZE)
    ]
    with open_store(store_url) as store:
        store.runs.open(new_run(valid_until=now + timedelta(hours=1)))
        store.runs.mark_decided(["winback--1"], at=now)
        store.runs.mark_checked("winback--1")
        store.batches.register("winback--1", "sms", 1, SIZE)
    batch = Batch(
        "winback--1",
        "sms",
        1,
        "news",
        DeliveryPolicy.AT_MOST_ONCE,
        WINDOW,
        now,
        now,
        now + timedelta(hours=1),
    )
    reached: Counter[str] = Counter()
    lock = threading.Lock()
    events: Counter[str] = Counter()
    unexpected: list[BaseException] = []
    end = time.monotonic() + 60

    def work(number: int) -> None:
        rng = random.Random(number)
        with open_store(store_url) as store:
            while time.monotonic() < end:
                try:
                    deliver_batch(
                        store,
                        batch,
                        rows=lambda: iter(rows),
                        renderer=Writer(),
                        open_sender=lambda: Sleepy(reached, lock, rng),
                        owner=f"rival {number}",
                        lease=LEASE,
                        clock=lambda: datetime.now(tz=UTC),
                    )
                except (BatchBusy, LeaseLost) as error:
                    with lock:
                        events[type(error).__name__] += 1
                    time.sleep(rng.uniform(0, 0.03))
                except BaseException as error:
                    unexpected.append(error)
                    raise
                else:
                    return

    rivals = [threading.Thread(target=work, args=(number,)) for number in range(RIVALS)]
    for rival in rivals:
        rival.start()
    for rival in rivals:
        rival.join()
    assert unexpected == []
    assert events["BatchBusy"]
    assert events["LeaseLost"], "no lease was taken over: this test has tested nothing"
    with open_store(store_url) as store:
        assert store.batches.get("winback--1", "sms", 1).finished_at is not None
        lines = [row for page in store.ledger.rows("winback--1") for row in page]
    accepted = {row["message_id"] for row in lines if row["state"] == MessageState.ACCEPTED}
    unknown = {row["message_id"] for row in lines if row["state"] == MessageState.UNKNOWN}
    assert len(accepted) + len(unknown) == len(lines) == SIZE
    assert set(reached.values()) == {1}
    assert accepted <= set(reached) <= accepted | unknown
    assert len(unknown) <= WINDOW * events["LeaseLost"]
