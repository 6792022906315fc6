"""What somebody may send to a webhook who has no secret, and what a provider may that has gone wrong: a clear
4xx, or what can be used of it; never a 5xx, and nothing that belongs to somebody else."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from kundresa.content import Token
from kundresa.feedback.webhooks.twilio import MAX_FIELDS
from kundresa.public.app import build_app
from kundresa.settings import Settings
from kundresa.store import Store, open_store

from .conftest import NOW, Clock, serving
from .test_provider_webhooks import ANNAS, PROVIDERS, SNS, WEBHOOKS, post
from .test_webhooks import events, text_message, twilio

__all__ = ["text_message"]


@pytest.fixture
def client(settings: Settings, clock: Clock) -> Iterator[httpx.Client]:
    made = dataclasses.replace(settings, webhooks=f"{settings.webhooks}, {WEBHOOKS}")
    app = build_app(made, open_store(made.store_url), clock=clock, fetch=SNS.fetch)
    with serving(app) as address, httpx.Client(base_url=address, timeout=30, trust_env=False) as opened:
        yield opened


def lines(store: Store) -> list[dict[str, Any]]:
    return list(store.feedback.rows(NOW, NOW + timedelta(days=1)))


def test_a_form_of_very_many_fields_is_refused(client: httpx.Client, store: Store, caplog: Any) -> None:
    """Before its signature is looked at, which is over all of them."""
    fields = [(f"f{number}", "") for number in range(MAX_FIELDS + 1)]
    answer = client.post("/webhooks/texts", content=urlencode(fields))
    assert answer.status_code == 403
    assert "Traceback" not in caplog.text
    assert lines(store) == []


@pytest.mark.parametrize(
    ("code", "kept"), [("\0", None), ("30005\0", "30005"), ("9" * 5_000, "9" * 20), ("\x1b[31m\r\n", "[31m")]
)
def test_a_code_that_is_none_is_kept_as_far_as_it_can_be(
    client: httpx.Client, store: Store, text_message: str, code: str, kept: str | None
) -> None:
    answer = twilio(client, {"MessageSid": "SM1", "MessageStatus": "failed", "ErrorCode": code})
    assert answer.json() == {"recorded": 1, "skipped": 0}
    assert [(line["message_id"], line["code"]) for line in lines(store)] == [(text_message, kept)]


def test_ids_of_any_length_are_told_apart(
    client: httpx.Client, store: Store, sent: Token, clock: Clock
) -> None:
    for end in ("1", "2", "1"):
        report = {"event_id": f"{'e' * 5_000}{end}", "event": "clicked", "message_id": sent.message_id}
        assert events(client, clock, [report]).json() == {"recorded": 1, "skipped": 0}
    assert len(lines(store)) == 2
    # Nor is what begins as a message's id that message.
    other = {"event_id": "3", "event": "complained", "message_id": f"{sent.message_id:x<200}"[:200] + "y"}
    assert events(client, clock, [other]).json() == {"recorded": 0, "skipped": 1}


@pytest.mark.parametrize("time", ["0002-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "9998-12-31T23:59:59Z"])
@pytest.mark.parametrize("event", ["bounced", "opened", "unsubscribed"])
def test_nothing_comes_back_before_its_message_left_or_in_the_future(
    settings: Settings, store: Store, sent: Token, clock: Clock, time: str, event: str
) -> None:
    file = settings.project / "dags" / "policies.yaml"
    file.write_text(file.read_text() + "\nbounces: {soft_within: 366d}\n")
    report = {"event_id": "1", "event": event, "message_id": sent.message_id, "time": time}
    report |= {"bounce_class": "soft"} if event == "bounced" else {}
    app = build_app(settings, open_store(settings.store_url), clock=clock)
    with serving(app) as address, httpx.Client(base_url=address, timeout=30, trust_env=False) as client:
        assert events(client, clock, [report]).json() == {"recorded": 1, "skipped": 0}
    assert all(NOW <= line["occurred_at"] <= clock.now for line in lines(store))


def test_a_bad_event_of_a_batch_is_told_and_the_good_ones_are_taken_when_it_is_mended(
    client: httpx.Client, store: Store, sent: Token, clock: Clock
) -> None:
    """Nothing of it is recorded before: what is told again as it was is told again wholly."""
    good = {"event_id": "1", "event": "complained", "message_id": sent.message_id}
    for bad in ({"event": "bounced"}, {**good, "time": "yesterday"}, {**good, "channel": 7}):
        answer = events(client, clock, [good, bad])
        assert answer.status_code == 422
        assert lines(store) == []
    assert events(client, clock, [good]).json() == {"recorded": 1, "skipped": 0}
    assert store.suppressions.active(channel="email", addresses=[ANNAS]) == {ANNAS: "complaint"}


@pytest.mark.parametrize("name", PROVIDERS)
def test_signed_headers_that_come_twice_are_read_once(
    client: httpx.Client, store: Store, sent: Token, clock: Clock, name: str
) -> None:
    """The first counts: no second one makes a false one true, or replaces it."""
    headers, body = PROVIDERS[name](sent.message_id, "complaint", clock())
    twice = [(key, "AAAA") for key in headers if key != "Content-Type"] + list(headers.items())
    if name in ("sg", "pm"):
        answer = client.post(f"/webhooks/{name}", content=body, headers=twice)
        assert answer.status_code == (401 if name == "pm" else 403)
        assert lines(store) == []
    assert post(client, name, (headers, body)).status_code == 200


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "br", "deflate", "identity, gzip", "x"])
def test_no_body_is_unpacked(client: httpx.Client, store: Store, coding: str) -> None:
    for name in (*PROVIDERS, "texts", "mail"):
        answer = client.post(f"/webhooks/{name}", content=b"\x1f\x8b", headers={"Content-Encoding": coding})
        assert answer.status_code == 415
    assert lines(store) == []


def test_the_address_that_a_gateway_signs_is_ours_whatever_the_request_says(
    client: httpx.Client, store: Store, text_message: str
) -> None:
    """A proxy's headers are anybody's to write."""
    forged = {"MessageSid": "SM1", "MessageStatus": "delivered"}
    for url in (
        "https://evil.example/webhooks/texts",
        "http://mail.shop.example/webhooks/texts",
        "/webhooks/texts",
    ):
        client.headers.update(
            {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http", "Host": "evil.example"}
        )
        assert twilio(client, forged, url=url).status_code == 403
    assert twilio(client, forged).status_code == 200
    assert len(lines(store)) == 1


@pytest.mark.parametrize(
    ("account", "taken"), [("", {"email", "sms"}), ("@newsletter", {"email"}), ("@elsewhere", set())]
)
def test_an_account_s_reports_are_believed_of_its_own_messages(
    settings: Settings,
    store: Store,
    sent: Token,
    text_message: str,
    clock: Clock,
    account: str,
    taken: set[str],
) -> None:
    """A gateway may call its messages as another does; the campaign's emails leave over ``newsletter``."""
    email = {"event_id": "1", "event": "complained", "message_id": sent.message_id}
    text = {
        "event_id": "2",
        "event": "bounced",
        "channel": "sms",
        "provider_id": "SM1",
        "bounce_class": "hard",
    }
    by_id = {**text, "event_id": "3", "message_id": text_message, "provider_id": ""}
    made = dataclasses.replace(settings, webhooks=f"mail{account}=hmac:mail-secret")
    with (
        serving(build_app(made, open_store(made.store_url), clock=clock)) as address,
        httpx.Client(base_url=address, timeout=30, trust_env=False) as client,
    ):
        for report, channel in ((email, "email"), (text, "sms"), (by_id, "sms")):
            for _ in range(2):
                answer = events(client, clock, [report])
                assert answer.json()["recorded"] == (channel in taken)
    assert {line["channel"] for line in lines(store)} == taken
    assert {row["channel"] for row in store.suppressions.rows()} == taken & {"email"}
