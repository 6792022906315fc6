"""Commands that keep someone from being written to, from the next message on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from kundresa import settings as configuration
from kundresa.cli.output import out
from kundresa.spec.addresses import normalised_address
from kundresa.spec.vocabulary import ChannelKind

Address = Annotated[str, typer.Argument(help="Email address, or phone number in E.164 form (+46…).")]
OnChannel = Annotated[ChannelKind, typer.Option(help="The channel the address is on.")]


def opt_out(
    address: Address,
    channel: OnChannel = ChannelKind.EMAIL,
    topic: Annotated[str, typer.Option(help="One topic, or * for all that need consent.")] = "*",
) -> None:
    """Record that a person does not want this topic on this address any more.

    Example: [bold]kundresa opt-out anna@example.com --topic newsletter[/bold]
    """
    from kundresa.store import open_store

    with open_store(configuration.load().store_url) as store:
        store.opt_outs.record(
            channel=channel,
            address=normalised(address, channel),
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
    lift: Annotated[bool, typer.Option("--lift", help="Allow the address again.")] = False,
) -> None:
    """Never use this address again, for anyone, until it is lifted.

    Example: [bold]kundresa suppress role@example.com --reason "asked by phone"[/bold]
    """
    from kundresa.store import open_store

    known = normalised(address, channel)
    now = datetime.now(tz=UTC)
    with open_store(configuration.load().store_url) as store:
        if lift:
            was = store.suppressions.lift(channel=channel, address=known, at=now)
            out.print("Lifted." if was else "It was not suppressed.")
            return
        store.suppressions.add(
            channel=channel, address=known, reason=reason, source="command_line", recorded_at=now
        )
    out.print("Suppressed. It holds from the next message on.")


def normalised(address: str, channel: ChannelKind) -> str:
    """As :func:`normalised_address`, for a person at a terminal.

    Raises:
        typer.BadParameter: when it is none of the channel's.
    """
    try:
        return normalised_address(address, channel)
    except ValueError as error:
        hint = "; for a number add --channel sms" if channel is ChannelKind.EMAIL else ""
        raise typer.BadParameter(f"{address!r}: {error}{hint}") from None
