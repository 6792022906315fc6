"""Reading published Parquet slice by slice, so that memory does not grow with the audience."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from pandas import DataFrame

PARTITION_ROWS = 100_000
"""Rows of one slice. Small files are joined up to it (a run may have thousands of batches), large ones
cut. At 100,000 a slice of the columns that are checked takes about 60 MB; at 10,000 the fixed cost of a
validation (20 ms, and a page) outweighs the reading."""


class UnreadablePartition(Exception):
    """A file is missing, damaged, or lacks a column; the text says which, and holds no data."""


@dataclass(frozen=True, slots=True)
class Partition:
    """A slice of a data set. ``label`` names its files and rows."""

    label: str
    frame: DataFrame


@dataclass(slots=True)
class _Slice:
    """Rows collected for the next partition. Rows are counted from 1 within a file."""

    tables: list[Any]
    rows: int
    labels: list[str]


def files(folder: Path) -> list[Path]:
    """The Parquet files under a folder, ``batch_number=2`` before ``batch_number=10``."""
    return sorted(folder.rglob("*.parquet"), key=lambda path: _natural(str(path.relative_to(folder))))


def row_count(folder: Path) -> int:
    """Rows of a data set, from the footers only.

    Raises:
        UnreadablePartition: when a file is damaged.
    """
    return sum(_open(path, folder).metadata.num_rows for path in files(folder))


def partitions(folder: Path, columns: Sequence[str], *, rows: int = PARTITION_ROWS) -> Iterator[Partition]:
    """Slices of at most ``rows`` rows with these columns; none for a data set without rows.

    A column ``profile.first_name`` is a field of the struct ``profile``, and is null when the struct is.
    A column that only the path gives (``channel=email/``) is filled from it.

    Raises:
        UnreadablePartition: when there is no file, one is damaged, or lacks one of the columns.
    """
    found = files(folder)
    if not found:
        raise UnreadablePartition(f"there is no Parquet file in {folder.name}/")
    pending = _Slice([], 0, [])
    for path in found:
        first = 1
        for table in _tables(path, folder, columns, rows):
            start = 0
            while start < table.num_rows:
                part = table.slice(start, rows - pending.rows)
                pending.tables.append(part)
                pending.rows += part.num_rows
                pending.labels.append(_label(path, folder, first + start, part.num_rows))
                start += part.num_rows
                if pending.rows == rows:
                    yield _partition(pending)
                    pending = _Slice([], 0, [])
            first += table.num_rows
    if pending.rows:
        yield _partition(pending)


def _tables(path: Path, folder: Path, columns: Sequence[str], rows: int) -> Iterator[Any]:
    """Tables of one file, each column flat and in the order asked for."""
    import pyarrow as pa

    file = _open(path, folder)
    known = _column_paths(file.schema_arrow)
    by_path = _path_columns(path, folder)
    missing = sorted(set(columns) - known - set(by_path))
    if missing:
        raise UnreadablePartition(f"{_name(path, folder)} has no column {', '.join(missing)}")
    stored = [column for column in columns if column in known]
    try:
        for batch in file.iter_batches(batch_size=rows, columns=stored, use_threads=False):
            table = pa.Table.from_batches([batch])
            while any(pa.types.is_struct(field.type) for field in table.schema):
                table = table.flatten()
            for column in set(columns) - known:
                table = table.append_column(column, pa.repeat(pa.scalar(by_path[column]), table.num_rows))
            yield table.select(list(columns))
    except (pa.ArrowException, OSError) as error:
        raise UnreadablePartition(f"{_name(path, folder)} is damaged ({type(error).__name__})") from None


def _open(path: Path, folder: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path, pre_buffer=False)
    except (pa.ArrowException, OSError) as error:
        raise UnreadablePartition(f"{_name(path, folder)} is damaged ({type(error).__name__})") from None


def _column_paths(schema: Any) -> set[str]:
    """Names of columns, and ``struct.field`` for the fields of structs."""
    import pyarrow as pa

    paths = set()
    for field in schema:
        paths.add(field.name)
        if pa.types.is_struct(field.type):
            paths.update(f"{field.name}.{child.name}" for child in field.type)
    return paths


def _path_columns(path: Path, folder: Path) -> dict[str, str]:
    """``channel=email/batch_number=3/`` → channel and batch_number, as DuckDB writes partitions."""
    parts = (part.partition("=") for part in path.relative_to(folder.parent).parent.parts)
    return {name: unquote(value) for name, sign, value in parts if sign}


def _partition(pending: _Slice) -> Partition:
    import pyarrow as pa

    label = pending.labels[0]
    if len(pending.labels) > 1:
        label = f"{label} to {pending.labels[-1]}"
    return Partition(label, pa.concat_tables(pending.tables).to_pandas())


def _label(path: Path, folder: Path, first: int, rows: int) -> str:
    return f"{_name(path, folder)} rows {first:,}-{first + rows - 1:,}"


def _name(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder.parent))


def _natural(text: str) -> list[tuple[int, str]]:
    """Digits compare as numbers."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text)]
