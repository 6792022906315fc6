"""The building blocks of suites: a rule about rows, a rule about a total. No import of GX here.

Each constructor states one rule once, as a Great Expectations expectation, together with the same
condition in pandas. GX decides and counts; the condition only picks the rows to show, because GX is
never asked for values (see ADR-002).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kundresa.quality.masking import mask, masked_key
from kundresa.quality.report import SAMPLES, Severity

if TYPE_CHECKING:
    from pandas import DataFrame, Series


@dataclass(frozen=True, slots=True)
class RowRule:
    """What every row of a partition must satisfy."""

    name: str
    severity: Severity
    expected: str
    expectation: str
    """Name of the class in ``great_expectations.expectations``."""
    arguments: Mapping[str, object]
    broken: Callable[[DataFrame], Series[bool]]
    """The rows that break the rule."""
    key: str
    """Column that names a row in a sample."""
    shown: str
    """Column whose masked value a sample shows."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the expectation reads."""
        return tuple(
            str(self.arguments[each]) for each in ("column", "column_A", "column_B") if each in self.arguments
        )

    def samples(self, frame: DataFrame) -> list[str]:
        """Up to ``SAMPLES`` broken rows as ``<key> (<column> <masked value>)``."""
        rows = frame.loc[self.broken(frame)].head(SAMPLES)
        pairs = zip(rows[self.key].tolist(), rows[self.shown].tolist(), strict=True)
        if self.key == self.shown:
            return [f"{self.shown} {mask(_none(value))}" for _, value in pairs]
        return [f"{masked_key(_none(key))} ({self.shown} {mask(_none(value))})" for key, value in pairs]


@dataclass(frozen=True, slots=True)
class Total:
    """A number over all partitions, and the bounds it must keep. Bounds are inclusive."""

    name: str
    severity: Severity
    value: float
    observed: str
    expected: str
    minimum: float | None = None
    maximum: float | None = None
    failed_rows: int = 0
    samples: tuple[str, ...] = ()


def not_null(data: str, column: str, *, key: str, severity: Severity = Severity.BLOCKING) -> RowRule:
    """``column`` has a value in every row."""
    return RowRule(
        name=f"{data}.{column}_not_null",
        severity=severity,
        expected=f"no row without {column}",
        expectation="ExpectColumnValuesToNotBeNull",
        arguments={"column": column},
        broken=lambda frame: frame[column].isna(),
        key=key,
        shown=column,
    )


def in_set(data: str, column: str, values: Collection[str], *, key: str) -> RowRule:
    """``column`` holds one of these values, or null. Blocking."""
    allowed = sorted(values)
    return RowRule(
        name=f"{data}.{column}_known",
        severity=Severity.BLOCKING,
        expected=f"{column} one of {', '.join(allowed)}",
        expectation="ExpectColumnValuesToBeInSet",
        arguments={"column": column, "value_set": allowed},
        broken=lambda frame: frame[column].notna() & ~frame[column].isin(allowed),
        key=key,
        shown=column,
    )


def matches(name: str, column: str, regex: str, *, expected: str, key: str) -> RowRule:
    """``column`` matches ``regex`` (anchored by its author), or is null. Blocking."""
    return RowRule(
        name=name,
        severity=Severity.BLOCKING,
        expected=expected,
        expectation="ExpectColumnValuesToMatchRegex",
        arguments={"column": column, "regex": regex},
        broken=lambda frame: frame[column].notna() & ~frame[column].astype(str).str.contains(regex),
        key=key,
        shown=column,
    )


def same(name: str, left: str, right: str, *, expected: str, key: str) -> RowRule:
    """``left`` equals ``right`` wherever both are set. Blocking."""
    return RowRule(
        name=name,
        severity=Severity.BLOCKING,
        expected=expected,
        expectation="ExpectColumnPairValuesToBeEqual",
        arguments={"column_A": left, "column_B": right, "ignore_row_if": "either_value_is_missing"},
        broken=lambda frame: frame[left].notna() & frame[right].notna() & (frame[left] != frame[right]),
        key=key,
        shown=right,
    )


def _none(value: object) -> object:
    """NaN and NaT are null too: they differ from themselves."""
    return None if value is None or value != value else value  # noqa: PLR0124
