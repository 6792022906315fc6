"""The gate before a build: do the source files, CSV or Parquet, keep the contract that staging reads them by?

Own code and not Great Expectations: see ADR-001. A file that fails stops the build, and the previous
publication stays.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path

from kundresa.quality import data_docs
from kundresa.quality.csv_files import LONGEST_LINE, Faults, inspect_encoding, read_header, read_rows
from kundresa.quality.days import DayTally, SourceTime, last_whole_day, missing_days
from kundresa.quality.masking import mask, masked_key, shape
from kundresa.quality.parquet_files import inspect_parquet
from kundresa.quality.report import SAMPLES, CheckResult, GateReport, Severity, utc_now
from kundresa.quality.sql_types import Parses, example, parser
from kundresa.quality.tallies import KeyTally
from kundresa.settings import Settings


@dataclass(frozen=True, slots=True)
class SourceColumn:
    """One column of the contract. ``data_type`` is SQL: ``varchar``, ``decimal(12,2)``, ``timestamp``."""

    name: str
    data_type: str


@dataclass(frozen=True, slots=True)
class SourceTable:
    """The contract of one file: CSV with a header, or Parquet. Columns are found by name."""

    name: str
    path: Path
    columns: tuple[SourceColumn, ...]
    primary_key: tuple[str, ...]
    time: SourceTime | None = None
    """None for a table whose rows have no time, such as products."""


@dataclass(slots=True)
class _TypeTally:
    """One typed column."""

    parses: Parses
    wrong: int = 0
    samples: list[str] = field(default_factory=list)


class _Broken(Exception):
    def __init__(self, result: CheckResult) -> None:
        super().__init__(result.name)
        self.result = result


def check_sources(
    settings: Settings, tables: Iterable[SourceTable], *, clock: Callable[[], datetime] = utc_now
) -> GateReport:
    """Read every source file once and hold it against its contract.

    A file is not looked at further once its bytes or its header are wrong: every later check would only
    repeat that.

    Args:
        clock: gives the report's time, UTC; the report's subject is that instant.

    Returns:
        The report, with its Data Docs written. Nothing is raised for bad data: see
        ``GateReport.raise_if_failed``.

    Raises:
        UnknownType: when a contract names a type that is not known.
        ValueError: when a primary key or the time is not among the columns.
    """
    contracts = list(tables)
    now = clock()
    tallies = {table.name: DayTally(now) for table in contracts if table.time is not None}
    results: list[CheckResult] = []
    for table in contracts:
        results += _check_table(table, tallies.get(table.name))
    results += _check_times(contracts, tallies, now)
    report = GateReport(
        gate="sources",
        subject=f"{now:%Y%m%dT%H%M%S.%fZ}",
        checked_at=now,
        results=tuple(results),
        partitions=len(contracts),
    )
    return data_docs.write(settings, report)


def _check_table(table: SourceTable, days: DayTally | None) -> list[CheckResult]:
    names = [column.name for column in table.columns]
    strange = sorted(set(table.primary_key) - set(names))
    if strange or not table.primary_key:
        raise ValueError(f"the primary key of {table.name} is {strange or 'empty'}: not among its columns")
    if table.time is not None and table.time.column not in names:
        raise ValueError(f"the time of {table.name} is {table.time.column}: not among its columns")
    parsers = {column.name: parser(column.data_type) for column in table.columns}
    if table.path.suffix == ".parquet":
        return _check_parquet(table, days)
    results: list[CheckResult] = []
    try:
        results.append(_check_bytes(table))
        header = read_header(table.path)
        results += _check_header(table, header)
        results += _check_rows(table, header or [], parsers, days)
    except _Broken as broken:
        results.append(broken.result)
    except (OSError, csv.Error) as error:
        why = (
            "is missing"
            if isinstance(error, FileNotFoundError)
            else f"cannot be read ({type(error).__name__})"
        )
        results.append(_result(table, "file", f"{table.path.name} {why}", "a CSV file that can be read"))
    return results


def _check_parquet(table: SourceTable, days: DayTally | None) -> list[CheckResult]:
    columns = [(column.name, column.data_type) for column in table.columns]
    try:
        found = inspect_parquet(table.path, columns, table.primary_key)
        if days is not None and table.time is not None and not found.columns:
            days.add_parquet(table.path, table.time.column)
    except (OSError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError)
        why = "is missing" if missing else f"cannot be read ({type(error).__name__})"
        return [_result(table, "file", f"{table.path.name} {why}", "a Parquet file that can be read")]
    return [
        _result(
            table,
            "header",
            "; ".join(found.columns) or f"all {len(columns)} columns",
            f"columns {', '.join(f'{name} {data_type}' for name, data_type in columns)}",
            passed=not found.columns,
        ),
        _extra_columns(table, found.extra),
        _rows(table, found.rows),
        _key_not_null(table, found.null_keys, found.rows, ()),
        _key_result(table, found.repeated, found.repeated_keys),
    ]


def _check_times(
    tables: Iterable[SourceTable], tallies: Mapping[str, DayTally], now: datetime
) -> list[CheckResult]:
    timed = [(table, table.time, tallies[table.name]) for table in tables if table.time is not None]
    last = last_whole_day((tally for _, time, tally in timed if time.missing_day is not None), now)
    results = []
    for table, time, tally in timed:
        if not tally.rows:
            continue
        results.append(
            _result(
                table,
                "future",
                f"{tally.future_rows:,} of {tally.rows:,} rows are later than now",
                f"no {time.column} in the future; nothing counts before its time",
                failed_rows=tally.future_rows,
                samples=[f"line {line:,}" for line in tally.future_lines],
                passed=not tally.future_rows,
                severity=Severity.ADVISORY,
            )
        )
        if time.missing_day is not None and last is not None:
            missing = missing_days(tally, last, time.closed_days)
            results.append(
                _result(
                    table,
                    "days",
                    f"days missing: {len(missing)}" if missing else f"every day up to {last}",
                    "the weekday's usual rows every day, but for meta.closed_days of the source",
                    samples=[str(day) for day in missing],
                    passed=not missing,
                    severity=time.missing_day,
                )
            )
    return results


def _result(
    table: SourceTable,
    rule: str,
    observed: str,
    expected: str,
    *,
    failed_rows: int = 0,
    samples: Sequence[str] = (),
    passed: bool = False,
    severity: Severity = Severity.BLOCKING,
) -> CheckResult:
    return CheckResult(
        name=f"{table.name}.{rule}",
        severity=severity,
        passed=passed,
        observed=observed,
        expected=expected,
        failed_rows=failed_rows,
        samples=tuple(samples[:SAMPLES]),
        partition="" if passed else table.path.name,
    )


def _check_bytes(table: SourceTable) -> CheckResult:
    found = inspect_encoding(table.path)
    if found.longest_line > LONGEST_LINE:
        observed = (
            f"line {found.longest_line_number:,} has {found.longest_line:,} bytes: is a quote never closed?"
        )
        raise _Broken(_result(table, "lines", observed, f"lines of at most {LONGEST_LINE:,} bytes"))
    if found.bad_lines:
        where = ", ".join(f"{line:,}" for line in found.first_bad_lines)
        more = ", …" if found.bad_lines > len(found.first_bad_lines) else ""
        observed = f"{found.bad_lines:,} lines are not UTF-8 (lines {where}{more})"
        raise _Broken(_result(table, "encoding", observed, "UTF-8", failed_rows=found.bad_lines))
    return _result(table, "encoding", "UTF-8", "UTF-8", passed=True)


def _check_header(table: SourceTable, header: list[str] | None) -> list[CheckResult]:
    """Columns are found by name: their order is free, and one that staging does not read is no harm."""
    names = [column.name for column in table.columns]
    expected = f"a header with {','.join(names)}"
    if header is None:
        raise _Broken(_result(table, "header", "the file is empty", expected))
    fault = _header_fault(header, names)
    if fault:
        raise _Broken(_result(table, "header", fault, expected))
    extra = [cell for cell in header if cell not in names]
    return [
        _result(table, "header", f"all {len(names)} columns", expected, passed=True),
        _extra_columns(table, extra),
    ]


def _extra_columns(table: SourceTable, extra: Sequence[str]) -> CheckResult:
    return _result(
        table,
        "extra_columns",
        f"{', '.join(map(_plain, extra)) or 'none'}",
        "only columns of the contract; others are not read",
        passed=not extra,
        severity=Severity.ADVISORY,
    )


def _rows(table: SourceTable, rows: int) -> CheckResult:
    return _result(table, "rows", f"{rows:,} rows", "at least 1", passed=rows > 0, severity=Severity.ADVISORY)


def _key_not_null(table: SourceTable, nulls: int, rows: int, samples: Sequence[str]) -> CheckResult:
    return _result(
        table,
        "key_not_null",
        f"{nulls:,} of {rows:,} rows have no key",
        f"a {' and '.join(table.primary_key)} in every row",
        failed_rows=nulls,
        samples=samples,
        passed=not nulls,
    )


def _key_result(table: SourceTable, surplus: int, samples: Sequence[str]) -> CheckResult:
    return _result(
        table,
        "key_unique",
        f"{surplus:,} rows repeat a key",
        f"one row per {' and '.join(table.primary_key)}",
        failed_rows=surplus,
        samples=samples,
        passed=not surplus,
    )


def _header_fault(header: list[str], names: list[str]) -> str:
    """What is wrong with it, or nothing. Cells are shown only when the line is a header: else they are
    somebody's."""
    delimiter = next((each for each in ";\t|" if len(header) == 1 and each in header[0]), None)
    if delimiter is not None:
        return f"the cells of the first line are separated by {delimiter!r}, not by a comma"
    known = set(names) & set(header)
    if len(known) * 2 < len(names):
        return (
            f"the first line has {len(known)} of the {len(names)} columns: is the header missing? "
            f"It begins with {mask(header[0] if header else None)}"
        )
    extra = [cell for cell in dict.fromkeys(header) if cell not in names]
    faults = []
    for name in (name for name in names if name not in header):
        near = get_close_matches(name, extra, n=1, cutoff=0.6)
        faults.append(f"{name} is missing" + (f" (is {_plain(near[0])} meant?)" if near else ""))
    if faults and extra:
        faults.append(f"not in the contract: {', '.join(map(_plain, extra))}")
    faults += [f"{_plain(cell)} occurs {header.count(cell)} times" for cell in _repeated(header)]
    return "; ".join(faults)


