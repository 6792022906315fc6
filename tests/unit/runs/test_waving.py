"""Waves: each leaves when the results of the one before allow it, once, whoever asks and however often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kundresa import settings as configuration
from kundresa.channels import Account
from kundresa.runs import delivering, waving
from kundresa.runs.run_rows import run_waves
from kundresa.spec.campaign import Campaign
from kundresa.spec.frozen import freeze
from kundresa.spec.messages import Receipt
from kundresa.spec.vocabulary import CloseReason, DeliveryReason, GateResult, MessageState, Trigger
from kundresa.store import NewRun, open_store
from kundresa.warehouse.schemas import PUBLISHED, arrow_schema

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
RUN = "sale--20261123T090000Z"
ACCOUNT = Account("texts", "http", "127.0.0.1", 1)
SIZES = {1: 20, 2: 30, 3: 50}
"""Messages by wave, which are also the batches."""
HOLD = {"after": "1h", "bounce_percent": 10, "complaint_percent": 5, "unsubscribe_percent": 10}
ACCEPTED, WITHHELD = MessageState.ACCEPTED, MessageState.WITHHELD


def campaign(**hold) -> Campaign:
    return Campaign.model_validate(
        {
            "name": "sale",
            "owner": "crm",
            "description": "A sale.",
            "schedule": "manual",
            "audience": {"include": ["everybody"]},
            "topic": "offers",
            "channels": [{"kind": "sms", "template": "text", "account": "texts", "sender": "Shop"}],
            "waves": {"shares": [20, 30, 50], "every": "2h", "hold": HOLD | hold},
            "quality": {"rows": {"min": 0, "max": 1000}},
            "delivery": {"valid_for": "1d"},
        }
    )


class Gateway:
    """Takes every message, but for the numbers that it refuses."""

    def __init__(self) -> None:
        self.got: Counter[str] = Counter()
        self.refused: set[str] = set()

    def send(self, window) -> Iterator[Receipt]:
        for message in window:
            self.got[message.message_id] += 1
            if message.address in self.refused:
                yield Receipt(message.message_id, MessageState.FAILED, DeliveryReason.ADDRESS_REFUSED)
            else:
                yield Receipt(message.message_id, ACCEPTED)

    def close(self) -> None:
        pass


class Bench:
    """A decided and checked run of 100 messages in three waves of one batch each."""

    def __init__(self, settings, store, gateway) -> None:
        self.settings, self.store, self.gateway = settings, store, gateway
        self.now = NOW
        self.spec = campaign()

    def open(self, **hold) -> Bench:
        self.spec = campaign(**hold)
        frozen = freeze(self.spec, {"text.txt.j2": "Hej\n"})
        until = NOW + self.spec.delivery.valid_for
        self.store.runs.open(NewRun(RUN, "sale", NOW, Trigger.MANUAL, frozen.json, frozen.hash, NOW, until))
        self.publish()
        self.store.runs.mark_decided([RUN], at=NOW)
        self.store.runs.mark_checked(RUN)
        assert delivering.plan_batches(self.settings, RUN, "sms") == SIZES
        return self

    def publish(self) -> None:
        folder = self.settings.published / "runs" / RUN
        starts = {wave.wave: wave.starts_at for wave in run_waves(self.spec, NOW)}
        lines = [
            {"message_id": f"m{wave}-{number:02}", "run_key": RUN, "campaign": "sale", "entity_id": ""}
            | {"profile_id": f"p{wave}-{number:02}", "channel": "sms", "verdict": "send", "wave": wave}
            | {"address": f"+4670{wave}{number:05}", "batch_number": wave, "failed_rules": ""}
            | {"decided_at": naive(NOW), "send_at": naive(starts[wave])}
            for wave, size in SIZES.items()
            for number in range(size)
        ]
        held_out = lines[0] | {"message_id": "m0", "verdict": "holdout", "batch_number": None}
        schema = arrow_schema(PUBLISHED["decisions"])
        (folder / "decisions").mkdir(parents=True)
        write(folder / "decisions" / "decisions.parquet", [*lines, held_out], schema)
        profile = pa.field("profile", pa.struct([("country", pa.string()), ("first_name", pa.string())]))
        for wave in SIZES:
            batch = folder / "batches" / "channel=sms" / f"batch_number={wave}"
            batch.mkdir(parents=True)
            rows = [line | {"profile": {"country": "SE"}} for line in lines if line["wave"] == wave]
            write(batch / "data_0.parquet", rows, schema.append(profile))
        run = {"run_key": RUN, "consent": "yes", "decided_at": naive(NOW), "lines_count": 101}
        write(folder / "run.parquet", [run | {"send_count": 100}], arrow_schema(PUBLISHED["decided_runs"]))

    def deliver(self, wave: int, owner: str = "anna"):
        return delivering.deliver(
            self.settings, RUN, "sms", wave, owner=owner, account=ACCOUNT, clock=lambda: self.now
        )

    def at(self, **after) -> Bench:
        self.now = NOW + timedelta(**after)
        return self

    def account(self) -> dict[tuple[str, str | None], int]:
        return {(str(line.state), line.reason): line.messages for line in self.store.ledger.counts(RUN)}

    def gates(self) -> dict[int, GateResult]:
        return {number: gate.result for number, gate in self.store.wave_gates.of(RUN).items()}


def naive(instant: datetime) -> datetime:
    return instant.replace(tzinfo=None)


def write(path, rows, schema) -> None:
    pq.write_table(
        pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema=schema),
        path,
    )


@pytest.fixture
def bench(tmp_path, monkeypatch):
    project = tmp_path / "project"
    (project / "dags").mkdir(parents=True)
    settings = configuration.load(
        {"KUNDRESA_HOME": str(tmp_path), "KUNDRESA_SECRET": "for a test", "KUNDRESA_PROJECT": str(project)}
    )
    gateway = Gateway()
    monkeypatch.setattr(delivering, "open_sender", lambda *_, **__: gateway)
    with open_store(settings.store_url) as store:
        yield Bench(settings, store, gateway)


def test_each_wave_leaves_an_hour_after_the_one_before_and_not_before_its_time(bench):
    bench.open()
    assert bench.deliver(1).newly_accepted == 20
    # Its own time comes first.
    assert bench.deliver(2).retry_at == NOW + timedelta(hours=2)
    assert bench.deliver(3).retry_at == NOW + timedelta(hours=4)
    assert bench.gates() == {}

    assert bench.at(hours=2).deliver(2).newly_accepted == 30
    gate = bench.store.wave_gates.of(RUN)[2]
    assert (gate.result, gate.tried, gate.sent, gate.looked_at) == (GateResult.PASSED, 20, 20, bench.now)
    assert bench.at(hours=4).deliver(3).newly_accepted == 50
    # Again, by whoever: nothing.
    assert [bench.deliver(wave, "bo").newly_accepted for wave in SIZES] == [0, 0, 0]
    assert (len(bench.gateway.got), set(bench.gateway.got.values())) == (100, {1})
    assert bench.account() == {("accepted", None): 100}


def test_a_wave_waits_for_the_one_before_to_be_out_and_then_for_its_results(bench):
    bench.open()
    result = bench.at(hours=3).deliver(2)
    assert (result.retry_at, result.counts) == (bench.now + waving.LOOK_AGAIN, {})
    # The third waits for the second, which waits for the first.
    assert bench.at(hours=5).deliver(3).retry_at == bench.now + waving.LOOK_AGAIN
    bench.deliver(1)
    assert bench.at(hours=5, minutes=59).deliver(2).retry_at == NOW + timedelta(hours=6)
    assert bench.gates() == {}
    assert bench.at(hours=6).deliver(2).newly_accepted == 30


@pytest.mark.parametrize(("refused", "result"), [(2, GateResult.PASSED), (3, GateResult.STOPPED)])
def test_exactly_at_the_limit_is_within_it(bench, refused, result):
    """10 % of 20 are two."""
    bench.open()
    bench.gateway.refused = {f"+46701{number:05}" for number in range(refused)}
    bench.deliver(1)
    bench.at(hours=2).deliver(2)
    assert bench.gates() == {2: result}


def test_a_stopped_wave_is_withheld_with_those_after_it_and_every_message_has_its_line(bench):
    bench.open()
    bench.gateway.refused = {f"+46701{number:05}" for number in range(5)}
    bench.deliver(1)
    stopped = bench.at(hours=2).deliver(2)
    assert (stopped.counts, stopped.retry_at) == ({WITHHELD: 30}, None)
    assert bench.store.wave_gates.of(RUN)[2].detail == "wave 1: 5 of 20 bounced (25.00 %), 10 % at most"
    bench.at(hours=4).deliver(3)
    assert bench.gates() == {2: GateResult.STOPPED}
    assert bench.account() == {
        ("accepted", None): 15,
        ("failed", "address_refused"): 5,
        ("withheld", "wave_stopped"): 80,
    }
    # What was stopped stays so, whatever the gateway would say now.
    bench.gateway.refused = set()
    assert [bench.at(hours=9).deliver(wave).newly_accepted for wave in SIZES] == [0, 0, 0]
    assert len(bench.gateway.got) == 20


@pytest.mark.parametrize(
    ("reason", "column"), [("hard_bounce", "bounced"), ("complaint", "complained"), ("manual", None)]
)
def test_who_was_suppressed_since_the_message_left_counts_by_the_reason(bench, reason, column):
    bench.open()
    suppress = {"channel": "sms", "reason": reason, "source": "test"}
    # This one did not get it: not a result of the wave.
    bench.store.suppressions.add(address="+46701" + "00000", recorded_at=NOW, **suppress)
    bench.deliver(1)
    for number in (1, 2, 3):
        bench.store.suppressions.add(
            address=f"+46701{number:05}", recorded_at=NOW + timedelta(minutes=5), **suppress
        )
    # And this one was known before.
    bench.store.suppressions.add(address="+46701" + "00004", recorded_at=NOW - timedelta(days=1), **suppress)
    bench.at(hours=2).deliver(2)
    gate = bench.store.wave_gates.of(RUN)[2]
    counts = {name: getattr(gate, name) for name in ("bounced", "complained", "unsubscribed")}
    assert counts == dict.fromkeys(counts, 0) | ({column: 3} if column else {})
    assert gate.result is (GateResult.STOPPED if column else GateResult.PASSED)


def test_who_said_no_to_this_topic_or_to_everything_counts(bench):
    bench.open()
    bench.deliver(1)
    no = {"channel": "sms", "source": "test", "recorded_at": NOW + timedelta(minutes=5)}
    bench.store.opt_outs.record(address="+46701" + "00000", topic="offers", **no)
    bench.store.opt_outs.record(address="elsewhere", profile_id="p1-01", **no)
    bench.store.opt_outs.record(address="+46701" + "00002", topic="newsletter", **no)
    bench.store.opt_outs.record(**no | {"channel": "email"}, address="+46701" + "00003")
    bench.at(hours=2).deliver(2)
    gate = bench.store.wave_gates.of(RUN)[2]
    assert (gate.unsubscribed, gate.sent, gate.result) == (2, 20, GateResult.PASSED)


def test_what_was_said_once_holds(bench):
    """Another task looks at the same time and sees more: the first one's word counts."""
    bench.open()
    bench.deliver(1)
    bench.at(hours=2).deliver(2)
    first = bench.store.wave_gates.of(RUN)[2]
    for number in range(20):
        bench.store.suppressions.add(
            channel="sms", address=f"+46701{number:05}", reason="complaint", source="t", recorded_at=bench.now
        )
    assert (
        bench.store.wave_gates.record(
            waving.WaveGate(RUN, 2, GateResult.STOPPED, 20, 20, 0, 0, 20, 0, "late", bench.now)
        )
        == first
    )
    assert bench.deliver(2).counts == {ACCEPTED: 30}


