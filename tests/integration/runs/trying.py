"""Begins a test of a journey, tells it events and reads its report."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from tests.integration.runs.shop import Shop

from kundresa.channels import Account, AccountError, account_from_uri
from kundresa.runs.journey_rounds import JourneyRun
from kundresa.runs.journey_testing import JourneyTestReport, begin_test, report_test, tell_test
from kundresa.runs.journeys import run_journey

TEST = "cart-test1"
SECONDS = 10


def begin(shop: Shop, *people: str, waits: int = SECONDS, name: str = "cart") -> None:
    begin_test(
        shop.settings,
        name,
        people or ("anna@shop.example",),
        waits=timedelta(seconds=waits),
        clock=lambda: shop.now,
    )


def tell(shop: Shop, event: str | None, person: str | None, **data: Any) -> None:
    tell_test(shop.settings, "cart", event=event, person=person, data=data, clock=lambda: shop.now)


def report(shop: Shop) -> JourneyTestReport:
    return report_test(shop.settings, "cart", clock=lambda: shop.now)


def at(shop: Shop) -> dict[str, str | None]:
    return {each.profile_id: each.step or each.end_reason for each in report(shop).testers}


def run_both(
    shop: Shop, *refused: str, seconds: float = 0, each_second: Callable[[int], None] | None = None
) -> JourneyRun:
    """A run that stays for so long, in which these accounts refuse us."""
    count = 0

    def account_of(name: str) -> Account:
        if name in refused:
            raise AccountError(f"no such connection: {name}")
        return account_from_uri(shop.accounts[name], name=name)

    def sleep(length: float) -> None:
        nonlocal count
        shop.now += timedelta(seconds=length)
        count += 1
        if each_second is not None:
            each_second(count)

    return run_journey(
        shop.settings,
        "cart",
        owner=f"test {shop.now}",
        account_of=account_of,
        clock=lambda: shop.now,
        sleep=sleep,
        stay=timedelta(seconds=seconds),
    )
