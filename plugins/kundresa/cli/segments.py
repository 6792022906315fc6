"""``kundresa segments``."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from kundresa import settings as configuration
from kundresa.cli.output import Exit, out, print_json, table

if TYPE_CHECKING:
    from kundresa.warehouse import SegmentDetail, SegmentLine


def segments(
    segment: Annotated[str | None, typer.Argument(help="Only this one, in detail.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """List the published segments: size, what changed in the last build, since when, how fresh, held or not.

    Exit code 1 when one of them is held at its last good state.

    Examples: [bold]kundresa segments[/bold] · [bold]kundresa segments lapsed_customers --json[/bold]
    """
    from kundresa import warehouse

    settings = configuration.load()
    if segment is None:
        lines = warehouse.segment_lines(settings)
        if json:
            print_json([asdict(line) for line in lines])
        else:
            _show_all(lines)
    else:
        detail = warehouse.segment_detail(settings, segment)
        lines = [detail.line]
        if json:
            print_json(asdict(detail))
        else:
            _show_one(detail, warehouse.load_manifest(settings).segments().get(segment, ""))
    if any(line.held_reason for line in lines):
        raise typer.Exit(Exit.PROBLEMS)


def _show_all(lines: list[SegmentLine]) -> None:
    rows = [
        (
            line.segment,
            line.entity,
            line.members,
            f"+{line.entered:,} -{line.exited:,}",
            _instant(line.since),
            _instant(line.fresh_at),
            _held(line),
        )
        for line in lines
    ]
    columns = ("segment", "of", "members", "last build", "since", "fresh", "held")
    table("Segments", columns, rows, right=("members", "last build"))


def _show_one(detail: SegmentDetail, description: str) -> None:
    line = detail.line
    if description:
        out.print(description, markup=False, highlight=False)
    held = _held(line)
    if held:
        out.print(f"Held: {held}", markup=False, highlight=False)
        out.print(f"To take it into use: kundresa build --accept-segment {line.segment}", markup=False)
    sizes = [
        (
            _instant(row["built_at"]),
            row["members_count"],
            row["evaluated_count"],
            f"+{row['entered_count']:,} -{row['exited_count']:,}",
            row["held_reason"] or ("accepted" if row["is_accepted"] else ""),
        )
        for row in detail.sizes
    ]
    columns = ("build", "members", "evaluated", "changes", "held")
    table(f"Size of {line.segment}", columns, sizes, right=("members", "evaluated", "changes"))
    sources = [(row["source"], _instant(row["fresh_at"])) for row in detail.sources]
    table("Made from", ("source", "newest row"), sources)
    overlap = [
        (row["other_segment"], row["shared_count"], f"{row['shared_share']:.1%}") for row in detail.overlap
    ]
    table("Shared with", ("segment", "people", "share"), overlap, right=("people", "share"))


def _held(line: SegmentLine) -> str:
    if line.held_reason is None:
        return ""
    return f"{line.held_reason} since {_instant(line.held_since)}: {line.evaluated:,} evaluated"


def _instant(value: datetime | None) -> str:
    return f"{value:%Y-%m-%d %H:%M}Z" if value else ""
