"""The demo's accounts, held against what the sandbox counted by itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kundresa.sandbox import counts, received
from kundresa.settings import Settings


@dataclass(frozen=True, slots=True)
class ChannelLine:
    """One channel of one run. ``arrivals`` and ``messages`` are the sandbox's own count; they differ
    when something came twice."""

    campaign: str
    run_key: str
    channel: str
    considered: int
    sent: int
    not_sent: Mapping[str, int]
    arrivals: int
    messages: int

    @property
    def problems(self) -> list[str]:
        """What does not hold; none when the account is right."""
        found = []
        total = self.sent + sum(self.not_sent.values())
        if total != self.considered:
            found.append(f"considered {self.considered:,} but the lines add up to {total:,}")
        if self.arrivals != self.messages:
            found.append(f"{self.arrivals - self.messages:,} messages arrived twice")
        if self.sent != self.messages:
            found.append(f"the account says {self.sent:,} sent, the sandbox received {self.messages:,}")
        return [f"{self.campaign} {self.channel}: {each}" for each in found]


def read_lines(settings: Settings, run_keys: Mapping[str, str]) -> list[ChannelLine]:
    """The accounts of these runs (campaign → run key), per channel.

    Raises:
        FileNotFoundError: when a run has no account.
    """
    arrived = {(each.run_key, each.channel): each for each in counts(settings.sandbox)}
    lines = []
    for campaign, run_key in run_keys.items():
        account = _account(settings.published / "runs" / run_key / "account.json")
        for channel, part in account["channels"].items():
            count = arrived.get((run_key, channel))
            lines.append(
                ChannelLine(
                    campaign=campaign,
                    run_key=run_key,
                    channel=channel,
                    considered=part["considered"],
                    sent=part["sent"],
                    not_sent=part["not_sent"],
                    arrivals=count.arrivals if count else 0,
                    messages=count.messages if count else 0,
                )
            )
    return lines


def arrivals(settings: Settings) -> dict[tuple[str, str], int]:
    """Everything that has arrived so far, by run key and channel."""
    return {(each.run_key, each.channel): each.arrivals for each in counts(settings.sandbox)}


def one_message(settings: Settings, run_key: str, channel: str) -> tuple[int, str] | None:
    """Number and recipient of a message of this run that arrived; None when none did."""
    first = received(settings.sandbox, run_key=run_key, channel=channel, limit=1)
    return (first[0].number, first[0].recipient) if first else None


def _account(file: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(file.read_text())
    return document
