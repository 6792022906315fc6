"""Which template files a campaign needs. ``spec.loading.load_sources`` reads them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from kundresa.spec.campaign import Campaign

SUFFIX = ".j2"

Part = Literal["subject", "html", "txt"]

PARTS: dict[str, tuple[Part, ...]] = {"email": ("subject", "html", "txt"), "sms": ("txt",)}
"""The files behind one stem, per channel kind."""


@dataclass(frozen=True, slots=True)
class TemplateFile:
    """One file that a campaign's messages are made from."""

    name: str
    """``<stem>.<part>.j2``, beside ``campaign.yaml``."""
    channel: str
    part: Part
    stem: str


def template_files(campaign: Campaign) -> tuple[TemplateFile, ...]:
    """Every file that some person of some variant may get, each once per channel, in a fixed order."""
    return tuple(dict.fromkeys(_files(campaign)))


def _files(campaign: Campaign) -> Iterator[TemplateFile]:
    experiment = campaign.experiment
    variants: list[str | None] = [variant.name for variant in experiment.variants] if experiment else [None]
    for channel in campaign.channels:
        for variant in variants:
            stem = campaign.template_stem(channel.kind, variant)
            for part in PARTS[channel.kind]:
                yield TemplateFile(f"{stem}.{part}{SUFFIX}", channel.kind, part, stem)
