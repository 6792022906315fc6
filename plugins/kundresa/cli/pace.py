"""The command that shows and changes how fast messages leave."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from kundresa import settings as configuration
from kundresa.cli.output import err, out, print_json, table
from kundresa.spec.pace import FASTEST, SLOWEST

if TYPE_CHECKING:
    from kundresa.runs.pacing import PaceLine

DOMAIN = re.compile(r"[a-z0-9.-]+\.[a-z0-9-]+")


def pace(  # noqa: PLR0917  typer gives each option by name
    account: Annotated[str | None, typer.Argument(help="Sender account, as campaigns name it.")] = None,
    per_second: Annotated[
        float | None,
        typer.Option(min=SLOWEST, max=FASTEST, help="Messages per second, over all campaigns and workers."),
    ] = None,
    domain: Annotated[str | None, typer.Option(help="Only for this receiving domain.")] = None,
    clear: Annotated[
        bool, typer.Option("--clear", help="As dags/policies.yaml has it; without a line there: no limit.")
    ] = False,
    lift: Annotated[
        bool, typer.Option("--lift", help="Send to receiving domains again that are left alone for now.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """Show how fast messages may leave, or change it while they do: from each worker's next window on.

    What is changed here holds until it is cleared; what holds for good stands under `pacing` in
    `dags/policies.yaml`. Who has no pace is as fast as the receiving servers.

    What is sending, and will be late at the new pace, is named.

    A receiving domain that refuses everybody for now is left alone by all workers of the account, for five
    minutes at first, then for up to an hour; its messages wait meanwhile. `--lift` ends that: what waits
    leaves with its batch, at once where its task is cleared.

    Examples: [bold]kundresa pace[/bold] · [bold]kundresa pace newsletter --per-second 50[/bold] ·
    [bold]kundresa pace newsletter --per-second 5 --domain gmail.com[/bold] · [bold]kundresa pace newsletter
    --clear[/bold] · [bold]kundresa pace newsletter --lift --domain gmail.com[/bold]
    """
    from kundresa.runs.lateness import warn_of_account
    from kundresa.runs.pacing import lift_rests, paces, set_pace

    changes = [per_second is not None, clear, lift]
    if (any(changes) or domain is not None) and account is None:
        raise typer.BadParameter(
            "it needs the account, for example: kundresa pace newsletter --per-second 50"
        )
    if sum(changes) > 1:
        raise typer.BadParameter("--per-second, --clear and --lift exclude each other")
    if domain is not None and not any(changes):
        raise typer.BadParameter("--domain goes with --per-second, --clear or --lift")
    if domain is not None and not DOMAIN.fullmatch(domain.lower()):
        raise typer.BadParameter(f"{domain!r} is no domain, for example gmail.com")
    settings = configuration.load()
    if account is not None and lift:
        lifted = lift_rests(settings, account, domain and domain.lower())
        if not json:
            out.print(f"Left alone no more: {', '.join(lifted) or 'none was'}", markup=False)
    elif account is not None and any(changes):
        set_pace(settings, account, domain and domain.lower(), per_second)
        for line in warn_of_account(settings, account):
            err.print(line, markup=False, highlight=False, soft_wrap=True)
    _show(paces(settings, account), account, as_json=json)


def _show(lines: Sequence[PaceLine], account: str | None, *, as_json: bool) -> None:
    if as_json:
        print_json([asdict(line) for line in lines])
        return
    rows = [_row(line) for line in lines if line.per_second is not None]
    resting = [
        (line.account, line.domain, f"{line.resting_until:%Y-%m-%d %H:%M:%S}Z", line.rest_detail)
        for line in lines
        if line.resting_until is not None
    ]
    if rows:
        table("Paces", ("account", "domain", "per second", "set by", "without it"), rows)
    else:
        out.print(f"No pace for {account}" if account else "No account has a pace", markup=False)
    if resting:
        table("Left alone", ("account", "domain", "until", "it said"), resting)


def _row(line: PaceLine) -> tuple[str, ...]:
    return (
        line.account,
        line.domain or "all",
        f"{line.per_second:g}",
        f"kundresa pace, {line.set_at:%Y-%m-%d %H:%M}Z" if line.set_at else "dags/policies.yaml",
        f"{line.in_policies:g}" if line.in_policies is not None else "no limit",
    )
