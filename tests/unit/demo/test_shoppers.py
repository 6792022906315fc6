"""A demo of a small shop waits for no more people than there are."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from kundresa.demo import shoppers
from kundresa.demo.shoppers import Told, have_arrived, let_people_shop


@pytest.mark.parametrize(
    ("people", "told"),
    [(200, Told(50, 40, 15)), (75, Told(50, 40, 15)), (40, Told(40, 5, 5)), (0, Told(0, 0, 0))],
)
def test_as_many_are_awaited_as_there_are(monkeypatch: pytest.MonkeyPatch, people: int, told: Told) -> None:
    posted: list[Any] = []
    monkeypatch.setattr(shoppers, "start_journey", lambda *_, **__: None)
    found = [{"email": f"p{number}@shop.example"} for number in range(people)]
    monkeypatch.setattr(shoppers.warehouse, "query", lambda *_, people: found[:people])
    service: Any = SimpleNamespace(post_events=posted.append)
    settings: Any = None
    assert let_people_shop(settings, service, datetime(2026, 11, 30, tzinfo=UTC)) == told
    kinds = [each["type"] for events in posted for each in events]
    assert (kinds.count("cart_updated"), kinds.count("order_placed")) == (told.carts, told.orders)

    def report(entered: int, left: int) -> Any:
        return SimpleNamespace(entered=entered, left=left, skips={})

    confirmed = report(told.orders, told.orders)
    assert have_arrived([confirmed, report(told.carts, told.ordered_carts)], told)
    assert not have_arrived([confirmed, report(told.carts, told.ordered_carts - 1)], told)