def _repeated(header: list[str]) -> list[str]:
    return [cell for cell in dict.fromkeys(header) if header.count(cell) > 1]


def _plain(cell: str) -> str:
    """A header cell on one line of ASCII, at most 64 characters."""
    return ascii(cell[:64])[1:-1] or "an empty name"


def _check_rows(
    table: SourceTable, header: list[str], parsers: Mapping[str, Parses | None], days: DayTally | None
) -> list[CheckResult]:
    faults = Faults()
    keys = KeyTally()
    key_at = [header.index(name) for name in table.primary_key]
    null_keys: list[int] = []
    nulls = 0
    types = {header.index(name): _TypeTally(parses) for name, parses in parsers.items() if parses is not None}
    type_names = {column.name: column.data_type for column in table.columns}
    for block in read_rows(table.path, len(header), faults):
        columns = list(zip(*block.rows, strict=True))
        for index, tally in types.items():
            _tally_type(tally, columns[index], block.lines)
        if days is not None and table.time is not None:
            days.add(columns[header.index(table.time.column)], block.lines)
        whole = list(_whole_keys(columns, key_at))
        if None in whole:
            without = [line for line, key in zip(block.lines, whole, strict=True) if key is None]
            nulls += len(without)
            null_keys += without[: SAMPLES - len(null_keys)]
        keys.add(key for key in whole if key is not None)
    return [
        *_structure(table, len(header), faults),
        *(
            _type_result(table, SourceColumn(header[index], type_names[header[index]]), tally, faults)
            for index, tally in types.items()
        ),
        _key_not_null(table, nulls, faults.rows, [f"line {line:,}" for line in null_keys]),
        _key_unique(table, keys, key_at, len(header)),
    ]


