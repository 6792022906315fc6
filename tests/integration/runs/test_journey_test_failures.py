"""What goes wrong in a test of a journey: told, tried less and less often, and nobody else's affair."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from tests.integration.runs.shop import NOW, Shop
from tests.integration.runs.trying import TEST, at, begin, report, run_both, tell
from typer.testing import CliRunner

from kundresa.channels import AccountError
from kundresa.cli.journey import journey
from kundresa.runs import journey_rounds
from kundresa.runs.journey_reports import journey_report
from kundresa.runs.journey_rounds import AT_ONCE
from kundresa.runs.journeys import has_work
from kundresa.store import Store
from kundresa.store.journey_tests import AFTER_MANY


def test_a_test_that_fails_is_told_and_ends_no_run_of_the_journey(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    shop.start()
    edited = (shop.settings.journeys / "cart" / "journey.yaml").read_text()
    shop.journey(edited.replace("account: mails", "account: wrong"))
    begin(shop, waits=1)
    tell(shop, None, "p-anna", value=1)
    done = run_both(
        shop,
        "wrong",
        seconds=25,
        each_second=lambda count: shop.event("eva", value=60) if count == 10 else None,
    )
    assert (done.entered, shop.step("eva")) == (1, "pause")
    assert done.test_failure == "AccountError: no such connection: wrong"
    assert caplog.text.count(f"{TEST}, a test, cannot be run now") == 1  # an account may count what is wrong
    assert (done.in_test["entered"], done.in_test["accepted"]) == (1, 0)
    found, failed_at = report(shop).test, NOW + timedelta(seconds=1)
    assert (found.failure, found.failed_at) == (done.test_failure, failed_at)
    assert found.again_at == failed_at + timedelta(minutes=1)
    assert journey_report(shop.settings, "cart", clock=lambda: shop.now).test == found


def fail_until(shop: Shop, moment: datetime) -> list[float]:
    """Runs of a journey of which nothing but a test is under way, whenever something is to be done; after how
    many minutes something went wrong each time."""
    found: list[float] = []
    begun = shop.now
    while shop.now < moment:
        if has_work(shop.settings, "cart", shop.now):
            assert run_both(shop, "mails").test_failure
            found.append((shop.now - begun).total_seconds() / 60)
        shop.now += timedelta(seconds=30)
    return found


def test_a_test_that_keeps_failing_is_tried_less_and_less_often(shop: Shop) -> None:
    begin(shop, waits=1)
    tell(shop, None, "p-anna", value=1)
    shop.run()
    shop.now += timedelta(seconds=1)
    assert fail_until(shop, shop.now + timedelta(minutes=59)) == [0, 1, 3, 7, 15, 30, 45]
    last = report(shop).test
    assert last.failed_at is not None
    assert last.again_at == last.failed_at + AFTER_MANY
    assert run_both(shop, "mails").next_at == last.again_at
    # Whoever sees to it does not wait for that.
    tell(shop, "cart", "p-anna", value=1)
    assert report(shop).test.again_at is None
    assert shop.run().in_test["accepted"] == 1
    found = report(shop).test
    assert (found.again_at, found.failed_at) == (None, last.failed_at)


def test_a_test_that_goes_on_again_is_left_alone_no_longer(shop: Shop) -> None:
    begin(shop, waits=1)
    tell(shop, None, "p-anna", value=1)
    shop.run()
    shop.now += timedelta(seconds=1)
    assert fail_until(shop, shop.now + timedelta(minutes=2)) == [0, 1]
    shop.now += timedelta(minutes=1)
    assert shop.run().in_test["accepted"] == 1
    assert report(shop).test.again_at is None


def test_what_has_gone_wrong_in_a_test_is_told_by_the_command_line(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUNDRESA_PROJECT", str(shop.settings.project))
    monkeypatch.setenv("KUNDRESA_HOME", str(shop.settings.home))
    begin(shop, waits=1)
    with shop.store() as store:
        store.journey_tests.failed(TEST, "no [such] account", at=shop.now)
    told = CliRunner().invoke(journey, ["test", "show", "cart"]).output
    assert f"{TEST} went wrong at 2026-11-23 12:00:00Z: no [such] account; left alone until" in told


def test_what_is_broken_in_a_test_ends_no_run_of_the_journey(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = journey_rounds.advance

    def advance(store: Store, people: Any, name: str, *, now: datetime) -> Any:
        if name == TEST:
            raise ZeroDivisionError("a defect")
        return real(store, people, name, now=now)

    monkeypatch.setattr(journey_rounds, "advance", advance)
    shop.start()
    begin(shop)
    shop.event("eva", value=60)
    done = shop.run()
    assert (done.entered, done.test_failure) == (1, "ZeroDivisionError: a defect")
    assert report(shop).test.failure == done.test_failure
    with shop.store() as store:
        store.journey_tests.failed(TEST, "x" * 2_000, at=shop.now)
        store.journey_tests.failed("cart", "none", at=shop.now)
    assert report(shop).test.failure == "x" * 1_000


def test_a_journey_that_fails_does_not_keep_its_test_from_going_on(shop: Shop) -> None:
    shop.start()
    shop.event("anna", value=60)
    shop.run()
    begin(shop)
    shop.now += timedelta(hours=1)
    tell(shop, None, "p-anna", value=1)
    with pytest.raises(AccountError, match="no such connection: mails"):
        run_both(shop, "mails", seconds=25)
    assert at(shop) == {"p-anna": "pause"}
    assert report(shop).test.failure is None


def test_journey_and_test_have_their_turns_where_one_is_never_done(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.start()
    begin(shop)
    real, begun = journey_rounds.advance, shop.now
    looked: dict[str, list[float]] = {"cart": [], TEST: []}

    def advance(store: Store, people: Any, name: str, *, now: datetime) -> Any:
        looked[name].append((shop.now - begun).total_seconds())
        shop.now += timedelta(milliseconds=200)
        shop.event("anna", value=60)  # something for both at each look
        return real(store, people, name, now=now)

    monkeypatch.setattr(journey_rounds, "advance", advance)
    monkeypatch.setattr("kundresa.runs.journeys.MOST_ROUNDS", 25)
    for seconds in (12, 0):
        begun = shop.now
        looked |= {"cart": [], TEST: []}
        run_both(shop, seconds=seconds)
        for moments in looked.values():
            gaps = [after - before for before, after in pairwise(moments)]
            assert max(gaps) <= AT_ONCE.total_seconds() + 0.2 + 1e-6
            # Without a time of its own a run ends though there is always more.
            assert moments[-1] >= seconds - 2 * AT_ONCE.total_seconds() - 1
            assert seconds or 25 <= len(moments) <= 25 + 10
