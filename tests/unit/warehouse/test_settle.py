"""A publication looks the same whichever engine wrote it."""

from __future__ import annotations

from pathlib import Path

from kundresa.warehouse.files import settle


def _spark_writes(folder: Path, *parts: str) -> None:
    folder.mkdir(parents=True)
    for name in ("_SUCCESS", "._SUCCESS.crc", *parts, *(f".{part}.crc" for part in parts)):
        (folder / name).write_text(name)


def test_one_part_takes_the_folders_name(tmp_path: Path) -> None:
    _spark_writes(tmp_path / "run.parquet", "part-00000-x.zstd.parquet")
    settle(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["run.parquet"]
    assert (tmp_path / "run.parquet").read_text() == "part-00000-x.zstd.parquet"


def test_several_parts_stay_in_their_order(tmp_path: Path) -> None:
    parts = [f"part-0000{number}-x.parquet" for number in range(3)]
    _spark_writes(tmp_path / "decisions" / "decisions.parquet", *parts)
    settle(tmp_path)
    found = sorted((tmp_path / "decisions").iterdir())
    assert [path.name for path in found] == [f"decisions-{part}" for part in parts]
    assert [path.read_text() for path in found] == parts


def test_what_duckdb_writes_stays_as_it_is(tmp_path: Path) -> None:
    batch = tmp_path / "batches" / "channel=email" / "batch_number=1" / "data_0.parquet"
    batch.parent.mkdir(parents=True)
    batch.write_text("rows")
    settle(tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [batch]
