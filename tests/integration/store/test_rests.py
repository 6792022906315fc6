"""Rests of receiving domains, on both engines: one account's workers agree, whoever was told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from kundresa.spec.messages import Receipt
from kundresa.spec.pace import LONGEST_REST, Rest
from kundresa.spec.vocabulary import DeliveryReason, MessageState
from kundresa.store import PaceChanged, PaceVersion, Store, Untried, open_store
from kundresa.store.clocks import SKEW
from kundresa.store.rests import REMEMBERED

MINUTE = timedelta(minutes=1)
PATIENCE = timedelta(seconds=5)


@pytest.fixture
def known(store: Store, now: datetime) -> Callable[..., dict[str, tuple[float, int]]]:
    """Domain → minutes until the end of its rest, and its number, as a worker is told them."""

    def ask(after: float = 0, account: str = "news", **rates: float) -> dict[str, tuple[float, int]]:
        at = now + after * MINUTE
        grant = store.paces.take(account, rates, ["x.de"], now=at, patience=PATIENCE)
        return {key: ((rest.until - at) / MINUTE, rest.number) for key, rest in grant.rests.items()}

    return ask


def rest(now: datetime, minutes: float, number: int = 1) -> Rest:
    return Rest(now + minutes * MINUTE, number, "too fast")


def test_a_rest_is_known_to_all_of_the_account_until_it_is_over_and_remembered(
    store: Store, now: datetime, known: Any
) -> None:
    assert known() == {}
    store.rests.record("news", {"a.de": rest(now, 5), "b.de": rest(now, 10)}, now=now)
    assert known() == {"a.de": (5, 1), "b.de": (10, 1)}
    assert known(account="other") == {}
    assert [(each.domain, each.rest) for each in store.rests.all(now=now + 5 * MINUTE)] == [
        ("b.de", rest(now, 10))
    ]
    assert known(6) == {"a.de": (-1, 1), "b.de": (4, 1)}, "the next answer decides"
    store.rests.record("news", {"a.de": None, "b.de": None}, now=now + 6 * MINUTE)
    assert known(6) == {"b.de": (4, 1)}, "somebody was refused since"


def test_of_two_that_are_told_at_once_the_later_end_holds(store: Store, now: datetime, known: Any) -> None:
    store.rests.record("news", {"a.de": rest(now, 10, 2)}, now=now)
    store.rests.record("news", {"a.de": rest(now, 5, 1)}, now=now)
    assert known() == {"a.de": (10, 2)}
    store.rests.record("news", {"a.de": rest(now, 12, 1)}, now=now)
    assert known() == {"a.de": (12, 2)}


def test_nothing_is_allowed_to_a_domain_that_rests(store: Store, now: datetime) -> None:
    store.rests.record("news", {"a.de": rest(now, 5)}, now=now)

    def take(domains: list[str], rates: dict[str, float], after: float = 0) -> Any:
        return store.paces.take("news", rates, domains, now=now + after * MINUTE, patience=PATIENCE)

    free = take(["a.de", "b.de", "a.de"], {})
    assert (free.positions, free.is_limited) == ((1,), False)
    paced = take(["a.de", "b.de", "b.de"], {"": 1.0})
    assert (paced.positions, paced.at) == ((1,), now)
    only = take(["a.de"], {"": 1.0, "a.de": 1.0})
    assert (only.positions, only.at, only.is_limited) == ((), now, True)
    assert take(["a.de"], {"": 1.0}, after=5).positions == (0,), "and none was taken for it"


def test_a_lifted_one_is_forgotten_at_once(store: Store, now: datetime, known: Any) -> None:
    some = {"a.de": rest(now, 5, 3), "b.de": rest(now, 5), "c.de": rest(now, -1)}
    store.rests.record("news", some, now=now)
    assert store.rests.lift("news", "a.de", now=now) == ["a.de"]
    assert known().keys() == {"b.de", "c.de"}
    assert store.rests.lift("news", now=now) == ["b.de"]
    assert known() == {}
    assert store.rests.lift("news", now=now) == []
    store.rests.record("news", {"a.de": rest(now, 5)}, now=now)
    assert known() == {"a.de": (5, 1)}


def test_each_change_refuses_the_claims_of_before(store, checked, take, people, now, known):
    run_key = checked()
    lease = take(run_key, size=8)
    some = people(8)
    version: datetime | None = None
    changes: list[Callable[[], object]] = [
        lambda: store.rests.record("news", {"a.de": rest(now, 5)}, now=now),
        lambda: store.rests.record(
            "news", {"b.de": rest(now, 5)}, now=now - MINUTE
        ),  # a clock that is behind
        lambda: store.paces.set("news", "", 5.0, now=now - MINUTE),
        lambda: store.rests.lift("news", "b.de", now=now),
        lambda: store.rests.record("news", {"a.de": None}, now=now + 6 * MINUTE),
    ]
    for number, change in enumerate(changes):
        assert store.ledger.require_deliverable(run_key, account="news") == version
        store.ledger.claim(lease, some[number : number + 1], now=now, pace=PaceVersion("news", version))
        change()
        with pytest.raises(PaceChanged):
            store.ledger.claim(lease, some[7:], now=now, pace=PaceVersion("news", version))
        grant = store.paces.take("news", {}, ["x.de"], now=now, patience=PATIENCE)
        assert version is None or grant.changed_at > version
        version = grant.changed_at
    assert store.ledger.require_deliverable(run_key, account="other") is None
    assert store.ledger.require_deliverable(run_key) is None


def test_what_is_not_remembered_is_removed_and_not_asked_for(store, checked, now, known):
    store.rests.record("news", {"a.de": rest(now, 5), "b.de": rest(now, 60)}, now=now)
    store.rests.lift("news", "b.de", now=now)
    late = now + REMEMBERED + 4 * MINUTE
    assert store.rests.forget(now=late) == 1
    assert store.ledger.require_deliverable(checked(), account="news") is not None
    assert store.rests.forget(now=late + 2 * MINUTE) == 1
    assert store.ledger.require_deliverable("winback--1", account="news") is None
    assert known(60 * 24 + 10) == {}


def test_an_end_by_a_clock_that_is_hours_ahead_is_cut(store: Store, now: datetime, known: Any) -> None:
    ahead = now + timedelta(hours=7)
    store.rests.record("news", {"a.de": rest(ahead, 5)}, now=ahead)
    longest = (LONGEST_REST + SKEW) / MINUTE
    assert known() == {"a.de": (longest, 1)}
    assert known(10) == {"a.de": (longest - 10, 1)}, "it does not move away from who waits for it"
    assert [each.rest.until for each in store.rests.all(now=now)] == [now + LONGEST_REST + SKEW]


def test_many_that_are_told_at_once(store_url: str, store: Store, now: datetime, known: Any) -> None:
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            with open_store(store_url) as mine:
                for turn in range(5):
                    domains = ["a.de", f"{number}.de", "b.de"]
                    some = {each: rest(now, 5 + number + turn) for each in domains}
                    mine.rests.record("news", some, now=now)
                    mine.paces.take("news", {"": 1000.0}, domains, now=now, patience=PATIENCE)
                    mine.paces.set("news", "a.de", 10.0 + turn, now=now)
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for each in workers:
        each.start()
    for each in workers:
        each.join(60)
    assert not failures
    assert known() == {"a.de": (12, 1), "b.de": (12, 1)} | {f"{each}.de": (9 + each, 1) for each in range(4)}


def test_put_off_changes_when_messages_leave_and_nothing_else(store, checked, take, people, now):
    lease = take(checked(), size=5)
    new, deferred, unknown, accepted, failed = some = people(5)
    store.ledger.claim(lease, some[1:], now=now)
    receipt = {
        deferred: Receipt(deferred.message_id, MessageState.DEFERRED, DeliveryReason.TEMPORARY_FAILURE,
                          code="451", detail="later", retry_at=now),
        unknown: Receipt(unknown.message_id, MessageState.UNKNOWN, DeliveryReason.OUTCOME_UNKNOWN,
        retry_at=now), accepted: Receipt(accepted.message_id, MessageState.ACCEPTED),
        failed: Receipt(failed.message_id, MessageState.FAILED, DeliveryReason.ADDRESS_REFUSED),
    }  # fmt: skip
    store.ledger.settle(lease, list(receipt.values()), now=now)
    before = store.ledger.lines([each.message_id for each in some])
    until = now + 5 * MINUTE
    store.ledger.put_off(
        lease,
        [
            Untried(
                each,
                Receipt(
                    each.message_id,
                    MessageState.DEFERRED,
                    DeliveryReason.TEMPORARY_FAILURE,
                    detail="not tried",
                    retry_at=until,
                ),
            )
            for each in some
        ],
        now=now,
        pace=PaceVersion("news", None),
    )
    after = store.ledger.lines([each.message_id for each in some])
    for each in (accepted, failed):
        assert after[each.message_id] == before[each.message_id]
    for each in (deferred, unknown):
        line = before[each.message_id].as_dict() | {"retry_at": until.isoformat()}
        assert after[each.message_id].as_dict() == line
    line = after[new.message_id]
    assert (line.state, line.attempts, line.detail, line.retry_at) == (
        MessageState.DEFERRED,
        0,
        "not tried",
        until,
    )
    assert store.ledger.attempts_of(new.message_id) == []
    assert store.ledger.claim(lease, [new, deferred], now=until) == {
        new.message_id: 1,
        deferred.message_id: 2,
    }
    assert len(store.ledger.attempts_of(deferred.message_id)) == 1
