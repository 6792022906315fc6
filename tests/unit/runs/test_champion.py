"""The best variant of the first wave goes to the others: once found, never another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kundresa import settings as configuration
from kundresa.channels import Account
from kundresa.runs import delivering
from kundresa.runs.explaining import variant_of
from kundresa.runs.mirror import render_mirror
from kundresa.spec.campaign import Campaign
from kundresa.spec.frozen import freeze
from kundresa.spec.machines import KNOWN_AFTER
from kundresa.spec.messages import Receipt
from kundresa.spec.vocabulary import (
    Automation,
    DeliveryReason,
    FeedbackKind,
    GateResult,
    MessageState,
    Trigger,
)
from kundresa.store import NewFeedback, NewRun, open_store

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
RUN = "sale--20261123T090000Z"
ACCOUNT = Account("news", "smtp", "127.0.0.1", 1)
SIZES = {1: 400, 2: 20, 3: 20}
"""Messages by wave, which are also the batches; every second is decided to be a, the others b."""
TEMPLATES = {
    "m.subject.j2": "Sale ({{ variant }})",
    "m.html.j2": '<a href="https://shop.example/">shop</a><a href="{{ unsubscribe_url }}">off</a>',
}


def campaign(**champion) -> Campaign:
    return Campaign.model_validate(
        {
            "name": "sale",
            "owner": "crm",
            "description": "A sale.",
            "schedule": "manual",
            "audience": {"include": ["everybody"]},
            "topic": "offers",
            "channels": [
                {"kind": "email", "template": "m", "account": "news", "sender": "S <s@shop.example>"}
            ],
            "tracking": {"clicks": True, "opens": True},
            "waves": {"counts": [400, 20, "rest"], "every": "2h", "hold": {"bounce_percent": 10}},
            "experiment": {
                "name": "tone",
                "variants": [{"name": "a"}, {"name": "b"}],
                "champion": {"measure": "clicked"} | champion,
            },
            "quality": {"rows": {"min": 0, "max": 1000}},
            "delivery": {"valid_for": "1d", "batch_size": 400},
        }
    )


class Server:
    """Takes every message, but for the addresses that it refuses."""

    def __init__(self) -> None:
        self.subjects: dict[str, str] = {}
        self.refused: set[str] = set()

    def send(self, window) -> Iterator[Receipt]:
        for message in window:
            if message.address in self.refused:
                yield Receipt(message.message_id, MessageState.FAILED, DeliveryReason.ADDRESS_REFUSED)
            else:
                self.subjects[message.message_id] = message.content.subject
                yield Receipt(message.message_id, MessageState.ACCEPTED)

    def close(self) -> None:
        pass


def _name(wave: int, number: int) -> str:
    return f"{wave}-{number:03}"


class Bench:
    def __init__(self, settings, store, server) -> None:
        self.settings, self.store, self.server = settings, store, server
        self.now = NOW

    def open(self, **champion) -> Bench:
        spec = campaign(**champion)
        frozen = freeze(spec, TEMPLATES)
        until = NOW + spec.delivery.valid_for
        self.store.runs.open(NewRun(RUN, "sale", NOW, Trigger.MANUAL, frozen.json, frozen.hash, NOW, until))
        folder = self.settings.published / "runs" / RUN
        for wave, size in SIZES.items():
            batch = folder / "batches" / "channel=email" / f"batch_number={wave}"
            batch.mkdir(parents=True)
            rows = [
                {
                    "message_id": f"m{_name(wave, number)}",
                    "profile_id": f"p{_name(wave, number)}",
                    "address": f"{_name(wave, number)}@people.example",
                    "time_zone": "Europe/Stockholm",
                    "variant": "ab"[number % 2],
                    "wave": wave,
                    "send_at": (NOW + timedelta(hours=2 * wave - 2)).replace(tzinfo=None),
                    "profile": {"country": "SE", "language": "sv"},
                }
                for number in range(size)
            ]
            pq.write_table(pa.Table.from_pylist(rows), batch / "data_0.parquet")
        (folder / "decisions").mkdir()
        lines = [
            {"channel": "email", "batch_number": wave, "wave": wave, "verdict": "send"} for wave in SIZES
        ]
        pq.write_table(pa.Table.from_pylist(lines), folder / "decisions" / "decisions.parquet")
        head = {"run_key": RUN, "consent": "yes", "decided_at": NOW.replace(tzinfo=None)}
        pq.write_table(
            pa.Table.from_pylist([head | {"lines_count": 440, "send_count": 440}]), folder / "run.parquet"
        )
        self.store.runs.mark_decided([RUN], at=NOW)
        self.store.runs.mark_checked(RUN)
        assert delivering.plan_batches(self.settings, RUN, "email") == SIZES
        return self

    def deliver(self, wave: int):
        """When its time has come."""
        self.now = NOW + timedelta(hours=2 * wave - 2)
        return delivering.deliver(
            self.settings, RUN, "email", wave, owner=str(self.now), account=ACCOUNT, clock=lambda: self.now
        )

    def feedback(self, variant: str, people: int, kind=FeedbackKind.CLICKED, at=None, **more) -> None:
        at = at or NOW + timedelta(minutes=5)
        numbers = [number for number in range(SIZES[1]) if "ab"[number % 2] == variant][:people]
        self.store.feedback.record(
            [
                NewFeedback(
                    feedback_key=f"{kind} {variant} {number} {again} {more} {at}",
                    kind=kind,
                    channel="email",
                    provider="link",
                    message_id=f"m{_name(1, number)}",
                    occurred_at=at,
                    received_at=at,
                    **more,
                )
                for number in numbers
                # Who clicks twice is one person.
                for again in (1, 2)
            ]
        )

    def written(self, wave: int) -> list[str]:
        """The variants in which its messages were written, by number."""
        found = {key: subject for key, subject in self.server.subjects.items() if key.startswith(f"m{wave}-")}
        return [found[key].removeprefix("Sale (").removesuffix(")") for key in sorted(found)]

    @property
    def gate(self):
        return self.store.wave_gates.of(RUN)[2]


@pytest.fixture
def bench(tmp_path, monkeypatch):
    project = tmp_path / "project"
    (project / "dags").mkdir(parents=True)
    settings = configuration.load(
        {
            "KUNDRESA_HOME": str(tmp_path),
            "KUNDRESA_SECRET": "for a test",
            "KUNDRESA_PROJECT": str(project),
            "KUNDRESA_PUBLIC_URL": "https://kundresa.shop.example",
        }
    )
    server = Server()
    monkeypatch.setattr(delivering, "open_sender", lambda *_, **__: server)
    with open_store(settings.store_url) as store:
        yield Bench(settings, store, server)


SPLIT = ["a", "b"] * 10


def test_the_sure_winner_of_the_first_wave_is_sent_in_all_others(bench):
    bench.open().deliver(1)
    assert bench.written(1) == ["a", "b"] * 200
    bench.feedback("a", 10)
    bench.feedback("b", 30)
    bench.deliver(2)
    bench.deliver(3)
    assert bench.written(2) == bench.written(3) == ["b"] * 20
    assert bench.gate.champion == "b"
    assert bench.gate.champion_detail == (
        "b is sent: a: 10 of 200 clicked (5.00 %), the best with under 0.1 %; "
        "b: 30 of 200 clicked (15.00 %), the best with over 99.9 %"
    )
    # What was written is what the ledger exports, the mirror shows, and the next look is told.
    exported = {row["message_id"]: row["variant"] for chunk in bench.store.ledger.rows(RUN) for row in chunk}
    assert [exported[f"m{_name(2, number)}"] for number in range(4)] == ["b"] * 4
    assert [exported[f"m{_name(1, number)}"] for number in range(4)] == ["a", "b", "a", "b"]
    assert render_mirror(bench.settings, bench.store, f"m{_name(2, 0)}").subject == "Sale (b)"
    assert bench.store.wave_gates.of(RUN)[3].champion is None, "looked for once"
    line = bench.store.ledger.lines([f"m{_name(2, 0)}"])[f"m{_name(2, 0)}"]
    assert variant_of({"variant": "a"}, line) == "b"
    assert variant_of({"variant": "a"}, replace(line, state=MessageState.WITHHELD)) == "a"
    assert variant_of({"variant": "a"}, None) == "a"


@pytest.mark.parametrize(("otherwise", "written"), [("split", SPLIT), ("a", ["a"] * 20)])
def test_a_better_rate_that_may_be_luck_is_no_champion(bench, otherwise, written):
    """6 % against 7 %."""
    bench.open(otherwise=otherwise).deliver(1)
    bench.feedback("a", 12)
    bench.feedback("b", 14)
    bench.deliver(2)
    assert bench.written(2) == written
    assert bench.gate.champion_detail.startswith("none is the best with 95 %, ")


def test_the_certainty_is_the_campaigns(bench):
    bench.open(certainty_percent=60).deliver(1)
    bench.feedback("a", 12)
    bench.feedback("b", 14)
    bench.deliver(2)
    assert bench.written(2) == ["b"] * 20


def test_machines_and_other_feedback_do_not_count(bench):
    bench.open().deliver(1)
    bench.feedback("a", 40)
    bench.feedback("b", 100, automation=Automation.SCANNER)
    bench.feedback("b", 100, kind=FeedbackKind.OPENED)
    # Who clicked just now may still show themselves to be a scanner.
    bench.feedback("b", 100, at=NOW + timedelta(hours=2) - KNOWN_AFTER + timedelta(seconds=1))
    bench.deliver(2)
    assert bench.gate.champion == "a"
    assert "b: 0 of 200 clicked" in bench.gate.champion_detail


def test_who_did_not_get_it_is_no_part_of_the_rate(bench):
    """Half of a's people were refused, so that its 20 are 20 % of 100."""
    bench.open()
    bench.server.refused = {f"{_name(1, number)}@people.example" for number in range(200, 240, 2)}
    bench.deliver(1)
    bench.feedback("a", 20)
    bench.feedback("b", 5)
    bench.deliver(2)
    assert "a: 20 of 180 clicked" in bench.gate.champion_detail


