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
    campaigns: Annotated[
        list[str] | None, typer.Argument(help="Campaign names (default: all, and all journeys).")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """Check specs, policies, templates, segments and columns against the models, without running anything.

    Without names, journeys and audience shares too; one of them alone: `kundresa journey check`.

    Exit code 1 when something blocks a run. What is only advisory (what mail clients and spam filters hold
    against a template) is shown apart. An email account in the environment blocks when nobody
    could follow the links of its mail. --json has the key policies.yaml when that file has problems.

    Examples: [bold]kundresa check[/bold] · [bold]kundresa check winback --json[/bold]
    """
    from kundresa.channels import known_account
    from kundresa.runs.audience_shares import check_audience_shares
    from kundresa.runs.checking import check_campaigns, check_policies
    from kundresa.runs.journey_checking import check_journeys
    from kundresa.spec.policies import POLICIES_FILE

    settings = configuration.load()
    checked = check_campaigns(settings, campaigns or [], account_of=known_account)
    policies = check_policies(settings)
    journeys = [] if campaigns else check_journeys(settings, account_of=known_account)
    shares = [] if campaigns else check_audience_shares(settings)
    everything = [*checked, *journeys, *shares]
    problems = [*policies, *(problem for each in everything for problem in each.problems)]
    if json:
        found = {each.campaign: told(each.problems, each.advice) for each in checked}
        found |= {f"journey {each.campaign}": told(each.problems, each.advice) for each in journeys}
        found |= {f"audience share {each.campaign}": told(each.problems, each.advice) for each in shares}
        if policies:
            found[POLICIES_FILE] = told(policies, ())
        print_json(found)
    else:
        advice = [problem for each in everything for problem in each.advice]
        print_problems(problems, advice)
        plural = "" if len(journeys) == 1 else "s"
        what = f"{len(checked)} campaigns" + (f", {len(journeys)} journey{plural}" if journeys else "")
        if shares:
            what += f", {len(shares)} audience share{'' if len(shares) == 1 else 's'}"
        out.print(f"{what} checked, {len(problems)} problems, {len(advice)} to consider")
    if problems:
        raise typer.Exit(Exit.PROBLEMS)


def print_problems(problems: Sequence[SpecProblem], advice: Sequence[SpecProblem]) -> None:
    """One line each; what is only advisory says so."""
    for problem in problems:
        out.print(str(problem), markup=False, highlight=False)
    for problem in advice:
        out.print(f"advisory: {problem}", markup=False, highlight=False)


def told(blocking: Sequence[SpecProblem], advisory: Sequence[SpecProblem]) -> list[dict[str, Any]]:
    """Both kinds as JSON, each saying which it is."""
    return [
        asdict(problem) | {"severity": severity}
        for severity, problems in (("blocking", blocking), ("advisory", advisory))
        for problem in problems
    ]
