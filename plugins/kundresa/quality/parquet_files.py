"""Whether a Parquet file keeps the contract that staging reads it by: its columns, their types, its key.

Only the footer and the key's columns are read. A Parquet file has one type per column, so a value cannot
be of another: what is left to check is that each type is one that staging's casts take.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kundresa.quality.masking import masked_key
from kundresa.quality.report import SAMPLES
from kundresa.quality.sql_types import DECIMALS, FLOATS, TEXTS, TIMES, WHOLE_NUMBERS, parser
from kundresa.quality.tallies import KeyTally

if TYPE_CHECKING:
    import pyarrow as pa

KEY_ROWS = 100_000
"""Keys in memory at once; their hashes stay, 8 bytes each."""


@dataclass(frozen=True, slots=True)
class ParquetFaults:
    """What was found. ``columns`` are one text per missing column or wrong type, ``extra`` the columns
    that nobody asked for. Counts are rows; ``repeated_keys`` are masked."""

    rows: int
    columns: tuple[str, ...]
    extra: tuple[str, ...]
    null_keys: int
    repeated: int
    repeated_keys: tuple[str, ...]


def inspect_parquet(path: Path, columns: Sequence[tuple[str, str]], key: Sequence[str]) -> ParquetFaults:
    """Hold one file against (name, SQL type) of its columns and the names of its key.

    The key is not read when a column of it is missing.

    Raises:
        UnknownType: for a SQL type that is not known.
        OSError: when the file is missing or no Parquet; pyarrow's errors are OSErrors and ValueErrors.
        ValueError: the same.
    """
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        faults = [
            f"{name} is missing" if name not in schema.names else _type_fault(schema.field(name), wanted)
            for name, wanted in columns
        ]
        known = {name for name, _ in columns}
        extra = tuple(name for name in schema.names if name not in known)
        has_key = all(name in schema.names for name in key)
        nulls, surplus, samples = _key_faults(file, key) if has_key else (0, 0, ())
        return ParquetFaults(
            rows=file.metadata.num_rows,
            columns=tuple(fault for fault in faults if fault),
            extra=extra,
            null_keys=nulls,
            repeated=surplus,
            repeated_keys=samples,
        )


def _key_faults(file: object, key: Sequence[str]) -> tuple[int, int, tuple[str, ...]]:
    tally = KeyTally()
    nulls = 0
    for whole in _keys(file, key):
        present = [each for each in whole if each is not None]
        nulls += len(whole) - len(present)
        tally.add(present)
    repeated = tally.repeated()
    samples: list[str] = []
    if repeated:
        for whole in _keys(file, key):
            for each in whole:
                if each is not None and repeated.again(each) == 2 and len(samples) < SAMPLES:
                    parts = each if isinstance(each, tuple) else (each,)
                    samples.append(" + ".join(masked_key(str(part)) for part in parts))
    return nulls, repeated.surplus_rows if repeated else 0, tuple(samples)


def _keys(file: object, key: Sequence[str]) -> Iterator[list[object]]:
    """The keys, block by block; None for one of which a part is null or empty."""
    for batch in file.iter_batches(batch_size=KEY_ROWS, columns=list(key)):  # type: ignore[attr-defined]
        parts = [batch.column(name).to_pylist() for name in key]
        if len(parts) == 1:
            yield [value if value not in (None, "") else None for value in parts[0]]
        else:
            rows = zip(*parts, strict=True)
            yield [row if all(value not in (None, "") for value in row) else None for row in rows]


def _type_fault(field: pa.Field, wanted: str) -> str:
    """Empty when staging's cast takes every value of the field's type."""
    parser(wanted)  # refuses what is no type of ours
    return "" if _fits(field.type, wanted) else f"{field.name} is {field.type}, not {wanted}"


def _fits(found: pa.DataType, wanted: str) -> bool:
    import pyarrow.types as kinds

    if kinds.is_dictionary(found):
        found = found.value_type
    whole = bool(kinds.is_integer(found))
    number = whole or bool(kinds.is_floating(found) or kinds.is_decimal(found))
    kind = wanted.partition("(")[0].strip().lower()
    if kind in TEXTS:
        # Ids may be numbers.
        return whole or bool(kinds.is_string(found) or kinds.is_large_string(found))
    if kind in WHOLE_NUMBERS:
        return whole
    if kind in FLOATS or kind in DECIMALS:
        return number
    if kind in TIMES:
        # Without a zone it is UTC; an instant of another zone is converted by the engine.
        return bool(kinds.is_timestamp(found) or kinds.is_date(found))
    return bool({"boolean": kinds.is_boolean, "date": kinds.is_date}[kind](found))
