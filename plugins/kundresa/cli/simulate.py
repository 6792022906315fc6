"""``kundresa simulate``."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from kundresa import settings as configuration
from kundresa.cli.output import out, print_json, progress, table

if TYPE_CHECKING:
    from kundresa.runs.simulating import Simulation


def simulate(
    days: Annotated[int, typer.Option(min=1, max=92, help="How far to play forward.")] = 14,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """Play all scheduled campaigns forward on today's memberships. Nothing is sent or recorded.

    Messages per campaign and day, who is cut why, how many messages a person gets, and which campaigns take
    each other's place under the caps. It ends with what it takes for granted.

    Example: [bold]kundresa simulate --days 14[/bold]
    """
    from kundresa.runs.simulating import simulate as simulate_campaigns

    with progress(quiet=json) as bars:
        task = bars.add_task("deciding on the published marts", total=None)
        simulation = simulate_campaigns(
            configuration.load(),
            now=datetime.now(tz=UTC),
            days=days,
            progress=lambda line: bars.update(task, description=line),
        )
    if json:
        print_json(asdict(simulation))
    else:
        _print(simulation)


def _print(simulation: Simulation) -> None:
    campaigns = sorted({run.campaign for run in simulation.runs})
    starts, ends = simulation.starts_at, simulation.ends_at
    out.print(
        f"{len(simulation.runs):,} runs of {len(campaigns)} campaigns, {starts:%Y-%m-%d %H:%M}Z to "
        f"{ends:%Y-%m-%d %H:%M}Z"
    )
    if simulation.runs:
        _print_days(simulation, campaigns)
        _print_cuts(simulation)
    table(
        "Messages per person",
        ("messages", "people", "share"),
        [
            (each.messages, each.people, f"{100 * each.people / (simulation.people or 1):.1f} %")
            for each in simulation.pressure
        ],
        right=("messages", "people", "share"),
    )
    if simulation.conflicts:
        table(
            "Campaigns that take the place of others under a cap",
            ("cut", "by", "cap", "lines", "of the same instant"),
            [
                (each.campaign, each.cut_by, each.cap, each.lines, each.outranked)
                for each in simulation.conflicts
            ],
            right=("lines", "of the same instant"),
        )
    elif simulation.runs:
        out.print("No campaign cuts another")
    for run in simulation.runs:
        if run.outside:
            out.print(
                f"[yellow]Warning:[/yellow] {run.run_key} sends {run.send:,}, outside quality.rows: the gate "
                "would stop it; here it is counted"
            )
    for left in simulation.left_out:
        out.print(f"Left out: {left.campaign}: {left.why}", markup=False)
    out.print("Taken for granted:")
    for assumption in simulation.assumptions:
        out.print(f"  - {assumption}", markup=False)


def _print_days(simulation: Simulation, campaigns: list[str]) -> None:
    messages = {(each.day, each.campaign): each.messages for each in simulation.days}
    rows: list[tuple[object, ...]] = []
    for day in sorted({each.day for each in simulation.days}):
        of_day = [messages.get((day, campaign), 0) for campaign in campaigns]
        rows.append((f"{day:%a %Y-%m-%d}", *of_day, sum(of_day)))
    totals = [
        sum(each.messages for each in simulation.days if each.campaign == campaign) for campaign in campaigns
    ]
    rows.append(("all", *totals, sum(totals)))
    table("Messages per day (UTC)", ("day", *campaigns, "all"), rows, right=(*campaigns, "all"))


def _print_cuts(simulation: Simulation) -> None:
    considered: dict[str, int] = {}
    for run in simulation.runs:
        considered[run.campaign] = considered.get(run.campaign, 0) + run.considered
    rows = [
        (each.campaign, each.reason, each.lines, f"{100 * each.lines / considered[each.campaign]:.1f} %")
        for each in simulation.cuts
    ]
    table(
        "Cut, over all runs",
        ("campaign", "reason", "lines", "of considered"),
        rows,
        right=("lines", "of considered"),
    )
