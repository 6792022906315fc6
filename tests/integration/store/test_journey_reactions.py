"""What a journey hears of what people do about its messages, and how far it has read, on both engines."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event

from kundresa.spec.frozen import FrozenSpec
from kundresa.spec.machines import KNOWN_AFTER
from kundresa.spec.vocabulary import FeedbackKind, JourneyState
from kundresa.store import Advance, NewFeedback, NewMessage, Reaction, Store

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
SECOND = timedelta(seconds=1)
CLICKED, OPENED = FeedbackKind.CLICKED, FeedbackKind.OPENED


@pytest.fixture
def journeys(store: Store) -> Store:
    """``cart`` with the messages m1 and m2, and ``other`` with m3."""
    for journey, numbers in (("cart", (1, 2)), ("other", (3,))):
        store.journeys.start(journey, FrozenSpec("{}", "a" * 64), cursor="", at=NOW)
        messages = [
            NewMessage(
                *(f"m{each}", 1, "say", f"p{each}", "", 1, 1, NOW, NOW + timedelta(hours=1)),
                *("email", f"{journey}.say--1", "{}", "offers", None),
            )
            for each in numbers
        ]
        store.journeys.commit(journey, 0, Advance(0, "", messages=messages), at=NOW)
    return store


def tell(store: Store, *told: tuple[int, FeedbackKind], at: datetime = NOW) -> int:
    """Message and kind; returns where the feedback ends then."""
    start = store.feedback.end()
    store.feedback.record(
        [
            NewFeedback(
                feedback_key=f"f{start + number}",
                kind=kind,
                channel="email",
                provider="link",
                message_id=f"m{message}",
                occurred_at=at,
                received_at=at,
            )
            for number, (message, kind) in enumerate(told)
        ]
    )
    return store.feedback.end()


def unread(store: Store, now: datetime, limit: int = 100) -> tuple[list[tuple[str, str]], int, int]:
    found = store.journey_reactions.unread(store.journeys.require("cart"), now=now, limit=limit)
    told = [(each.profile_id, each.kind) for each in found.reactions]
    return told, found.feedback_position, found.click_position


def read_on(store: Store, now: datetime, limit: int = 100) -> list[tuple[str, str]]:
    """As an advance does."""
    told, feedback_position, click_position = unread(store, now, limit)
    row = store.journeys.require("cart")
    advance = Advance(0, "", feedback_position=feedback_position, click_position=click_position)
    store.journeys.commit("cart", row.generation, advance, at=now)
    return told


def test_a_click_is_read_when_it_is_known_and_everything_else_at_once(journeys: Store) -> None:
    tell(journeys, (1, CLICKED), (2, OPENED), (3, OPENED))
    assert read_on(journeys, NOW) == [("p2", "opened")]
    assert read_on(journeys, NOW + KNOWN_AFTER - SECOND) == []
    assert read_on(journeys, NOW + KNOWN_AFTER) == [("p1", "clicked")]
    assert read_on(journeys, NOW + 2 * KNOWN_AFTER) == []


def test_who_turns_out_to_be_a_scanner_is_not_read(journeys: Store) -> None:
    first = tell(journeys, (1, CLICKED))
    tell(journeys, (2, CLICKED))
    journeys.feedback.record_hits([], lambda _: ([], [first]))
    assert read_on(journeys, NOW + KNOWN_AFTER) == [("p2", "clicked")]


def test_pages_miss_nothing(journeys: Store) -> None:
    tell(journeys, *((1 + number % 3, CLICKED) for number in range(10)))
    tell(journeys, *((1 + number % 3, OPENED) for number in range(10)))
    found = [each for _ in range(9) for each in read_on(journeys, NOW + KNOWN_AFTER, limit=2)]
    assert sorted(found) == sorted(
        (f"p{1 + number % 3}", kind)
        for kind in ("clicked", "opened")
        for number in range(10)
        if number % 3 < 2
    )


def test_a_click_of_a_service_whose_clock_is_ahead_holds_up_those_behind_it_until_it_is_known(
    journeys: Store,
) -> None:
    tell(journeys, (1, CLICKED), at=NOW + 10 * SECOND)
    tell(journeys, (2, CLICKED), at=NOW)
    assert read_on(journeys, NOW + KNOWN_AFTER) == []
    assert read_on(journeys, NOW + KNOWN_AFTER + 10 * SECOND) == [("p1", "clicked"), ("p2", "clicked")]


def test_of_people_all_is_told_that_is_known(journeys: Store) -> None:
    tell(journeys, (1, CLICKED), (1, OPENED), (2, OPENED))

    def of(now: datetime) -> list[str]:
        found: list[Reaction] = journeys.journey_reactions.of("cart", ["p1"], now=now)
        return [each.kind for each in found]

    assert of(NOW) == ["opened"]
    assert of(NOW + KNOWN_AFTER) == ["clicked", "opened"]


def test_it_is_read_to_the_end_of_what_was_looked_at(journeys: Store) -> None:
    """Whoever it is about: the next look begins behind it."""
    own = tell(journeys, (1, OPENED))
    end = tell(journeys, (3, OPENED), (3, CLICKED), (3, OPENED))
    assert unread(journeys, NOW)[1:] == (end, 0)
    assert unread(journeys, NOW, limit=1)[1:] == (own, 0)
    assert unread(journeys, NOW + KNOWN_AFTER)[1:] == (end, end)
    assert read_on(journeys, NOW + KNOWN_AFTER) == [("p1", "opened")]
    # A clock that was set back takes nothing back.
    assert unread(journeys, NOW - KNOWN_AFTER) == ([], end, end)


def test_what_is_passed_by_is_not_gone_through_again(journeys: Store) -> None:
    end = tell(journeys, *((3, kind) for kind in (CLICKED, OPENED) for _ in range(5)))
    row = journeys.journeys.require("cart")
    found = journeys.journey_reactions.unread(row, now=NOW + KNOWN_AFTER, limit=1)
    journeys.journeys.pass_by(row, 7, found)
    now = journeys.journeys.require("cart")
    assert (now.event_position, now.feedback_position, now.click_position) == (7, end, end)
    assert now.generation == row.generation
    journeys.journeys.pause("cart", JourneyState.HELD, cursor="", at=NOW)
    journeys.journeys.pass_by(row, 8, found)
    assert journeys.journeys.require("cart").event_position == 7


def test_a_reader_misses_nothing_of_what_is_recorded_meanwhile(journeys: Store) -> None:
    """Many who record, each in a transaction of its own, and a journey that reads to the end again and again:
    what is committed late must not be behind it."""
    writers, each = 4, 25
    finished = threading.Event()

    def write(name: int) -> None:
        for number in range(each):
            kind = (CLICKED, OPENED)[number % 2]
            told = NewFeedback(
                feedback_key=f"{name}/{number}",
                kind=kind,
                channel="email",
                provider="link",
                message_id=f"m{1 + number % 3}",
                occurred_at=NOW,
                received_at=NOW,
            )
            journeys.feedback.record([told])

    seen: list[tuple[str, str]] = []

    def read() -> None:
        while True:
            is_last = finished.is_set()
            seen.extend(read_on(journeys, NOW + KNOWN_AFTER))
            if is_last:
                return

    threads = [threading.Thread(target=write, args=(name,)) for name in range(writers)]
    reader = threading.Thread(target=read)
    for thread in (*threads, reader):
        thread.start()
    for thread in threads:
        thread.join()
    finished.set()
    reader.join()
    expected = [
        (f"p{1 + number % 3}", ("clicked", "opened")[number % 2])
        for number in range(each)
        if number % 3 < 2
        for _ in range(writers)
    ]
    assert sorted(seen) == sorted(expected)


def test_a_look_begins_with_the_feedback_and_finds_the_message_by_its_key(journeys: Store) -> None:
    """And not with all the messages that the journey ever had."""
    asked = []

    def note(_connection: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        asked.append((statement, parameters))

    tell(journeys, (3, OPENED), (3, CLICKED))
    engine = journeys.database.engine
    if not journeys.database.is_sqlite:
        pytest.skip("how PostgreSQL goes about it depends on what it has counted")
    event.listen(engine, "before_cursor_execute", note)
    unread(journeys, NOW + KNOWN_AFTER)
    event.remove(engine, "before_cursor_execute", note)
    with journeys.database.read() as connection:
        plans = [
            [row.detail for row in connection.exec_driver_sql(f"explain query plan {statement}", parameters)]  # type: ignore[arg-type]
            for statement, parameters in asked
            if " JOIN " in statement
        ]
    assert len(plans) == 2
    for first, second in plans:
        assert first.startswith("SEARCH feedback USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)")
        assert second.startswith("SEARCH journey_messages USING PRIMARY KEY (message_id=?)")
