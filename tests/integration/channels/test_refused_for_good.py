"""A refusal for good, from the server's words to the next run: who is written to again, and who is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from kundresa.channels import account_from_uri, open_sender
from kundresa.delivery import Batch, deliver_batch
from kundresa.spec.messages import EmailContent
from kundresa.spec.vocabulary import DeliveryPolicy, MessageState, Trigger
from kundresa.store import LedgerLine, NewRun, Store, open_store

from .conftest import EMAIL, NOW, Peer, Step, Time

ALIVE, DEAD = "alive@shop.example", "dead@shop.example"
ADDRESSES = (ALIVE, DEAD)


class Writer:
    def render(self, _row: object, /) -> EmailContent:
        return EmailContent("Hi", "<p>x</p>", "x", "https://shop.example/u/x")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/store.sqlite") as opened:
        yield opened


def run(store: Store, port: int, time: Time, number: int) -> dict[str, LedgerLine]:
    """The ledger's lines by address, after a run to both."""
    run_key = f"winback--{number}"
    valid_until = NOW + timedelta(hours=84)
    store.runs.open(NewRun(run_key, "winback", NOW, Trigger.MANUAL, "{}", "0" * 64, NOW, valid_until))
    store.runs.mark_decided([run_key], at=NOW)
    store.runs.mark_checked(run_key)
    store.batches.register(run_key, "email", 1, len(ADDRESSES))
    ids = {address: f"{number:016x}{place:016x}" for place, address in enumerate(ADDRESSES)}
    rows: list[dict[str, Any]] = [
        {"message_id": key, "profile_id": key[-1], "channel": "email", "address": address, "variant": None}
        for address, key in ids.items()
    ]
    account = account_from_uri(f"smtp://127.0.0.1:{port}/?security=none&connections=1", name="newsletter")
    deliver_batch(
        store,
        Batch(
            run_key=run_key,
            channel="email",
            number=1,
            topic="news",
            policy=DeliveryPolicy.AT_MOST_ONCE,
            window=10,
            decided_at=NOW,
            not_before=NOW,
            valid_until=valid_until,
        ),
        rows=lambda: rows,
        renderer=Writer(),
        open_sender=lambda: open_sender(EMAIL, account, time.clock, run_key=run_key),
        owner="anna",
        lease=timedelta(seconds=60),
        clock=time.clock,
    )
    lines = store.ledger.lines(list(ids.values()))
    return {address: lines[key] for address, key in ids.items()}


@pytest.mark.parametrize(
    ("answer", "reason", "is_dead"),
    [
        ("550 5.1.1 no such user", "address_refused", True),
        ("550 no such user", "address_refused", True),
        ("552 5.2.2 mailbox full", "temporary_failure", False),
        ("550 Blocked - see https://www.spamhaus.org/query/ip/192.0.2.4", "message_refused", False),
        ("550 5.2.0 policy", "message_refused", False),
        ("550 mailbox unavailable", "address_refused", False),
        ("550 Account disabled", "address_refused", False),
    ],
)
def test_the_next_run_leaves_out_who_is_dead_and_nobody_else(
    peer: Callable[..., Peer], store: Store, time: Time, answer: str, reason: str, is_dead: bool
) -> None:
    asked: list[str] = []

    def script(step: Step) -> str | None:
        if step.verb != "RCPT":
            return None
        asked.append(step.argument)
        return answer if "dead@" in step.argument else None

    port = peer(script).port
    first = run(store, port, time, 1)
    assert (first[DEAD].state, first[DEAD].reason) == (MessageState.FAILED, reason)
    assert first[ALIVE].state is MessageState.ACCEPTED
    suppressed = [(row["address"], row["reason"], row["source"]) for row in store.suppressions.rows()]
    assert suppressed == ([(DEAD, "hard_bounce", "delivery")] if is_dead else [])
    second = run(store, port, time, 2)
    if is_dead:
        withheld = second[DEAD]
        assert (withheld.state, withheld.reason) == (MessageState.WITHHELD, "suppressed_since_decision")
    else:
        assert second[DEAD].reason == reason
    assert second[ALIVE].state is MessageState.ACCEPTED
    assert sum("dead@" in each for each in asked) == (1 if is_dead else 2)
    assert sum("alive@" in each for each in asked) == 2


def test_a_relay_that_calls_everybody_dead_costs_no_address(
    peer: Callable[..., Peer], store: Store, time: Time
) -> None:
    """As a staging one may: until it has taken a message, nobody knows that it takes any."""
    relay = peer(lambda step: "550 5.1.1 no such user" if step.verb == "RCPT" else None)
    lines = run(store, relay.port, time, 1)
    assert {(line.state, line.reason) for line in lines.values()} == {
        (MessageState.FAILED, "address_refused")
    }
    assert not list(store.suppressions.rows())
