"""A mailbox that takes nothing for now, from the server's words to the next run: how often it is written
to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from kundresa.channels import account_from_uri, open_sender
from kundresa.delivery import Batch, BatchResult, deliver_batch, withhold_batch
from kundresa.spec.vocabulary import DeliveryPolicy, DeliveryReason, MessageState, Trigger
from kundresa.store import LedgerLine, NewRun, SoftBounceRule, Store, open_store
from kundresa.store.errors import StoreUnavailable
from kundresa.store.inbox_tables import soft_refusals

from .conftest import EMAIL, Peer, Step, Time
from .newsletter import Writer

FULL, OTHER = "full@shop.example", "other@shop.example"
VALID = timedelta(hours=84)
RULE = SoftBounceRule(3, timedelta(days=90))
LEASE = timedelta(seconds=60)


class Shop:
    """Runs to two addresses, one after the other, over a server that answers RCPT to one of them as it is
    told."""

    def __init__(self, store: Store, time: Time, peer: Callable[..., Peer]) -> None:
        self.store, self.time = store, time
        self.answers: dict[str, str] = {}
        """By command, while the full one is written to."""
        self.everybody: dict[str, str] = {}
        """By command, whoever is written to."""
        self.asked = 0
        self._number = 0
        self._is_full: dict[int, bool] = {}
        self.port = peer(self._script).port

    def _script(self, step: Step) -> str | None:
        if step.verb in self.everybody:
            return self.everybody[step.verb]
        if step.verb == "RCPT":
            self._is_full[step.connection] = FULL in step.argument
            self.asked += FULL in step.argument
        if step.verb == "MAIL":
            return self.answers.get("MAIL")
        is_full = self._is_full.get(step.connection, False)
        return self.answers.get(step.verb) if is_full and step.verb in ("RCPT", "END") else None

    def open(self) -> None:
        """The next run."""
        self._number += 1
        self.key = f"winback--{self._number}"
        self.began = self.time.now
        self.store.runs.open(
            NewRun(
                self.key,
                "winback",
                self.began,
                Trigger.MANUAL,
                "{}",
                "0" * 64,
                self.began,
                self.began + VALID,
            )
        )
        self.store.runs.mark_decided([self.key], at=self.began)
        self.store.runs.mark_checked(self.key)
        self.store.batches.register(self.key, "email", 1, 2)
        self.rows: list[dict[str, Any]] = [
            {
                "message_id": f"{self._number:016x}{place:016x}",
                "profile_id": f"p{place}",
                "channel": "email",
                "address": address,
                "variant": None,
            }
            for place, address in enumerate((FULL, OTHER))
        ]

    def deliver(self) -> BatchResult:
        account = account_from_uri(
            f"smtp://127.0.0.1:{self.port}/?security=none&connections=1", name="newsletter"
        )
        return deliver_batch(
            self.store,
            Batch(
                run_key=self.key,
                channel="email",
                number=1,
                topic="news",
                policy=DeliveryPolicy.AT_MOST_ONCE,
                window=10,
                decided_at=self.began,
                not_before=self.began,
                valid_until=self.began + VALID,
                soft_bounces=RULE,
            ),
            rows=lambda: self.rows,
            renderer=Writer(),
            open_sender=lambda: open_sender(EMAIL, account, self.time.clock, run_key=self.key),
            owner="anna",
            lease=LEASE,
            clock=self.time.clock,
        )

    def run(self) -> LedgerLine:
        """Open a run and deliver it until it is finished; what became of the message to the full one."""
        self.open()
        while (again := self.deliver().retry_at) is not None:
            self.time.now = again
        return self.line()

    def line(self) -> LedgerLine:
        key = self.rows[0]["message_id"]
        return self.store.ledger.lines([key])[key]

    def counted(self) -> list[tuple[str, datetime]]:
        query = select(soft_refusals.c.address, soft_refusals.c.refused_at)
        with self.store.database.read() as connection:
            return [tuple(row) for row in connection.execute(query)]

    def suppressed(self) -> list[tuple[str, str]]:
        return [(row["address"], row["reason"]) for row in self.store.suppressions.rows()]


@pytest.fixture
def shop(tmp_path: Path, time: Time, peer: Callable[..., Peer]) -> Iterator[Shop]:
    with open_store(f"sqlite:///{tmp_path}/store.sqlite") as opened:
        yield Shop(opened, time, peer)


@pytest.mark.parametrize("verb", ["RCPT", "END"])
def test_a_full_mailbox_is_left_alone_after_as_many_messages_as_the_rule_has(shop: Shop, verb: str) -> None:
    shop.answers[verb] = "552 5.2.2 mailbox full"
    for number in (1, 2, 3):
        assert shop.suppressed() == []
        line = shop.run()
        assert (line.state, line.reason) == (MessageState.FAILED, DeliveryReason.TEMPORARY_FAILURE)
        assert len(shop.counted()) == number
    assert shop.suppressed() == [(FULL, "soft_bounces")]
    assert shop.run().reason is DeliveryReason.SUPPRESSED_SINCE_DECISION
    assert shop.asked == 3


def test_all_attempts_of_one_message_are_one_refusal(shop: Shop) -> None:
    shop.answers["RCPT"] = "452 4.2.2 mailbox full"
    line = shop.run()
    assert line.reason is DeliveryReason.TEMPORARY_FAILURE
    assert line.attempts == shop.asked > 20
    assert len(shop.counted()) == 1
    shop.run()
    assert shop.suppressed() == []
    shop.run()
    assert shop.suppressed() == [(FULL, "soft_bounces")]


def test_one_that_is_taken_after_some_attempts_is_none_and_ends_those_of_before(shop: Shop) -> None:
    shop.answers["RCPT"] = "452 4.2.2 mailbox full"
    shop.run()
    shop.run()
    shop.open()
    assert shop.deliver().counts[MessageState.DEFERRED] == 1
    shop.answers.clear()
    shop.time.now += timedelta(minutes=5)
    shop.deliver()
    assert shop.line().state is MessageState.ACCEPTED
    assert shop.counted() == []
    shop.answers["RCPT"] = "552 5.2.2 mailbox full"
    shop.run()
    shop.run()
    assert shop.suppressed() == []


@pytest.mark.parametrize("by", ["a late worker", "the end of the run"])
def test_one_that_is_given_up_between_two_attempts_counts_by_its_last_answer(shop: Shop, by: str) -> None:
    shop.answers["RCPT"] = "450 4.2.1 not now"
    shop.open()
    shop.deliver()
    assert shop.counted() == []
    shop.time.now += VALID + timedelta(seconds=1)
    if by == "a late worker":
        assert shop.deliver().retry_at is None
    else:
        withhold_batch(
            shop.store,
            shop.key,
            "email",
            1,
            rows=lambda: shop.rows,
            reason=DeliveryReason.RUN_EXPIRED,
            owner="late",
            lease=LEASE,
            clock=shop.time.clock,
            soft_bounces=RULE,
        )
    assert shop.line().reason is DeliveryReason.TEMPORARY_FAILURE
    assert shop.counted() == [(FULL, shop.time.now)]


@pytest.mark.parametrize(
    ("verb", "answer"),
    [
        ("RCPT", "421 4.3.2 closing"),
        ("RCPT", "451 4.7.1 poor reputation"),
        ("MAIL", "451 4.3.0 busy"),
        ("RCPT", "550 5.7.1 blocked"),
        ("END", "550 5.4.5 Daily SMTP relay limit exceeded for customer."),
        ("END", "554 5.4.6 Too many hops"),
        ("RCPT", "451 4.3.5 Server configuration error"),
        ("END", "452 4.3.1 Insufficient system storage"),
        ("RCPT", "451 4.3.0 <full@shop.example>: Temporary lookup failure"),
    ],
)
def test_what_is_not_about_the_mailbox_is_not_counted(shop: Shop, verb: str, answer: str) -> None:
    shop.answers[verb] = answer
    shop.open()
    shop.deliver()
    shop.time.now += VALID + timedelta(seconds=1)
    shop.deliver()
    assert shop.line().state is MessageState.FAILED
    assert shop.counted() == []


def test_a_server_that_is_down_until_the_end_says_nothing_of_addresses(shop: Shop) -> None:
    shop.port = 1  # nobody listens there
    shop.open()
    shop.deliver()
    shop.time.now += VALID + timedelta(seconds=1)
    shop.deliver()
    assert shop.line().reason is DeliveryReason.TEMPORARY_FAILURE
    assert shop.counted() == []


@pytest.mark.parametrize(
    ("verb", "answer"), [("RCPT", "452 4.2.2 mailbox full"), ("END", "552 5.2.2 mailbox full")]
)
def test_what_is_said_of_everybody_is_not_counted(shop: Shop, verb: str, answer: str) -> None:
    """As by a relay that is broken: nothing of the run is ever taken."""
    shop.everybody[verb] = answer
    for _ in range(3):
        shop.open()
        shop.deliver()
        shop.time.now += VALID
        shop.deliver()
        assert shop.line().reason is DeliveryReason.TEMPORARY_FAILURE
    assert shop.counted() == []
    assert shop.suppressed() == []


def test_who_had_messages_taken_before_is_believed_of_the_last_one(shop: Shop) -> None:
    """The attempts after the first are alone in their window, each over a new connection."""
    shop.answers["RCPT"] = "452 4.2.2 mailbox full"
    shop.open()
    first = shop.deliver()
    assert first.counts == {MessageState.ACCEPTED: 1, MessageState.DEFERRED: 1}
    shop.everybody = {"RCPT": "452 4.2.2 mailbox full"}
    shop.time.now += VALID
    shop.deliver()
    assert shop.line().state is MessageState.FAILED
    assert [address for address, _ in shop.counted()] == [FULL]


@pytest.mark.parametrize("how_often", [1, 2, 1_000])
@pytest.mark.parametrize("what", ["taken", "record"])
def test_a_store_that_falters_when_refusals_are_told_loses_no_receipt(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, what: str, how_often: int
) -> None:
    shop.answers["RCPT"] = "552 5.2.2 mailbox full"
    real, calls = getattr(shop.store.soft_refusals, what), 0

    def falter(**values: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls <= how_often:
            raise StoreUnavailable("lock timeout")
        return real(**values)

    monkeypatch.setattr(shop.store.soft_refusals, what, falter)
    shop.open()
    with pytest.raises(StoreUnavailable):
        shop.deliver()
    lines = shop.store.ledger.lines([row["message_id"] for row in shop.rows])
    assert [lines[row["message_id"]].state for row in shop.rows] == [
        MessageState.FAILED,
        MessageState.ACCEPTED,
    ]
    is_told = what == "taken" or how_often == 1
    assert [address for address, _ in shop.counted()] == [FULL] * is_told


def test_a_store_that_falters_once_does_not_forget_that_an_address_is_dead(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.answers["RCPT"] = "550 5.1.1 no such user"
    real, calls = shop.store.suppressions.add_many, 0

    def falter(**values: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise StoreUnavailable("lock timeout")
        real(**values)

    monkeypatch.setattr(shop.store.suppressions, "add_many", falter)
    shop.open()
    for row, address in zip(shop.rows, (OTHER, FULL), strict=True):  # something has to be taken before
        row["address"] = address
    with pytest.raises(StoreUnavailable):
        shop.deliver()
    key = shop.rows[1]["message_id"]
    assert shop.store.ledger.lines([key])[key].reason is DeliveryReason.ADDRESS_REFUSED
    assert shop.suppressed() == [(FULL, "hard_bounce")]


@pytest.mark.parametrize("by", ["the last attempt", "the end of the run"])
@pytest.mark.parametrize(("answer", "count"), [("452 4.2.2 mailbox full", 1), ("451 4.3.0 busy", 0)])
def test_an_attempt_at_which_nobody_is_asked_leaves_the_last_answer(
    shop: Shop, answer: str, count: int, by: str
) -> None:
    shop.answers["RCPT"] = answer
    shop.open()
    shop.deliver()
    port, shop.port = shop.port, 1  # nobody listens there
    shop.time.now += VALID if by == "the last attempt" else timedelta(hours=1)
    shop.deliver()
    if by == "the end of the run":
        assert shop.line().code is None
        shop.port = port
        shop.time.now += VALID
        shop.deliver()
    assert shop.line().reason is DeliveryReason.TEMPORARY_FAILURE
    assert [address for address, _ in shop.counted()] == [FULL] * count
