"""Which template files a campaign needs. ``spec.loading.load_sources`` reads them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal

from kundresa.spec.campaign import Campaign

SUFFIX = ".j2"

Part = Literal["subject", "html", "txt", "title", "body", "link", "data.json", "json", "row"]

PARTS: dict[str, tuple[Part, ...]] = {
    "email": ("subject", "html", "txt"),
    "sms": ("txt",),
    "push": ("title", "body"),
    "webhook": ("json",),
    "direct_mail": ("row",),
}
"""The files behind one stem, per channel kind."""
OPTIONAL_PARTS: dict[str, tuple[Part, ...]] = {"push": ("link", "data.json")}
"""Those that are used where they are there."""


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
    return tuple(dict.fromkeys(_files(campaign, PARTS)))


def used_files(campaign: Campaign, templates: Collection[str]) -> tuple[TemplateFile, ...]:
    """Those, and of the optional ones those that are among ``templates``."""
    optional = (file for file in _files(campaign, OPTIONAL_PARTS) if file.name in templates)
    return tuple(dict.fromkeys((*_files(campaign, PARTS), *optional)))


def _files(campaign: Campaign, parts: dict[str, tuple[Part, ...]]) -> Iterator[TemplateFile]:
    experiment = campaign.experiment
    variants: list[str | None] = [variant.name for variant in experiment.variants] if experiment else [None]
    for channel in campaign.channels:
        for variant in variants:
            stem = campaign.template_stem(channel.kind, variant)
            for part in parts.get(channel.kind, ()):
                yield TemplateFile(f"{stem}.{part}{SUFFIX}", channel.kind, part, stem)
