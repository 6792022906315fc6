"""``KUNDRESA_WEBHOOKS``: what each kind takes, and what is wrong, without the secret."""

from __future__ import annotations

import pytest

from kundresa.feedback.webhooks import KINDS, accounts_of, parse_webhooks
from kundresa.settings import SettingsError

from .provider_calls import SendGrid

SECRETS = {
    "twilio": "auth-token",
    "hmac": "mail-secret",
    "sendgrid": SendGrid().secret,
    "mailgun": "key-12345678",
    "ses": "arn:aws:sns:eu-north-1:123456789012:ses-events",
    "postmark": "user:a-long-password",
}


def test_every_kind_by_its_name() -> None:
    assert set(SECRETS) == set(KINDS)
    text = ", ".join(f"own_{kind}={kind}:{secret}" for kind, secret in SECRETS.items())
    found = parse_webhooks(text)
    assert list(found) == [f"own_{kind}" for kind in SECRETS]
    assert len({type(each) for each in found.values()}) == len(KINDS)
    assert parse_webhooks("") == parse_webhooks(" , ") == {}
    for secret in SECRETS.values():
        assert secret not in repr([each for name, each in found.items() if name != "own_ses"])


def test_an_entry_may_name_its_account() -> None:
    text = "first=hmac:mail-secret, second@mails_2=hmac:mail@secret=x"
    assert list(parse_webhooks(text)) == ["first", "second"]
    assert accounts_of(text) == {"second": "mails_2"}
    with pytest.raises(SettingsError, match="another one has its name"):
        parse_webhooks(f"{text}, second=hmac:mail-secret")


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("mail", "expected name=kind:secret"),
        ("mail@=hmac:SECRETSECRET", "expected name=kind:secret"),
        ("mail@SECRETS=hmac:SECRETSECRET", "name@account=kind:secret"),
        ("mail=hmac", "expected name=kind:secret"),
        ("mail=hmac:short", "8 characters or more"),
        ("Mail=hmac:SECRETSECRET", "expected name=kind:secret"),
        ("mail=smoke:SECRETSECRET", "none of twilio, hmac, sendgrid, mailgun, ses, postmark"),
        ("first=hmac:SECRETSECRET", "another one has its name"),
        ("mail=sendgrid:SECRETSECRET", "public key"),
        ("mail=ses:SECRETSECRET", "ARN of its SNS topic"),
    ],
)
def test_what_is_wrong_is_said_without_the_secret(entry: str, why: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_webhooks(f"first=hmac:mail-secret, {entry}")
    assert str(caught.value).startswith("KUNDRESA_WEBHOOKS, entry 2: ")
    assert why in str(caught.value)
    assert "SECRET" not in str(caught.value)
    assert caught.value.__cause__ is None
