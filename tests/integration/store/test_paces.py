"""Allowance is handed out once, on both engines: to the rate, whoever asks, whatever the clocks say."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from kundresa.store import Grant, PaceChanged, PaceVersion, Store, open_store
from kundresa.store.paces import SKEW

SECOND = timedelta(seconds=1)
PATIENCE = 5 * SECOND
Take = Callable[..., Grant]


@pytest.fixture
def ask(store: Store, now: datetime) -> Take:
    def make(domains: list[str] | int, *, after: float = 0.0, account: str = "news", **rates: float) -> Grant:
        wanted = [""] * domains if isinstance(domains, int) else domains
        known = {"" if name == "whole" else name.replace("_", "."): rate for name, rate in rates.items()}
        return store.paces.take(account, known, wanted, now=now + after * SECOND, patience=PATIENCE)

    return make


def test_an_account_without_a_pace_is_not_limited_and_leaves_no_row(store: Store, ask: Take) -> None:
    grant = ask(500)
    assert (len(grant.positions), grant.is_limited, grant.changed_at) == (500, False, None)
    assert store.paces.all() == []


def test_a_window_is_at_most_a_seconds_worth_and_the_next_leaves_when_it_is_over(ask: Take, now: Any) -> None:
    first, second, late = ask(500, whole=50), ask(30, whole=50), ask(500, whole=50, after=9)
    assert (first.positions, first.at) == (tuple(range(50)), now)
    assert (len(second.positions), second.at) == (30, now + SECOND)
    assert (len(late.positions), late.at) == (50, now + 9 * SECOND), "what was not used is not saved up"


def test_a_slow_pace_lets_one_by_one_leave(ask: Take, now: Any) -> None:
    assert ask(500, whole=0.5).positions == (0,)
    assert ask(500, whole=0.5).at == now + 2 * SECOND


def test_who_would_wait_too_long_takes_nothing_and_is_told_when(ask: Take, now: Any) -> None:
    for turn in range(6):
        assert ask(10, whole=10).at == now + turn * SECOND
    for _ in range(3):
        refused = ask(10, whole=10)
        assert (refused.positions, refused.at) == ((), now + 6 * SECOND)
    assert ask(10, whole=10, after=1).positions, "its place was left to others"


def test_a_busy_domain_holds_nobody_else_back(ask: Take, now: Any) -> None:
    mixed = ["gmail.com", "web.de", "gmail.com", "gmail.com", "aol.com"]
    rates = {"whole": 4, "gmail_com": 2}
    assert ask(mixed, **rates).positions == (0, 1, 2, 4)
    again = ask(mixed, **rates, after=0.5)
    assert (again.positions, again.at) == ((0, 1, 2, 4), now + SECOND)
    # All of one domain: half a second of the account's pace, a whole one of the domain's.
    only = ask(["gmail.com"] * 3, **rates, after=2)
    assert (only.positions, only.at) == ((0, 1), now + 2 * SECOND)
    blocked = ask(["gmail.com"] * 3, **rates, after=2.6)
    assert (blocked.positions, blocked.at) == ((), now + 3 * SECOND)
    assert ask(["web.de"], **rates, after=2.6).at == now + 2.6 * SECOND, "to ask takes nothing"


def test_a_domain_is_limited_in_an_account_that_is_not(ask: Take, now: Any) -> None:
    mixed = ["web.de", "gmail.com"] * 10
    first, second = ask(mixed, gmail_com=3), ask(mixed, gmail_com=3)
    assert [mixed[each] for each in first.positions].count("gmail.com") == 3
    assert [mixed[each] for each in first.positions].count("web.de") == 10
    assert {mixed[each] for each in second.positions} == {"web.de"}
    assert (second.at, second.is_limited) == (now, True)


def test_accounts_do_not_share(ask: Take, now: Any) -> None:
    ask(10, whole=1)
    assert ask(10, whole=1, account="other").at == now


def test_what_is_set_goes_before_the_policies_until_it_is_cleared(store: Store, ask: Take, now: Any) -> None:
    ask(1, whole=1)
    store.paces.set("news", "", 20.0, now=now)
    faster = ask(50, whole=1)
    assert (len(faster.positions), faster.at, faster.changed_at) == (20, now, now), "the old wait is void"
    store.paces.set("news", "", None, now=now)
    slower = ask(50, whole=1)
    assert (len(slower.positions), slower.at) == (1, now)
    assert slower.changed_at == now + timedelta(microseconds=1), "no version is used twice"
    assert not ask(50).is_limited


def test_a_claim_under_another_pace_claims_nothing(store, checked, take, people, now):
    lease = take(checked(), size=3)
    none, some = PaceVersion("news", None), people(3)
    store.ledger.claim(lease, some[:1], now=now, pace=none)
    store.paces.set("other", "", 1.0, now=now)
    store.ledger.claim(lease, some[1:2], now=now, pace=none)
    store.paces.set("news", "gmail.com", 1.0, now=now)
    with pytest.raises(PaceChanged):
        store.ledger.claim(lease, some[2:], now=now, pace=none)
    assert set(store.ledger.lines([each.message_id for each in some])) == {
        each.message_id for each in some[:2]
    }
    store.ledger.claim(lease, some[2:], now=now, pace=PaceVersion("news", now))


def test_a_clock_that_is_set_back_does_not_stop_the_account(store: Store, ask: Take, now: Any) -> None:
    ask(10, whole=10, after=7200)  # the clock was two hours ahead
    waits = ask(10, whole=10)
    assert (waits.positions, waits.at) == ((), now + PATIENCE + SECOND + SKEW)
    granted = 0
    for after in range(120):
        grant = ask(10, whole=10, after=after)
        granted += len(grant.positions)
    assert 10 * (120 - 36) <= granted <= 10 * 120


def test_an_hours_difference_between_two_clocks_does_not_double_the_rate(ask: Take) -> None:
    ahead = behind = 0
    for tenth in range(600):
        ahead += len(ask(5, whole=5, after=3600 + tenth / 10).positions)
        behind += len(ask(5, whole=5, after=tenth / 10).positions)
    # A minute's worth, and what is taken in advance.
    assert 5 * 60 <= ahead + behind <= 5 * 66


def test_workers_that_ask_at_once_get_what_there_is_once(store_url: str, now: datetime) -> None:
    grants: list[Grant] = []
    failures: list[BaseException] = []

    def work() -> None:
        try:
            with open_store(store_url) as mine:
                for _ in range(5):
                    rates = {"": 10.0, "gmail.com": 4.0}
                    grants.append(
                        mine.paces.take(
                            "news", rates, ["gmail.com", "x.de"] * 5, now=now, patience=60 * SECOND
                        )
                    )
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for each in workers:
        each.start()
    for each in workers:
        each.join(60)
    assert not failures
    assert len(grants) == 20
    total = sum(len(each.positions) for each in grants)
    # Handed out one after the other: the last moment is what all before it took.
    last = max(grants, key=lambda each: each.at)
    assert (last.at - now) == timedelta(seconds=(total - len(last.positions)) / 10)
