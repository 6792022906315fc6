"""The gate before a publication: may these marts become the ones that everybody reads?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from kundresa import warehouse
from kundresa.quality import data_docs, suites
from kundresa.quality.partitions import UnreadablePartition, partitions, row_count
from kundresa.quality.report import CheckResult, GateReport, Severity, utc_now
from kundresa.quality.rules import Total
from kundresa.quality.segment_bounds import SEGMENT_SIZES, bounds_totals
from kundresa.quality.suites import CONTACT_POINTS, MARTS, PROFILES, Mart, MartThresholds
from kundresa.quality.tallies import KeyTally
from kundresa.quality.totals import keys_of, share_total, unique_total, unreadable
from kundresa.settings import Settings

if TYPE_CHECKING:
    from pandas import DataFrame

    from kundresa.quality.validation import Validation

TIME_ZONE = "time_zone"
NO_TIME_ZONE = ("", "unknown")


@dataclass(slots=True)
class _Counts:
    """What is counted while one mart is read."""

    keys: KeyTally = field(default_factory=KeyTally)
    rows: int = 0
    nulls: Counter[str] = field(default_factory=Counter)
    addresses: Counter[str] = field(default_factory=Counter)
    valid: Counter[str] = field(default_factory=Counter)
    members: Counter[str] = field(default_factory=Counter)


def check_marts(
    settings: Settings,
    build_id: str,
    *,
    segments: Collection[str] = (),
    thresholds: MartThresholds | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> GateReport:
    """Hold a candidate publication against its thresholds and the publication that is current.

    Args:
        build_id: the folder under ``published/builds``, not promoted yet.
        segments: every segment that should have members; one without is reported. Those in the mart's
            history are looked at in any case.
        clock: gives the report's time, UTC.

    Returns:
        The report, with its Data Docs written. Nothing is raised for bad data: see
        ``GateReport.raise_if_failed``.
    """
    from kundresa.quality.validation import Validation

    limits = thresholds or MartThresholds()
    candidate = warehouse.builds_folder(settings) / build_id
    previous = _previous_build(settings, build_id)
    validation = Validation()
    problems: list[CheckResult] = []
    for mart in MARTS:
        before, damage = _previous_rows(previous, mart)
        problems += damage
        try:
            counts = _read(validation, candidate / mart.name, mart, limits)
            unique = unique_total(
                f"{mart.name}.key_unique", mart.key, counts.keys, partitions(candidate / mart.name, mart.key)
            )
        except UnreadablePartition as error:
            problems.append(unreadable(mart.name, str(error)))
            continue
        volume = (
            _against_previous(mart, counts.rows, before, limits)
            if before
            else [_not_empty(mart, counts.rows)]
        )
        validation.totals(mart.name, [*volume, unique, *_totals(mart, counts, segments, limits)])
    try:
        validation.totals(SEGMENT_SIZES, bounds_totals(candidate))
    except UnreadablePartition as error:
        problems.append(unreadable(SEGMENT_SIZES, str(error)))
    report = GateReport(
        gate="marts",
        subject=build_id,
        checked_at=clock(),
        results=(*problems, *validation.results()),
        partitions=validation.partitions,
    )
    return data_docs.write(settings, report, validation.pages())


def _read(validation: Validation, folder: Path, mart: Mart, limits: MartThresholds) -> _Counts:
    rules = suites.mart(mart)
    counts = _Counts()
    attributes = sorted({*_null_shares(limits)} - {*mart.columns}) if mart is PROFILES else []
    validation.expect(rules)
    for partition in partitions(folder, (*mart.columns, *attributes)):
        validation.rows(mart.name, partition, rules)
        frame = partition.frame
        counts.rows += len(frame)
        counts.keys.add(keys_of(frame, mart.key))
        if mart is PROFILES:
            _count_attributes(counts, frame, limits)
        elif mart is CONTACT_POINTS:
            counts.addresses.update(frame["channel"].dropna().tolist())
            counts.valid.update(frame.loc[frame["is_valid"].eq(True), "channel"].dropna().tolist())
        else:
            counts.members.update(dict.fromkeys(frame["segment"].dropna().unique().tolist(), 0))
            counts.members.update(frame.loc[frame["exited_at"].isna(), "segment"].dropna().tolist())
    return counts


def _count_attributes(counts: _Counts, frame: DataFrame, limits: MartThresholds) -> None:
    for column in _null_shares(limits):
        counts.nulls[column] += int(frame[column].isna().sum())
    counts.nulls[TIME_ZONE] += int(frame[TIME_ZONE].isin(NO_TIME_ZONE).sum())


def _null_shares(limits: MartThresholds) -> Mapping[str, float]:
    return {**limits.largest_null_share, TIME_ZONE: limits.largest_time_zone_unknown}


def _not_empty(mart: Mart, rows: int) -> Total:
    """Without people there is nothing to publish; the other marts may start empty."""
    return Total(
        name=f"{mart.name}.rows",
        severity=Severity.BLOCKING if mart is PROFILES else Severity.ADVISORY,
        value=rows,
        observed=f"{rows:,} rows",
        expected="at least 1",
        minimum=1,
    )


def _against_previous(mart: Mart, rows: int, before: int, limits: MartThresholds) -> list[Total]:
    share = rows / before
    words = f"{rows:,} rows after {before:,} ({share - 1:+.1%})"
    return [
        Total(
            name=f"{mart.name}.not_collapsed",
            severity=Severity.BLOCKING,
            value=share,
            observed=words,
            expected=f"at least {limits.smallest_of_previous:.0%} of the previous publication",
            minimum=limits.smallest_of_previous,
        ),
        Total(
            name=f"{mart.name}.change",
            severity=Severity.ADVISORY,
            value=abs(share - 1),
            observed=words,
            expected=f"a change of at most {limits.largest_change:.0%}",
            maximum=limits.largest_change,
        ),
    ]


def _totals(mart: Mart, counts: _Counts, segments: Collection[str], limits: MartThresholds) -> list[Total]:
    if mart is PROFILES:
        return [
            share_total(
                f"profiles.{column}_null_share", counts.nulls[column], counts.rows, share, f"without {column}"
            )
            for column, share in _null_shares(limits).items()
        ]
    if mart is CONTACT_POINTS:
        return [
            share_total(
                f"contact_points.{channel}_invalid_share",
                count - counts.valid[channel],
                count,
                limits.largest_invalid_share,
                "not valid",
            )
            for channel, count in sorted(counts.addresses.items())
        ]
    return [
        Total(
            name=f"segment_memberships.{segment}_members",
            severity=Severity.ADVISORY,
            value=counts.members[segment],
            observed=f"{counts.members[segment]:,} members",
            expected="at least 1",
            minimum=1,
        )
        for segment in sorted({*segments, *counts.members})
    ]


def _previous_rows(previous: Path | None, mart: Mart) -> tuple[int, list[CheckResult]]:
    """Rows of the current publication, 0 when there is nothing to compare with. A damaged one is
    reported, but does not stop the publication that would replace it."""
    if previous is None:
        return 0, []
    try:
        return row_count(previous / mart.name), []
    except UnreadablePartition as error:
        return 0, [unreadable(f"previous_{mart.name}", str(error), Severity.ADVISORY)]


def _previous_build(settings: Settings, build_id: str) -> Path | None:
    """The current publication; None before the first, and when the candidate itself is current (a gate
    run again after its promotion has nothing to compare with)."""
    try:
        current = warehouse.current_build(settings)
    except warehouse.NothingPublished:
        return None
    return current.path if current.build_id != build_id and current.path.is_dir() else None
