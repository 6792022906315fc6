"""Return paths: each says its message, in any case of letters, and nobody else can make one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kundresa.channels.addresses import smtp_mailbox
from kundresa.channels.return_path import read_return_path, return_path

KEY = "0123456789abcdef0123456789abcdef"


def test_a_return_path_is_an_address_and_says_its_message() -> None:
    address = return_path(KEY, "bounces.shop.example", "secret")
    assert smtp_mailbox(address) == address
    assert read_return_path(address, "secret") == KEY
    assert read_return_path(address.upper(), "secret") == KEY
    assert read_return_path(address, "another secret") is None


@given(st.text(max_size=80))
def test_other_addresses_are_nothing(local: str) -> None:
    assert read_return_path(f"{local}@bounces.shop.example", "secret") is None


def test_an_altered_one_is_nothing() -> None:
    address = return_path(KEY, "bounces.shop.example", "secret")
    assert read_return_path(address.replace("0123", "0124", 1), "secret") is None


def test_a_message_id_that_is_too_long() -> None:
    with pytest.raises(ValueError, match="too long"):
        return_path("x" * 40, "bounces.shop.example", "secret")
