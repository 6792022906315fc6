"""Numbers over all partitions of a data set: shares, repeated keys, and data that cannot be read."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING

from kundresa.quality.masking import masked_key
from kundresa.quality.partitions import Partition
from kundresa.quality.report import SAMPLES, CheckResult, Severity
from kundresa.quality.rules import Total
from kundresa.quality.tallies import KeyTally

if TYPE_CHECKING:
    from pandas import DataFrame


def unreadable(data: str, why: str, severity: Severity = Severity.BLOCKING) -> CheckResult:
    """A data set that cannot be read. Nothing else is said about it."""
    return CheckResult(
        name=f"{data}.readable",
        severity=severity,
        passed=False,
        observed=why,
        expected=f"{data} as Parquet, with its contracted columns",
    )


def share_total(
    name: str, count: int, rows: int, limit: float, words: str, *, severity: Severity = Severity.ADVISORY
) -> Total:
    """``count`` of ``rows`` stays at or below the share ``limit``, 0 to 1. Of no rows the share is 0."""
    share = count / rows if rows else 0.0
    return Total(
        name=name,
        severity=severity,
        value=share,
        observed=f"{count:,} of {rows:,} ({share:.1%}) {words}",
        expected=f"at most {limit:.1%}",
        maximum=limit,
        failed_rows=count,
    )


def keys_of(frame: DataFrame, key: tuple[str, ...]) -> Iterable[Hashable]:
    """Keys of the rows that have one; a missing part is another rule's subject."""
    whole = frame[list(key)].dropna()
    if len(key) == 1:
        return whole[key[0]].tolist()
    return zip(*(whole[column].tolist() for column in key), strict=True)


def unique_total(name: str, key: tuple[str, ...], tally: KeyTally, slices: Iterable[Partition]) -> Total:
    """No key twice, across all partitions. ``slices`` are read again only when a key looks repeated."""
    surplus, samples = _repeated(key, tally, slices)
    return Total(
        name=name,
        severity=Severity.BLOCKING,
        value=surplus,
        observed=f"{surplus:,} of {len(tally):,} rows repeat a key",
        expected=f"one row per {' and '.join(key)}",
        maximum=0,
        failed_rows=surplus,
        samples=tuple(samples),
    )


def _repeated(key: tuple[str, ...], tally: KeyTally, slices: Iterable[Partition]) -> tuple[int, list[str]]:
    repeated = tally.repeated()
    samples: list[str] = []
    if not repeated:
        return 0, samples
    for partition in slices:
        for value in keys_of(partition.frame, key):
            if repeated.again(value) == 2 and len(samples) < SAMPLES:
                parts = value if isinstance(value, tuple) else (value,)
                samples.append(f"{' + '.join(masked_key(part) for part in parts)} in {partition.label}")
    return repeated.surplus_rows, samples
