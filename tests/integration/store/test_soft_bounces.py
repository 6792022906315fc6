"""The rule for soft bounces, on both engines: what came back and what was refused count by one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event

from kundresa.spec.vocabulary import Automation, BounceClass, FeedbackKind
from kundresa.store import NewFeedback, SoftBounceRule, Store, open_store

RULE = SoftBounceRule(3, timedelta(days=10))
WHO = "anna@shop.example"
DAY = timedelta(days=1)


class Told:
    """Tells of one address, by days since ``now``."""

    def __init__(self, store: Store, now: datetime) -> None:
        self.store, self.now = store, now

    def refused(self, message: str, day: float, *, address: str = WHO, channel: str = "email") -> None:
        at = self.now + day * DAY
        self.store.soft_refusals.record(
            channel=channel, refused={message: address}, rule=RULE, source="delivery", now=at
        )

    def back(
        self, message: str, day: float, kind: FeedbackKind = FeedbackKind.BOUNCED, **changes: Any
    ) -> None:
        at = self.now + day * DAY
        item = NewFeedback(
            feedback_key=f"{message}/{kind}",
            kind=kind,
            channel="email",
            provider="mailbox",
            occurred_at=at,
            received_at=at,
            message_id=message,
            address=WHO,
            bounce_class=BounceClass.SOFT if kind is FeedbackKind.BOUNCED else None,
            **changes,
        )
        self.store.feedback.record([item], rule=RULE)

    def taken(self, address: str = WHO) -> None:
        self.store.soft_refusals.taken(channel="email", addresses=["x@shop.example", address])

    def suppressed(self) -> list[tuple[str, str, str]]:
        return [(row["address"], row["reason"], row["source"]) for row in self.store.suppressions.rows()]


@pytest.fixture
def told(store: Store, now: datetime) -> Told:
    return Told(store, now)


BY_DELIVERY = [(WHO, "soft_bounces", "delivery")]


def test_so_many_messages_refused_suppress_and_one_message_counts_once(told: Told) -> None:
    for day, message in enumerate(["a", "a", "b", "b", "a"]):
        told.refused(message, day)
    assert told.suppressed() == []
    told.refused("c", 5)
    assert told.suppressed() == BY_DELIVERY
    told.refused("d", 6)
    assert told.suppressed() == BY_DELIVERY


def test_of_other_addresses_and_channels_it_says_nothing(told: Told) -> None:
    told.refused("a", 0)
    told.refused("b", 0, address="bo@shop.example")
    told.refused("c", 0, channel="sms")
    told.refused("d", 0)
    assert told.suppressed() == []


@pytest.mark.parametrize("order", ["refused last", "back last"])
def test_both_ways_count_together(told: Told, order: str) -> None:
    told.back("a", 0)
    if order == "refused last":
        told.back("b", 1)
        told.refused("c", 2)
        assert told.suppressed() == BY_DELIVERY
    else:
        told.refused("b", 1)
        told.back("c", 2)
        assert told.suppressed() == [(WHO, "soft_bounces", "mailbox")]


def test_a_message_that_was_refused_and_came_back_counts_once(told: Told) -> None:
    told.refused("a", 0)
    told.back("a", 0.1)
    told.refused("b", 1)
    assert told.suppressed() == []


def test_what_is_older_than_the_period_does_not_count(told: Told) -> None:
    for message, day in (("a", 0), ("b", 1), ("c", 10)):
        told.refused(message, day)
    assert told.suppressed() == []
    told.refused("d", 10.5)
    assert told.suppressed() == BY_DELIVERY


@pytest.mark.parametrize(
    ("kind", "changes", "ends"),
    [
        (FeedbackKind.DELIVERED, {}, True),
        (FeedbackKind.OPENED, {}, True),
        (FeedbackKind.CLICKED, {}, True),
        (FeedbackKind.OPENED, {"automation": Automation.PREFETCH}, False),
    ],
)
def test_a_sign_of_life_ends_all_of_it(told: Told, kind: FeedbackKind, changes: Any, ends: bool) -> None:
    told.refused("a", 0)
    told.back("b", 1)
    told.back("z", 2, kind, **changes)
    told.refused("c", 3)
    assert told.suppressed() == ([] if ends else BY_DELIVERY)


def test_a_server_that_takes_a_message_ends_what_it_had_refused_and_no_bounces(told: Told) -> None:
    told.back("a", 0)
    told.refused("c", 0.5)
    told.taken()
    told.back("b", 1)
    told.refused("d", 2)
    assert told.suppressed() == BY_DELIVERY, "two came back: they had been taken too"


def test_after_it_has_taken_one_refusals_count_from_the_beginning(told: Told) -> None:
    told.refused("a", 0)
    told.refused("b", 0)
    told.refused("a", 0, address="bo@shop.example")
    told.taken()
    told.refused("c", 1)
    told.refused("d", 1)
    told.refused("b", 1, address="bo@shop.example")
    assert told.suppressed() == []
    told.refused("c", 1, address="bo@shop.example")
    assert told.suppressed() == [("bo@shop.example", "soft_bounces", "delivery")], "it had taken nothing"


def test_a_suppression_that_was_there_before_keeps_its_reason(told: Told) -> None:
    told.store.suppressions.add(
        channel="email", address=WHO, reason="manual", source="x", recorded_at=told.now
    )
    for message in "abcd":
        told.refused(message, 0)
    assert told.suppressed() == [(WHO, "manual", "x")]


def test_workers_that_tell_at_once_miss_none(store_url: str, told: Told) -> None:
    failures: list[BaseException] = []

    def work(message: str) -> None:
        try:
            with open_store(store_url) as mine:
                Told(mine, told.now).refused(message, 0)
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=work, args=(message,)) for message in "abc"]
    for each in workers:
        each.start()
    for each in workers:
        each.join(60)
    assert not failures
    assert told.suppressed() == BY_DELIVERY


def test_old_ones_are_removed_with_the_rest(told: Told) -> None:
    remove: Callable[..., int] = told.store.retention.forget_refusals
    for day in range(5):
        told.refused(f"m{day}", day, address=f"{day}@shop.example")
    assert remove(told.now + 3 * DAY, chunk=2) == 3
    assert remove(told.now + 3 * DAY) == 0
    assert remove(told.now + 9 * DAY) == 2


def test_a_window_of_refusals_asks_as_much_as_one(told: Told) -> None:
    """All who add to the inbox wait meanwhile."""
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    def asked(*addresses: str) -> int:
        statements.clear()
        told.store.soft_refusals.record(
            channel="email",
            refused={f"{number}/{len(addresses)}": each for number, each in enumerate(addresses)},
            rule=RULE,
            source="delivery",
            now=told.now,
        )
        return sum("select" in each.lower() and "insert" not in each.lower() for each in statements)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        assert asked(WHO) == asked(*(f"{number}@shop.example" for number in range(50))) <= 2
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def test_each_address_of_a_window_has_its_own_count_and_its_own_sign_of_life(told: Told) -> None:
    other, third = "bo@shop.example", "cy@shop.example"
    for message, day in (("a", 0), ("b", 1)):
        for address in (WHO, other):
            told.refused(f"{message}/{address}", day, address=address)
    told.back("z", 1.5, FeedbackKind.DELIVERED)  # of the first only
    told.store.soft_refusals.record(
        channel="email",
        refused={f"c/{address}": address for address in (WHO, other, third)},
        rule=RULE,
        source="delivery",
        now=told.now + 2 * DAY,
    )
    assert told.suppressed() == [(other, "soft_bounces", "delivery")]
