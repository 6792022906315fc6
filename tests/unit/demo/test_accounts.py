"""The demo's account, held against an independent count."""

from __future__ import annotations

from typing import Any

import pytest

from kundresa.demo.accounts import ChannelLine

RIGHT: dict[str, Any] = {
    "campaign": "winback",
    "run_key": "winback--1",
    "channel": "email",
    "considered": 10,
    "sent": 7,
    "not_sent": {"suppressed": 3},
    "arrivals": 7,
    "messages": 7,
}


def test_an_account_that_is_right() -> None:
    assert ChannelLine(**RIGHT).problems == []


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"considered": 11}, "considered 11 but the lines add up to 10"),
        ({"arrivals": 8}, "1 messages arrived twice"),
        ({"messages": 6, "arrivals": 6}, "the account says 7 sent, the sandbox received 6"),
    ],
)
def test_what_is_wrong_is_said(wrong: dict[str, int], words: str) -> None:
    (problem,) = ChannelLine(**{**RIGHT, **wrong}).problems

    assert words in problem
    assert problem.startswith("winback email")
