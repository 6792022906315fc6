"""The messages of a made-up person: what shows only when somebody's values are in them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from kundresa.content.errors import RenderError
from kundresa.content.example import COUNTRY, LOGICAL_AT, example_event, example_profile
from kundresa.content.files import languages, template_files
from kundresa.content.problems import TemplateProblem
from kundresa.content.render import Renderer
from kundresa.spec.campaign import Campaign
from kundresa.spec.events import Property


def check_example(
    campaign: Campaign,
    templates: Collection[str],
    columns: Mapping[str, str],
    renderer: Renderer,
    *,
    event: Mapping[str, Property] | None = None,
) -> Iterator[TemplateProblem]:
    """Every channel, variant and language once, of a person who has a value in every column. That this
    message cannot be written is advice: somebody else's may be.

    Args:
        columns: SQL type by column of ``profiles``.
        renderer: that of these templates.
        event: of a journey the properties of the event that lets people in; each has a value.
    """
    arms: list[str | None] = [None]
    if campaign.experiment:
        arms = [each.name for each in campaign.experiment.variants]
    for channel in campaign.channels:
        for arm in arms:
            stem = campaign.template_stem(channel.kind, arm)
            file = _file(campaign, templates, channel.kind, stem)
            for language in sorted({campaign.language, *languages(channel.kind, stem, templates)}):
                row: dict[str, Any] = {
                    "message_id": "0" * 32,
                    "profile_id": "example",
                    "channel": channel.kind,
                    "variant": arm,
                    "profile": example_profile(columns, language) | {"country": COUNTRY},
                }
                if event is not None:
                    row |= {"event": example_event(event), "logical_at": LOGICAL_AT}
                try:
                    renderer.render(row)
                except RenderError as error:
                    told = f"a made-up person ({language}) would not get it: {error}"
                    yield TemplateProblem(file, None, told, is_advisory=True)


def _file(campaign: Campaign, templates: Collection[str], channel: str, stem: str) -> str:
    """Of a stem's files the one that people see most of."""
    own = {
        file.part: file.name
        for file in reversed(list(template_files(campaign, templates)))
        if (file.channel, file.stem) == (channel, stem)
    }
    return next((own[part] for part in ("html", "mjml") if part in own), min(own.values(), default=stem))  # type: ignore[index]
