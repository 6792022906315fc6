"""Parquet is read in slices of a bounded size, whatever the files are."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kundresa.quality.partitions import UnreadablePartition, files, partitions, row_count


def _write(path: Path, first: int, rows: int, **columns: list[object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"n": list(range(first, first + rows)), **columns}), path, row_group_size=3)


def test_small_files_are_joined_and_large_ones_cut(tmp_path: Path) -> None:
    root = tmp_path / "decisions"
    _write(root / "a.parquet", 0, 2)
    _write(root / "b.parquet", 2, 7)
    _write(root / "c.parquet", 9, 1)
    found = list(partitions(root, ["n"], rows=4))
    assert [each.frame["n"].tolist() for each in found] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert [each.label for each in found] == [
        "decisions/a.parquet rows 1-2 to decisions/b.parquet rows 1-2",
        "decisions/b.parquet rows 3-4 to decisions/b.parquet rows 5-6",
        "decisions/b.parquet rows 7-7 to decisions/c.parquet rows 1-1",
    ]
    assert row_count(root) == 10


def test_files_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (10, 2, 1):
        _write(tmp_path / f"batch_number={number}" / "data_0.parquet", number, 1)
    assert [each.parent.name for each in files(tmp_path)] == [
        f"batch_number={number}" for number in (1, 2, 10)
    ]


def test_columns_are_those_asked_for_in_that_order(tmp_path: Path) -> None:
    _write(tmp_path / "a.parquet", 0, 1, secret=["x"], other=["y"])
    (found,) = partitions(tmp_path, ["other", "n"])
    assert found.frame.columns.tolist() == ["other", "n"]


def test_a_field_of_a_struct_is_null_when_the_struct_is(tmp_path: Path) -> None:
    profiles = [{"profile_id": "p1", "first_name": None}, None]
    _write(tmp_path / "a.parquet", 0, 2, profile=profiles)
    (found,) = partitions(tmp_path, ["n", "profile.profile_id"])
    assert found.frame["profile.profile_id"].isna().tolist() == [False, True]
    assert found.frame.columns.tolist() == ["n", "profile.profile_id"]


def test_a_column_that_only_the_path_gives(tmp_path: Path) -> None:
    _write(tmp_path / "channel=direct%20mail" / "batch_number=3" / "data_0.parquet", 0, 2)
    (found,) = partitions(tmp_path / "channel=direct%20mail", ["n", "channel", "batch_number"])
    assert found.frame["channel"].tolist() == ["direct mail"] * 2
    assert found.frame["batch_number"].tolist() == ["3"] * 2


def test_no_rows_are_no_partitions(tmp_path: Path) -> None:
    _write(tmp_path / "a.parquet", 0, 0)
    assert list(partitions(tmp_path, ["n"])) == []
    assert row_count(tmp_path) == 0


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UnreadablePartition, match="no Parquet file in decisions/"):
        list(partitions(tmp_path / "decisions", ["n"]))


def test_a_missing_column(tmp_path: Path) -> None:
    _write(tmp_path / "runs" / "a.parquet", 0, 1, profile=[{"profile_id": "p"}])
    with pytest.raises(
        UnreadablePartition, match=r"runs/a.parquet has no column address, profile\.first_name"
    ):
        list(partitions(tmp_path / "runs", ["n", "profile.first_name", "address"]))


@pytest.mark.parametrize("data", [b"", b"PAR1 this is not Parquet PAR1"])
def test_a_damaged_file(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.parquet").write_bytes(data)
    with pytest.raises(UnreadablePartition, match=r"a.parquet is damaged \(ArrowInvalid\)"):
        list(partitions(tmp_path, ["n"]))
    with pytest.raises(UnreadablePartition):
        row_count(tmp_path)


def test_a_file_damaged_in_the_middle(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    _write(path, 0, 1_000)
    data = bytearray(path.read_bytes())
    data[20:400] = b"\xff" * 380
    path.write_bytes(bytes(data))
    with pytest.raises(UnreadablePartition, match=r"a.parquet is damaged"):
        list(partitions(tmp_path, ["n"]))
