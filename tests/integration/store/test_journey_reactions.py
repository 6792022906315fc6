"""What a journey hears of what people do about its messages, and how far it has read, on both engines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from kundresa.spec.frozen import FrozenSpec
from kundresa.spec.machines import KNOWN_AFTER
from kundresa.spec.vocabulary import FeedbackKind
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
    journeys.feedback.record([], scanned=[first])
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
