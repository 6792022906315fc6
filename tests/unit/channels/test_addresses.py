from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kundresa.channels.addresses import AddressError, phone_number, smtp_mailbox


@pytest.mark.parametrize(
    ("address", "mailbox"),
    [
        ("anna@shop.example", "anna@shop.example"),
        ("a.b+c'd@Shop.EXAMPLE", "a.b+c'd@shop.example"),
        ("anna@bücher.example", "anna@xn--bcher-kva.example"),
        ("anna@BÜCHER.example", "anna@xn--bcher-kva.example"),
        ("anna@例え.テスト", "anna@xn--r8jz45g.xn--zckzah"),
    ],
)
def test_mailboxes(address: str, mailbox: str) -> None:
    assert smtp_mailbox(address) == mailbox


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("", "there is no @"),
        ("anna", "there is no @"),
        ("@shop.example", "there is no @"),
        ("åsa@shop.example", "would need SMTPUTF8"),
        ("a b@shop.example", "not a valid one"),
        ('"a b"@shop.example', "not a valid one"),
        (".a@shop.example", "not a valid one"),
        ("a..b@shop.example", "not a valid one"),
        ("a@b@shop.example", "not a valid one"),
        ("a>\r\nRCPT TO:<b@shop.example", "not a valid one"),
        ("a@shop.example\r\nDATA", "the domain is not a valid one"),
        ("a@shop.example\n", "the domain is not a valid one"),
        ("a@shop", "the domain is not a valid one"),
        ("a@-shop.example", "the domain is not a valid one"),
        ("a@shop..example", "the domain is not a valid one"),
        ("a@[127.0.0.1]", "the domain is not a valid one"),
        ("a@" + "x" * 64 + ".example", "the domain is not a valid one"),
        ("a@ü..example", "not a valid international name"),
        ("a" * 65 + "@shop.example", "not a valid one"),
        ("a@" + ".".join(["x" * 60] * 5), "longer than 254"),
    ],
)
def test_what_is_no_mailbox(address: str, message: str) -> None:
    with pytest.raises(AddressError, match=message) as caught:
        smtp_mailbox(address)
    assert not address or address not in str(caught.value)


@given(st.text(max_size=80))
def test_a_mailbox_can_stand_in_a_command(text: str) -> None:
    try:
        mailbox = smtp_mailbox(f"{text}@shop.example")
    except AddressError:
        return
    assert mailbox.isascii()
    assert not set(mailbox) & set(' <>\r\n\t\0"(),:;[]')


@given(st.text(max_size=40))
def test_a_domain_can_stand_in_a_command(text: str) -> None:
    try:
        mailbox = smtp_mailbox(f"anna@{text}.example")
    except AddressError:
        return
    assert mailbox.isascii()
    assert not set(mailbox) & set(' <>\r\n\t\0"(),:;[]')


def test_phone_numbers() -> None:
    assert phone_number("+46701234567") == "+46701234567"
    for text in (
        "46701234567",
        "+0701234567",
        "+46 70 123",
        "+4670123456789012",
        "+46701234567\n",
        "+٤٦٧٠١٢٣٤",
        "",
    ):
        with pytest.raises(AddressError, match=r"E\.164"):
            phone_number(text)
