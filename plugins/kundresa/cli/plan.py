"""``kundresa plan``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from kundresa import settings as configuration
from kundresa.cli.output import print_json, progress


def plan(  # noqa: PLR0917  # each is an option of the command
    campaign: Annotated[str, typer.Argument(help="Folder name under dags/campaigns.")],
    as_of: Annotated[
        str | None, typer.Option(help="Plan on what was known at this past UTC instant (default: now).")
    ] = None,
    samples: Annotated[int, typer.Option(min=0, max=20, help="Messages to show per channel.")] = 2,
    base_rate: Annotated[
        float | None,
        typer.Option(
            help="Percent of people who react without the message, for the power (default: as observed)."
        ),
    ] = None,
    effect: Annotated[
        float | None,
        typer.Option(help="Tell the sample size that an effect of this many percentage points needs."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """Show what a campaign would do. Nothing is sent or recorded.

    Who is left after each rule, what has changed since the last run, which other campaigns the people are in,
    cost, duration, power of holdout and experiment, and sample messages.

    Examples: [bold]kundresa plan spring_sale --as-of 2026-03-01[/bold] · [bold]kundresa plan spring_sale
    --base-rate 3 --effect 0.5[/bold]
    """
    from kundresa.channels import known_account
    from kundresa.cli.execute import parse_instant
    from kundresa.cli.plan_output import plan_document, print_plan
    from kundresa.runs.planning import plan_campaign

    now = datetime.now(tz=UTC)
    moment = parse_instant(as_of)
    if moment is not None and moment > now:
        raise typer.BadParameter(f"{as_of} is in the future", param_hint="--as-of")
    # Not by typer's bounds: these would let 0 and 100 in.
    if base_rate is not None and not 0 < base_rate < 100:
        raise typer.BadParameter("expected more than 0 and less than 100 percent", param_hint="--base-rate")
    if effect is not None and not 0 < effect < 100:
        raise typer.BadParameter("expected more than 0 and less than 100 points", param_hint="--effect")
    with progress(quiet=json) as bars:
        task = bars.add_task("deciding on the published marts", total=None)
        planned = plan_campaign(
            configuration.load(),
            campaign,
            now=now,
            as_of=moment,
            samples=samples,
            base_rate=None if base_rate is None else base_rate / 100,
            effect=None if effect is None else effect / 100,
            account_of=known_account,
            progress=lambda line: bars.update(task, description=line),
        )
    if json:
        print_json(plan_document(planned))
    else:
        print_plan(planned)
