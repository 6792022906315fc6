"""What a mail tells its provider: our message id, where its reports give it back, and nothing that breaks."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import Message

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.unit.feedback.provider_calls import SendGrid, Sns, call, postmark_signed

from kundresa.channels import AccountError, account_from_uri
from kundresa.channels.dkim import dkim_signer
from kundresa.channels.mime import build_envelope, email_bytes, email_parts
from kundresa.channels.provider_marks import provider_marks
from kundresa.feedback.webhooks import Told
from kundresa.feedback.webhooks.postmark import PostmarkEvents
from kundresa.feedback.webhooks.sendgrid import SendGridEvents
from kundresa.feedback.webhooks.ses import SesEvents
from kundresa.spec.channels import EmailChannel
from kundresa.spec.messages import EmailContent

AT = datetime(2026, 11, 23, 9, 0, 5, tzinfo=UTC)
OURS = "0a1b2c3d4e5f60718293a4b5c6d7e8f9"
CHANNEL = EmailChannel(kind="email", template="m", account="a", sender="Shop <hello@shop.example>")
CONTENT = EmailContent("Hi", "<p>Hi</p>", "Hi", "https://shop.example/u/1")


def marks(extras: str) -> str:
    return provider_marks(account_from_uri(f"smtp://u:p@mail.example:587/?{extras}", name="newsletter"))


def mail(extras: str) -> Message:
    envelope = build_envelope(CHANNEL, "winback--1", "kundresa", marks(extras))
    return message_from_bytes(email_bytes(envelope, OURS, "anna@x.example", CONTENT, AT))


def test_without_a_provider_nothing_is_added() -> None:
    assert marks("timeout=30") == ""
    names = [name for name, _ in mail("").items() if name.startswith("X-")]
    assert names == ["X-Kundresa-Run"]


def from_ses(sent: Message) -> Told:
    """SES gives its tags back, and the mail another Message-ID."""
    name, _, value = str(sent["X-SES-MESSAGE-TAGS"]).partition("=")
    sns = Sns(AT)
    event = {
        "eventType": "Delivery",
        "mail": {"messageId": "0100-x-000000", "tags": {name: [value]}},
        "delivery": {},
    }
    return SesEvents.of(sns.arn, sns.fetch).read(call(sns.signed(sns.message(event, AT)), AT))


def from_sendgrid(sent: Message) -> Told:
    """SendGrid puts unique arguments among an event's own members."""
    account = SendGrid()
    event = {"event": "open", "sg_event_id": "1"} | json.loads(str(sent["X-SMTPAPI"]))["unique_args"]
    return SendGridEvents.of(account.secret).read(call(account.signed([event], AT), AT))


def from_postmark(sent: Message) -> Told:
    """Postmark gives each field of metadata back by what follows its prefix."""
    [(name, value)] = [each for each in sent.items() if each[0].startswith("X-PM-Metadata-")]
    event = {"RecordType": "Delivery", "Metadata": {name.removeprefix("X-PM-Metadata-"): value}}
    secret = "user:a-long-password"
    return PostmarkEvents(secret).read(call(postmark_signed(event, secret), AT))


@pytest.mark.parametrize(
    ("provider", "answer"), [("ses", from_ses), ("sendgrid", from_sendgrid), ("postmark", from_postmark)]
)
def test_what_the_provider_gives_back_names_the_message(
    provider: str, answer: Callable[[Message], Told]
) -> None:
    [report] = answer(mail(f"provider={provider}")).reports
    assert report.message_id == OURS


def test_configuration_set_and_message_stream() -> None:
    assert mail("provider=ses&configuration_set=Shop_1")["X-SES-CONFIGURATION-SET"] == "Shop_1"
    assert "X-SES-CONFIGURATION-SET" not in mail("provider=ses")
    sent = mail("provider=postmark&message_stream=broadcasts")
    assert (sent["X-PM-Message-Stream"], sent["X-PM-KeepID"]) == ("broadcasts", "true")


@pytest.mark.parametrize(
    ("extras", "message"),
    [
        ("provider=sparkpost", "takes ses, sendgrid or postmark"),
        ("configuration_set=x", "is for provider=ses"),
        ("provider=postmark&configuration_set=x", "is for provider=ses"),
        ("provider=ses&message_stream=x", "is for provider=postmark"),
        ("provider=ses&configuration_set=a%0D%0AX-Evil:%201", "letters, digits"),
        ("provider=postmark&message_stream=a%20b", "letters, digits"),
    ],
)
def test_what_cannot_be(extras: str, message: str) -> None:
    with pytest.raises(AccountError, match=message):
        marks(extras)


@pytest.mark.parametrize(("provider", "are_signed"), [("ses", False), ("postmark", True)])
def test_what_ses_writes_anew_is_not_signed(provider: str, are_signed: bool) -> None:
    pem = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    extra = {"dkim_domain": "shop.example", "dkim_selector": "s", "dkim_key": pem.decode()}
    signer = dkim_signer(extra | {"provider": provider})
    assert signer is not None
    head, body = email_parts(build_envelope(CHANNEL, "w--1", "k"), OURS, "anna@x.example", CONTENT, AT)
    field = "".join(signer.fields(head, body, AT).decode().split())
    names = field.partition(";h=")[2].partition(";")[0].split(":")
    assert ("message-id" in names, "date" in names) == (are_signed, are_signed)
    assert {"from", "to", "subject", "list-unsubscribe"} <= set(names)
