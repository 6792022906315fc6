"""Answers of types and with characters that nobody expects: each is an outcome, and none an error of ours."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kundresa.channels import account_from_uri
from kundresa.channels.apns import ApnsAdapter
from kundresa.channels.fcm import FcmAdapter
from kundresa.channels.http_answers import json_object
from kundresa.channels.http_peer import Response
from kundresa.channels.http_sender import Adapter, Hold
from kundresa.channels.receipts import MAX_CODE, accepted, deferred, failed, unknown
from kundresa.channels.sms import TwilioAdapter
from kundresa.channels.webhook import WebhookAdapter
from kundresa.spec.channels import SmsChannel, WebhookChannel
from kundresa.spec.messages import Message, PushContent, SmsContent, WebhookContent
from kundresa.spec.vocabulary import DeliveryReason, MessageState

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
ODD: list[Any] = [None, 5, 1.5, True, [], [5], {}, {"a": 1}, "", "\0\ud800", "x" * 5_000]


def clock() -> datetime:
    return NOW


def adapters() -> dict[str, tuple[Adapter, Message]]:
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    texts = account_from_uri("https://u:p@gateway.example/messages")
    hook = account_from_uri(f"https://:{'s' * 30}@hooks.example/h")
    apple = account_from_uri(
        json.dumps(
            {
                "conn_type": "apns",
                "login": "KEY",
                "password": key.decode(),
                "extra": {"team_id": "TEAM", "topic": "app"},
            }
        )
    )
    google = account_from_uri("fcm://u:p@?project=x")
    sms = SmsChannel(kind="sms", template="m", account="a", sender="Shop")
    webhook = WebhookChannel(kind="webhook", template="m", account="a")
    return {
        "sms": (
            TwilioAdapter(sms, texts, run_key="r", clock=clock),
            Message("0" * 32, "+46701234567", SmsContent("x")),
        ),
        "webhook": (
            WebhookAdapter(webhook, hook, run_key="r", clock=clock, allowed_hosts=["hooks.example"]),
            Message("0" * 32, "p-1", WebhookContent("{}")),
        ),
        "fcm": (
            FcmAdapter(google, run_key="r", clock=clock),
            Message("0" * 32, "t" * 30, PushContent("x", "y")),
        ),
        "apns": (
            ApnsAdapter(apple, run_key="r", clock=clock),
            Message("0" * 32, "a" * 64, PushContent("x", "y")),
        ),
    }


def bodies(odd: Any) -> list[Any]:
    """An answer of each provider's shape, with one odd thing in it."""
    return [
        odd,
        {"code": odd, "message": odd, "sid": odd},
        {"sid": "SM1", "status": "failed", "error_code": odd, "error_message": odd},
        {"results": odd},
        {"results": [{"message_id": "0" * 32, "status": odd, "detail": odd, "id": odd}, odd]},
        {"error": odd},
        {"error": {"status": odd, "message": odd, "details": odd}},
        {"error": {"status": "INVALID_ARGUMENT", "details": [{"fieldViolations": odd}, odd]}},
        {"error": {"details": [{"@type": "x.FcmError", "errorCode": odd}]}},
        {"name": odd},
        {"reason": odd},
    ]


@pytest.mark.parametrize("name", ["sms", "webhook", "fcm", "apns"])
@pytest.mark.parametrize("status", [200, 400, 410, 429, 500, 503])
def test_whatever_is_answered_is_one_receipt_that_any_database_takes(name: str, status: int) -> None:
    adapter, message = adapters()[name]
    for odd in ODD:
        for body in bodies(odd):
            response = Response(status, {"apns-id": "\0"}, json.dumps(body).encode())
            try:
                [receipt] = adapter.receipts([message], response)
            except Hold as hold:
                [receipt] = hold.receipts
            assert receipt.message_id == message.message_id
            for text in (receipt.code, receipt.detail, receipt.provider_id, receipt.suppress):
                assert text is None or (text.isprintable() and len(text) <= 500), (body, receipt)
            assert receipt.code is None or len(receipt.code) <= MAX_CODE


@pytest.mark.parametrize(
    "octets", [b"", b"\xff\xfe", b"[" * 200_000, b'{"a":' * 100_000, b"<html>", b"[1]", b"NaN"]
)
def test_an_answer_that_is_no_object_is_an_empty_one(octets: bytes) -> None:
    assert json_object(Response(200, {}, octets)) == {}


@pytest.mark.parametrize(
    "value",
    [
        "",
        "-1",
        "9" * 30,
        "Mon, 01 Jan 2035 00:00:00 +99999999999999",
        "Thu, 99 Foo 99999 99:99:99 GMT",
        "\xff",
        "0",
    ],
)
def test_a_retry_after_that_says_nothing_is_a_usual_one(value: str) -> None:
    adapter, message = adapters()["sms"]
    [receipt] = adapter.receipts([message], Response(408, {"retry-after": value}, b""))
    assert receipt.state is MessageState.DEFERRED
    assert receipt.retry_at is not None
    assert 1 <= (receipt.retry_at - NOW).total_seconds() <= 12 * 3_600


def test_a_code_is_one_line() -> None:
    code, clean = "HTTP 400 \0\ud800\r\n" + "x" * 200, ("HTTP 400 " + "x" * 200)[:MAX_CODE]
    reason = DeliveryReason.MESSAGE_REFUSED
    receipts = [
        accepted("m", None, code),
        failed("m", reason, code, ""),
        deferred("m", code, "", NOW),
        unknown("m", code, ""),
    ]
    assert [each.code for each in receipts] == [clean] * 4
    assert failed("m", reason, None, "").code is None
