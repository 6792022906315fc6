"""``kundresa preview`` and ``kundresa proof``: what a campaign's messages look like."""

from __future__ import annotations

import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from kundresa import settings as configuration
from kundresa.cli.output import Exit, err, out, print_json, table

Campaign = Annotated[str, typer.Argument(help="Folder name under dags/campaigns.")]
Person = Annotated[
    str | None, typer.Option(help="Whose: a profile id, identifier or address (default: a made-up person).")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


def preview(  # noqa: PLR0917  typer passes by name
    campaign: Campaign,
    person: Person = None,
    variant: Annotated[str | None, typer.Option(help="This variant only.")] = None,
    language: Annotated[str | None, typer.Option(help="This language only.")] = None,
    target: Annotated[
        Path | None, typer.Option("--out", help="Where to write (default: previews/ in the home).")
    ] = None,
    png: Annotated[bool, typer.Option("--png", help="Pictures of the pages too, through Chromium.")] = False,
    max_spam_score: Annotated[
        float | None, typer.Option(help="Refuse emails that the spam filter gives more points than this.")
    ] = None,
    json: Json = False,
) -> None:
    """Write a campaign's messages to look at: HTML, text, and pictures. Nothing is sent or recorded.

    Without a person, every variant and language for a made-up one. The links are signed with a secret that
    nothing accepts. Where rspamd or SpamAssassin is installed (rspamc, spamc or spamassassin on the PATH), it
    says what it holds against each email.

    Example: [bold]kundresa preview spring_sale --person anna@example.com --png[/bold]
    """
    from kundresa.runs.previewing import preview_campaign, write_previews
    from kundresa.runs.screenshot import screenshot
    from kundresa.runs.spam_scoring import score_previews

    settings, now = configuration.load(), datetime.now(tz=UTC)
    previews = preview_campaign(
        settings,
        campaign,
        now=now,
        person=person,
        variant=variant,
        language=language,
    )
    files = write_previews(previews, target or settings.home / "previews" / campaign)
    if png:
        for page in [file for file in files if file.suffix == ".html"]:
            picture = page.with_suffix(".png")
            screenshot(page, picture)
            files.append(picture)
    problems = {each.name: f"cannot be written: {each.problem}" for each in previews if each.problem}
    required = max_spam_score is not None
    scored = score_previews(settings, campaign, previews, at=now, is_required=required)
    problems |= scored.over(max_spam_score)
    if json:
        told = {name: asdict(score) for name, score in scored.scores.items()}
        print_json({"files": [str(file) for file in files], "problems": problems, "spam_scores": told})
    else:
        for line in (*map(str, files), *scored.lines()):
            out.print(line, markup=False, highlight=False)
        for name, problem in problems.items():
            err.print(f"{name} {problem}", markup=False, highlight=False)
    if problems:
        raise typer.Exit(Exit.PROBLEMS)


def proof(
    campaign: Campaign,
    to: Annotated[
        list[str] | None, typer.Option(help="An address (repeatable; default: `proofs` of the campaign).")
    ] = None,
    person: Person = None,
    json: Json = False,
) -> None:
    """Send all variants of a campaign's email to named addresses, marked \\[Proof]. No run counts them.

    Example: [bold]kundresa proof spring_sale --to editor@nordlys.example[/bold]
    """
    from kundresa.channels import resolve_account
    from kundresa.runs.proofs import proof_account, proof_addresses, send_proofs
    from kundresa.spec.vocabulary import MessageState

    settings = configuration.load()
    account = resolve_account(proof_account(settings, campaign), os.environ)
    addresses = to or proof_addresses(settings, campaign)
    sent = send_proofs(settings, campaign, addresses, account=account, person=person)
    rows: list[tuple[Any, ...]] = [
        (each.address, each.name, each.receipt.state.value, each.receipt.detail or "") for each in sent
    ]
    if json:
        print_json([dict(zip(("address", "message", "state", "detail"), row, strict=True)) for row in rows])
    else:
        table(f"Proofs of {campaign}", ("address", "message", "state", ""), rows)
    if any(each.receipt.state is not MessageState.ACCEPTED for each in sent):
        raise typer.Exit(Exit.PROBLEMS)
