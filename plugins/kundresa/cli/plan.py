"""``kundresa plan``."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from kundresa import settings as configuration
from kundresa.cli.output import out, print_json, progress, table


def plan(
    campaign: Annotated[str, typer.Argument(help="Folder name under dags/campaigns.")],
    as_of: Annotated[
        str | None, typer.Option(help="Plan on what was known at this past UTC instant (default: now).")
    ] = None,
    samples: Annotated[int, typer.Option(min=0, max=20, help="Messages to show per channel.")] = 2,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """Show what a campaign would do: counts by reason and sample messages. Nothing is sent or recorded.

    Example: [bold]kundresa plan spring_sale --as-of 2026-03-01[/bold]
    """
    from kundresa.cli.execute import parse_instant
    from kundresa.runs.planning import counts_by_channel, plan_campaign

    now = datetime.now(tz=UTC)
    moment = parse_instant(as_of)
    if moment is not None and moment > now:
        raise typer.BadParameter(f"{as_of} is in the future", param_hint="--as-of")
    with progress(quiet=json) as bars:
        task = bars.add_task("deciding on the published marts", total=None)
        planned = plan_campaign(
            configuration.load(),
            campaign,
            now=now,
            as_of=moment,
            samples=samples,
            progress=lambda line: bars.update(task, description=line),
        )
    channels = counts_by_channel(planned.counts)
    if json:
        print_json(
            {
                "campaign": campaign,
                "planned_at": planned.planned_at,
                "channels": channels,
                "send_hours": [asdict(hour) for hour in planned.send_hours],
                "samples": [asdict(sample) for sample in planned.samples],
                "warnings": planned.warnings,
            }
        )
        return
    rows: list[tuple[object, ...]] = []
    for channel, part in channels.items():
        rows.append((channel, "considered", part["considered"]))
        rows.extend((channel, f"  {reason}", -count) for reason, count in sorted(part["not_sent"].items()))
        rows.append((channel, "  = send", part["send"]))
        rows.extend(
            (channel, f"      variant {variant}", count)
            for variant, count in sorted(part["variants"].items())
        )
    table(
        f"Plan of {campaign} as of {planned.planned_at:%Y-%m-%d %H:%M}Z",
        ("channel", "", "people"),
        rows,
        right=("people",),
    )
    if len({hour.starts_at for hour in planned.send_hours}) > 1:
        table(
            "When they may leave",
            ("channel", "hour (UTC)", "messages"),
            [
                (hour.channel, f"{hour.starts_at:%Y-%m-%d %H}:00", hour.messages)
                for hour in planned.send_hours
            ],
            right=("messages",),
        )
    for warning in planned.warnings:
        out.print(f"[yellow]Warning:[/yellow] {warning}")
    for sample in planned.samples:
        out.rule(
            f"{sample.channel} to {sample.address}"
            + (f", variant {sample.variant}" if sample.variant else "")
        )
        if sample.subject:
            out.print(f"Subject: {sample.subject}", markup=False, highlight=False)
        out.print(sample.text, markup=False, highlight=False)
