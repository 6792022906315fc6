"""Links: what we signed comes back, and nothing else does."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import URLSafeSerializer

from kundresa.content import Links, Token, TokenError

LINKS = Links("https://shop.example", "one secret")
TOKEN = Token("m" * 32, "p-1", "email", "offers")


@given(
    st.builds(Token, st.text(max_size=40), st.text(max_size=40), st.text(max_size=10), st.text(max_size=20))
)
def test_round_trip_in_url_characters(token: Token) -> None:
    text = LINKS.sign(token)
    assert re.fullmatch(r"[A-Za-z0-9._-]+", text)
    assert LINKS.read_token(text) == token


def test_url_is_below_the_public_one() -> None:
    url = LINKS.unsubscribe_url(TOKEN)
    assert url == f"https://shop.example/u/{LINKS.sign(TOKEN)}"
    assert len(url) < 300


def test_same_message_same_link() -> None:
    assert LINKS.sign(TOKEN) == LINKS.sign(TOKEN)


def test_every_changed_character_is_noticed() -> None:
    text = LINKS.sign(TOKEN)
    # The last base64 character of a 32-octet signature carries four bits; two spellings decode alike.
    for place in range(len(text) - 1):
        other = "A" if text[place] != "A" else "B"
        with pytest.raises(TokenError):
            LINKS.read_token(text[:place] + other + text[place + 1 :])


@given(st.text(max_size=200))
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(TokenError):
        LINKS.read_token(text)


@pytest.mark.parametrize("length", [1_001, 10_000_000])
def test_long_input_is_refused(length: int) -> None:
    with pytest.raises(TokenError):
        LINKS.read_token("a" * length)


def test_another_secret_is_refused() -> None:
    with pytest.raises(TokenError):
        Links("https://shop.example", "another secret").read_token(LINKS.sign(TOKEN))


def test_a_token_for_another_purpose_is_refused() -> None:
    forged = URLSafeSerializer("one secret", salt="kundresa.unsubscribe.v2").dumps(["m", "p", "email", "t"])
    with pytest.raises(TokenError):
        LINKS.read_token(str(forged))


@pytest.mark.parametrize("payload", [{"a": 1}, ["m", "p", "email"], ["m", "p", "email", 4], "text", None])
def test_a_signed_value_of_another_shape_is_refused(payload: object) -> None:
    signed = LINKS._serializer().dumps(payload)
    with pytest.raises(TokenError):
        LINKS.read_token(str(signed))


def test_no_secret_no_links() -> None:
    with pytest.raises(ValueError, match="signing secret"):
        Links("https://shop.example", "")


def test_the_secret_is_not_shown() -> None:
    assert "one secret" not in repr(LINKS)