def _whole_keys(columns: list[tuple[str, ...]], key_at: list[int]) -> Iterable[str | tuple[str, ...] | None]:
    """The key of each row; None when a part of it is empty."""
    if len(key_at) == 1:
        return (value or None for value in columns[key_at[0]])
    parts = zip(*(columns[index] for index in key_at), strict=True)
    return (part if all(part) else None for part in parts)


def _tally_type(tally: _TypeTally, values: tuple[str, ...], lines: list[int]) -> None:
    # Dates and numbers repeat: each is parsed once a block, which halves the time of a whole file.
    unreadable = {value for value in set(values) if value and not tally.parses(value)}
    if not unreadable:
        return
    wrong = [index for index, value in enumerate(values) if value in unreadable]
    tally.wrong += len(wrong)
    for index in wrong[: SAMPLES - len(tally.samples)]:
        tally.samples.append(f"line {lines[index]:,}: {shape(values[index])}")


def _structure(table: SourceTable, width: int, faults: Faults) -> list[CheckResult]:
    return [
        _result(
            table,
            "quoting",
            f"cannot be read further than {faults.broken}" if faults.broken else "readable to the end",
            "quotes closed, and doubled inside a quoted cell",
            passed=not faults.broken,
        ),
        _result(
            table,
            "row_length",
            f"{faults.ragged:,} of {faults.rows:,} rows have another number of cells",
            f"{width} cells in every row",
            failed_rows=faults.ragged,
            samples=faults.first_ragged,
            passed=not faults.ragged,
        ),
        _rows(table, faults.rows),
    ]


def _type_result(table: SourceTable, column: SourceColumn, tally: _TypeTally, faults: Faults) -> CheckResult:
    return _result(
        table,
        f"{column.name}_type",
        f"{tally.wrong:,} of {faults.rows:,} rows do not hold a {column.data_type}",
        f"{column.data_type}, written as {example(column.data_type)}, or empty",
        failed_rows=tally.wrong,
        samples=tally.samples,
        passed=not tally.wrong,
    )


def _key_unique(table: SourceTable, keys: KeyTally, key_at: list[int], width: int) -> CheckResult:
    """Reads the file again when a key looks repeated, to compare whole keys and to name lines."""
    repeated = keys.repeated()
    samples: list[str] = []
    surplus = 0
    if repeated:
        first: dict[object, int] = {}
        for block in read_rows(table.path, width, Faults()):
            columns = list(zip(*block.rows, strict=True))
            for key, line in zip(_whole_keys(columns, key_at), block.lines, strict=True):
                _note_repeated(repeated.again(key), key, line, first, samples)
        surplus = repeated.surplus_rows
    return _key_result(table, surplus, samples)


def _note_repeated(times: int, key: object, line: int, first: dict[object, int], samples: list[str]) -> None:
    if times == 1:
        first[key] = line
    elif times == 2 and len(samples) < SAMPLES:
        parts = key if isinstance(key, tuple) else (key,)
        shown = " + ".join(masked_key(part) for part in parts)
        samples.append(f"{shown} on lines {first[key]:,} and {line:,}")
