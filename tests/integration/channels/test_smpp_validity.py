"""Until when a text may be delivered, and centres that take no such word."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from kundresa.channels import AccountError
from kundresa.spec.vocabulary import MessageState

from .conftest import NOW
from .smpp_peers import Open, texts
from .smsc import Centre

ACCEPTED, FAILED = MessageState.ACCEPTED, MessageState.FAILED


@pytest.mark.parametrize(
    ("query", "left", "period"),
    [
        ("", timedelta(hours=84), b"000003120000000R"),
        ("", timedelta(days=14), b"000014000000000R"),
        ("", timedelta(minutes=10, seconds=7, microseconds=900_000), b"000000001007000R"),
        # What a centre makes of no time at all is not asked; delivery withholds what is over.
        ("", timedelta(minutes=4), b"000000000500000R"),
        ("", timedelta(seconds=-3), b"000000000500000R"),
        ("&validity=absolute", timedelta(seconds=1), b"261123090500000+"),
        ("&validity=relative&validity_hours=48", timedelta(hours=84), b"000002000000000R"),
        ("&validity=absolute", timedelta(hours=84), b"261126210000000+"),
        ("&validity=absolute&validity_hours=1", timedelta(hours=84), b"261123100000000+"),
        ("&validity=none", timedelta(hours=84), b""),
        ("", None, b""),
    ],
)
def test_a_text_says_until_when_it_may_be_delivered(
    centre: Callable[..., Centre],
    smpp_sender: Open,
    query: str,
    left: timedelta | None,
    period: bytes,
) -> None:
    peer = centre()
    sender = smpp_sender(peer.port, query, valid_until=None if left is None else NOW + left)
    [receipt] = sender.send(texts(1, "x" * 200))
    assert receipt.state is ACCEPTED
    assert [unit.validity_period for unit in peer.submitted] == [period, period]


@pytest.mark.parametrize("length", [10, 200])
def test_a_centre_that_takes_no_such_validity_gets_texts_without(
    centre: Callable[..., Centre], smpp_sender: Open, caplog: pytest.LogCaptureFixture, length: int
) -> None:
    refused: list[bytes] = []

    def answer(_number: int, unit: Any) -> int:
        if unit.validity_period:
            refused.append(unit.validity_period)
        return 0x62 if unit.validity_period else 0

    peer = centre(answer=answer)
    sender = smpp_sender(peer.port, "&window=1", valid_until=NOW + timedelta(hours=84))
    assert [each.state for each in sender.send(texts(3, "x" * length))] == [ACCEPTED] * 3
    assert [each.state for each in sender.send(texts(2, "x" * length))] == [ACCEPTED] * 2
    assert len(refused) == 1, "it is tried once"
    assert len(peer.submitted) == (5 if length == 10 else 10)
    [told] = [each.getMessage() for each in caplog.records if "validity" in each.getMessage()]
    assert "set validity=absolute, validity_hours=48 or validity=none" in told


def test_many_at_once_that_are_refused_for_their_validity_are_all_taken(
    centre: Callable[..., Centre], smpp_sender: Open, caplog: pytest.LogCaptureFixture
) -> None:
    peer = centre(answer=lambda _number, unit: 0x62 if unit.validity_period else 0)
    sender = smpp_sender(peer.port, valid_until=NOW + timedelta(hours=84))
    assert {each.state for each in sender.send(texts(20))} == {ACCEPTED}
    assert len([each for each in caplog.records if "validity" in each.getMessage()]) == 1


def test_a_centre_that_speaks_of_a_validity_where_none_is_said_has_refused_the_text(
    centre: Callable[..., Centre], smpp_sender: Open
) -> None:
    peer = centre(answer=lambda _number, _pdu: 0x62)
    for query in ("", "&validity=none"):
        sender = smpp_sender(peer.port, query, valid_until=NOW + timedelta(hours=84))
        assert {each.state for each in sender.send(texts(3))} == {FAILED}


@pytest.mark.parametrize("query", ["&validity=3d", "&validity_hours=0", "&validity_hours=400"])
def test_a_validity_that_cannot_be(centre: Callable[..., Centre], smpp_sender: Open, query: str) -> None:
    with pytest.raises(AccountError, match=r"account texts: validity"):
        smpp_sender(centre().port, query)
