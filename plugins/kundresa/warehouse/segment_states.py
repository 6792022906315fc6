"""What the current publication says of each segment: its size, how fresh it is, whether it is held."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kundresa.settings import Settings
from kundresa.warehouse.build import current_build, published_segments
from kundresa.warehouse.sql import query


@dataclass(frozen=True, slots=True)
class SegmentState:
    """One segment of a publication.

    ``members`` are those in use. ``held_reason`` is None when it is not held. ``fresh_at`` is the
    newest row of the source behind it that is behind the others (``stalest_source``); None when one of
    its sources has no row at all, or when it depends on none.
    """

    segment: str
    members: int
    held_reason: str | None
    fresh_at: datetime | None
    stalest_source: str | None


def segment_states(settings: Settings) -> Mapping[str, SegmentState]:
    """By name, every segment that the current publication knows.

    Raises:
        NothingPublished: before the first build.
    """
    names = published_segments(settings)
    sizes = _by_segment(settings, "segment_sizes", _LATEST_SIZES)
    freshness = _by_segment(settings, "segment_freshness", _STALEST_SOURCES)
    states = {}
    for name in sorted(names):
        size, fresh = sizes.get(name, {}), freshness.get(name, {})
        states[name] = SegmentState(
            segment=name,
            members=size.get("members_count", 0),
            held_reason=size.get("held_reason"),
            fresh_at=fresh.get("fresh_at"),
            stalest_source=fresh.get("source"),
        )
    return states


def _by_segment(settings: Settings, mart: str, sql: str) -> dict[str, dict[str, Any]]:
    """Empty for a publication of an earlier release, which has no such mart."""
    if not (current_build(settings).path / mart).is_dir():
        return {}
    return {row["segment"]: row for row in query(settings, sql)}


_LATEST_SIZES = """
    select segment, members_count, held_reason
    from segment_sizes
    where built_at = (select max(built_at) from segment_sizes)
"""

# A source without any row is the stalest of all.
_STALEST_SOURCES = """
    select segment, source, fresh_at
    from (
        select *, row_number() over (partition by segment order by fresh_at asc nulls first, source) as rank
        from segment_freshness
    )
    where rank = 1
"""
