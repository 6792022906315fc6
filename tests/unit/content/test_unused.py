"""Files of a folder that nothing is made from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kundresa.content import unused_files
from kundresa.spec.campaign import Campaign

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


def test_of_a_journey_all_messages_count(campaign: Build, templates: dict[str, str]) -> None:
    from tests.unit.content.conftest import EMAIL, SMS

    one, other = campaign(channels=[EMAIL]), campaign(channels=[SMS])
    assert [*unused_files([one, other], [*templates], templates)] == []
    assert [each.file for each in unused_files([one], [*templates], templates)] == ["text.txt.j2"]
