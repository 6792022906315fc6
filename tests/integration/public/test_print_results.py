"""A printer's result files: from the print file of the channel to feedback, suppression and what is open."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from kundresa import settings as configuration
from kundresa.channels import account_from_uri, open_sender
from kundresa.cli.feedback import feedback
from kundresa.content import Token
from kundresa.feedback.print_results import ResultFileError
from kundresa.runs.accounting import read_account
from kundresa.runs.print_results import (
    PrintResults,
    ResultProblem,
    read_new_print_results,
    read_print_results,
)
from kundresa.settings import Settings
from kundresa.spec.channels import DirectMailChannel
from kundresa.spec.messages import DirectMailContent, Message, Receipt
from kundresa.spec.vocabulary import DeliveryReason, MessageState
from kundresa.store import Candidate, Store

from .conftest import ANNA, NOW, RUN

DAY = timedelta(days=1)
CHANNEL = DirectMailChannel.model_validate(
    {
        "kind": "direct_mail",
        "template": "letter",
        "account": "printer",
        "layout": {
            "columns": [{"name": "message_id"}, {"name": "full_name", "header": "NAME"}],
            "delimiter": ";",
        },
    }
)
LETTERS = {f"{number:032x}": f"Storgatan {number}, 903 26 Umeå, SE" for number in range(1, 6)}
FIRST, SECOND, THIRD, FOURTH, FIFTH = LETTERS


@pytest.fixture
def print_file(settings: Settings, store: Store, sent: Token, tmp_path: Path) -> Path:
    """Five letters of the run, decided, published, and written by the channel into this file."""
    store.batches.register(RUN, "direct_mail", 1, len(LETTERS))
    lease = store.batches.lease(RUN, "direct_mail", 1, owner="test", seconds=60, now=NOW)
    store.ledger.claim(lease, [Candidate(each, f"p-{each[-1]}") for each in LETTERS], now=NOW)
    out = tmp_path / "out"
    out.mkdir()
    account = account_from_uri(f"file://{out}", name="printer")
    sender = open_sender(CHANNEL, account, lambda: NOW, run_key=RUN)
    messages = [
        Message(each, LETTERS[each], DirectMailContent((each, f"Person {each[-1]}"))) for each in LETTERS
    ]
    store.ledger.settle(lease, list(sender.send(messages)), now=NOW)
    batch = settings.published / "runs" / RUN / "batches" / "channel=direct_mail" / "batch_number=1"
    batch.mkdir(parents=True)
    rows = [
        {"message_id": each, "run_key": RUN, "profile_id": f"p-{each[-1]}", "address": address}
        for each, address in LETTERS.items()
    ]
    pq.write_table(pa.Table.from_pylist(rows), batch / "data_0.parquet")
    [file] = out.iterdir()
    return file


def results(print_file: Path, statuses: dict[str, str], *more: str, name: str = "r1.csv") -> Path:
    """A result file as a printer makes it from the print file: its rows with a status, in a folder."""
    rows = csv.DictReader(io.StringIO(print_file.read_text(), newline=""), delimiter=";")
    lines = [
        f"{row['message_id']};{statuses[row['message_id']]}" for row in rows if row["message_id"] in statuses
    ]
    folder = print_file.parent.parent / "results"
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text("\n".join(["message_id;status", *lines, *more]))
    return path


def read(settings: Settings, place: Path) -> PrintResults:
    return read_print_results(settings, place, clock=lambda: NOW + DAY)


def test_a_letter_of_which_nothing_was_known_and_that_was_printed_was_sent(
    settings: Settings, store: Store, print_file: Path
) -> None:
    store.batches.register(RUN, "direct_mail", 2, 2)
    lease = store.batches.lease(RUN, "direct_mail", 2, owner="test", seconds=60, now=NOW)
    lost = ["e" * 32, "f" * 32]
    store.ledger.claim(lease, [Candidate(each, "p-9") for each in lost], now=NOW)
    unknown = DeliveryReason.OUTCOME_UNKNOWN
    store.ledger.settle(lease, [Receipt(each, MessageState.UNKNOWN, unknown) for each in lost], now=NOW)
    account = {"channels": {"direct_mail": {"not_sent": {"outcome_unknown": 2}}}}
    store.runs.save_account(RUN, account)
    assert read_account(settings, RUN) == account
    found = read(settings, results(print_file, {FIRST: "printed"}, f"{lost[0]};printed"))
    assert found.counts == {"delivered": 2}
    lines = store.ledger.lines(lost)
    assert [lines[each].state for each in lost] == [MessageState.ACCEPTED, MessageState.UNKNOWN]
    assert read_account(settings, RUN) == account | {"delivered_since": {"direct_mail": 1}}


def suppressed(store: Store) -> dict[str, str]:
    return store.suppressions.active(channel="direct_mail", addresses=list(LETTERS.values()))


def told(store: Store) -> set[tuple[str, str, str | None, str | None]]:
    return {
        (line["message_id"], line["kind"], line["bounce_class"], line["code"])
        for line in store.feedback.rows(NOW, NOW + 2 * DAY)
        if line["channel"] == "direct_mail"
    }


def test_results_reach_feedback_and_what_comes_back_is_suppressed(
    settings: Settings, store: Store, print_file: Path
) -> None:
    path = results(print_file, {FIRST: "posted", SECOND: "returned", THIRD: "failed", FOURTH: "rejected"})
    found = read(settings, path)
    assert (found.files, found.new, found.counts, found.problems) == (
        1,
        4,
        {"delivered": 1, "bounced": 3},
        [],
    )
    assert found.without_result == {RUN: 1}
    assert told(store) == {
        (FIRST, "delivered", None, "posted"),
        (SECOND, "bounced", "hard", "returned"),
        (THIRD, "bounced", "undetermined", "failed"),
        (FOURTH, "bounced", "block", "rejected"),
    }
    assert suppressed(store) == {LETTERS[SECOND]: "hard_bounce"}
    [line] = [each for each in store.feedback.rows(NOW, NOW + 2 * DAY) if each["message_id"] == SECOND]
    assert (line["profile_id"], line["address"], line["provider"]) == ("p-2", LETTERS[SECOND], "printer")


def test_a_result_counts_once_in_whichever_files_it_is_told(
    settings: Settings, store: Store, print_file: Path
) -> None:
    path = results(print_file, {FIRST: "printed", SECOND: "printed"})
    assert read(settings, path).new == 2
    assert read(settings, path).new == 0
    # The printer's next file has all of the first in it, and what came back since.
    results(print_file, {FIRST: "printed", SECOND: "moved", FIFTH: "posted"}, name="r2.csv")
    found = read(settings, path.parent)
    assert (found.files, found.new) == (2, 2)
    assert found.without_result == {RUN: 2}
    assert len(told(store)) == 4
    assert suppressed(store) == {LETTERS[SECOND]: "hard_bounce"}


def test_rows_that_change_nothing_are_told_and_stop_nothing(
    settings: Settings, store: Store, print_file: Path
) -> None:
    never, an_email = f"{'f' * 32};returned", f"{ANNA.message_id};returned"
    path = results(print_file, {FIRST: "posted"}, never, an_email, "x;y", f"{SECOND};returned")
    found = read(settings, path)
    assert {(each.file, each.line) for each in found.problems} == {
        ("r1.csv", 3),
        ("r1.csv", 4),
        ("r1.csv", 5),
    }
    assert {each[0] for each in told(store)} == {FIRST, SECOND}
    assert store.suppressions.active(channel="email", addresses=["then-anna@x.example"]) == {}


def test_a_file_that_is_none_is_an_error_and_in_a_folder_a_problem(
    settings: Settings, store: Store, print_file: Path
) -> None:
    with pytest.raises(ResultFileError, match="no column status"):
        read(settings, print_file)
    folder = results(print_file, {FIRST: "posted"}).parent
    (folder / "a.csv").write_bytes(print_file.read_bytes())
    found = read(settings, folder)
    assert [(each.file, each.line) for each in found.problems] == [("a.csv", 0)]
    assert (found.files, found.new) == (1, 1)
    with pytest.raises(ResultFileError, match="No such file"):
        read(settings, folder / "none.csv")


def test_more_rows_than_are_recorded_at_once(
    settings: Settings, store: Store, print_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kundresa.runs.print_results.ROWS_AT_ONCE", 2)
    found = read(settings, results(print_file, dict.fromkeys(LETTERS, "posted"), f"{'f' * 32};posted"))
    assert (found.new, found.without_result) == (5, {RUN: 0})
    assert found.problems == [
        ResultProblem("r1.csv", 7, f"no letter with the message_id {'f' * 32} was sent")
    ]


def test_the_command_tells_lines_and_ends_with_1(
    settings: Settings, print_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configuration, "load", lambda: settings)
    path = results(print_file, {FIRST: "posted", SECOND: "returned"}, "x;y")
    shown = CliRunner().invoke(feedback, ["printer", str(path)])
    assert shown.exit_code == 1
    assert "r1.csv:4: 'x' is no message_id" in shown.stderr
    assert "bounced: 1, delivered: 1, new: 2" in shown.stdout
    assert f"{RUN}: 3 letters without a result" in shown.stdout
    path.write_text(f"message_id;status\n{FIRST};posted\n")
    shown = CliRunner().invoke(feedback, ["printer", "--json", str(path)])
    assert shown.exit_code == 0
    assert json.loads(shown.stdout)["counts"] == {"delivered": 1}


def read_new(settings: Settings, place: Path) -> PrintResults:
    return read_new_print_results(settings, place, clock=lambda: NOW + DAY)


def test_only_files_that_are_new_or_have_changed_are_read_again(
    settings: Settings, store: Store, print_file: Path
) -> None:
    first = results(print_file, {FIRST: "posted"}, "x;y")
    none = first.parent / "none.csv"
    none.write_text("nothing of the kind\n")
    found = read_new(settings, first.parent)
    assert (found.files, found.new) == (1, 1)
    assert [(each.file, each.line) for each in found.problems] == [("none.csv", 0), ("r1.csv", 3)]
    # The row was told of; what is no result file is told of until somebody has looked.
    found = read_new(settings, first.parent)
    assert (found.files, [each.file for each in found.problems]) == (0, ["none.csv"])
    none.unlink()
    results(print_file, {SECOND: "returned"}, name="r2.csv")
    with first.open("a") as appended:
        appended.write(f"\n{THIRD};posted")
    found = read_new(settings, first.parent)
    assert (found.files, found.new, [each.line for each in found.problems]) == (2, 2, [3])
    assert read_new(settings, first.parent) == PrintResults()
    # What it remembers may be lost: each result counts once all the same.
    settings.print_results_read.write_text("{")
    found = read_new(settings, first.parent)
    assert (found.files, found.new) == (2, 0)
    with pytest.raises(ResultFileError, match="No such file"):
        read_new(settings, first.parent / "gone.csv")
