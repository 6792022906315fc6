"""The words of the pages."""

from __future__ import annotations

import string

import pytest

from kundresa.public.languages import CATALOGUE, choose_language


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_every_language_says_everything_with_the_same_parts() -> None:
    english = CATALOGUE["en"]
    assert {"de", "en", "fr", "sv"} <= set(CATALOGUE)
    for texts in CATALOGUE.values():
        assert set(texts) == set(english)
        assert {key: fields(text) for key, text in texts.items()} == {
            key: fields(text) for key, text in english.items()
        }


@pytest.mark.parametrize(
    ("of_profile", "accepted", "expected"),
    [
        ("sv", "en", "sv"),
        ("SV", "", "sv"),
        ("fi", "sv-FI,fi;q=0.9", "fi"),
        ("it", "sv-FI,fi;q=0.9", "sv"),
        ("nb-NO", "sv", "nb"),
        ("no", "sv", "nb"),
        ("fil", "", "en"),
        (None, "en;q=0.5, sv;q=0.9", "sv"),
        (None, "sv;q=0, en", "en"),
        (None, "sv;q=nonsense", "en"),
        (None, "", "en"),
        (None, "it,*", "en"),
        (None, "de,*", "de"),
        (None, "nn-NO,en;q=0.5", "nb"),
    ],
)
def test_the_persons_language_then_the_browsers(of_profile: str | None, accepted: str, expected: str) -> None:
    assert choose_language(of_profile, accepted) == expected
