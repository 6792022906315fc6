"""``kundresa feedback``: reading what came back about messages."""

from __future__ import annotations

from typing import Annotated

import typer

from kundresa import settings as configuration
from kundresa.cli.output import out, print_json

feedback = typer.Typer(
    no_args_is_help=True,
    help="Read what came back about messages.\n\n"
    "Example: [bold]kundresa feedback mailbox /var/mail/bounces[/bold]",
)


@feedback.command()
def mailbox(
    url: Annotated[
        str | None,
        typer.Argument(help="A Maildir, or imaps://user:password@host/folder (default: KUNDRESA_MAILBOX)."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """Read bounces and complaints; hard bounces and complaints suppress their address at once.

    Automatic replies are neither a bounce nor an opt-out. Each mail counts once.

    Example: [bold]kundresa feedback mailbox /var/mail/bounces[/bold]
    """
    from kundresa.runs.feedback import read_mailbox

    settings = configuration.load()
    place = url or settings.mailbox
    if not place:
        raise typer.BadParameter("name a mailbox, or set KUNDRESA_MAILBOX")
    counts = read_mailbox(settings, place)
    if json:
        print_json(counts)
    else:
        out.print(", ".join(f"{what}: {count:,}" for what, count in counts.items()) or "No new mail.")
