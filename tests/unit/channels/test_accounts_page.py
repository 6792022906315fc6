"""ACCOUNTS.md says what is: every kind of connection, every extra that is read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

import kundresa.channels
from kundresa.channels import account_from_uri
from kundresa.channels.accounts import Kind

ROOM = Path(kundresa.channels.__file__).parent
PAGE = (ROOM / "ACCOUNTS.md").read_text(encoding="utf-8")
CONNECTIONS = re.findall(r"`([a-z0-9]+://[^`]+)`", PAGE.split("## Extras")[0])
READ = re.compile(r"""extra(?:\.get\(|\[)f?["'](\w+)|_number\((?:self\._)?account, "(\w+)\"""")


@pytest.mark.parametrize("uri", CONNECTIONS)
def test_a_connection_of_the_page_is_an_account(uri: str) -> None:
    account = account_from_uri(uri, name="shop")
    assert account.extra.keys() <= set(re.findall(r"`(\w+)`", PAGE.split("## Extras")[1]))


def test_every_kind_is_shown() -> None:
    assert {account_from_uri(uri).kind for uri in CONNECTIONS} == set(get_args(Kind))


def test_every_extra_is_told() -> None:
    told = set(re.findall(r"`(\w+)`", PAGE.split("## Extras")[1]))
    read = {
        (match[1] or match[2])
        for file in ROOM.glob("*.py")
        for match in READ.finditer(file.read_text(encoding="utf-8"))
    }
    assert len(read) > 20
    assert read <= told, read - told
