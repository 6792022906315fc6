"""The command that shows and changes how fast messages leave."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Annotated

import typer

from kundresa import settings as configuration
from kundresa.cli.output import out, print_json, table
from kundresa.spec.pace import FASTEST, SLOWEST

DOMAIN = re.compile(r"[a-z0-9.-]+\.[a-z0-9-]+")


def pace(
    account: Annotated[str | None, typer.Argument(help="Sender account, as campaigns name it.")] = None,
    per_second: Annotated[
        float | None,
        typer.Option(min=SLOWEST, max=FASTEST, help="Messages per second, over all campaigns and workers."),
    ] = None,
    domain: Annotated[str | None, typer.Option(help="Only for this receiving domain.")] = None,
    clear: Annotated[
        bool, typer.Option("--clear", help="As dags/policies.yaml has it; without a line there: no limit.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """Show how fast messages may leave, or change it while they do: from each worker's next window on.

    What is changed here holds until it is cleared; what holds for good stands under `pacing` in
    `dags/policies.yaml`. Who has no pace is as fast as the receiving servers.

    Examples: [bold]kundresa pace[/bold] · [bold]kundresa pace newsletter --per-second 50[/bold] ·
    [bold]kundresa pace newsletter --per-second 5 --domain gmail.com[/bold] · [bold]kundresa pace newsletter
    --clear[/bold]
    """
    from kundresa.runs.pacing import paces, set_pace

    if (per_second is not None or clear or domain is not None) and account is None:
        raise typer.BadParameter(
            "it needs the account, for example: kundresa pace newsletter --per-second 50"
        )
    if per_second is not None and clear:
        raise typer.BadParameter("--per-second and --clear exclude each other")
    if domain is not None and not (per_second or clear):
        raise typer.BadParameter("--domain goes with --per-second or --clear")
    if domain is not None and not DOMAIN.fullmatch(domain.lower()):
        raise typer.BadParameter(f"{domain!r} is no domain, for example gmail.com")
    settings = configuration.load()
    if account is not None and (clear or per_second is not None):
        set_pace(settings, account, domain and domain.lower(), per_second)
    lines = paces(settings, account)
    if json:
        print_json([asdict(line) for line in lines])
    elif lines:
        rows = [
            (
                line.account,
                line.domain or "all",
                f"{line.per_second:g}",
                f"kundresa pace, {line.set_at:%Y-%m-%d %H:%M}Z" if line.set_at else "dags/policies.yaml",
                f"{line.in_policies:g}" if line.in_policies is not None else "no limit",
            )
            for line in lines
        ]
        table("Paces", ("account", "domain", "per second", "set by", "without it"), rows)
    else:
        out.print(f"No pace for {account}" if account else "No account has a pace", markup=False)
