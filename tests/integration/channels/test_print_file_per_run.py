"""Of equal rows one is printed in a run, in whichever of its files they would be and whatever goes wrong with
these: counted in the folder."""

from __future__ import annotations

import csv
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import sleep
from typing import Any

import pytest

from kundresa.channels import account_from_uri, is_idempotent, open_sender
from kundresa.channels.folder import Folder
from kundresa.channels.print_file import PrintFileSender
from kundresa.delivery import Batch, BatchResult, deliver_batch
from kundresa.spec.channels import DirectMailChannel
from kundresa.spec.messages import Content, DirectMailContent, Message
from kundresa.spec.vocabulary import CloseReason, DeliveryPolicy, MessageState, Trigger
from kundresa.store import NewRun, Store, open_store
from kundresa.store.print_rows import keep_rows

ACCEPTED, DEFERRED, UNKNOWN, WITHHELD = (
    MessageState.ACCEPTED,
    MessageState.DEFERRED,
    MessageState.UNKNOWN,
    MessageState.WITHHELD,
)
NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
VALID = timedelta(hours=84)
BATCHES = 3
HOUSES = 5
"""Each has one person in each batch, whose rows are equal."""


def layout(*columns: str) -> DirectMailChannel:
    named = [{"name": name} for name in ("message_id", *columns)]
    return DirectMailChannel.model_validate(
        {
            "kind": "direct_mail",
            "template": "letter",
            "account": "printer",
            "layout": {"columns": named, "header": False},
        }
    )


class Writer:
    def render(self, row: Mapping[str, Any], /) -> Content:
        return DirectMailContent((row["message_id"], row["profile_id"]))


class Run:
    """A run with three batches of letters, and the folder that its files go to."""

    def __init__(
        self, store: Store, folder: Path, run_key: str = "winback--1", *, is_distinct: bool = True
    ) -> None:
        self.store = store
        self.folder = folder
        self.run_key = run_key
        self.is_distinct = is_distinct
        self.now = NOW
        self.policy = DeliveryPolicy.AT_MOST_ONCE
        self.query = "?kept=true"
        folder.mkdir(exist_ok=True)
        store.runs.open(NewRun(run_key, "winback", NOW, Trigger.MANUAL, "{}", "0" * 64, NOW, NOW + VALID))
        store.runs.mark_decided([run_key], at=NOW)
        store.runs.mark_checked(run_key)
        for number in range(1, BATCHES + 1):
            store.batches.register(run_key, "direct_mail", number, HOUSES)

    def rows(self, number: int) -> list[dict[str, Any]]:
        return [
            {
                "message_id": f"{self.run_key[-1]}{number:02x}{house:029x}",
                "profile_id": f"house {house}",
                "channel": "direct_mail",
                "address": f"Storgatan {house}, {number}",
                "variant": None,
            }
            for house in range(HOUSES)
        ]

    def deliver(self, number: int) -> BatchResult:
        account = account_from_uri(f"file://{self.folder}{self.query}", name="printer")
        channel = layout("full_name")
        return deliver_batch(
            self.store,
            Batch(
                run_key=self.run_key,
                channel="direct_mail",
                number=number,
                topic="news",
                policy=self.policy,
                window=5_000,
                decided_at=NOW,
                not_before=NOW,
                valid_until=NOW + VALID,
                is_idempotent=is_idempotent(channel, account),
                is_whole=True,
                is_distinct=self.is_distinct,
            ),
            rows=lambda: self.rows(number),
            renderer=Writer(),
            open_sender=lambda: open_sender(channel, account, lambda: self.now, run_key=self.run_key),
            owner=f"worker {number}",
            lease=timedelta(seconds=60),
            clock=lambda: self.now,
        )

    def say_no(self, house: int, number: int) -> None:
        address = f"Storgatan {house}, {number}"
        self.store.opt_outs.record(
            channel="direct_mail", address=address, source="letter", recorded_at=self.now
        )

    def printed(self) -> Counter[str]:
        """House → how many letters."""
        files = [file for file in self.folder.iterdir() if not file.name.startswith(".")]
        return Counter(row[1] for file in files for row in csv.reader(file.read_text().splitlines()))

    def states(self) -> Counter[str]:
        lines = (row for page in self.store.ledger.rows(self.run_key) for row in page)
        return Counter(f"{row['state']} {row['reason'] or ''}".strip() for row in lines)


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    with open_store(store_url) as opened:
        yield opened


@pytest.fixture
def run(store: Store, tmp_path: Path) -> Run:
    return Run(store, tmp_path / "letters")


EACH_ONCE = {f"house {house}": 1 for house in range(HOUSES)}
ADDS_UP = {"accepted": HOUSES, "withheld duplicate_row": HOUSES * (BATCHES - 1)}


def test_equal_rows_of_three_batches_are_printed_once(run: Run) -> None:
    results = [run.deliver(number) for number in (1, 2, 3)]
    assert [each.retry_at for each in results] == [None] * BATCHES
    assert [each.newly_accepted for each in results] == [HOUSES, 0, 0]
    assert [each.already_settled for each in results] == [0, 0, 0]
    assert results[1].counts == {WITHHELD: HOUSES}
    assert run.printed() == EACH_ONCE
    assert run.states() == ADDS_UP
    # Once more sends nothing, and says so.
    assert run.deliver(2).already_settled == HOUSES
    assert run.printed() == EACH_ONCE


