"""Opt-outs and suppressions hold from the moment they are recorded, on both engines."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event

from kundresa.delivery import StoreGuard
from kundresa.store import Store

MINUTE = timedelta(minutes=1)


def record(store: Store, at: datetime, **changes: str | None) -> int:
    values = {
        "profile_id": None,
        "channel": "email",
        "address": "a@x.example",
        "topic": "news",
        "source": "link",
    }
    return store.opt_outs.record(recorded_at=at, **values | changes)  # type: ignore[arg-type]


def test_an_opt_out_matches_by_profile_or_address_topic_and_channel(store: Store, now: datetime) -> None:
    record(store, now, profile_id="p1", address="a@x.example")
    record(store, now, address="b@x.example", topic="*")
    record(store, now, profile_id="p3", address="c@x.example", topic="other")
    record(store, now, profile_id="p4", address="+46700000000", channel="sms")
    record(store, now - MINUTE, profile_id="p5", address="e@x.example")
    hits = store.opt_outs.since(
        now,
        channel="email",
        topic="news",
        profile_ids=["p1", "p2", "p3", "p4", "p5"],
        addresses=["new@x.example", "b@x.example", "c@x.example", "+46700000000", "e@x.example"],
    )
    assert hits.profile_ids == {"p1"}
    assert hits.addresses == {"a@x.example", "b@x.example"}


@dataclass(frozen=True)
class People:
    """As a publication tells of them."""

    formers: Mapping[str, str] = field(default_factory=dict)
    yes: Mapping[str, datetime] = field(default_factory=dict)

    def merged(self, _: Collection[str]) -> Mapping[str, str]:
        return self.formers

    def granted(self, ids: Collection[str], *, channel: str, topics: Collection[str]) -> dict[str, datetime]:
        is_asked = channel == "email" and "news" in topics
        return {each: self.yes[each] for each in ids if each in self.yes and is_asked}


def held(store: Store, decided_at: datetime, people: People | None, who: str = "p1") -> set[str]:
    guard = StoreGuard(store, channel="email", topic="news", decided_at=decided_at, people=people)
    rows = [
        {"message_id": "m", "profile_id": who, "address": "a@x.example"},
        {"message_id": "n", "profile_id": "p2", "address": "b@x.example"},
    ]
    return {*guard.held(rows)}


FORMER = {"p-former": "p1"}


@pytest.mark.parametrize("no_as", ["p-former", "p1"])
@pytest.mark.parametrize(("minutes", "is_held"), [(1, False), (-1, True)])
def test_a_yes_under_one_id_takes_back_an_earlier_no_under_another(
    store: Store, now: datetime, no_as: str, minutes: int, is_held: bool
) -> None:
    record(store, now, profile_id=no_as)
    yes_as = "p1" if no_as == "p-former" else "p-former"
    store.answers.say_yes(
        profile_id=yes_as,
        channel="email",
        address="a@x.example",
        topics=["news"],
        source="page",
        at=now + minutes * MINUTE,
    )
    assert held(store, now, People(FORMER)) == ({"m"} if is_held else set())
    assert held(store, now, None) == {"m"}, "they are two people"


@pytest.mark.parametrize("who", ["p1", "p-former"])
@pytest.mark.parametrize("no_as", ["p1", "p-former", "p-other"])
def test_a_no_of_before_a_decision_that_did_not_know_of_the_merge_holds(
    store: Store, now: datetime, who: str, no_as: str
) -> None:
    record(store, now, profile_id=no_as, address="old@x.example")
    formers = FORMER | {"p-other": "p1"}
    later = now + 60 * MINUTE
    assert held(store, later, People(formers), who) == {"m"}
    assert held(store, later, None, who) == set(), "the decision knew what each had said"
    assert held(store, later, People(formers, {"p1": now + MINUTE}), who) == set()
    assert held(store, later, People(formers, {"p1": now}), who) == {"m"}


def test_an_opt_out_from_every_topic_may_be_left_out(store: Store, now: datetime) -> None:
    record(store, now, profile_id="p1", address="a@x.example", topic="*")
    record(store, now, profile_id="p2", address="b@x.example")
    hits = store.opt_outs.since(
        now, channel="email", topic="news", with_every_topic=False, profile_ids=["p1", "p2"], addresses=[]
    )
    assert hits.profile_ids == {"p2"}


def test_nobody_asked_about_nobody_found(store: Store, now: datetime) -> None:
    record(store, now, profile_id="p1")
    hits = store.opt_outs.since(now, channel="email", topic="news", profile_ids=[], addresses=[])
    assert (hits.profile_ids, hits.addresses) == (frozenset(), frozenset())


def test_all_opt_outs_come_out_in_order(store: Store, now: datetime) -> None:
    ids = [record(store, now, address=f"{each}@x.example") for each in range(7)]
    assert [row["opt_out_id"] for row in store.opt_outs.rows(chunk=3)] == ids
    assert next(store.opt_outs.rows()) == {
        "opt_out_id": ids[0],
        "profile_id": None,
        "channel": "email",
        "address": "0@x.example",
        "topic": "news",
        "source": "link",
        "recorded_at": now,
    }


def test_what_one_person_said(store: Store, now: datetime) -> None:
    record(store, now, profile_id="p1")
    record(store, now + MINUTE, address="other@x.example", topic="*")
    record(store, now, profile_id="p2", address="z@x.example")
    record(store, now - MINUTE, profile_id="p-former", address="former@x.example")
    said = store.opt_outs.of(profile_ids=["p1", "p-former"], addresses=["other@x.example"])
    assert [(each.address, each.topic) for each in said] == [
        ("other@x.example", "*"),
        ("a@x.example", "news"),
        ("former@x.example", "news"),
    ]


def suppress(store: Store, at: datetime, address: str = "a@x.example", reason: str = "hard_bounce") -> int:
    added = store.suppressions.add(
        channel="email", address=address, reason=reason, source="feedback", recorded_at=at
    )
    return added.suppression_id


def test_a_suppression_holds_until_it_is_lifted(store: Store, now: datetime) -> None:
    suppress(store, now)
    asked = {"channel": "email", "addresses": ["a@x.example", "b@x.example"]}
    assert store.suppressions.active(**asked) == {"a@x.example": "hard_bounce"}  # type: ignore[arg-type]
    assert store.suppressions.active(channel="sms", addresses=["a@x.example"]) == {}
    assert store.suppressions.lift(channel="email", address="a@x.example", at=now + MINUTE) is True
    assert store.suppressions.lift(channel="email", address="a@x.example", at=now + MINUTE) is False
    assert store.suppressions.active(**asked) == {}  # type: ignore[arg-type]


def test_an_address_is_suppressed_once_at_a_time(store: Store, now: datetime) -> None:
    first = suppress(store, now)
    assert suppress(store, now + MINUTE, reason="complaint") == first
    store.suppressions.lift(channel="email", address="a@x.example", at=now)
    second = suppress(store, now + MINUTE, reason="complaint")
    assert second != first
    suppress(store, now, address="b@x.example")
    rows = list(store.suppressions.rows(chunk=1))
    assert [(row["address"], row["reason"]) for row in rows] == [
        ("a@x.example", "complaint"),
        ("b@x.example", "hard_bounce"),
    ]


def test_the_latest_answers_are_found_by_an_index(store: Store) -> None:
    if not store.database.is_sqlite:
        pytest.skip("how PostgreSQL goes about it depends on what it has counted")
    asked: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        asked.append(statement)

    event.listen(store.database.engine, "before_cursor_execute", note)
    store.answers.latest(
        channel="email", topic="news", is_exempt=False, profile_ids=["p1"], addresses=["a@x.example"]
    )
    event.remove(store.database.engine, "before_cursor_execute", note)
    questions = [each for each in asked if each.startswith("SELECT")]
    assert len(questions) == 3
    with store.database.read() as connection:
        for each in questions:
            marks = tuple("[]" for _ in range(each.count("?")))
            plan = connection.exec_driver_sql(f"explain query plan {each}", marks).all()
            [found] = [row[3] for row in plan if " opt_" in row[3]]
            assert "profile_id=?" in found or "address=?" in found
