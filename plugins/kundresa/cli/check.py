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
    """Check specs, policies, templates, segments and columns against the models, without running anything.

    Exit code 1 when something is wrong. --json has the key policies.yaml when that file has problems.

    Examples: [bold]kundresa check[/bold] · [bold]kundresa check winback --json[/bold]
    """
    from kundresa.runs.checking import check_campaigns, check_policies
    from kundresa.spec.policies import POLICIES_FILE

    settings = configuration.load()
    checked = check_campaigns(settings, campaigns or [])
    policies = check_policies(settings)
    problems = [*policies, *(problem for each in checked for problem in each.problems)]
    if json:
        found = {each.campaign: each.problems for each in checked}
        if policies:
            found[POLICIES_FILE] = policies
        print_json({name: [asdict(problem) for problem in each] for name, each in found.items()})
    else:
        for problem in problems:
            out.print(str(problem), markup=False, highlight=False)
        out.print(f"{len(checked)} campaigns checked, {len(problems)} problems")
    if problems:
        raise typer.Exit(Exit.PROBLEMS)