def test_another_run_a_journey_and_another_layout_owe_their_own(store: Store, tmp_path: Path) -> None:
    for key, is_distinct in (("winback--1", True), ("winback--2", True), ("journey--3", False)):
        run = Run(store, tmp_path / key, key, is_distinct=is_distinct)
        for number in (1, 2, 3):
            run.deliver(number)
        assert run.printed() == dict.fromkeys(EACH_ONCE, 1 if is_distinct else BATCHES)
    account = account_from_uri(f"file://{tmp_path}", name="printer")
    message = Message("1", "Storgatan", DirectMailContent(("1", "house 1")))
    digests = set()
    for columns in ("full_name", "surname"):
        for key in ("a", "b"):
            sender = open_sender(layout(columns), account, lambda: NOW, run_key=key)
            assert isinstance(sender, PrintFileSender)
            digests.add(sender.row_digest(message))
    assert len(digests) == 4


def test_what_is_put_off_keeps_nothing_back(run: Run) -> None:
    """The first batch's place is full: its rows wait, and whoever comes next is printed."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as broken:
        broken.setattr("os.fsync", full)
        assert run.deliver(1).counts == {DEFERRED: HOUSES}
    assert run.deliver(2).counts == {ACCEPTED: HOUSES}
    run.now += timedelta(hours=1)
    assert run.deliver(1).counts == {WITHHELD: HOUSES}
    assert run.deliver(3).counts == {WITHHELD: HOUSES}
    assert run.printed() == EACH_ONCE
    assert run.states() == ADDS_UP


@pytest.mark.parametrize(("step", "stood"), [("replace", False), ("_flush", True)])
@pytest.mark.parametrize("policy", list(DeliveryPolicy))
def test_what_is_not_known_yet_is_waited_for(
    run: Run, policy: DeliveryPolicy, step: str, stood: bool
) -> None:
    """An answer is lost, and somebody of the first batch says no before the place is asked."""
    run.policy = policy

    def fail(*_: object) -> None:
        raise TimeoutError(110, "Connection timed out")

    with pytest.MonkeyPatch.context() as broken:
        broken.setattr(Path if step == "replace" else Folder, step, fail)
        assert run.deliver(1).counts == {UNKNOWN: HOUSES}
    run.say_no(0, 1)
    waiting = run.deliver(2)
    assert waiting.counts == {DEFERRED: HOUSES}
    assert waiting.retry_at == run.now + timedelta(minutes=1)
    run.now += timedelta(minutes=10)
    first, others = run.deliver(1), [run.deliver(2), run.deliver(3)]
    assert [each.retry_at for each in (first, *others)] == [None] * BATCHES
    assert run.printed() == EACH_ONCE
    if stood:
        assert run.states() == ADDS_UP
    else:
        # The house of who said no is told by another of its people.
        assert others[0].counts == {ACCEPTED: 1, WITHHELD: HOUSES - 1}
        assert run.states() == {
            "accepted": HOUSES,
            "withheld duplicate_row": HOUSES * (BATCHES - 1) - 1,
            "withheld opted_out_since_decision": 1,
        }


def test_what_nobody_will_know_may_have_been_printed(run: Run) -> None:
    """The printer has taken the file, as nobody can tell; it cannot be written with the same rows again."""
    run.query = ""
    with pytest.MonkeyPatch.context() as broken:
        broken.setattr(Folder, "_flush", lambda _: (_ for _ in ()).throw(TimeoutError(110, "timed out")))
        assert run.deliver(1).counts == {UNKNOWN: HOUSES}
    [file] = run.folder.iterdir()
    file.unlink()
    run.say_no(0, 1)
    run.now += timedelta(minutes=10)
    result = run.deliver(1)
    assert (result.counts, result.retry_at) == ({UNKNOWN: HOUSES}, None)
    assert run.deliver(2).counts == {WITHHELD: HOUSES}
    assert not run.printed()


def test_two_batches_claimed_at_the_same_moment_take_turns(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has looked for equal rows, and takes a while to write its own down."""

    def keep_slowly(*given: Any) -> None:
        sleep(0.2)
        keep_rows(*given)

    monkeypatch.setattr("kundresa.store.ledger.keep_rows", keep_slowly)
    together = threading.Barrier(2, timeout=20)
    results: dict[int, BatchResult] = {}
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            with open_store(run.store.database.url.render_as_string(hide_password=False)) as own:
                mine = Run.__new__(Run)
                mine.__dict__.update(run.__dict__, store=own)
                together.wait()
                results[number] = mine.deliver(number)
        except BaseException as error:  # shown by the test
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not failures, failures
    run.now += timedelta(minutes=2)
    for number in (1, 2, 3):
        assert run.deliver(number).retry_at is None
    assert run.printed() == EACH_ONCE
    assert run.states() == ADDS_UP


def test_the_digests_of_a_closed_run_are_removed(run: Run) -> None:
    for number in (1, 2, 3):
        run.deliver(number)
    assert run.store.retention.forget_print_rows() == 0
    run.store.runs.close(run.run_key, CloseReason.COMPLETED, at=run.now)
    assert run.store.retention.forget_print_rows(chunk=2) == HOUSES
    assert run.store.retention.forget_print_rows() == 0
