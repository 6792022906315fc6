"""``kundresa check``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from kundresa import settings as configuration
from kundresa.cli.output import Exit, out, print_json


def check(
    campaigns: Annotated[list[str] | None, typer.Argument(help="Campaign names (default: all).")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """Check specs, templates, segments and columns against the models, without running anything.

    Exit code 1 when something is wrong.

    Examples: [bold]kundresa check[/bold] · [bold]kundresa check winback --json[/bold]
    """
    from kundresa.runs.checking import check_campaigns

    checked = check_campaigns(configuration.load(), campaigns or [])
    problems = [problem for each in checked for problem in each.problems]
    if json:
        print_json({each.campaign: [asdict(problem) for problem in each.problems] for each in checked})
    else:
        for problem in problems:
            out.print(str(problem), markup=False, highlight=False)
        out.print(f"{len(checked)} campaigns checked, {len(problems)} problems")
    if problems:
        raise typer.Exit(Exit.PROBLEMS)
