"""A refusal for good, from the server's words to the next run: who is written to again, and who is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kundresa.spec.vocabulary import MessageState
from kundresa.store import LedgerLine, Store, open_store

from .conftest import Peer, Step, Time
from .newsletter import deliver, open_run

ALIVE, DEAD = "alive@shop.example", "dead@shop.example"
ADDRESSES = (ALIVE, DEAD)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/store.sqlite") as opened:
        yield opened


def run(store: Store, port: int, time: Time, number: int) -> dict[str, LedgerLine]:
    """The ledger's lines by address, after a run to both."""
    run_key = f"winback--{number}"
    open_run(store, run_key, len(ADDRESSES))
    ids = {address: f"{number:016x}{place:016x}" for place, address in enumerate(ADDRESSES)}
    deliver(store, run_key, {key: address for address, key in ids.items()}, port, time)
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
