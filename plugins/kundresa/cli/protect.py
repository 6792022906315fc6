"""Commands that keep someone from being written to, from the next message on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from kundresa import settings as configuration
from kundresa.cli.output import out
from kundresa.spec.vocabulary import ChannelKind

Address = Annotated[str, typer.Argument(help="Email address, or phone number in E.164 form (+46…).")]
OnChannel = Annotated[ChannelKind, typer.Option(help="The channel the address is on.")]


def opt_out(
    address: Address,
    channel: OnChannel = ChannelKind.EMAIL,
    topic: Annotated[str, typer.Option(help="One topic, or * for all.")] = "*",
) -> None:
    """Record that a person does not want this topic on this address any more.

    Example: [bold]kundresa opt-out anna@example.com --topic newsletter[/bold]
    """
    from kundresa.store import open_store

    with open_store(configuration.load().store_url) as store:
        store.opt_outs.record(
            channel=channel,
            address=normalised(address),
            topic=topic,
            source="command_line",
            profile_id=None,
            recorded_at=datetime.now(tz=UTC),
        )
    out.print("Recorded. It holds from the next message on.")


def suppress(
    address: Address,
    channel: OnChannel = ChannelKind.EMAIL,
    reason: Annotated[str, typer.Option(help="One line, for the account.")] = "manual",
) -> None:
    """Never use this address again, for anyone, until it is lifted.

    Example: [bold]kundresa suppress role@example.com --reason "asked by phone"[/bold]
    """
    from kundresa.store import open_store

    with open_store(configuration.load().store_url) as store:
        store.suppressions.add(
            channel=channel,
            address=normalised(address),
            reason=reason,
            source="command_line",
            recorded_at=datetime.now(tz=UTC),
        )
    out.print("Suppressed. It holds from the next message on.")


def normalised(address: str) -> str:
    """Trimmed and in lower case, as contact points are."""
    return address.strip().lower()
