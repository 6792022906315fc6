"""``kundresa check``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from kundresa import settings as configuration
from kundresa.cli.output import Exit, out, print_json
from kundresa.spec.problems import SpecProblem


def check(
    campaigns: Annotated[list[str] | None, typer.Argument(help="Campaign names (default: all).")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """Check specs, policies, templates, segments and columns against the models, without running anything.

    Exit code 1 when something blocks a run. What is only advisory (what mail clients and spam filters hold
    against a template) is shown apart. --json has the key policies.yaml when that file has problems.

    Examples: [bold]kundresa check[/bold] · [bold]kundresa check winback --json[/bold]
    """
    from kundresa.runs.checking import check_campaigns, check_policies
    from kundresa.spec.policies import POLICIES_FILE

    settings = configuration.load()
    checked = check_campaigns(settings, campaigns or [])
    policies = check_policies(settings)
    problems = [*policies, *(problem for each in checked for problem in each.problems)]
    if json:
        found = {each.campaign: _told(each.problems, each.advice) for each in checked}
        if policies:
            found[POLICIES_FILE] = _told(policies, ())
        print_json(found)
    else:
        for problem in problems:
            out.print(str(problem), markup=False, highlight=False)
        advice = [problem for each in checked for problem in each.advice]
        for problem in advice:
            out.print(f"advisory: {problem}", markup=False, highlight=False)
        out.print(f"{len(checked)} campaigns checked, {len(problems)} problems, {len(advice)} to consider")
    if problems:
        raise typer.Exit(Exit.PROBLEMS)


def _told(blocking: Sequence[SpecProblem], advisory: Sequence[SpecProblem]) -> list[dict[str, Any]]:
    """Both kinds as JSON, each saying which it is."""
    return [
        asdict(problem) | {"severity": severity}
        for severity, problems in (("blocking", blocking), ("advisory", advisory))
        for problem in problems
    ]
