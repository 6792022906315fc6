"""Commands for trying things out on one machine: a sample shop, and a sandbox that receives what is sent."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer

from kundresa import settings as configuration
from kundresa.cli.output import out, print_json, progress


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
) -> None:
    """Receive and store what campaigns send, on this machine only: SMTP, an SMS gateway, pages to look at it.

    Example: [bold]kundresa sandbox --smtp-port 2525[/bold]
    """
    from kundresa.sandbox.server import Ports, serve

    settings = configuration.load()

    def ready(ports: Ports) -> None:
        out.print(
            f"SMTP 127.0.0.1:{ports.smtp} · gateway, pages http://127.0.0.1:{ports.http}/ · Ctrl-C ends it"
        )

    serve(settings.sandbox, smtp_port=smtp_port, http_port=http_port, ready=ready)
