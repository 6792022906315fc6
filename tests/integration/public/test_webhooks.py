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
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kundresa.content import Token
from kundresa.public.app import build_app
from kundresa.settings import Settings
from kundresa.spec.loading import load_campaign
from kundresa.spec.messages import Receipt
from kundresa.spec.vocabulary import MessageState
from kundresa.store import Candidate, Store, open_store

from .conftest import CHECKOUT, NOW, RUN, Clock, serving

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
        assert answer.status_code == 200
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
    assert twilio(client, {"MessageSid": "SM1", "MessageStatus": "sent"}).status_code == 200
    assert twilio(client, {"MessageSid": "SM2", "MessageStatus": "delivered"}).status_code == 200
    assert lines(store) == []


def test_a_hard_bounce_of_an_email_suppresses_at_once(
    client: httpx.Client, store: Store, sent: Token, clock: Clock
) -> None:
    report = {"event_id": "1", "event": "bounced", "message_id": sent.message_id, "status": "5.1.1"}
    assert events(client, clock, [report]).status_code == 200
    active = store.suppressions.active(channel="email", addresses=["then-anna@x.example"])
    assert active == {"then-anna@x.example": "hard_bounce"}


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"status": "450", "diagnostic": "Recipient address rejected: User unknown"}, "soft"),
        ({"status": "550", "diagnostic": "Recipient address rejected: User unknown"}, "hard"),
        ({"status": "450", "diagnostic": "550 Recipient address rejected: User unknown"}, "soft"),
        ({"diagnostic": "550 Recipient address rejected:\r\nUser\tunknown\r\n"}, "hard"),
        ({"status": "550", "diagnostic": "Sender domain does not exist"}, "block"),
    ],
)
def test_a_bounce_of_an_email_is_judged_by_code_and_words(
    client: httpx.Client, store: Store, sent: Token, clock: Clock, told: dict[str, str], expected: str
) -> None:
    report = {"event_id": "1", "event": "bounced", "message_id": sent.message_id}
    assert events(client, clock, [report | told]).json() == {"recorded": 1, "skipped": 0}
    [line] = store.feedback.rows(NOW, NOW + timedelta(days=1))
    assert (line["bounce_class"], line["code"]) == (expected, told.get("status"))
    assert str(line["detail"]).split() == told["diagnostic"].split()
    assert str(line["detail"]).isprintable()


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
    [
        b"{",
        b"{}",
        b"[1]",
        [{"event": "bounced"}],
        [{"event_id": "1", "event": "bounced"}],
        [{"event_id": "1\ud800", "event": "bounced", "message_id": "m"}],
        [{"event_id": "1", "event": "bounced", "message_id": "m", "channel": "fax"}],
        [{"event_id": "1", "event": "bounced", "message_id": "m", "channel": ["email"]}],
        [{"event_id": "1", "event": "bounced", "message_id": "m", "bounce_class": "mild"}],
        [{"event_id": "1", "event": "opened", "message_id": "m", "time": "yesterday"}],
    ],
)
def test_signed_and_not_understood(
    client: httpx.Client, store: Store, sent: Token, clock: Clock, body: object
) -> None:
    answer = events(client, clock, body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert lines(store) == []


FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
TOKEN = "device-token-of-anna"


@pytest.fixture
def push_message(settings: Settings, store: Store, sent: Token) -> str:
    """A notification to Anna's device that the provider has taken as ``projects/shop/messages/7``; its id."""
    message_id = "e" * 32
    store.batches.register(RUN, "push", 1, 1)
    lease = store.batches.lease(RUN, "push", 1, owner="test", seconds=60, now=NOW)
    store.ledger.claim(lease, [Candidate(message_id, "p-anna")], now=NOW)
    taken = Receipt(message_id, MessageState.ACCEPTED, provider_id="projects/shop/messages/7")
    store.ledger.settle(lease, [taken], now=NOW)
    batch = settings.published / "runs" / RUN / "batches" / "channel=push" / "batch_number=1"
    batch.mkdir(parents=True)
    row = {
        "message_id": message_id,
        "run_key": RUN,
        "profile_id": "p-anna",
        "address": TOKEN,
        "variant": None,
        "profile": {"first_name": "Anna"},
    }
    pq.write_table(pa.Table.from_pylist([row]), batch / "data_0.parquet")
    return message_id


def test_push_is_told_by_the_provider_s_name_for_the_message(
    client: httpx.Client, store: Store, push_message: str, clock: Clock
) -> None:
    of_push = {"channel": "push", "provider_id": "projects/shop/messages/7"}
    answer = events(client, clock, [{"event_id": "1", "event": "delivered"} | of_push])
    assert (answer.status_code, answer.json()) == (200, {"recorded": 1, "skipped": 0})
    assert lines(store) == [(push_message, "delivered", None, None)]
    assert store.suppressions.active(channel="push", addresses=[TOKEN]) == {}
    # Said to be an email's, it is about no message.
    answer = events(
        client, clock, [{"event_id": "2", "event": "complained"} | of_push | {"channel": "email"}]
    )
    assert answer.json() == {"recorded": 0, "skipped": 1}
    assert len(lines(store)) == 1


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"status": "UNREGISTERED"}, "hard"),
        ({"diagnostic": "Unregistered"}, "hard"),
        ({"bounce_class": "hard"}, "hard"),
        ({"status": "QUOTA_EXCEEDED"}, "undetermined"),
        ({"status": "UNREGISTERED", "bounce_class": "soft"}, "soft"),
    ],
)
def test_a_hard_bounce_of_a_push_suppresses_the_token(
    client: httpx.Client, store: Store, push_message: str, clock: Clock, told: dict[str, str], expected: str
) -> None:
    report = {"event_id": "1", "event": "bounced", "channel": "push", "message_id": push_message}
    assert events(client, clock, [report | told]).json()["recorded"] == 1
    assert lines(store) == [(push_message, "bounced", expected, told.get("status"))]
    active = store.suppressions.active(channel="push", addresses=[TOKEN])
    assert active == ({TOKEN: "hard_bounce"} if expected == "hard" else {})


