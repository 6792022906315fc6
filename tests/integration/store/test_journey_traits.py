"""Traits that journeys have set, on each engine: as the warehouse is told of them, and how long they stay."""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update

from kundresa.store import Store
from kundresa.store.journey_tables import journey_traits

DAY = timedelta(days=1)


def put(store: Store, at: datetime, *told: tuple[str, str, Any]) -> None:
    rows = [
        {
            "profile_id": who,
            "trait": trait,
            "value_json": json.dumps(value),
            "journey": "cart",
            "set_at": at,
        }
        for who, trait, value in told
    ]
    with store.database.write() as connection:
        connection.execute(journey_traits.insert(), rows)


def left(store: Store) -> list[tuple[str, str]]:
    columns = (journey_traits.c.profile_id, journey_traits.c.trait)
    with store.database.read() as connection:
        return [tuple(row) for row in connection.execute(select(*columns).order_by(*columns))]


def test_each_is_told_as_text_and_of_what_kind_it_is(store: Store, now: datetime) -> None:
    values: dict[str, tuple[Any, str | None, str | None]] = {
        "text": ('é "x"', 'é "x"', "text"),
        "empty": ("", "", "text"),
        "whole": (12, "12", "whole"),
        "number": (-4.5, "-4.5", "number"),
        "yes": (True, "true", "truth"),
        "no": (False, "false", "truth"),
        "texts": (["a", "é"], '["a", "é"]', "texts"),
        "nothing": (None, None, None),
    }
    put(store, now, *((who, name, value) for who in ("b", "a") for name, (value, *_) in values.items()))
    expected = [
        {
            "profile_id": who,
            "trait": name,
            "value": text,
            "value_type": kind,
            "journey": "cart",
            "set_at": now,
        }
        for who in ("a", "b")
        for name, (_, text, kind) in sorted(values.items())
    ]
    for chunk in (1, 3, 16, 5_000):
        assert list(store.journey_positions.trait_rows(chunk=chunk)) == expected


def test_there_may_be_none(store: Store) -> None:
    assert list(store.journey_positions.trait_rows()) == []


def test_those_of_nobody_go_when_they_are_old_and_of_everybody_else_they_stay(
    store: Store, now: datetime
) -> None:
    put(store, now - 2 * DAY, *((f"gone{number}", "x", 1) for number in range(5)), ("gone0", "y", 1))
    put(store, now - 2 * DAY, *((f"here{number}", "x", 1) for number in range(5)))
    put(store, now, ("gone0", "new", 1), ("late", "x", 1))
    asked: list[list[str]] = []

    def known(ids: Collection[str]) -> list[str]:
        asked.append([*ids])
        return [each for each in ids if each.startswith("here")]

    assert store.retention.forget_traits(now - DAY, known, chunk=3) == 6
    assert [len(ids) for ids in asked] == [3, 3, 3, 1]
    stays = [("gone0", "new"), *((f"here{number}", "x") for number in range(5)), ("late", "x")]
    assert left(store) == stays
    assert store.retention.forget_traits(now - DAY, known, chunk=3) == 0
    assert left(store) == stays


def test_one_that_is_set_anew_while_the_warehouse_is_asked_stays(store: Store, now: datetime) -> None:
    put(store, now - 2 * DAY, ("gone", "x", 1), ("gone", "y", 1))

    def known(ids: Collection[str]) -> list[str]:
        assert [*ids] == ["gone"]
        with store.database.write() as connection:
            connection.execute(update(journey_traits).where(journey_traits.c.trait == "x").values(set_at=now))
        return []

    assert store.retention.forget_traits(now - DAY, known) == 1
    assert left(store) == [("gone", "x")]
