"""No gate shows a full address, name or phone number."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kundresa.quality.masking import SHAPE_CHARACTERS, mask, masked_key, shape


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        ("anna.berg@shop.example", "a…g@s…e"),
        ("bo@x.se", "…@x…e"),
        ("a@b@c.example", "a…e"),
        ("+46701234567", "+46…67"),
        ("070-123 45 67", "07…67"),
        ("1234567", "…67"),
        ("Anna Berg", "A…g"),
        ("Bo", "…"),
        ("", "empty"),
        (None, "null"),
        (12.5, "1…5"),
        ("<script>alert()</script>", "·…·"),
        ("\r\nBcc: x", "·…x"),
        ("\u05d0\u05d1\u05d2\u05d3", "·…·"),
        ("\U0001f600\U0001f600\U0001f600\U0001f600", "·…·"),
        ("x" * 10_000, "x…x"),
    ],
)
def test_mask(value: object, masked: str) -> None:
    assert mask(value) == masked


@given(st.text(min_size=3))
def test_mask_shows_little_and_breaks_nothing(text: str) -> None:
    shown = mask(text)
    assert text not in shown or set(text) <= {"…", "·"}
    assert len(shown) <= 8
    assert not any(character in "<>&\"'" or unicodedata.category(character)[0] == "C" for character in shown)


@given(st.emails())
def test_mask_of_an_address_keeps_at_most_two_characters_of_each_side(address: str) -> None:
    local, _, domain = mask(address).partition("@")
    assert len(local.replace("…", "")) <= 2
    assert len(domain.replace("…", "")) <= 2


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ("12,50", "99,99"),
        ("31.12.2026", "99.99.9999"),
        ("N/A", "A/A"),
        ("Åsa <x>\n", "Aaa ?a??"),
        ("9" * 41, "9" * SHAPE_CHARACTERS + "…"),
    ],
)
def test_shape(value: str, form: str) -> None:
    assert shape(value) == form


@given(st.text())
def test_shape_holds_no_letter_or_digit_of_the_value(text: str) -> None:
    assert set(shape(text)) <= set("aA9 +-.,:;/@_%?…")


def test_masked_key_shows_only_what_says_nothing_about_a_person() -> None:
    digest = "0cc175b9c0f1b6a831c399e269772661"
    uuid = "123e4567-e89b-42d3-a456-426614174000"
    assert masked_key(digest) == digest
    assert masked_key(uuid) == uuid
    assert masked_key("4111111111111111") == "41…11"
    assert masked_key("anna.berg@shop.example") == "a…g@s…e"
    assert masked_key("+46701234567") == "+46…67"
    assert masked_key(None) == "null"
