"""What a gate said is written once, and what it looks at is counted, on both engines."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from kundresa.spec.messages import Receipt
from kundresa.spec.vocabulary import DeliveryReason, GateResult, MessageState
from kundresa.store import Candidate, WaveGate


@pytest.fixture
def gate(checked, now) -> WaveGate:
    return WaveGate(checked(), 2, GateResult.PASSED, 9, 8, 1, 1, 0, 0, "", now)


def test_the_first_word_counts_and_every_wave_has_its_own(store, gate):
    assert store.wave_gates.of(gate.run_key) == {}
    assert store.wave_gates.record(gate) == gate
    second = replace(gate, result=GateResult.STOPPED, complained=8, detail="late")
    assert store.wave_gates.record(second) == gate
    third = replace(second, wave=3)
    assert store.wave_gates.record(third) == third
    assert store.wave_gates.of(gate.run_key) == {2: gate, 3: third}


def test_a_gate_is_of_a_run_that_there_is(store, gate):
    with pytest.raises(IntegrityError):
        store.wave_gates.record(replace(gate, run_key="nobody--1"))


def test_some_batches_are_counted_with_the_time_of_the_last_message(store, checked, take, now):
    run_key = checked()
    assert store.ledger.part_tally(run_key, {}).last_at is None
    for number, (name, minutes) in enumerate((("a", 0), ("b", 5), ("c", 9)), 1):
        at = now + timedelta(minutes=minutes)
        store.batches.register(run_key, "email", number, 2)
        lease = store.batches.lease(run_key, "email", number, owner="anna", seconds=60, now=at)
        store.ledger.claim(lease, [Candidate(f"{name}1", "p1"), Candidate(f"{name}2", "p2")], now=at)
        refused = Receipt(f"{name}2", MessageState.FAILED, DeliveryReason.ADDRESS_REFUSED)
        later = at + timedelta(hours=1)
        store.ledger.settle(lease, [Receipt(f"{name}1", MessageState.ACCEPTED), refused], now=later)
    tally = store.ledger.part_tally(run_key, {"email": [1, 2], "sms": [3]})
    assert tally.counts == {
        (MessageState.ACCEPTED, None): 2,
        (MessageState.FAILED, DeliveryReason.ADDRESS_REFUSED): 2,
    }
    assert tally.last_at == now + timedelta(minutes=5)


def test_who_was_suppressed_and_who_said_no_since_then(store, now):
    minute = timedelta(minutes=1)
    for address, at in (("before", now - minute), ("at", now), ("after", now + minute)):
        store.suppressions.add(
            channel="email", address=address, reason="complaint", source="test", recorded_at=at
        )
        store.opt_outs.record(
            channel="email", address=address, profile_id=f"p-{address}", source="test", recorded_at=at
        )
    store.suppressions.lift(channel="email", address="after", at=now + 2 * minute)
    assert store.suppressions.all_since(now, channel="email") == {"at": "complaint", "after": "complaint"}
    assert store.suppressions.all_since(now, channel="sms") == {}
    found = store.opt_outs.all_since(now, channel="email", topic="offers")
    assert (found.addresses, found.profile_ids) == ({"at", "after"}, {"p-at", "p-after"})
    nobody = store.opt_outs.all_since(now, channel="email", topic="offers", with_every_topic=False)
    assert not nobody.addresses
