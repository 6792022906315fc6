"""Which template files a campaign needs. ``spec.loading`` reads them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal

from kundresa.spec.campaign import Campaign

SUFFIX = ".j2"

Part = Literal[
    "subject", "html", "mjml", "txt", "preheader", "title", "body", "link", "data.json", "json", "row"
]

PARTS: dict[str, tuple[Part, ...]] = {
    "email": ("subject", "html", "mjml", "txt", "preheader"),
    "sms": ("txt",),
    "push": ("title", "body", "link", "data.json"),
    "webhook": ("json",),
    "direct_mail": ("row",),
}
"""The files that may stand behind one stem, per channel kind."""
NEEDED: dict[str, tuple[tuple[Part, ...], ...]] = {
    "email": (("subject",), ("html", "mjml")),
    "sms": (("txt",),),
    "push": (("title",), ("body",)),
    "webhook": (("json",),),
    "direct_mail": (("row",),),
}
"""Of these, one each must be there."""
MARKUP: tuple[Part, ...] = ("html", "mjml")


@dataclass(frozen=True, slots=True)
class TemplateFile:
    """One file that a campaign's messages are made from."""

    name: str
    """``<stem>.<part>.j2`` or ``<stem>.<language>.<part>.j2``, beside ``campaign.yaml``."""
    channel: str
    part: Part
    stem: str
    language: str | None
    """None for the one that everybody gets who has none in their language."""


def file_name(stem: str, language: str | None, part: Part) -> str:
    return f"{stem}.{language}.{part}{SUFFIX}" if language else f"{stem}.{part}{SUFFIX}"


def stems(campaign: Campaign) -> tuple[tuple[str, str], ...]:
    """Channel and stem of everything that some person of some variant may get, in a fixed order."""
    experiment = campaign.experiment
    variants: list[str | None] = [variant.name for variant in experiment.variants] if experiment else [None]
    found = (
        (channel.kind, campaign.template_stem(channel.kind, variant))
        for channel in campaign.channels
        for variant in variants
    )
    return tuple(dict.fromkeys(found))


def languages(channel: str, stem: str, names: Collection[str]) -> tuple[str, ...]:
    """The languages that a stem has files of its own for, sorted."""
    parts = "|".join(map(re.escape, PARTS[channel]))
    pattern = re.compile(rf"{re.escape(stem)}\.([a-z]{{2,3}})\.(?:{parts}){re.escape(SUFFIX)}")
    return tuple(sorted({match[1] for name in names if (match := pattern.fullmatch(name))}))


def template_files(campaign: Campaign, names: Collection[str]) -> tuple[TemplateFile, ...]:
    """Of these files, the ones that messages are made from, each once per channel, in a fixed order. What
    they extend and include is not among them."""
    return tuple(dict.fromkeys(_files(campaign, names)))


def _files(campaign: Campaign, names: Collection[str]) -> Iterator[TemplateFile]:
    for channel, stem in stems(campaign):
        for language in (None, *languages(channel, stem, names)):
            for part in PARTS[channel]:
                name = file_name(stem, language, part)
                if name in names:
                    yield TemplateFile(name, channel, part, stem, language)


def missing_files(campaign: Campaign, names: Collection[str]) -> Iterator[TemplateFile]:
    """What is needed and not there. A language that has any file of a stem needs what the default needs."""
    for channel, stem in stems(campaign):
        for language in (None, *languages(channel, stem, names)):
            for one_of in NEEDED[channel]:
                if not any(file_name(stem, language, part) in names for part in one_of):
                    part = one_of[0]
                    yield TemplateFile(file_name(stem, language, part), channel, part, stem, language)
