"""Commands of the public service: running it, sending what it is asked for, and keys for its callers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kundresa import settings as configuration
from kundresa.cli.output import out


def serve(
    host: Annotated[str, typer.Option(help="Interface; keep it on loopback, or behind a proxy with TLS.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=1, max=65535)] = 2581,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes.")] = 1,
) -> None:
    """Answer the links in messages: opting out, preferences, clicks; and take in events and reports.

    KUNDRESA_PUBLIC_URL is where the outside reaches it. Stateless: run as many as you like behind a proxy.

    Example: [bold]kundresa serve --port 2581 --workers 2[/bold]
    """
    from kundresa.content import Links
    from kundresa.public.server import serve as run
    from kundresa.store import open_store

    settings = configuration.load()
    Links.from_settings(settings)  # here, once, and not as a trace from each process
    open_store(settings.store_url).close()
    out.print(f"http://{host}:{port} answers for {settings.public_url} · Ctrl-C ends it")
    run(host=host, port=port, workers=workers)


def deliver(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[JOURNEY]...", help="Default: all whose topics are exempt from consent."),
    ] = None,
    heartbeat: Annotated[
        Path | None, typer.Option(help="A file that each look touches: for a health check.")
    ] = None,
) -> None:
    """Send transactional messages at once: those that POST /messages asks for, and those that follow events.

    It runs beside Airflow, which does the same more slowly. Through the sender accounts in the environment;
    Ctrl-C ends it when what has left is written down.

    Example: [bold]kundresa deliver[/bold]
    """
    import os
    import signal
    import uuid

    from kundresa.channels import resolve_account
    from kundresa.runs.sending import send_as_asked

    asked_to_end: list[int] = []
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda number, _: asked_to_end.append(number))
    accepted = send_as_asked(
        configuration.load(),
        names or (),
        owner=f"sender {os.getpid()} {uuid.uuid4().hex[:8]}",
        account_of=lambda account: resolve_account(account, os.environ),
        may_go_on=lambda: not asked_to_end,
        looked=heartbeat.touch if heartbeat else None,
        started=lambda found: out.print(
            f"attends to {', '.join(found) or 'no journey yet'} · Ctrl-C ends it", highlight=False
        ),
    )
    out.print(f"{accepted:,} messages were sent")


def api_key(
    name: Annotated[str, typer.Argument(help="Whose key: lower-case letters, digits, - and _.")],
    scopes: Annotated[
        list[str] | None, typer.Option("--scope", help="events, messages, audiences (default: events).")
    ] = None,
) -> None:
    """Make a key for who calls the public service. It is shown once; only its hash is kept.

    Example: [bold]kundresa api-key shop --scope events --scope audiences[/bold]
    """
    from kundresa.public.keys import Scope, new_key

    try:
        wanted = frozenset(Scope(scope) for scope in scopes or [Scope.EVENTS.value])
    except ValueError as error:
        raise typer.BadParameter(f"{error}; there are {', '.join(Scope)}") from None
    key, entry = new_key(name, wanted)
    out.print("For the caller, now and never again:", key, sep="\n", markup=False, highlight=False)
    out.print(
        "For KUNDRESA_API_KEYS, comma between entries:", str(entry), sep="\n", markup=False, highlight=False
    )
