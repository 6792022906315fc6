"""Runs: opened once, led from state to state, on both engines."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest

from kundresa.spec.messages import Receipt
from kundresa.spec.vocabulary import CloseReason, MessageState, RunState, Trigger
from kundresa.store import IllegalTransition, NewRun, RunNotFound, RunStopped, Store

MakeRun = Callable[..., NewRun]


def test_a_run_comes_back_as_it_was_opened(store: Store, new_run: MakeRun, now: datetime) -> None:
    opened = store.runs.open(new_run(spec_json='{"å": "😀 \\n"}'))
    assert opened == store.runs.get("winback--1")
    assert (opened.state, opened.trigger, opened.spec_json) == (
        RunState.OPEN,
        Trigger.SCHEDULED,
        '{"å": "😀 \\n"}',
    )
    assert opened.logical_at == now
    assert opened.logical_at.tzinfo is UTC
    assert opened.spec_differs is False


def test_times_of_any_zone_come_back_in_utc(store: Store, new_run: MakeRun) -> None:
    local = datetime(2026, 7, 1, 9, 30, 0, 123456, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    opened = store.runs.open(new_run(logical_at=local))
    assert opened.logical_at == local
    assert opened.logical_at.isoformat() == "2026-07-01T04:00:00.123456+00:00"


def test_a_time_without_a_zone_is_refused(store: Store, new_run: MakeRun) -> None:
    with pytest.raises(Exception, match="has no time zone"):
        store.runs.open(new_run(logical_at=datetime(2026, 1, 1)))  # noqa: DTZ001
    assert store.runs.list() == []


def test_opening_twice_changes_nothing(store: Store, new_run: MakeRun, now: datetime) -> None:
    first = store.runs.open(new_run())
    store.runs.mark_decided(["winback--1"], at=now)
    second = store.runs.open(new_run(opened_at=now + timedelta(hours=1), trigger=Trigger.BACKFILL))
    assert (second.opened_at, second.trigger) == (first.opened_at, first.trigger)
    assert second.state is RunState.DECIDED
    assert second.spec_differs is False


def test_a_run_keeps_the_spec_it_was_opened_with_and_says_so(
    store: Store, new_run: MakeRun, caplog: pytest.LogCaptureFixture
) -> None:
    store.runs.open(new_run(spec_json='{"v": 1}', spec_hash="a" * 64))
    with caplog.at_level(logging.WARNING):
        again = store.runs.open(new_run(spec_json='{"v": 2}', spec_hash="b" * 64))
    assert again.spec_json == '{"v": 1}'
    assert again.spec_differs is True
    assert "keeps it" in caplog.text
    assert store.runs.require("winback--1").spec_differs is False


def test_the_way_of_a_run(store: Store, new_run: MakeRun, now: datetime) -> None:
    store.runs.open(new_run())
    assert [run.run_key for run in store.runs.undecided()] == ["winback--1"]
    store.runs.mark_decided(["winback--1"], at=now)
    assert store.runs.undecided() == ()
    assert [run.run_key for run in store.runs.unfinished()] == ["winback--1"]
    assert store.runs.mark_checked("winback--1").state is RunState.CHECKED
    account = {"channels": {"email": {"sent": 3}}}
    closed = store.runs.close("winback--1", CloseReason.COMPLETED, at=now, detail="all", account=account)
    assert (closed.state, closed.close_reason, closed.close_detail) == (
        RunState.CLOSED,
        CloseReason.COMPLETED,
        "all",
    )
    assert (closed.closed_at, closed.account) == (now, account)
    assert store.runs.unfinished() == ()
    assert store.runs.save_account("winback--1", {"later": True}).account == {"later": True}


def test_repeating_a_step_changes_nothing(store: Store, new_run: MakeRun, now: datetime) -> None:
    later = now + timedelta(hours=2)
    store.runs.open(new_run())
    store.runs.mark_decided(["winback--1"], at=now)
    store.runs.mark_decided(["winback--1"], at=later)
    store.runs.mark_checked("winback--1")
    store.runs.mark_decided(["winback--1"], at=later)
    assert store.runs.mark_checked("winback--1").decided_at == now
    closed = store.runs.close("winback--1", CloseReason.COMPLETED, at=now)
    assert store.runs.close("winback--1", CloseReason.COMPLETED, at=later, detail="again") == closed


@pytest.mark.parametrize(
    ("state", "reason", "allowed"),
    [
        (RunState.OPEN, CloseReason.EXPIRED, True),
        (RunState.OPEN, CloseReason.CANCELLED, True),
        (RunState.OPEN, CloseReason.COMPLETED, False),
        (RunState.OPEN, CloseReason.QUALITY_GATE_FAILED, False),
        (RunState.DECIDED, CloseReason.COMPLETED, False),
        (RunState.DECIDED, CloseReason.QUALITY_GATE_FAILED, True),
        (RunState.DECIDED, CloseReason.CANCELLED, True),
        (RunState.CHECKED, CloseReason.COMPLETED, True),
        (RunState.CHECKED, CloseReason.CANCELLED, True),
        (RunState.CHECKED, CloseReason.QUALITY_GATE_FAILED, False),
    ],
)
def test_which_state_may_be_closed_for_which_reason(
    store: Store, new_run: MakeRun, now: datetime, state: RunState, reason: CloseReason, allowed: bool
) -> None:
    store.runs.open(new_run())
    if state in (RunState.DECIDED, RunState.CHECKED):
        store.runs.mark_decided(["winback--1"], at=now)
    if state is RunState.CHECKED:
        store.runs.mark_checked("winback--1")
    if allowed:
        assert store.runs.close("winback--1", reason, at=now).close_reason is reason
    else:
        with pytest.raises(IllegalTransition, match=f"is {state}; it cannot become closed"):
            store.runs.close("winback--1", reason, at=now)
        assert store.runs.require("winback--1").state is state


def test_a_closed_run_does_not_change_its_reason_and_is_not_checked(
    store: Store, new_run: MakeRun, now: datetime
) -> None:
    store.runs.open(new_run())
    store.runs.close("winback--1", CloseReason.CANCELLED, at=now, detail="wrong list")
    with pytest.raises(IllegalTransition):
        store.runs.close("winback--1", CloseReason.EXPIRED, at=now)
    with pytest.raises(IllegalTransition):
        store.runs.mark_checked("winback--1")
    assert store.runs.require("winback--1").close_detail == "wrong list"


def test_an_undecided_run_is_not_checked(store: Store, new_run: MakeRun) -> None:
    store.runs.open(new_run())
    with pytest.raises(IllegalTransition, match="is open"):
        store.runs.mark_checked("winback--1")


def test_a_run_cancelled_while_it_was_decided_stays_closed(
    store: Store, new_run: MakeRun, now: datetime
) -> None:
    store.runs.open(new_run("a--1"))
    store.runs.open(new_run("b--1"))
    store.runs.close("a--1", CloseReason.CANCELLED, at=now)
    store.runs.mark_decided(["b--1", "a--1"], at=now)
    assert (store.runs.require("a--1").state, store.runs.require("a--1").decided_at) == (RunState.CLOSED, now)
    assert store.runs.require("b--1").state is RunState.DECIDED


def test_an_unknown_run_is_an_error_and_marks_none(store: Store, new_run: MakeRun, now: datetime) -> None:
    store.runs.open(new_run("a--1"))
    with pytest.raises(RunNotFound, match="z--1"):
        store.runs.mark_decided(["a--1", "z--1"], at=now)
    assert store.runs.require("a--1").state is RunState.OPEN
    assert store.runs.get("z--1") is None
    with pytest.raises(RunNotFound):
        store.runs.require("z--1")


def test_runs_are_listed_latest_first(store: Store, new_run: MakeRun, now: datetime) -> None:
    for day in range(4):
        store.runs.open(new_run(f"winback--{day}", logical_at=now + timedelta(days=day)))
    store.runs.open(new_run("spring--1", campaign="spring", logical_at=now))
    store.runs.close("winback--1", CloseReason.CANCELLED, at=now)
    assert [run.run_key for run in store.runs.list(campaign="winback", limit=2)] == [
        "winback--3",
        "winback--2",
    ]
    assert [run.run_key for run in store.runs.list(state=RunState.CLOSED)] == ["winback--1"]
    assert len(store.runs.list()) == 5


def test_a_stopped_run_claims_nothing_until_it_is_resumed(store, checked, take, people, now):
    run_key = checked()
    lease = take(run_key)
    store.ledger.claim(lease, people(1), now=now)
    stopped = store.runs.stop(run_key, at=now, detail="wrong link")
    assert (stopped.state, stopped.stopped_at, stopped.stop_detail) == (RunState.CHECKED, now, "wrong link")
    assert store.runs.stop(run_key, at=now + timedelta(hours=1), detail="me too") == stopped
    for ask in (
        lambda: store.ledger.claim(lease, people(2, start=1), now=now),
        lambda: store.ledger.require_deliverable(run_key),
    ):
        with pytest.raises(RunStopped, match=f"kundresa resume {run_key}"):
            ask()
    # What was claimed before is settled all the same.
    store.ledger.settle(lease, [Receipt(people(1)[0].message_id, MessageState.ACCEPTED)], now=now)
    resumed = store.runs.resume(run_key, at=now)
    assert (resumed.stopped_at, resumed.stop_detail) == (None, None)
    assert store.runs.resume(run_key, at=now) == resumed
    assert len(store.ledger.claim(lease, people(2, start=1), now=now)) == 2


def test_only_a_run_that_may_go_on_is_stopped_or_resumed(store, new_run, checked, now):
    run = store.runs.open(new_run("early--1"))
    assert store.runs.stop("early--1", at=now).state is RunState.OPEN
    store.runs.mark_decided(["early--1"], at=now)
    assert store.runs.mark_checked("early--1").stopped_at == now, "deciding goes on; nothing leaves"
    with pytest.raises(IllegalTransition, match="after the end of its validity"):
        store.runs.resume("early--1", at=run.valid_until + timedelta(seconds=1))
    store.runs.close("early--1", CloseReason.CANCELLED, at=now)
    for change in (store.runs.stop, store.runs.resume):
        with pytest.raises(IllegalTransition):
            change("early--1", at=now)
        with pytest.raises(RunNotFound):
            change("nobody--1", at=now)
