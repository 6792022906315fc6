"""Commands for trying things out on one machine: a sample shop, and a sandbox that receives what is sent."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer

from kundresa import settings as configuration
from kundresa.cli.output import out, print_json, progress
from kundresa.sandbox.ports import HOST, Ports, push_key
from kundresa.spec.vocabulary import ChannelKind


def sample(  # noqa: PLR0917  typer passes by name
    people: Annotated[int, typer.Option(min=1, help="How many people the shop knows.")] = 20_000,
    seed: Annotated[int, typer.Option(help="The same seed makes the same files.")] = 1,
    as_of: Annotated[str | None, typer.Option(help="The shop's last day, ISO date (default: today).")] = None,
    target: Annotated[Path | None, typer.Option(help="Where to write (default: KUNDRESA_RAW).")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are no sample.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """Write a deterministic sample shop: customers, orders, events, consents.

    Example: [bold]kundresa sample --people 5000 --seed 7[/bold]
    """
    from kundresa.sample import generate

    try:
        day = date.fromisoformat(as_of) if as_of else datetime.now(tz=UTC).date()
    except ValueError:
        raise typer.BadParameter(f"{as_of!r} is no ISO date, for example 2026-11-23") from None
    folder = target or configuration.load().raw
    made_here = folder / ".sample"
    if any(folder.glob("*.csv")) and not made_here.exists() and not overwrite:
        raise typer.BadParameter(f"{folder} holds files that are no sample; --overwrite replaces them")
    with progress(quiet=json) as bars:
        task = bars.add_task("sample shop", total=None)
        summary = generate(
            folder,
            people=people,
            seed=seed,
            as_of=day,
            progress=lambda line: bars.update(task, description=line),
        )
    made_here.touch()
    rows = dict(summary.rows)
    if json:
        print_json({"folder": str(folder), "rows": rows})
    else:
        out.print(f"{sum(rows.values()):,} rows in {len(rows)} files in {folder}")


def sandbox(
    smtp_port: Annotated[int, typer.Option(help="0 takes a free one.")] = 2525,
    http_port: Annotated[int, typer.Option(help="0 takes a free one.")] = 2580,
    push_port: Annotated[int, typer.Option(help="0 takes a free one.")] = 2590,
    smpp_port: Annotated[int, typer.Option(help="0 takes a free one.")] = 2775,
    smpp: Annotated[
        bool, typer.Option("--smpp", help="Text message accounts lead here over SMPP, not over HTTP.")
    ] = False,
) -> None:
    """Receive and store what is sent, on this machine only: SMTP, text messages (an HTTP gateway, and a
    centre over SMPP), push, webhooks, audience shares, print files, and pages to look at it.

    Writes a file to source where campaigns are run: one connection for each sender account of the project.

    Over SMPP texts are reported as delivered, to who sends or to `kundresa feedback smpp ACCOUNT`. There is
    no number that ends in 0000; one in 0001 is reported as undeliverable, one in 7867 answers STOP.

    Print files come back as result files, for `kundresa feedback printer`; a letter whose row holds the words
    "return to sender" does as returned. Of audience shares those by web address are shown at /audiences,
    files lie in a folder, and for Redis there is none here. To call what is here, webhook_hosts in
    dags/policies.yaml has to name 127.0.0.1.

    Examples: [bold]kundresa sandbox --smtp-port 2525[/bold] · [bold]kundresa sandbox --smpp[/bold]
    """
    from kundresa.sandbox.printer import result_folder
    from kundresa.sandbox.server import serve

    settings = configuration.load()

    def ready(ports: Ports) -> None:
        connections = _write_connections(settings, ports, smpp=smpp)
        out.print(
            f"SMTP {HOST}:{ports.smtp} · SMPP {HOST}:{ports.smpp} · push {HOST}:{ports.push} · gateway, "
            f"webhooks, pages http://{HOST}:{ports.http}/ · Ctrl-C ends it"
        )
        out.print(f"The accounts of this project lead here after: . {connections}", soft_wrap=True)
        results = shlex.quote(str(result_folder(settings.sandbox)))
        out.print(f"What became of letters: kundresa feedback printer {results}", soft_wrap=True)

    serve(
        settings.sandbox,
        smtp_port=smtp_port,
        http_port=http_port,
        push_port=push_port,
        smpp_port=smpp_port,
        ready=ready,
    )


def _write_connections(settings: configuration.Settings, ports: Ports, *, smpp: bool = False) -> Path:
    """A shell script with the connection of each account that the specs name and the sandbox can be."""
    from kundresa.runs.sender_accounts import called_accounts, sender_accounts, share_accounts
    from kundresa.sandbox.printer import print_folder

    secret = "sandbox, not a secret of anybody"  # noqa: S105
    uris: dict[ChannelKind, Callable[[], str]] = {
        ChannelKind.EMAIL: lambda: ports.smtp_uri,
        ChannelKind.SMS: lambda: ports.smpp_uri if smpp else ports.sms_uri,
        ChannelKind.PUSH: lambda: ports.fcm_uri(push_key(settings.sandbox)),
        ChannelKind.WEBHOOK: lambda: ports.hook_uri(secret),
        ChannelKind.DIRECT_MAIL: lambda: print_folder(settings.sandbox).resolve().as_uri(),
    }
    kinds = dict.fromkeys(called_accounts(settings) or (), ChannelKind.WEBHOOK)
    kinds |= sender_accounts(settings) or {}
    found = {name: uris[kind]() for name, kind in kinds.items()}
    for name, destination in (share_accounts(settings) or {}).items():
        if destination == "webhook":
            found[name] = ports.audience_uri(secret)
        elif destination == "file":
            folder = settings.sandbox / "shares" / name
            folder.mkdir(parents=True, exist_ok=True)
            found[name] = folder.resolve().as_uri()
    lines = [
        f"export AIRFLOW_CONN_KUNDRESA_{name.upper()}={shlex.quote(uri)}\n"
        for name, uri in sorted(found.items())
    ]
    file = settings.sandbox / "connections.sh"
    file.write_text("".join(lines), encoding="utf-8")
    return file