@pytest.mark.parametrize("refused", [0, 5])
def test_a_crash_after_the_gate_has_spoken_changes_nothing(bench, monkeypatch, refused):
    bench.open()
    bench.gateway.refused = {f"+46701{number:05}" for number in range(refused)}
    bench.deliver(1)

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(delivering.delivery, "deliver_batch", killed)
        patch.setattr(delivering.delivery, "withhold_batch", killed)
        with pytest.raises(KeyboardInterrupt):
            bench.at(hours=2).deliver(2)
    said = bench.store.wave_gates.of(RUN)
    # By the time it is tried again, complaints have come in.
    for number in range(10, 20):
        bench.store.suppressions.add(
            channel="sms", address=f"+46701{number:05}", reason="complaint", source="t", recorded_at=bench.now
        )
    result = bench.at(hours=3).deliver(2, "bo")
    assert bench.store.wave_gates.of(RUN) == said
    assert result.counts == ({WITHHELD: 30} if refused else {ACCEPTED: 30})


def test_a_cancelled_run_waits_for_no_wave(bench):
    bench.open()
    bench.deliver(1)
    bench.store.runs.close(RUN, CloseReason.CANCELLED, at=NOW)
    for wave in (2, 3):
        assert bench.deliver(wave).retry_at is None
    assert bench.account() == {("accepted", None): 20, ("withheld", "run_cancelled"): 80}
    assert bench.gates() == {}