def test_an_unknown_event_costs_its_neighbours_nothing(
    client: httpx.Client, store: Store, sent: Token, clock: Clock
) -> None:
    body = [
        {"event_id": "1", "event": "delivered", "message_id": sent.message_id},
        {"event_id": "2", "event": "loved", "message_id": sent.message_id},
        {"event": ["?"]},
        {},
        {"event_id": "3", "event": "delivered", "message_id": "f" * 32},
    ]
    for _ in range(2):
        answer = events(client, clock, body)
        assert (answer.status_code, answer.json()) == (200, {"recorded": 1, "skipped": 4})
    assert lines(store) == [(sent.message_id, "delivered", None, None)]


def test_opens_and_clicks_are_a_person_s_or_a_machine_s(
    client: httpx.Client, store: Store, sent: Token, clock: Clock
) -> None:
    """Told late, and again; judged as our own links' are."""
    at = (NOW + timedelta(minutes=10)).isoformat()
    clock.now += timedelta(hours=2)
    of_anna = {"message_id": sent.message_id, "time": at}
    body = [
        {"event_id": "1", "event": "opened", "user_agent": FIREFOX} | of_anna,
        {"event_id": "2", "event": "opened", "user_agent": "GoogleImageProxy"} | of_anna,
        {"event_id": "3", "event": "clicked", "user_agent": FIREFOX, "url": "https://shop.example/a"}
        | of_anna,
        {"event_id": "4", "event": "clicked"} | of_anna,
    ]
    for _ in range(2):
        assert events(client, clock, body).json() == {"recorded": 4, "skipped": 0}
    found = list(store.feedback.rows(NOW + timedelta(hours=1), NOW + timedelta(days=1)))
    told = sorted((str(each["kind"]), str(each["automation"]), str(each["target"])) for each in found)
    assert told == [
        ("clicked", "None", "https://shop.example/a"),
        ("clicked", "crawler", "None"),
        ("opened", "None", "None"),
        ("opened", "prefetch", "None"),
    ]
    assert {(each["occurred_at"], each["provider"], each["address"]) for each in found} == {
        (NOW + timedelta(minutes=10), "mail", "then-anna@x.example")
    }


def test_an_unsubscription_is_a_no_to_the_message_s_topic(
    client: httpx.Client, store: Store, sent: Token, clock: Clock
) -> None:
    report = {"event_id": "1", "event": "unsubscribed", "message_id": sent.message_id}
    for _ in range(2):
        assert events(client, clock, [report]).json()["recorded"] == 1
    (no,) = store.opt_outs.rows()
    topic = load_campaign(CHECKOUT / "dags" / "campaigns" / "winback").topic
    assert (no["profile_id"], no["channel"], no["topic"], no["address"], no["source"]) == (
        "p-anna",
        "email",
        topic,
        "then-anna@x.example",
        "provider",
    )
    assert lines(store) == [(sent.message_id, "unsubscribed", None, None)]
    # The person says yes again; that the provider repeats itself takes nothing back.
    store.answers.say_yes(
        profile_id="p-anna", channel="email", address="", topics=[topic], source="undo", at=clock()
    )
    events(client, clock, [report])
    assert store.answers.last(profile_id="p-anna", channel="email")[topic].status == "yes"


