"""A bench for deliveries: a real store on SQLite, and a provider that remembers what reached it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kundresa.content.errors import RenderError
from kundresa.delivery import Batch, BatchResult, deliver_batch, withhold_batch
from kundresa.spec.messages import Content, Message, Receipt, SmsContent
from kundresa.spec.vocabulary import DeliveryPolicy, DeliveryReason, MessageState, Trigger
from kundresa.store import LedgerLine, NewRun, Store, open_store

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
RUN = "winback--1"


class Clock:
    """Time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **units: float) -> None:
        self.now += timedelta(**units)


class Writer:
    """Renders a row's name; the name ``broken`` cannot be rendered."""

    def render(self, row: Mapping[str, Any], /) -> Content:
        if row["profile"]["first_name"] == "broken":
            raise RenderError("hello.txt.j2:1: no such column")
        return SmsContent(f"Hello {row['profile']['first_name']}")


class Provider:
    """Takes messages one by one. ``answers`` may say otherwise for one: a receipt, or an exception to
    raise, ``before`` or ``after`` the message has reached it."""

    def __init__(self) -> None:
        self.reached: Counter[str] = Counter()
        self.before: Callable[[Message], Receipt | None] = lambda _: None
        self.after: Callable[[Message], Receipt | None] = lambda _: None
        self.opened = 0
        self.closed = 0
        self.windows: list[int] = []

    def open(self) -> Provider:
        self.opened += 1
        return self

    def send(self, window: Sequence[Message]) -> Iterable[Receipt]:
        self.windows.append(len(window))
        for message in window:
            receipt = self.before(message)
            if receipt is None:
                self.reached[message.message_id] += 1
                receipt = self.after(message) or Receipt(
                    message.message_id,
                    MessageState.ACCEPTED,
                    provider_id=f"q{message.message_id}",
                    code="250",
                )
            yield receipt

    def close(self) -> None:
        self.closed += 1


class Bench:
    """One run with one batch, and a worker to deliver it."""

    def __init__(
        self,
        store: Store,
        *,
        count: int = 10,
        window: int = 4,
        policy: DeliveryPolicy = DeliveryPolicy.AT_MOST_ONCE,
    ) -> None:
        self.store = store
        self.clock = Clock()
        self.provider = Provider()
        self.batch = Batch(
            run_key=RUN,
            channel="sms",
            number=1,
            topic="news",
            policy=policy,
            window=window,
            decided_at=NOW,
            not_before=NOW,
            valid_until=NOW + timedelta(hours=84),
        )
        self.rows = [self.row(each) for each in range(count)]
        self.rows.sort(key=lambda row: row["message_id"])
        spec = json.dumps({})
        store.runs.open(
            NewRun(RUN, "winback", NOW, Trigger.MANUAL, spec, "0" * 64, NOW, self.batch.valid_until)
        )
        store.runs.mark_decided([RUN], at=NOW)
        store.runs.mark_checked(RUN)
        store.batches.register(RUN, "sms", 1, count)

    def row(self, number: int) -> dict[str, Any]:
        return {
            "message_id": hashlib.md5(str(number).encode()).hexdigest(),
            "profile_id": f"p{number}",
            "channel": "sms",
            "address": f"+4670000{number:04}",
            "variant": None,
            "profile": {"first_name": f"Åsa {number}"},
        }

    def deliver(self, owner: str = "anna", **changes: Any) -> BatchResult:
        values: dict[str, Any] = {
            "rows": lambda: iter(self.rows),
            "renderer": Writer(),
            "open_sender": self.provider.open,
            "owner": owner,
            "lease": timedelta(seconds=60),
            "clock": self.clock,
        }
        return deliver_batch(changes.pop("books", self.store), self.batch, **values | changes)

    def withhold(self, reason: DeliveryReason, owner: str = "anna") -> int:
        return withhold_batch(
            self.store,
            RUN,
            "sms",
            1,
            rows=lambda: iter(self.rows),
            reason=reason,
            owner=owner,
            lease=timedelta(seconds=60),
            clock=self.clock,
        )

    @property
    def ids(self) -> list[str]:
        return [row["message_id"] for row in self.rows]

    def lines(self) -> dict[str, LedgerLine]:
        return self.store.ledger.lines(self.ids)

    def states(self) -> dict[MessageState, int]:
        return dict(self.store.ledger.tally(RUN, "sms", 1).counts)

    def reasons(self) -> Counter[tuple[str, str | None]]:
        return Counter(
            (line.state.value, line.reason and line.reason.value) for line in self.lines().values()
        )


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("migrated") / "store.sqlite"
    open_store(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def make_bench(migrated_file: Path, tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """Each call makes a new store; all are closed at the end."""
    with ExitStack() as opened:
        made: list[Path] = []

        def make(**options: Any) -> Bench:
            path = tmp_path / f"store-{len(made)}.sqlite"
            made.append(path)
            shutil.copy(migrated_file, path)
            return Bench(opened.enter_context(open_store(f"sqlite:///{path}", busy_seconds=2)), **options)

        yield make


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    """Ten people in windows of four, at most once."""
    return make_bench()
