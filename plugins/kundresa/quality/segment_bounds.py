"""Whether a candidate publication holds segments back: the build has judged, the gate tells it on."""

from __future__ import annotations

from pathlib import Path

from kundresa.quality.partitions import partitions
from kundresa.quality.report import Severity
from kundresa.quality.rules import Total

SEGMENT_SIZES = "segment_sizes"
_COLUMNS = ("segment", "built_at", "held_reason", "members_count", "evaluated_count")


def bounds_totals(candidate: Path) -> list[Total]:
    """One advisory total per segment of the latest build: 1 when it is held, else 0.

    Advisory, since the publication is sound: a held segment has its last good members, and campaigns
    that name it stop by themselves.

    Raises:
        UnreadablePartition: when the mart is missing or damaged.
    """
    import pandas as pd

    frames = [each.frame for each in partitions(candidate / SEGMENT_SIZES, _COLUMNS)]
    if not frames:
        return []
    sizes = pd.concat(frames)
    latest = sizes[sizes["built_at"] == sizes["built_at"].max()].sort_values("segment")
    return [
        Total(
            name=f"{SEGMENT_SIZES}.{row.segment}_within_bounds",
            severity=Severity.ADVISORY,
            value=int(pd.notna(row.held_reason)),
            observed=f"{row.evaluated_count:,} evaluated, {row.members_count:,} in use"
            + (f", held: {row.held_reason}" if pd.notna(row.held_reason) else ""),
            expected="not held; look at it, then accept it (kundresa build --accept-segment)",
            maximum=0,
        )
        for row in latest.itertuples()
    ]
