"""What the current publication tells about segments, for people who look at them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kundresa.settings import Settings
from kundresa.warehouse.build import current_build
from kundresa.warehouse.errors import WarehouseError
from kundresa.warehouse.segment_states import segment_states
from kundresa.warehouse.sql import query

_HISTORY_ROWS = 10


class UnknownSegment(WarehouseError):
    """The current publication knows no such segment."""


@dataclass(frozen=True, slots=True)
class SegmentLine:
    """One segment as the latest build left it.

    ``entity`` is ``person``, or what its members are else. ``members`` are in use, ``evaluated`` is what
    the build found: the two differ while it is held, which is ``held_reason`` since ``held_since``.
    ``since`` is the first build that evaluated it. ``fresh_at`` is as of :class:`SegmentState`.
    """

    segment: str
    entity: str
    members: int
    evaluated: int
    entered: int
    exited: int
    since: datetime
    built_at: datetime
    fresh_at: datetime | None
    stalest_source: str | None
    held_reason: str | None
    held_since: datetime | None
    is_accepted: bool


@dataclass(frozen=True, slots=True)
class SegmentDetail:
    """One segment with its past and its neighbours. ``sizes`` are rows of segment_sizes, the newest
    first; ``sources`` and ``overlap`` are those of segment_freshness and segment_overlap."""

    line: SegmentLine
    sizes: Sequence[Mapping[str, Any]]
    sources: Sequence[Mapping[str, Any]]
    overlap: Sequence[Mapping[str, Any]]


def segment_lines(settings: Settings) -> list[SegmentLine]:
    """Every segment of the latest published build, by name.

    Raises:
        NothingPublished: before the first build.
        WarehouseError: when the publication is that of a release without segment_sizes.
    """
    _require_sizes(settings)
    states = segment_states(settings)
    return [
        SegmentLine(
            segment=row["segment"],
            entity=row["entity"],
            members=row["members_count"],
            evaluated=row["evaluated_count"],
            entered=row["entered_count"],
            exited=row["exited_count"],
            since=row["since"],
            built_at=row["built_at"],
            fresh_at=states[row["segment"]].fresh_at if row["segment"] in states else None,
            stalest_source=states[row["segment"]].stalest_source if row["segment"] in states else None,
            held_reason=row["held_reason"],
            held_since=row["held_since"],
            is_accepted=row["is_accepted"],
        )
        for row in query(settings, _LINES)
    ]


def segment_detail(settings: Settings, name: str) -> SegmentDetail:
    """One segment, its last ten builds, its sources and the segments that share people with it.

    Raises:
        NothingPublished: before the first build.
        UnknownSegment: when the latest build has no such segment, naming those that it has.
    """
    lines = {line.segment: line for line in segment_lines(settings)}
    if name not in lines:
        raise UnknownSegment(f"no segment {name!r} in the current publication; there are: {', '.join(lines)}")
    return SegmentDetail(
        line=lines[name],
        sizes=query(settings, _SIZES, segment=name, rows=_HISTORY_ROWS),
        sources=query(settings, _SOURCES, segment=name),
        overlap=query(settings, _OVERLAP, segment=name, rows=_HISTORY_ROWS),
    )


def _require_sizes(settings: Settings) -> None:
    if not (current_build(settings).path / "segment_sizes").is_dir():
        raise WarehouseError(
            "the current publication is of an earlier release; build anew first (kundresa build)"
        )


_LINES = """
    with builds as (
        select
            *,
            min(built_at) over (partition by segment) as since,
            max(built_at) filter (where not is_held) over (partition by segment) as last_good_at
        from segment_sizes
    ),
    holds as (
        select segment, min(built_at) as held_since
        from builds
        where is_held and (last_good_at is null or built_at > last_good_at)
        group by segment
    )
    select builds.*, holds.held_since
    from builds
    left join holds on builds.segment = holds.segment
    where builds.built_at = (select max(built_at) from segment_sizes)
    order by builds.segment
"""
_SIZES = "select * from segment_sizes where segment = $segment order by built_at desc limit $rows"
_SOURCES = "select source, fresh_at from segment_freshness where segment = $segment order by source"
_OVERLAP = """
    select other_segment, shared_count, shared_share
    from segment_overlap
    where segment = $segment
    order by shared_count desc, other_segment
    limit $rows
"""
