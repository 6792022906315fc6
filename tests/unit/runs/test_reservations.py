"""What decided runs still hold, as the store knows it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from kundresa.runs.reservations import ledger_news
from kundresa.spec.messages import Receipt
from kundresa.spec.vocabulary import CloseReason, DeliveryReason, MessageState, Trigger
from kundresa.store import Candidate, NewRun, open_store

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
VALID_UNTIL = NOW + timedelta(hours=1)
RECEIPTS = {
    "accepted": Receipt("accepted", MessageState.ACCEPTED),
    "failed": Receipt("failed", MessageState.FAILED, DeliveryReason.ADDRESS_REFUSED),
    "withheld": Receipt("withheld", MessageState.WITHHELD, DeliveryReason.OPTED_OUT_SINCE_DECISION),
    "unknown": Receipt("unknown", MessageState.UNKNOWN, DeliveryReason.OUTCOME_UNKNOWN),
    "deferred": Receipt(
        "deferred",
        MessageState.DEFERRED,
        DeliveryReason.TEMPORARY_FAILURE,
        retry_at=NOW + timedelta(minutes=5),
    ),
}


@pytest.fixture
def store(tmp_path):
    with open_store(f"sqlite:///{tmp_path / 'store.sqlite'}") as opened:
        yield opened


@pytest.fixture
def lease(store):
    """A run with a message in every state, and one that nobody has touched."""
    store.runs.open(NewRun("sale--1", "sale", NOW, Trigger.MANUAL, "{}", "a" * 64, NOW, VALID_UNTIL))
    store.runs.mark_decided(["sale--1"], at=NOW)
    store.runs.mark_checked("sale--1")
    store.batches.register("sale--1", "email", 1, len(RECEIPTS) + 2)
    held = store.batches.lease("sale--1", "email", 1, owner="anna", seconds=60, now=NOW)
    store.ledger.claim(held, [Candidate(name, f"p-{name}") for name in (*RECEIPTS, "claimed")], now=NOW)
    store.ledger.settle(held, list(RECEIPTS.values()), now=NOW)
    return held


def news(store, now=NOW):
    found = ledger_news(store, now)
    return found.stopped_runs, {row["message_id"]: str(row["state"]) for row in found.messages}


GONE = {"failed": "failed", "withheld": "withheld"}
LEFT = {"accepted": "accepted", "unknown": "unknown", "claimed": "claimed"}


@pytest.mark.usefixtures("lease")
def test_a_run_under_way_has_given_back_what_failed_and_what_was_withheld(store):
    assert news(store) == ((), GONE)


@pytest.mark.parametrize("reason", [CloseReason.CANCELLED, CloseReason.EXPIRED])
@pytest.mark.usefixtures("lease")
def test_a_closed_run_holds_what_has_left_and_nothing_else(store, reason):
    store.runs.close("sale--1", reason, at=NOW)
    assert news(store) == (("sale--1",), GONE | LEFT)


def test_a_run_that_its_gate_stopped_holds_nothing(store):
    store.runs.open(NewRun("sale--1", "sale", NOW, Trigger.MANUAL, "{}", "a" * 64, NOW, VALID_UNTIL))
    store.runs.mark_decided(["sale--1"], at=NOW)
    assert news(store) == ((), {})
    store.runs.close("sale--1", CloseReason.QUALITY_GATE_FAILED, at=NOW)
    assert news(store) == (("sale--1",), {})


def test_a_run_past_its_validity_is_stopped_when_nobody_is_at_work_on_it(store, lease):
    late = VALID_UNTIL + timedelta(microseconds=1)
    assert news(store, VALID_UNTIL) == ((), GONE)
    assert news(store, late) == (("sale--1",), GONE | LEFT)
    store.batches.renew(lease, now=VALID_UNTIL)
    assert news(store, late) == ((), GONE)
    store.batches.release(lease)
    assert news(store, late) == (("sale--1",), GONE | LEFT)


@pytest.mark.usefixtures("lease")
def test_of_a_run_with_an_account_the_warehouse_knows_everything(store):
    store.runs.close("sale--1", CloseReason.CANCELLED, at=NOW)
    store.runs.save_account("sale--1", {})
    assert news(store) == ((), {})


def test_a_run_that_was_never_decided_holds_nothing(store):
    store.runs.open(NewRun("sale--1", "sale", NOW, Trigger.MANUAL, "{}", "a" * 64, NOW, VALID_UNTIL))
    store.runs.close("sale--1", CloseReason.CANCELLED, at=NOW)
    assert news(store, VALID_UNTIL + timedelta(days=1)) == ((), {})
