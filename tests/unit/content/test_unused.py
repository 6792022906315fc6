"""Files of a folder that nothing is made from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kundresa.content import unused_files
from kundresa.spec.campaign import Campaign
from kundresa.spec.journey_loading import journey_names, load_journey
from kundresa.spec.loading import campaign_names, file_names, load_campaign, load_shared_sources, load_sources

Build = Callable[..., Campaign]
BLOCKING, ADVICE = False, True


def told(campaign: Campaign, templates: dict[str, str], *more: str) -> list[tuple[str, str, bool]]:
    texts = templates | {name: "x" for name in more if name.endswith(".j2")}
    files = [name for name in (*templates, *more) if "/" not in name]
    found = unused_files([campaign], files, texts)
    return [(each.file, each.message, each.is_advisory) for each in found]


def test_what_is_used_is_not_named(campaign: Build, templates: dict[str, str]) -> None:
    templates |= {
        "mail.sv.html.j2": "{% extends 'own.html.j2' %}",
        "own.html.j2": "{% include 'fragments/foot.html.j2' %}",
        "fragments/foot.html.j2": "x",
        "fragments/other.html.j2": "x",
    }
    assert told(campaign(), templates, "campaign.yaml", "README.md", "notes.txt") == []


@pytest.mark.parametrize(
    ("name", "message", "is_advisory"),
    [
        # A part that may be there and is not.
        ("mial.preheader.j2", "nothing uses this file; did you mean mail.preheader.j2?", BLOCKING),
        ("mail.preheadr.j2", "nothing uses this file; did you mean mail.preheader.j2?", BLOCKING),
        ("Mail.preheader.j2", "nothing uses this file; did you mean mail.preheader.j2?", BLOCKING),
        ("mail.sv.hmtl.j2", "nothing uses this file; did you mean mail.sv.html.j2?", BLOCKING),
        ("mail.SV.txt.j2", "nothing uses this file; did you mean mail.sv.txt.j2?", BLOCKING),
        ("mai.preheader.j2", "nothing uses this file; did you mean mail.preheader.j2?", BLOCKING),
        # More than the stem: left from an experiment, or kept for later.
        ("mail_b.preheader.j2", "nothing uses this file; did you mean mail.preheader.j2?", ADVICE),
        ("mails.preheader.j2", "nothing uses this file; did you mean mail.preheader.j2?", ADVICE),
        ("xmail.preheader.j2", "nothing uses this file; did you mean mail.preheader.j2?", ADVICE),
        # A part is no language.
        ("mail.pre.j2", "nothing uses this file", ADVICE),
        # One that is there: it may be a draft.
        ("mail2.html.j2", "nothing uses this file", ADVICE),
        ("mial.txt.j2", "nothing uses this file", ADVICE),
        ("letter_to_the_editor.html.j2", "nothing uses this file", ADVICE),
        # What needs the ending.
        ("mail.mjml", "nothing uses this file; templates end in .j2", ADVICE),
        ("mail.preheader", "nothing uses this file; templates end in .j2", ADVICE),
        ("header.mjml", "nothing uses this file; templates end in .j2", ADVICE),
    ],
)
def test_what_is_not(
    campaign: Build, templates: dict[str, str], name: str, message: str, is_advisory: bool
) -> None:
    [(file, found, advisory)] = told(campaign(), templates, name)
    assert (file, advisory) == (name, is_advisory)
    assert found.startswith(message)


def test_a_file_that_is_attached_is_used(campaign: Build, templates: dict[str, str]) -> None:
    from tests.unit.content.conftest import EMAIL

    email: dict[str, Any] = EMAIL | {
        "attachments": [
            {"file": "mail.txt", "name": "Terms.txt"},
            {"template": "trip", "type": "ics", "name": "Trip.ics"},
        ]
    }
    with_files = campaign(channels=[email])
    only = {name: text for name, text in templates.items() if name.startswith("mail")}
    assert told(with_files, only, "mail.txt", "trip.ics.j2", "trip.sv.ics.j2") == []
    [(file, message, advisory)] = told(with_files, only, "mail.txt", "trip.ics.j2", "tirp.de.ics.j2")
    assert (file, message, advisory) == (
        "tirp.de.ics.j2",
        "nothing uses this file; did you mean trip.de.ics.j2?",
        BLOCKING,
    )


def test_a_file_of_before_an_experiment_or_of_after_it_is_not_refused(campaign: Build) -> None:
    from tests.unit.content.conftest import EMAIL

    texts = {"mail.subject.j2": "x", "mail.html.j2": "x"}
    assert told(campaign(channels=[EMAIL]), texts, "mail_b.txt.j2", "text.txt.j2") == [
        ("mail_b.txt.j2", "nothing uses this file; did you mean mail.txt.j2?", ADVICE),
        ("text.txt.j2", "nothing uses this file", ADVICE),
    ]


def test_of_a_journey_all_messages_count(campaign: Build, templates: dict[str, str]) -> None:
    from tests.unit.content.conftest import EMAIL, SMS

    one, other = campaign(channels=[EMAIL]), campaign(channels=[SMS])
    assert [*unused_files([one, other], [*templates], templates)] == []
    assert [each.file for each in unused_files([one], [*templates], templates)] == ["text.txt.j2"]


def test_nothing_that_ships_is_unused(campaigns_folder: Path) -> None:
    dags = campaigns_folder.parent
    shared = load_shared_sources(dags)
    folders: list[tuple[Path, list[Campaign]]] = [
        (campaigns_folder / name, [load_campaign(campaigns_folder / name)])
        for name in campaign_names(campaigns_folder)
    ]
    for name in journey_names(dags / "journeys"):
        journey = load_journey(dags / "journeys" / name)
        steps = [
            *map(journey.message_campaign, journey.messages),
            *map(journey.webhook_campaign, journey.webhooks),
        ]
        folders.append((dags / "journeys" / name, steps))
    assert len(folders) > 5
    for folder, campaigns in folders:
        templates = shared | load_sources(folder)
        assert [*unused_files(campaigns, file_names(folder), templates)] == []
