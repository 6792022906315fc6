"""Addresses as contact points are written."""

from __future__ import annotations

import pytest

from kundresa.spec.addresses import normalised_address
from kundresa.spec.keys import request_id, stranger_id
from kundresa.spec.vocabulary import ChannelKind


@pytest.mark.parametrize(
    ("text", "channel", "expected"),
    [
        (" Anna@Example.COM ", ChannelKind.EMAIL, "anna@example.com"),
        ("+46 (70) 123-45.67", ChannelKind.SMS, "+46701234567"),
        (" Token:A b ", ChannelKind.PUSH, "Token:A b"),
    ],
)
def test_however_it_is_typed_it_is_one_address(text: str, channel: ChannelKind, expected: str) -> None:
    assert normalised_address(text, channel) == expected


@pytest.mark.parametrize(
    ("text", "channel"),
    [
        ("anna", ChannelKind.EMAIL),
        ("a@b@c", ChannelKind.EMAIL),
        ("a b@x.example", ChannelKind.EMAIL),
        ("a\r\n@x.example", ChannelKind.EMAIL),
        ("a\x00@x.example", ChannelKind.EMAIL),
        ("a" * 250 + "@x.example", ChannelKind.EMAIL),
        ("0701234567", ChannelKind.SMS),
        ("+0701234567", ChannelKind.SMS),
        ("+467012345678901234", ChannelKind.SMS),
        ("  ", ChannelKind.PUSH),
    ],
)
def test_what_is_no_address_of_the_channel_is_none(text: str, channel: ChannelKind) -> None:
    with pytest.raises(ValueError, match=r"expected|empty"):
        normalised_address(text, channel)


def test_ids_are_derived_and_tell_callers_and_installations_apart() -> None:
    assert request_id("shop", "1") == request_id("shop", "1")
    assert len({request_id("shop", "1"), request_id("till", "1"), request_id("shop", "2")}) == 3
    same = stranger_id("secret", "email", "a@x.example")
    assert same == stranger_id("secret", "email", "a@x.example")
    assert "a@x" not in same
    assert len({same, stranger_id("other", "email", "a@x.example"), stranger_id("secret", "phone", "a")}) == 3
