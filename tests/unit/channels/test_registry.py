from __future__ import annotations

from datetime import UTC, datetime

import pytest

from kundresa.channels import (
    AccountError,
    account_from_uri,
    is_idempotent,
    open_sender,
    require_public_links,
)
from kundresa.spec.channels import DirectMailChannel, EmailChannel, SmsChannel

EMAIL = EmailChannel(kind="email", template="m", account="a", sender="Shop <hello@shop.example>")
SMS = SmsChannel(kind="sms", template="m", account="a", sender="Shop")


def clock() -> datetime:
    return datetime(2026, 11, 23, tzinfo=UTC)


def test_an_account_of_the_wrong_kind_is_refused() -> None:
    with pytest.raises(AccountError, match="is of kind http; email takes smtp"):
        open_sender(EMAIL, account_from_uri("https://gateway.example"), clock, run_key="r")
    with pytest.raises(AccountError, match="is of kind smtp; sms takes http, https or smpp"):
        open_sender(SMS, account_from_uri("smtp://mail.example"), clock, run_key="r")


@pytest.mark.parametrize(
    ("public_url", "why"),
    [
        ("http://127.0.0.1:2580", "no reader can reach"),
        ("https://localhost", "no reader can reach"),
        ("https://[::1]:2580", "no reader can reach"),
        ("http://mail.shop.example", "one-click unsubscription takes https"),
        ("mail.shop.example", "is no address"),
        ("https://[", "is no address"),
    ],
)
def test_real_mail_with_links_that_nobody_can_follow_is_refused(public_url: str, why: str) -> None:
    account = account_from_uri("smtp://mail.example", name="newsletter")
    with pytest.raises(AccountError, match=rf"account newsletter \(.*{why}: set KUNDRESA_PUBLIC_URL"):
        open_sender(EMAIL, account, clock, run_key="r", public_url=public_url)


def test_links_that_readers_can_follow_and_a_server_of_this_machine_are_fine() -> None:
    require_public_links(account_from_uri("smtp://mail.example"), "https://mail.shop.example/links")
    for host in ("127.0.0.1", "localhost", "[::1]"):
        require_public_links(account_from_uri(f"smtp://{host}:2525"), "http://127.0.0.1:2580")


def test_a_sender_that_smtp_cannot_carry_is_refused() -> None:
    channel = EMAIL.model_copy(update={"sender": "Shop <åsa@shop.example>"})
    with pytest.raises(AccountError, match="would need SMTPUTF8"):
        open_sender(channel, account_from_uri("smtp://mail.example"), clock, run_key="r")


def test_a_certificate_file_that_is_not_there_is_named() -> None:
    account = account_from_uri("https://gateway.example?ca_file=/nowhere.pem")
    with pytest.raises(AccountError, match="ca_file cannot be used"):
        open_sender(SMS, account, clock, run_key="r")


def test_what_is_handed_over_twice_without_harm_is_declared() -> None:
    layout = {"columns": [{"name": "message_id"}]}
    letter = DirectMailChannel.model_validate(
        {"kind": "direct_mail", "template": "m", "account": "a", "layout": layout}
    )
    assert is_idempotent(letter, account_from_uri("file:///letters"))
    assert is_idempotent(SMS, account_from_uri("https://gateway.example?idempotent=true"))
    assert not is_idempotent(SMS, account_from_uri("https://gateway.example"))
    assert not is_idempotent(SMS, account_from_uri("smpps://id:secret@smsc.example?idempotent=true"))
    assert not is_idempotent(EMAIL, account_from_uri("smtp://mail.example?idempotent=true"))
