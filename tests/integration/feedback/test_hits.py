"""Hits as they are recorded, on both engines: whoever records another at the same moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, func, select

from kundresa.feedback import RawHit, record_hits
from kundresa.spec.machines import ARRIVAL, KNOWN_AFTER
from kundresa.spec.vocabulary import Automation, FeedbackKind, MessageState
from kundresa.store import Store, open_store
from kundresa.store.feedback import is_known_to_be_a_persons
from kundresa.store.inbox import take_turns
from kundresa.store.tables import messages

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MESSAGE = "m" * 32
CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/142.0 Safari/537.36"
SCANNER = Automation.SCANNER


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    with open_store(store_url) as opened:
        yield opened


@pytest.fixture
def line(store: Store) -> Callable[..., None]:
    """Writes the message's line in the ledger; claimed at ``NOW``, and accepted then."""

    def make(**changes: Any) -> None:
        values = {
            "message_id": MESSAGE,
            "run_key": "winback--1",
            "channel": "email",
            "batch_number": 1,
            "profile_id": "p-anna",
            "attempts": 1,
            "state": MessageState.ACCEPTED.value,
            "claimed_at": NOW,
            "settled_at": NOW,
        }
        with store.database.write() as connection:
            connection.execute(messages.insert(), values | changes)

    return make


def click(store: Store, target: str, at: datetime, **changes: Any) -> None:
    hit = RawHit(FeedbackKind.CLICKED, MESSAGE, "GET", CHROME, at, target, **changes)
    record_hits(store, [hit], address_of=lambda *_: "")


def found(store: Store) -> dict[str | None, Automation | None]:
    return {hit.target: hit.automation for hit in store.feedback.hits([MESSAGE])}


@pytest.mark.parametrize(
    ("is_trap", "expected"), [(False, SCANNER), (True, Automation.HONEYPOT)], ids=["arrival", "trap"]
)
def test_two_at_the_same_moment_show_each_other(
    store: Store,
    line: Callable[..., None],
    at_once: Callable[..., None],
    is_trap: bool,
    expected: Automation,
) -> None:
    """Both have come to where they wait for their turn before either is recorded."""
    line()
    at_once(
        lambda connection: _hold_turn(store, connection),
        [
            lambda own: click(own, "https://shop.example/a", NOW + SECOND),
            lambda own: click(own, "https://shop.example/b", NOW + SECOND, is_honeypot=is_trap),
        ],
    )
    assert found(store) == {"https://shop.example/a": SCANNER, "https://shop.example/b": expected}


def _hold_turn(store: Store, connection: Connection) -> None:
    take_turns(store.database, connection)


def test_a_scanner_that_follows_links_before_the_server_has_answered(
    store: Store, line: Callable[..., None]
) -> None:
    line(state=MessageState.CLAIMED.value, settled_at=None)
    click(store, "https://shop.example/a", NOW + SECOND)
    assert [*found(store).values()] == [None]
    click(store, "https://shop.example/b", NOW + ARRIVAL)
    assert [*found(store).values()] == [SCANNER] * 2
    click(store, "https://shop.example/c", NOW + timedelta(hours=4))
    assert [*found(store).values()] == [SCANNER, SCANNER, None]


def test_its_arrival_is_the_answer_once_it_is_there(store: Store, line: Callable[..., None]) -> None:
    line(state=MessageState.CLAIMED.value, settled_at=None)
    late = NOW + ARRIVAL + SECOND
    click(store, "https://shop.example/a", late)
    click(store, "https://shop.example/b", late)
    assert [*found(store).values()] == [None, None]
    with store.database.write() as connection:
        settled = {"state": MessageState.ACCEPTED.value, "settled_at": late + SECOND}
        connection.execute(messages.update().values(settled))
    click(store, "https://shop.example/b", late + ARRIVAL)
    assert [*found(store).items()] == [
        ("https://shop.example/a", SCANNER),
        ("https://shop.example/b", SCANNER),
    ]


def test_what_a_provider_tells_in_batches_is_judged_when_the_last_is_there(
    store: Store, line: Callable[..., None]
) -> None:
    """The limit of ``KNOWN_AFTER``: by then the first is taken for a person's, and acted on."""
    line()
    for number, target in enumerate(("https://shop.example/a", "https://shop.example/b")):
        told = NOW + number * (KNOWN_AFTER + SECOND)
        with store.database.read() as connection:
            known = is_known_to_be_a_persons(told)
            assert connection.execute(select(func.count()).where(known)).scalar_one() == number
        click(store, target, NOW + number * SECOND, provider="esp", received_at=told)
    assert [*found(store).values()] == [SCANNER] * 2
