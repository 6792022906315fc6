"""``kundresa share``."""

from __future__ import annotations

import os
import uuid
from dataclasses import asdict
from typing import Annotated

import typer

from kundresa import settings as configuration
from kundresa.cli.output import out, print_json, table


def share(
    name: Annotated[
        str | None, typer.Argument(help="A folder of dags/audience_shares. Without: where all of them stand.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Tell everybody, not only what has changed.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """Bring an audience share's destination to the current publication: who is in its segments, and who has
    left.

    Told again it does nothing; one that was interrupted goes on where it was. Its DAG does the same after
    each publication.

    Examples: [bold]kundresa share[/bold] · [bold]kundresa share web_shop[/bold] · [bold]kundresa share
    web_shop --full[/bold]"""
    settings = configuration.load()
    if name is None:
        if full:
            raise typer.BadParameter("--full needs the name of a share")
        _show_all(settings, json=json)
        return
    from kundresa.channels import resolve_account
    from kundresa.runs.audience_shares import share_audience

    done = share_audience(
        settings,
        name,
        owner=f"command {uuid.uuid4().hex[:8]}",
        account_of=lambda account: resolve_account(account, os.environ),
        full=full,
    )
    if json:
        print_json(asdict(done))
    elif done.mode is None:
        out.print(f"{name} holds build {done.build_id} already; nothing was told", highlight=False)
    else:
        told = f"{done.changes:,} people ({done.mode}) in {done.batches:,} batches"
        out.print(f"{name} holds build {done.build_id}: {told}", highlight=False)


def _show_all(settings: configuration.Settings, *, json: bool) -> None:
    from kundresa.spec.audience_share import audience_share_names
    from kundresa.store import open_store

    with open_store(settings.store_url) as store:
        states = {
            name: store.audience_shares.state(name) for name in audience_share_names(settings.audience_shares)
        }
    if json:
        print_json({name: asdict(state) for name, state in states.items()})
        return
    rows = [
        (
            name,
            state.shared_build_id or "",
            f"{state.shared_at:%Y-%m-%d %H:%M}Z" if state.shared_at else "",
            f"{state.pending.sent_batches:,} of {state.pending.batches:,} batches" if state.pending else "",
        )
        for name, state in states.items()
    ]
    table("Audience shares", ("share", "build", "told", "under way"), rows)
