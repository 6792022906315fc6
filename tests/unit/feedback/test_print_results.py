"""Result files of printers: the good rows are read, the others told, and what is none is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kundresa.feedback.print_results import ResultFileError, read_results, result_files
from kundresa.spec.vocabulary import BounceClass, FeedbackKind

A, B = "a" * 32, "b" * 32


def file(folder: Path, octets: bytes | str, name: str = "results.csv") -> Path:
    path = folder / name
    path.write_bytes(octets if isinstance(octets, bytes) else octets.encode())
    return path


@pytest.mark.parametrize(
    ("status", "kind", "bounce_class"),
    [
        ("printed", FeedbackKind.DELIVERED, None),
        ("POSTED", FeedbackKind.DELIVERED, None),
        (" Delivered ", FeedbackKind.DELIVERED, None),
        ("undeliverable", FeedbackKind.BOUNCED, BounceClass.HARD),
        ("Return to sender", FeedbackKind.BOUNCED, BounceClass.HARD),
        ("moved", FeedbackKind.BOUNCED, BounceClass.HARD),
        ("rejected", FeedbackKind.BOUNCED, BounceClass.BLOCK),
        ("failed", FeedbackKind.BOUNCED, BounceClass.UNDETERMINED),
        ("not-printed", FeedbackKind.BOUNCED, BounceClass.UNDETERMINED),
    ],
)
def test_the_words_of_a_status(
    tmp_path: Path, status: str, kind: FeedbackKind, bounce_class: BounceClass | None
) -> None:
    [row] = read_results(file(tmp_path, f"message_id,status\n{A},{status}\n"))
    assert row.report is not None
    assert (row.report.message_id, row.report.channel) == (A, "direct_mail")
    assert (row.report.kind, row.report.bounce_class) == (kind, bounce_class)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_columns_stand_in_any_order_and_others_are_passed_over(tmp_path: Path, delimiter: str) -> None:
    rows = [
        ["Batch", "Detail", "STATUS", "Message ID"],
        ["7", '"gone, so the post says"', "returned", A.upper()],
    ]
    text = "\r\n".join(delimiter.join(row) for row in rows)
    [row] = read_results(file(tmp_path, b"\xef\xbb\xbf" + text.encode()))
    assert row.report is not None
    assert (row.report.message_id, row.report.code) == (A, "returned")
    assert row.report.detail == "gone, so the post says"


def test_a_broken_row_is_told_by_its_line_and_stops_nothing(tmp_path: Path) -> None:
    lines = [
        "message_id,status,detail",
        f'{A},"returned',  # a quotation mark that is never closed
        "",
        "anna@x.example,returned,",
        f"{A}",
        f"{A},perhaps,",
        f"{A},returned,{'x' * 20_000}",
        f"{B},returned,",
    ]
    rows = list(read_results(file(tmp_path, "\n".join(lines))))
    assert [(row.line, row.report is not None) for row in rows] == [
        (2, False),
        (4, False),
        (5, False),
        (6, False),
        (7, False),
        (8, True),
    ]
    assert "not closed" in rows[0].problem
    assert "is no message_id" in rows[1].problem
    assert "anna" not in rows[1].problem
    assert "'perhaps' is no status" in rows[3].problem


def test_other_octets_than_utf_8_cost_a_detail_nothing(tmp_path: Path) -> None:
    [row] = read_results(file(tmp_path, f"message_id;status;detail\n{A};moved;Umeå".encode("latin-1")))
    assert row.report is not None
    assert row.report.detail == "Umeå"


@pytest.mark.parametrize(
    "octets",
    [b"", b"\n\n", b"message_id,NAME\n", b"\x1f\x8b\0\0", "message_id,status\n".encode("utf-16"), b'"a\n'],
)
def test_what_is_no_result_file_is_refused(tmp_path: Path, octets: bytes) -> None:
    with pytest.raises(ResultFileError, match=r"results\.csv: "):
        list(read_results(file(tmp_path, octets)))


def test_a_place_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ResultFileError, match="No such file"):
        list(read_results(tmp_path / "none.csv"))
    assert result_files(tmp_path) == []


def test_of_a_folder_only_whole_result_files(tmp_path: Path) -> None:
    for name in ("b.TXT", "a.csv", ".c.csv", "d.csv.part", "e.pdf"):
        file(tmp_path, "x", name)
    (tmp_path / "f.csv").mkdir()
    assert [each.name for each in result_files(tmp_path)] == ["a.csv", "b.TXT"]


def test_a_letter_that_was_posted_and_comes_back_is_two_events_and_a_repeated_result_one(
    tmp_path: Path,
) -> None:
    text = f"message_id,status\n{A},printed\n{A},posted\n{A},returned\n{A},moved\n"
    ids = [row.report.event_id for row in read_results(file(tmp_path, text)) if row.report]
    assert len(ids) == 4
    assert len(set(ids)) == 2


@given(st.binary(max_size=300))
def test_whatever_follows_the_columns_each_line_is_a_report_or_a_problem(
    tmp_path_factory: pytest.TempPathFactory, octets: bytes
) -> None:
    path = file(tmp_path_factory.mktemp("any"), b"message_id,status,detail\n" + octets)
    for row in read_results(path):
        assert (row.report is None) == bool(row.problem)
