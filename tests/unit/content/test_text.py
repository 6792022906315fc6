"""What a name typed into a web shop can hold never leaves the line it stands in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kundresa.content.text import MAX_SUBJECT, body_text, subject_line

ANY = st.text(st.characters(), max_size=600)
"""All of Unicode, lone surrogates included."""


@given(ANY)
def test_subject_is_one_line_that_can_be_encoded(text: str) -> None:
    line = subject_line(text)
    assert len(line) <= MAX_SUBJECT
    assert line == line.strip()
    assert len(line.splitlines()) <= 1
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in line)
    line.encode("utf-8")


@given(st.text(" ab\t\u00a0\u3000\u2002", max_size=40))
def test_white_space_in_a_subject_is_one_space_between_words(text: str) -> None:
    assert subject_line(text) == " ".join(text.split())


@given(ANY)
def test_body_has_lf_alone_and_can_be_encoded(text: str) -> None:
    body = body_text(text)
    assert not any(ord(character) < 32 and character not in "\n\t" for character in body)
    body.encode("utf-8")


@given(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=MAX_SUBJECT))
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert subject_line(text) == text
    assert body_text(text) == text


@pytest.mark.parametrize("breaks", ["\r\n", "\n", "\r", "\u2028", "\u2029", "\x0b", "\x0c", "\x85", "\x00"])
def test_header_injection_becomes_a_space(breaks: str) -> None:
    assert subject_line(f"Hi{breaks}Bcc: x@evil.example") == "Hi Bcc: x@evil.example"


def test_long_subject_ends_in_an_ellipsis() -> None:
    assert subject_line("a" * 255) == "a" * 255
    assert subject_line("a" * 256) == "a" * 254 + "…"


def test_a_joined_emoji_is_not_cut_apart() -> None:
    family = "👨\u200d👩\u200d👧"
    line = subject_line("a" * 252 + family * 3)
    assert line == "a" * 252 + "…"


def test_nothing_but_combining_characters_is_cut_all_the_same() -> None:
    assert len(subject_line("\u0301" * 10_000)) == MAX_SUBJECT


def test_right_to_left_text_and_joiners_survive() -> None:
    text = "שלום \u200f👩\u200d🚀 عليكم"
    assert subject_line(text) == text
    assert body_text(text) == text
