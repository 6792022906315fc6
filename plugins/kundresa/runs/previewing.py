"""A campaign's messages to look at: as they would be, signed with a secret that nothing accepts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import md5
from pathlib import Path
from typing import Any

from kundresa import warehouse
from kundresa.content import Links, RenderError, compile_templates
from kundresa.content.example import example_profile
from kundresa.content.files import languages
from kundresa.runs.checking import load_checked
from kundresa.runs.explained import one_profile
from kundresa.runs.planning import shown_text
from kundresa.settings import Settings
from kundresa.spec.campaign import Campaign
from kundresa.spec.messages import Content, EmailContent


class UnknownVariant(Exception):
    """The campaign has no such variant, or no templates in such a language."""


@dataclass(frozen=True, slots=True)
class Preview:
    """One message. ``content`` is None when it cannot be written, and ``problem`` says why."""

    channel: str
    variant: str | None
    language: str
    content: Content | None
    problem: str = ""

    @property
    def name(self) -> str:
        """For a file."""
        return "-".join(part for part in (self.channel, self.variant, self.language) if part)


def preview_campaign(
    settings: Settings,
    campaign: str,
    *,
    now: datetime,
    person: str | None = None,
    variant: str | None = None,
    language: str | None = None,
) -> list[Preview]:
    """The campaign's messages, one per channel, variant and language.

    Args:
        now: stands for the run's logical date.
        person: a profile id, identifier or address; in their language then. None: a made-up one.
        variant: this one only.
        language: this one only, whatever the person's is.

    Raises:
        CampaignNotFound, SpecError: when the campaign is not there or not valid.
        PersonNotFound: when nobody, or more than one profile, answers to ``person``.
        UnknownVariant: for a variant or a language that the campaign does not have.
        NothingPublished: with a person, before the first build.
    """
    spec, templates = load_checked(settings, campaign)
    profile = _profile(settings, spec, person)
    links = Links(settings.public_url, "a preview, not valid")
    renderer = compile_templates(spec, templates, links=links, logical_at=now)
    previews = []
    for channel, arm, spoken in _messages(spec, templates, profile, person, variant, language):
        row = {
            "message_id": md5(
                f"preview|{campaign}|{arm}|{spoken}".encode(), usedforsecurity=False
            ).hexdigest(),
            "profile_id": profile["profile_id"],
            "channel": channel,
            "variant": arm,
            "profile": {**profile, "language": spoken},
        }
        try:
            previews.append(Preview(channel, arm, spoken, renderer.render(row)))
        except RenderError as error:
            previews.append(Preview(channel, arm, spoken, None, str(error)))
    return previews


def _profile(settings: Settings, spec: Campaign, person: str | None) -> Mapping[str, Any]:
    if person is None:
        return example_profile(warehouse.load_manifest(settings).columns("profiles"), spec.language)
    [row] = warehouse.query(
        settings,
        "select * from profiles where profile_id = $profile_id",
        profile_id=one_profile(settings, person),
    )
    return row


def _messages(  # noqa: PLR0917  one caller
    spec: Campaign,
    templates: Mapping[str, str],
    profile: Mapping[str, Any],
    person: str | None,
    variant: str | None,
    language: str | None,
) -> Iterator[tuple[str, str | None, str]]:
    """Channel, variant and language of each message to show."""
    arms: Sequence[str | None] = (
        [each.name for each in spec.experiment.variants] if spec.experiment else [None]
    )
    if variant is not None and variant not in arms:
        raise UnknownVariant(f"{spec.name} has no variant {variant}; there are: {_words(arms)}")
    spoken: set[str] = {spec.language}
    for channel in spec.channels:
        for arm in arms:
            spoken.update(languages(channel.kind, spec.template_stem(channel.kind, arm), templates))
    if language is not None and language not in spoken:
        raise UnknownVariant(
            f"{spec.name} has no templates in {language}; there are: {_words(sorted(spoken))}"
        )
    for channel in spec.channels:
        for arm in arms if variant is None else [variant]:
            own = {spec.language, *languages(channel.kind, spec.template_stem(channel.kind, arm), templates)}
            theirs = profile.get("language") if profile.get("language") in own else spec.language
            wanted = [language] if language else [str(theirs)] if person else sorted(own)
            for each in wanted:
                yield channel.kind, arm, each


def _words(names: Sequence[str | None]) -> str:
    return ", ".join(name for name in names if name) or "none"


def write_previews(previews: Sequence[Preview], folder: Path) -> list[Path]:
    """The messages as files, ``<channel>-<variant>-<language>.html`` and ``.txt``, with what is attached; the
    subject is the first line of the text."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for preview in previews:
        content = preview.content
        if content is None:
            continue
        parts = {".txt": shown_text(content)}
        if isinstance(content, EmailContent):
            parts = {".html": content.html, ".txt": f"Subject: {content.subject}\n\n{content.text}"}
        for suffix, text in parts.items():
            file = folder / f"{preview.name}{suffix}"
            file.write_text(text + "\n", encoding="utf-8")
            written.append(file)
        for attachment in content.attachments if isinstance(content, EmailContent) else ():
            file = folder / f"{preview.name}-{attachment.name}"
            file.write_bytes(attachment.octets)
            written.append(file)
    return written
