"""What the inbox says of events that it is offered, on both engines."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy

from kundresa.store import Appended, NewEvent, Store, open_store

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
NEW, KNOWN, CONFLICTING = Appended.NEW, Appended.KNOWN, Appended.CONFLICTING
SECOND = timedelta(seconds=1)


def event(number: int = 1, data: str = '{"value":1}') -> NewEvent:
    """One that happened a minute before it came."""
    return NewEvent("shop", f"e{number}", "cart", "email", "anna", data, NOW - 60 * SECOND, NOW)


def contents(store: Store) -> list[tuple[str, str, str]]:
    return [(each.source, each.event_id, each.data_json) for each in store.inbox.after(0, 10_000)]


def test_new_ones_are_in_it_in_their_order(store: Store) -> None:
    some = [event(number) for number in (3, 1, 2)]
    assert store.inbox.append(some) == [NEW] * 3
    assert [each.event_id for each in store.inbox.after(0, 10)] == ["e3", "e1", "e2"]
    assert store.inbox.append([]) == []
    (first, *_) = store.inbox.after(0, 1)
    assert (first.occurred_at, first.received_at) == (NOW - 60 * SECOND, NOW)


def test_what_is_told_again_is_known_among_new_ones(store: Store) -> None:
    store.inbox.append([event(1), event(2)])
    again = [replace(event(number), received_at=NOW + SECOND) for number in (0, 2, 3, 1)]
    assert store.inbox.append(again) == [NEW, KNOWN, NEW, KNOWN]
    assert [each[1] for each in contents(store)] == ["e1", "e2", "e0", "e3"]
    assert store.inbox.append(again) == [KNOWN] * 4


@pytest.mark.parametrize(
    "change",
    [
        {"event_type": "order"},
        {"namespace": "crm_id"},
        {"identifier": "eva"},
        {"data_json": '{"value":2}'},
        {"data_json": '{"value":1,"more":null}'},
        {"occurred_at": NOW - 59 * SECOND},
    ],
)
def test_another_content_under_a_known_id_is_told_apart_and_the_first_stands(
    store: Store, change: dict[str, object]
) -> None:
    store.inbox.append([event(1)])
    before = contents(store)
    other = replace(event(1), **change)  # type: ignore[arg-type]
    assert store.inbox.append([other, event(1), event(2)]) == [CONFLICTING, KNOWN, NEW]
    assert contents(store) == [*before, ("shop", "e2", '{"value":1}')]
    # Within one batch the first is the one that stands, whoever had been there before.
    assert store.inbox.append([replace(other, event_id="e3"), replace(event(1), event_id="e3")]) == [
        NEW,
        CONFLICTING,
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"data_json": '{ "value": 1.0 }'},
        {"received_at": NOW + SECOND},
        # Without a time of its own: it happened when it came.
        {"occurred_at": NOW + 9 * SECOND, "received_at": NOW + 9 * SECOND},
    ],
)
def test_the_same_in_other_words_is_no_conflict(store: Store, change: dict[str, object]) -> None:
    store.inbox.append([event(1)])
    assert store.inbox.append([replace(event(1), **change)]) == [KNOWN]  # type: ignore[arg-type]


def test_the_order_of_the_fields_says_nothing(store: Store) -> None:
    store.inbox.append([event(1, '{"a":1,"b":[1,2]}')])
    assert store.inbox.append([event(1, '{"b":[1,2],"a":1}'), event(1, '{"b":[2,1],"a":1}')]) == [
        KNOWN,
        CONFLICTING,
    ]


def test_one_object_twice_is_new_and_known(store: Store) -> None:
    one = event(1)
    assert store.inbox.append([one, one]) == [NEW, KNOWN]


def test_a_whole_batch_is_looked_up_by_the_index(store: Store) -> None:
    """Of what is told again as many rows are read as are offered, however many there are."""
    some = [event(number) for number in range(2_000)]
    store.inbox.append(some)
    offered = [replace(each, identifier="bo") if number % 2 else each for number, each in enumerate(some)]
    assert store.inbox.append(offered) == [KNOWN, CONFLICTING] * 1_000
    assert store.inbox.count() == 2_000


def test_of_those_who_tell_at_the_same_time_one_is_new(store: Store) -> None:
    told: list[list[Appended]] = []
    barrier = threading.Barrier(4)

    def tell(events: Sequence[NewEvent]) -> None:
        barrier.wait()
        told.append(store.inbox.append(events))

    threads = [
        threading.Thread(target=tell, args=([event(0, f'{{"value":{who // 2}}}'), event(who + 1)],))
        for who in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(each for each, _ in told) == sorted([NEW, KNOWN, CONFLICTING, CONFLICTING])
    assert [each for _, each in told] == [NEW] * 4
    assert store.inbox.count() == 5


@pytest.mark.parametrize("store_url", ["postgresql"], indirect=True)
def test_what_is_forgotten_while_it_is_told_again_is_in_it(store: Store, store_url: str) -> None:
    """Retention takes no turn: what was there when the others were added is gone when it is looked at. On
    SQLite it would have to wait for the end of the transaction."""
    store.inbox.append([event(1), event(2)])
    engine = store.database.engine
    looked = []

    def forget(*told: Any) -> None:
        if "cross join events" in told[2] and not looked:
            looked.append(told[2])
            with open_store(store_url) as own:
                own.retention.forget_events(NOW + SECOND)

    sqlalchemy.event.listen(engine, "before_cursor_execute", forget)
    try:
        told = store.inbox.append([event(3), event(1), event(2, '{"value":2}')])
    finally:
        sqlalchemy.event.remove(engine, "before_cursor_execute", forget)
    assert looked
    assert told == [NEW, NEW, NEW]
    assert [each[1:] for each in contents(store)] == [
        ("e3", '{"value":1}'),
        ("e1", '{"value":1}'),
        ("e2", '{"value":2}'),
    ]
