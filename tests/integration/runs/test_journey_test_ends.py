"""A test of a journey that ends: killed half way, forgotten, or by hand."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from tests.integration.runs.shop import NOW, Shop
from tests.integration.runs.trying import TEST, begin, report, run_both, tell

from kundresa.channels import AccountError
from kundresa.runs.journey_rounds import versions_of
from kundresa.runs.journey_testing import LASTS, InTest, end_forgotten, end_test
from kundresa.runs.journeys import _run_keys, forget_ended, stop_journey
from kundresa.spec.vocabulary import RunState
from kundresa.store import Store
from kundresa.store.journey_accounts import JourneyAccounts


def test_an_end_that_was_killed_half_way_is_made_whole_by_another(shop: Shop) -> None:
    begin(shop)
    tell(shop, "cart", "p-anna", value=1)
    shop.run()
    with shop.store() as store:
        [key] = [each for each in _run_keys(store, TEST) if ".mail." in each]
        store.journeys.stop(TEST, at=shop.now)  # and no further
    end_test(shop.settings, "cart", clock=lambda: shop.now)
    with shop.store() as store:
        assert store.runs.require(key).state is RunState.CLOSED


def test_an_end_that_was_killed_half_way_is_made_whole_by_maintain(shop: Shop) -> None:
    begin(shop)
    with shop.store() as store:
        keys = _run_keys(store, TEST)
        store.journeys.stop(TEST, at=shop.now)  # and no further
    assert end_forgotten(shop.settings, shop.now + timedelta(hours=1)) == 1
    assert end_forgotten(shop.settings, shop.now + timedelta(hours=1)) == 0
    with shop.store() as store:
        assert {store.runs.require(key).state for key in keys} == {RunState.CLOSED}
    assert report(shop).test.ended_at == shop.now


@pytest.mark.parametrize("mend", ["end", "maintain"])
@pytest.mark.parametrize("is_test", [True, False], ids=["a test", "a journey"])
def test_an_end_that_was_killed_before_its_last_step_leaves_no_message(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, mend: str, *, is_test: bool
) -> None:
    class Killed(BaseException):
        """Stands for SIGKILL: nothing catches it."""

    def killed(*_: Any, **__: Any) -> int:
        raise Killed

    def end() -> None:
        if is_test:
            end_test(shop.settings, "cart", clock=lambda: shop.now)
        else:
            stop_journey(shop.settings, "cart", clock=lambda: shop.now)

    if is_test:
        begin(shop, waits=1)
        tell(shop, None, "p-anna", value=1)
    else:
        shop.start()
        shop.event("anna", value=60)
    name = TEST if is_test else "cart"
    shop.run()
    shop.now += timedelta(hours=1)
    with suppress(AccountError):
        run_both(shop, "mails")  # its message has a batch, and has not left
    with monkeypatch.context() as patch:
        patch.setattr(JourneyAccounts, "cancel_unsent", killed)
        with pytest.raises(Killed):
            end()
    with shop.store() as store:
        assert {run.state for run in map(store.runs.require, keys_of(store, name))} == {RunState.CLOSED}
        assert [each.state for each in store.journey_messages.of("p-anna", name)] == ["batched"]
    if mend == "end":
        end()
    else:
        assert end_forgotten(shop.settings, shop.now) == 1
    assert end_forgotten(shop.settings, shop.now) == 0
    with shop.store() as store:
        [message] = store.journey_messages.of("p-anna", name)
    assert (message.state, message.outcome, message.reason) == ("over", "not_sent", "run_cancelled")


def keys_of(store: Store, name: str) -> list[str]:
    return [key for each in versions_of(store, name).all() for key in each.run_keys.values()]


def test_a_forgotten_test_is_ended_and_its_people_are_forgotten(shop: Shop) -> None:
    begin(shop)
    tell(shop, "cart", "p-anna", value=1)
    shop.run()
    assert end_forgotten(shop.settings, NOW + LASTS - timedelta(seconds=1)) == 0
    assert end_forgotten(shop.settings, NOW + LASTS) == 1
    assert report(shop).test.ended_at == NOW + LASTS
    with shop.store() as store:
        assert forget_ended(store, NOW + LASTS + timedelta(seconds=1), NOW + LASTS) == 1
    assert report(shop).testers == (InTest("p-anna"),)