def test_the_end_of_the_validity_ends_the_wait(bench):
    bench.open()
    waits = bench.at(hours=23, minutes=59).deliver(2)
    assert waits.retry_at == NOW + timedelta(days=1, seconds=1)
    assert bench.at(days=1, seconds=1).deliver(2).counts == {WITHHELD: 30}
    assert bench.account() == {("withheld", "run_expired"): 30}


def test_what_nobody_delivered_is_settled_with_the_reason_of_its_wave(bench):
    """The second was stopped before its worker died; the first was never delivered in full."""
    bench.open()
    bench.gateway.refused = {f"+46701{number:05}" for number in range(5)}
    bench.deliver(1)
    bench.at(hours=2).deliver(2)
    bench.at(days=2)
    assert delivering.settle_overdue(bench.settings, RUN, clock=lambda: bench.now) == 50
    assert bench.account()["withheld", "wave_stopped"] == 80


def test_a_wave_without_anybody_holds_nobody_back(bench, monkeypatch):
    bench.open()
    waves = {"sms": {1: 1, 2: 3, 3: 3}}
    monkeypatch.setattr(waving.warehouse, "batch_waves", lambda *_: waves)
    bench.deliver(1)
    assert bench.at(hours=4).deliver(3).newly_accepted == 50
    assert bench.gates() == {2: GateResult.PASSED, 3: GateResult.PASSED}
