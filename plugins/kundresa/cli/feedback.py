"""``kundresa feedback``: reading what came back about messages."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from kundresa import settings as configuration
from kundresa.cli.output import Exit, err, out, print_json

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


@feedback.command()
def smpp(
    account: Annotated[str, typer.Argument(help="An SMPP account, as campaigns name it.")],
    seconds: Annotated[
        float | None, typer.Option(min=1, help="End after so long (default: when it is asked to end).")
    ] = None,
    heartbeat: Annotated[
        Path | None, typer.Option(help="A file that is touched every second: for a health check.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """Take delivery reports of text messages, and replies to them, that come while nothing is being sent.

    It is bound as a receiver beside the senders of the account, which take what comes while they send. A
    number that the network does not know is suppressed at once; who answers STOP, or what stands for it in
    many languages, gets no more texts, other replies are counted. A lost connection is made anew; Ctrl-C ends
    it.

    Examples: [bold]kundresa feedback smpp texts[/bold] ·
    [bold]kundresa feedback smpp texts --seconds 60[/bold]
    """
    import os
    import signal
    import time

    from kundresa.channels import resolve_account
    from kundresa.runs.text_reports import receive_text_reports

    asked_to_end: list[int] = []
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda number, _: asked_to_end.append(number))
    ends_at = None if seconds is None else time.monotonic() + seconds
    touched_at = float("-inf")

    def may_go_on() -> bool:
        nonlocal touched_at
        now = time.monotonic()
        if heartbeat is not None and now >= touched_at + 1:
            heartbeat.touch()
            touched_at = now
        return not asked_to_end and (ends_at is None or now < ends_at)

    counts = receive_text_reports(
        configuration.load(),
        resolve_account(account, os.environ),
        may_go_on=may_go_on,
    )
    if json:
        print_json(counts)
    else:
        reported = f"recorded: {counts['recorded']:,}, of no message of ours: {counts['left_out']:,}"
        out.print(
            f"{reported}, replies: {counts['replies']:,}, of all that came a no: {counts['opt_outs']:,}"
        )


@feedback.command()
def printer(
    place: Annotated[
        Path,
        typer.Argument(metavar="FILE_OR_FOLDER", help="A result file, or a folder of .csv, .tsv or .txt."),
    ],
    json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """Read what a printer tells of its letters; an address that they come back from is suppressed at once.

    A CSV file with the columns `message_id`, `status` and, if known, `detail`. The status is one of: printed,
    posted, delivered; undeliverable, returned, moved; failed, rejected, and others of their meaning. Each
    result counts once, however often its file is read. Rows that cannot be understood, or whose letter was
    never sent, are named by their line; the others count. The last lines say of how many letters of those
    runs no result has come. Exit code 1 when a row or a file was left out.

    Example: [bold]kundresa feedback printer /srv/printer/results[/bold]
    """
    from kundresa.runs.print_results import read_print_results

    results = read_print_results(configuration.load(), place)
    if json:
        print_json(asdict(results))
    else:
        for each in results.problems:
            where = f"{each.file}:{each.line}: " if each.line else ""
            err.print(f"{where}{each.problem}", markup=False, highlight=False)
        told = ", ".join(f"{what}: {count:,}" for what, count in sorted(results.counts.items()))
        out.print(f"files: {results.files:,}, {told or 'no result'}, new: {results.new:,}", markup=False)
        for run_key, count in results.without_result.items():
            out.print(f"{run_key}: {count:,} letters without a result", markup=False, highlight=False)
    if results.problems:
        raise typer.Exit(Exit.PROBLEMS)
