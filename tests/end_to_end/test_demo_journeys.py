"""What the demo shows of journeys, without its Airflow: the people of its shop, moved by the command."""

from __future__ import annotations

import hashlib
import io
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from kundresa.demo.processes import free_ports
from kundresa.demo.screen import Screen
from kundresa.demo.service import PublicService
from kundresa.demo.shoppers import (
    CARTS,
    JOURNEYS,
    ORDERS,
    UNORDERED,
    Told,
    have_arrived,
    let_people_shop,
    movements,
)

CHECKOUT = Path(__file__).resolve().parents[2]
KEY = "of the test"


def test_people_are_where_their_carts_and_orders_lead_and_the_screen_says_so(
    shop: Any, tmp_path: Path
) -> None:
    dags = shop.project / "dags"
    for name in JOURNEYS:
        shutil.copytree(CHECKOUT / "dags" / "journeys" / name, dags / "journeys" / name)
    shutil.copy(CHECKOUT / "dags" / "events.yaml", dags)
    shop.extra["KUNDRESA_API_KEYS"] = f"shop:events:{hashlib.sha256(KEY.encode()).hexdigest()}"
    service = PublicService(free_ports(1)[0], KEY, tmp_path / "serve.log")
    service.start(shop.environ)
    try:
        for _ in range(2):  # a second demo tells the same, and nothing changes
            told = let_people_shop(shop.settings, service, datetime.now(tz=UTC))
    finally:
        service.stop()
    assert told == Told(ORDERS, CARTS, CARTS - UNORDERED)
    assert not have_arrived(movements(shop.settings), told)
    for name in JOURNEYS:
        shop.kundresa("journey", "run", name)

    confirmations, carts = reports = movements(shop.settings)
    assert have_arrived(reports, told)
    assert (confirmations.entered, confirmations.inside, confirmations.left) == (ORDERS, 0, ORDERS)
    assert confirmations.ended == {"finished": ORDERS}
    assert (carts.entered, carts.inside, carts.ended) == (CARTS, UNORDERED, {"exit": CARTS - UNORDERED})
    assert {each.step: each.people for each in carts.steps if each.people} == {"pause": UNORDERED}
    assert all(each.adds_up for each in reports)

    console = Console(width=120, file=io.StringIO(), record=True)
    Screen(console).journeys(reports)
    lines = [" ".join(line.replace("│", " ").split()) for line in console.export_text().splitlines()]
    assert f"abandoned_cart {CARTS} {UNORDERED} at pause {CARTS - UNORDERED} exit" in lines
    assert any(line.startswith(f"order_confirmation {ORDERS} {ORDERS} finished") for line in lines), lines