@pytest.mark.parametrize("said_as", ["p-anna", "p-old"])
@pytest.mark.parametrize(("minutes", "expected"), [(59, "yes"), (60, "no"), (61, "no")])
def test_an_unsubscription_told_late_takes_no_later_yes_back(
    client: httpx.Client, store: Store, sent: Token, clock: Clock, minutes: int, expected: str, said_as: str
) -> None:
    """A yes after an hour, under any id of theirs, and the provider tells after two of a no that was said
    around it."""
    topic = load_campaign(CHECKOUT / "dags" / "campaigns" / "winback").topic
    yes_at = NOW + timedelta(hours=1)
    store.answers.say_yes(
        profile_id=said_as, channel="email", address="", topics=[topic], source="page", at=yes_at
    )
    clock.now = told_at = NOW + timedelta(hours=2)
    no_at = NOW + timedelta(minutes=minutes)
    report = {
        "event_id": "1",
        "event": "unsubscribed",
        "message_id": sent.message_id,
        "time": no_at.isoformat(),
    }
    for _ in range(2):
        assert events(client, clock, [report]).json() == {"recorded": 1, "skipped": 0}
    said = store.answers.last(profile_id="p-anna", known_as=["p-old"], channel="email")
    assert said[topic].status == expected
    assert [each["recorded_at"] >= told_at for each in store.opt_outs.rows()] == [True] * (expected == "no")
    [line] = store.feedback.rows(NOW, NOW + timedelta(days=1))
    assert (line["kind"], line["occurred_at"]) == ("unsubscribed", no_at)


def test_soft_bounces_suppress_as_the_policies_say(
    settings: Settings, store: Store, sent: Token, clock: Clock
) -> None:
    """Two messages to one address, and a limit of two; with the five of the default nothing would follow."""
    file = settings.project / "dags" / "policies.yaml"
    file.write_text(f"{file.read_text()}bounces: {{soft_limit: 2}}\n")
    second = "d" * 32
    store.batches.register(RUN, "email", 2, 1)
    lease = store.batches.lease(RUN, "email", 2, owner="test", seconds=60, now=NOW)
    store.ledger.claim(lease, [Candidate(second, "p-anna")], now=NOW)
    store.ledger.settle(lease, [Receipt(second, MessageState.ACCEPTED)], now=NOW)
    folder = settings.published / "runs" / RUN / "batches" / "channel=email"
    [row] = [
        each
        for each in pq.read_table(folder / "batch_number=1" / "data_0.parquet").to_pylist()
        if each["message_id"] == sent.message_id
    ]
    (folder / "batch_number=2").mkdir()
    again = pa.Table.from_pylist([row | {"message_id": second}])
    pq.write_table(again, folder / "batch_number=2" / "data_0.parquet")
    app = build_app(settings, open_store(settings.store_url), clock=clock)
    with serving(app) as address, httpx.Client(base_url=address, timeout=30, trust_env=False) as client:
        for number, message_id in enumerate((sent.message_id, second), 1):
            report = {
                "event_id": str(number),
                "event": "bounced",
                "message_id": message_id,
                "status": "4.2.2",
            }
            assert events(client, clock, [report]).json()["recorded"] == 1
            active = store.suppressions.active(channel="email", addresses=["then-anna@x.example"])
            assert active == ({} if number == 1 else {"then-anna@x.example": "soft_bounces"})


@pytest.mark.parametrize(
    ("told", "expected", "suppressed", "is_no"),
    [
        ({"event": "unsubscribed"}, ("unsubscribed", None, None), {}, True),
        (
            {"event": "complained"},
            ("complained", None, None),
            {"then-anna@x.example": "complaint"},
            False,
        ),
        ({"event": "bounced", "status": "4.2.2"}, ("bounced", "soft", "4.2.2"), {}, False),
        (
            {"event": "bounced", "status": "5.1.1"},
            ("bounced", "hard", "5.1.1"),
            {"then-anna@x.example": "hard_bounce"},
            False,
        ),
        ({"event": "delivered"}, ("delivered", None, None), {}, False),
    ],
)
def test_field_report_14_each_is_recorded_as_what_it_is(
    client: httpx.Client,
    store: Store,
    sent: Token,
    clock: Clock,
    told: dict[str, str],
    expected: tuple[str, str | None, str | None],
    suppressed: dict[str, str],
    is_no: bool,
) -> None:
    """And as nothing else: an unsubscription is no bounce, what passes costs no good address."""
    events(client, clock, [{"event_id": "1", "message_id": sent.message_id} | told])
    assert lines(store) == [(sent.message_id, *expected)]
    addresses = ["then-anna@x.example"]
    assert store.suppressions.active(channel="email", addresses=addresses) == suppressed
    assert bool(list(store.opt_outs.rows())) is is_no
    assert store.ledger.lines([sent.message_id])[sent.message_id].state is MessageState.ACCEPTED
