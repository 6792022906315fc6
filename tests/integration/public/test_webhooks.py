"""Providers' reports: believed by their signature alone, recorded once, and what follows holds at once."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from kundresa.content import Token
from kundresa.spec.messages import Receipt
from kundresa.spec.vocabulary import MessageState
from kundresa.store import Candidate, Store

from .conftest import NOW, RUN, Clock

URL = "https://mail.shop.example/webhooks/texts"


@pytest.fixture
def text_message(store: Store, sent: Token) -> str:
    """A text message to Anna that the provider has taken as SM1; its id."""
    store.batches.register(RUN, "sms", 1, 1)
    lease = store.batches.lease(RUN, "sms", 1, owner="test", seconds=60, now=NOW)
    store.ledger.claim(lease, [Candidate("d" * 32, "p-anna")], now=NOW)
    store.ledger.settle(lease, [Receipt("d" * 32, MessageState.ACCEPTED, provider_id="SM1")], now=NOW)
    return "d" * 32


def twilio(
    client: httpx.Client, fields: dict[str, str], *, token: str = "auth-token", url: str = URL
) -> httpx.Response:
    signed = url + "".join(name + value for name, value in sorted(fields.items()))
    signature = base64.b64encode(hmac.digest(token.encode(), signed.encode(), "sha1")).decode()
    return client.post(
        "/webhooks/texts",
        content=urlencode(fields),
        headers={
            "X-Twilio-Signature": signature,
            "Content-Type": "application/x-www-form-urlencoded",
        },
    )


def events(
    client: httpx.Client, clock: Clock, body: object, *, secret: str = "mail-secret", age: int = 0
) -> httpx.Response:
    octets = body if isinstance(body, bytes) else json.dumps(body).encode()
    timestamp = str(int(clock.now.timestamp()) - age)
    signature = hmac.new(secret.encode(), timestamp.encode() + b"." + octets, hashlib.sha256).hexdigest()
    headers = {"X-Timestamp": timestamp, "X-Signature": signature, "Content-Type": "application/json"}
    return client.post("/webhooks/mail", content=octets, headers=headers)


def lines(store: Store) -> list[tuple[Any, ...]]:
    return [
        (line["message_id"], line["kind"], line["bounce_class"], line["code"])
        for line in store.feedback.rows(NOW, NOW + timedelta(days=1))
    ]


def test_the_signature_is_the_one_of_twilio_s_own_example() -> None:
    """The example of "Webhooks Security" in Twilio's documentation, with its token 12345."""
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    fields = {
        "CallSid": "CA1234567890ABCDE",
        "Caller": "+14158675310",
        "Digits": "1234",
        "From": "+14158675310",
        "To": "+18005551212",
    }
    signed = url + "".join(name + value for name, value in sorted(fields.items()))
    digest = hmac.digest(b"12345", signed.encode(), "sha1")
    assert base64.b64encode(digest).decode() == "GvWf1cFY/Q7PnoempGyD5oXAezc="


def test_a_status_callback_is_recorded_once(client: httpx.Client, store: Store, text_message: str) -> None:
    for _ in range(2):
        answer = twilio(client, {"MessageSid": "SM1", "MessageStatus": "delivered"})
        assert answer.status_code == 204
    assert lines(store) == [(text_message, "delivered", None, None)]


@pytest.mark.parametrize(
    ("code", "expected"),
    [("30005", "hard"), ("30003", "soft"), ("30007", "block"), ("99999", "undetermined")],
)
def test_an_undelivered_text_has_a_class(
    client: httpx.Client, store: Store, text_message: str, code: str, expected: str
) -> None:
    twilio(client, {"MessageSid": "SM1", "MessageStatus": "undelivered", "ErrorCode": code})
    assert lines(store) == [(text_message, "bounced", expected, code)]


def test_what_the_ledger_knows_already_or_never_sent_is_left_out(
    client: httpx.Client, store: Store, text_message: str
) -> None:
    assert twilio(client, {"MessageSid": "SM1", "MessageStatus": "sent"}).status_code == 204
    assert twilio(client, {"MessageSid": "SM2", "MessageStatus": "delivered"}).status_code == 204
    assert lines(store) == []


def test_a_hard_bounce_of_an_email_suppresses_at_once(
    client: httpx.Client, store: Store, sent: Token, clock: Clock
) -> None:
    report = {"event_id": "1", "event": "bounced", "message_id": sent.message_id, "status": "5.1.1"}
    assert events(client, clock, [report]).status_code == 204
    active = store.suppressions.active(channel="email", addresses=["then-anna@x.example"])
    assert active == {"then-anna@x.example": "hard_bounce"}


def test_a_complaint_suppresses_at_once(
    client: httpx.Client, store: Store, sent: Token, clock: Clock
) -> None:
    events(client, clock, [{"event_id": "1", "event": "complained", "message_id": sent.message_id}])
    active = store.suppressions.active(channel="email", addresses=["then-anna@x.example"])
    assert active == {"then-anna@x.example": "complaint"}


def test_forged_replayed_and_misdirected_reports_are_refused(
    client: httpx.Client, store: Store, text_message: str, sent: Token, clock: Clock
) -> None:
    fields = {"MessageSid": "SM1", "MessageStatus": "delivered"}
    good = [{"event_id": "1", "event": "complained", "message_id": sent.message_id}]
    answers = [
        twilio(client, fields, token="another"),
        twilio(client, fields, url="https://elsewhere.example/webhooks/texts"),
        client.post("/webhooks/texts", data=fields),
        events(client, clock, good, secret="another"),
        events(client, clock, good, age=400),
        events(client, clock, good, age=-400),
        client.post("/webhooks/mail", json=good),
    ]
    assert {answer.status_code for answer in answers} == {403}
    assert client.post("/webhooks/nobody", json=good).status_code == 404
    assert lines(store) == []


@pytest.mark.parametrize(
    "body",
    [b"{", b"{}", b"[1]", [{"event_id": "1", "event": "loved", "message_id": "m"}], [{"event": "bounced"}]],
)
def test_signed_and_not_understood(
    client: httpx.Client, store: Store, sent: Token, clock: Clock, body: object
) -> None:
    answer = events(client, clock, body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert lines(store) == []