def test_after_the_second_wave(bench):
    bench.open(after_wave=2).deliver(1)
    bench.feedback("b", 100)
    bench.deliver(2)
    assert bench.written(2) == SPLIT
    assert bench.gate.champion_detail == ""
    bench.deliver(3)
    assert bench.written(3) == ["b"] * 20
    assert "a: 0 of 210 clicked" in bench.store.wave_gates.of(RUN)[3].champion_detail


def test_what_was_found_once_holds_after_a_crash_and_whatever_comes_in(bench, monkeypatch):
    bench.open().deliver(1)
    bench.feedback("b", 30)

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(delivering.delivery, "deliver_batch", killed)
        with pytest.raises(KeyboardInterrupt):
            bench.deliver(2)
    bench.feedback("a", 200)
    bench.deliver(2)
    bench.deliver(3)
    assert bench.written(2) == bench.written(3) == ["b"] * 20


def test_a_stopped_wave_has_no_champion(bench):
    bench.open()
    bench.server.refused = {f"{_name(1, number)}@people.example" for number in range(100)}
    bench.deliver(1)
    bench.feedback("b", 100)
    bench.deliver(2)
    assert (bench.gate.result, bench.gate.champion, bench.gate.champion_detail) == (
        GateResult.STOPPED,
        None,
        "",
    )
    assert bench.written(2) == []
