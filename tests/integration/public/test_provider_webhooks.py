"""Providers of email, from their calls through the service into the store, and on to who is suppressed."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from tests.unit.feedback.provider_calls import (
    SendGrid,
    Signed,
    Sns,
    altered,
    mailgun_signed,
    postmark_signed,
)

from kundresa.content import Token
from kundresa.feedback.webhooks.sns import FetchError
from kundresa.public.app import build_app
from kundresa.settings import Settings
from kundresa.store import Store, open_store

from .conftest import NOW, Clock, serving

ANNAS = "then-anna@x.example"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
SENDGRID = SendGrid()
SNS = Sns(NOW)
MAILGUN, POSTMARK = "key-of-the-account", "postmark:a-long-password"
WEBHOOKS = f"sg=sendgrid:{SENDGRID.secret}, mg=mailgun:{MAILGUN}, aws=ses:{SNS.arn}, pm=postmark:{POSTMARK}"


@pytest.fixture
def client(settings: Settings, clock: Clock) -> Iterator[httpx.Client]:
    made = dataclasses.replace(settings, webhooks=WEBHOOKS)
    app = build_app(made, open_store(made.store_url), clock=clock, fetch=SNS.fetch)
    with serving(app) as address, httpx.Client(base_url=address, timeout=30, trust_env=False) as opened:
        yield opened


def post(client: httpx.Client, name: str, signed: Signed) -> httpx.Response:
    headers, body = signed
    return client.post(f"/webhooks/{name}", content=body, headers=headers)


def lines(store: Store) -> list[dict[str, Any]]:
    return list(store.feedback.rows(NOW, NOW + timedelta(days=1)))


def sendgrid(message_id: str, kind: str, at: datetime) -> Signed:
    events = {
        "hard": {"event": "bounce", "type": "bounce", "status": "5.1.1", "reason": "550 5.1.1 no such user"},
        "block": {"event": "bounce", "type": "blocked", "status": "5.0.0", "reason": "554 rejected"},
        "complaint": {"event": "spamreport"},
        "delivered": {"event": "delivered", "response": "250 OK"},
        "nothing": {"event": "deferred", "response": "400 try again later"},
    }
    common = {
        "email": ANNAS,
        "timestamp": int(NOW.timestamp()),
        "sg_event_id": f"{kind}==",
        "smtp-id": f"<{message_id}@shop.example>",
    }
    return SENDGRID.signed([common | events[kind]], at)


def mailgun(message_id: str, kind: str, at: datetime) -> Signed:
    events: dict[str, dict[str, Any]] = {
        "hard": {
            "event": "failed",
            "severity": "permanent",
            "reason": "bounce",
            "delivery-status": {"code": 550, "enhanced-code": "5.1.1", "message": "5.1.1 no such user"},
        },
        "block": {"event": "failed", "severity": "permanent", "reason": "espblock"},
        "complaint": {"event": "complained"},
        "delivered": {"event": "delivered"},
        "nothing": {"event": "failed", "severity": "temporary"},
    }
    headers = {"headers": {"message-id": f"{message_id}@shop.example"}}
    event = {"id": "x", "timestamp": NOW.timestamp(), "message": headers} | events[kind]
    return mailgun_signed(event, MAILGUN, at, f"{kind:0<50}")


def ses(message_id: str, kind: str, at: datetime) -> Signed:
    def bounce(given: str, subtype: str) -> dict[str, Any]:
        recipient = {"emailAddress": ANNAS, "status": "5.1.1"} if given == "Permanent" else {}
        return {
            "eventType": "Bounce",
            "bounce": {
                "bounceType": given,
                "bounceSubType": subtype,
                "bouncedRecipients": [{"emailAddress": ANNAS} | recipient],
                "timestamp": NOW.isoformat(),
                "feedbackId": f"{kind}-000000",
            },
        }

    events: dict[str, dict[str, Any]] = {
        "hard": bounce("Permanent", "General"),
        "block": bounce("Transient", "ContentRejected"),
        "complaint": {
            "eventType": "Complaint",
            "complaint": {"feedbackId": "c", "timestamp": NOW.isoformat()},
        },
        "delivered": {"eventType": "Delivery", "delivery": {"timestamp": NOW.isoformat()}},
        "nothing": {"eventType": "DeliveryDelay", "deliveryDelay": {}},
    }
    mail = {"messageId": "0100-x", "destination": [ANNAS], "tags": {"kundresa-message": [message_id]}}
    message = SNS.message(events[kind] | {"mail": mail}, at, SignatureVersion="2")
    return SNS.signed(message | {"MessageId": f"id-{kind}"})


def postmark(message_id: str, kind: str, at: datetime) -> Signed:
    events: dict[str, dict[str, Any]] = {
        "hard": {"RecordType": "Bounce", "Type": "HardBounce", "TypeCode": 1},
        "block": {"RecordType": "Bounce", "Type": "Blocked", "TypeCode": 100006},
        "complaint": {"RecordType": "SpamComplaint", "Type": "SpamComplaint"},
        "delivered": {"RecordType": "Delivery", "DeliveredAt": NOW.isoformat()},
        "nothing": {"RecordType": "Bounce", "Type": "Transient", "TypeCode": 2},
    }
    event = {
        "MessageID": "883953f4-6105-42a2-a16a-77a8eac79483",
        "Metadata": {"kundresa-message": message_id},
    }
    return postmark_signed(event | events[kind], POSTMARK)


Provider = Callable[[str, str, datetime], Signed]
PROVIDERS: dict[str, Provider] = {"sg": sendgrid, "mg": mailgun, "aws": ses, "pm": postmark}
each_provider = pytest.mark.parametrize("name", PROVIDERS)


@each_provider
@pytest.mark.parametrize(
    ("kind", "line", "suppressed"),
    [
        ("hard", ("bounced", "hard"), {ANNAS: "hard_bounce"}),
        ("block", ("bounced", "block"), {}),
        ("complaint", ("complained", None), {ANNAS: "complaint"}),
        ("delivered", ("delivered", None), {}),
    ],
)
def test_what_is_told_is_recorded_once_and_suppresses(
    client: httpx.Client,
    store: Store,
    sent: Token,
    clock: Clock,
    name: str,
    kind: str,
    line: tuple[str, str | None],
    suppressed: dict[str, str],
) -> None:
    signed = PROVIDERS[name](sent.message_id, kind, clock())
    for _ in range(2):
        answer = post(client, name, signed)
        assert (answer.status_code, answer.json()) == (200, {"recorded": 1, "skipped": 0})
    [found] = lines(store)
    assert (found["kind"], found["bounce_class"]) == line
    assert (found["message_id"], found["provider"], found["address"]) == (sent.message_id, name, ANNAS)
    assert store.suppressions.active(channel="email", addresses=[ANNAS]) == suppressed
    # Hours later, as a provider does that got no answer.
    clock.now += timedelta(hours=8)
    assert post(client, name, signed).json() == {"recorded": 1, "skipped": 0}
    assert len(lines(store)) == 1


@each_provider
def test_what_is_no_outcome_or_of_nobody_here_is_skipped(
    client: httpx.Client, store: Store, sent: Token, clock: Clock, name: str
) -> None:
    for message_id, kind in ((sent.message_id, "nothing"), ("f" * 32, "hard")):
        answer = post(client, name, PROVIDERS[name](message_id, kind, clock()))
        assert (answer.status_code, answer.json()) == (200, {"recorded": 0, "skipped": 1})
    assert lines(store) == []


@pytest.mark.parametrize("name", ["sg", "aws"])
def test_an_altered_byte_is_refused(
    client: httpx.Client, store: Store, sent: Token, clock: Clock, name: str
) -> None:
    answer = post(client, name, altered(PROVIDERS[name](sent.message_id, "complaint", clock())))
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"
    assert lines(store) == []


def test_each_is_believed_by_its_own_signature_alone(
    client: httpx.Client, store: Store, sent: Token, clock: Clock
) -> None:
    for name, provider in PROVIDERS.items():
        for other in PROVIDERS:
            if other != name:
                answer = post(client, other, provider(sent.message_id, "complaint", clock()))
                assert answer.status_code == (401 if other == "pm" else 403), (name, other)
    assert lines(store) == []


def test_nothing_else_counts_under_a_token_of_mailgun_s_that_was_used(
    client: httpx.Client, store: Store, sent: Token, clock: Clock
) -> None:
    signed = mailgun(sent.message_id, "delivered", clock())
    post(client, "mg", signed)
    told = json.loads(signed[1])
    told["event-data"]["event"] = "complained"
    answer = post(client, "mg", (signed[0], json.dumps(told).encode()))
    assert answer.status_code == 200
    assert [line["kind"] for line in lines(store)] == ["delivered"]
    assert store.suppressions.active(channel="email", addresses=[ANNAS]) == {}


def test_a_wrong_password_may_be_mended_in_time(client: httpx.Client) -> None:
    """After a 403 Postmark tells nothing again."""
    answer = client.post("/webhooks/pm", content=b"{}", auth=("postmark", "wrong"))
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic")


def by_staff(is_suppressed: bool, at: datetime, address: str = "Anna@x.example") -> Signed:
    event = {
        "RecordType": "SubscriptionChange",
        "Recipient": address,
        "Origin": "Customer",
        "SuppressSending": is_suppressed,
        "SuppressionReason": "ManualSuppression" if is_suppressed else None,
        "ChangedAt": at.isoformat(),
        "Metadata": {},
        "MessageID": None,
    }
    return postmark_signed(event, POSTMARK)


def test_what_staff_suppress_at_the_provider_is_suppressed_until_they_take_it_back(
    client: httpx.Client, store: Store, clock: Clock
) -> None:
    anna, taken = "anna@x.example", {"recorded": 1, "skipped": 0}

    def held() -> dict[str, str]:
        return store.suppressions.active(channel="email", addresses=[anna])

    first, second, third = clock(), clock(), clock()
    assert post(client, "pm", by_staff(True, first)).json() == taken
    assert held() == {anna: "manual"}
    clock.now += timedelta(hours=1)
    # Told again; then what happened before it: neither changes anything.
    for told in (by_staff(True, first), by_staff(False, first - timedelta(hours=1))):
        assert post(client, "pm", told).json() == taken
        assert held() == {anna: "manual"}
    assert post(client, "pm", by_staff(False, clock())).json() == taken
    assert held() == {}
    for told_late in (first, second, third):
        assert post(client, "pm", by_staff(True, told_late)).json() == taken
        assert held() == {}
    assert post(client, "pm", by_staff(True, clock())).json() == taken
    assert held() == {anna: "manual"}
    assert len(list(store.suppressions.rows())) == 1


def test_what_staff_reactivate_at_the_provider_does_not_undo_what_the_person_or_their_server_said(
    client: httpx.Client, store: Store, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    what = {"channel": "email", "address": "anna@x.example", "reason": "complaint", "source": "pm"}
    store.suppressions.add(**what, recorded_at=NOW)
    assert post(client, "pm", by_staff(False, clock())).json() == {"recorded": 1, "skipped": 0}
    assert store.suppressions.active(channel="email", addresses=["anna@x.example"]) == {
        "anna@x.example": "complaint"
    }
    assert "reactivated there, suppressed here (complaint)" in caplog.text
    assert "anna@" not in caplog.text


@pytest.mark.parametrize("address", ["nobody@x.example", "p-anna", "no address", "C1", "\ud800@x.example"])
def test_an_address_of_nobody_here_is_not_kept(
    client: httpx.Client, store: Store, clock: Clock, address: str
) -> None:
    """Other systems may send over the same account."""
    for is_suppressed in (True, False):
        answer = post(client, "pm", by_staff(is_suppressed, clock(), address))
        assert answer.json() == {"recorded": 0, "skipped": 1}
    assert list(store.suppressions.rows()) == []


@pytest.mark.parametrize(
    ("name", "signed"),
    [
        ("sg", lambda at: SENDGRID.signed({"event": "bounce"}, at)),
        ("mg", lambda at: mailgun_signed([], MAILGUN, at, "t" * 50)),
        ("aws", lambda at: SNS.signed(SNS.message("no JSON", at))),
        ("pm", lambda _: postmark_signed([], POSTMARK)),
    ],
)
def test_what_is_signed_and_makes_no_sense(
    client: httpx.Client, store: Store, clock: Clock, name: str, signed: Callable[[datetime], Signed]
) -> None:
    answer = post(client, name, signed(clock()))
    assert answer.status_code == 422
    assert lines(store) == []


def hit(message_id: str, kind: str, number: int, seconds: int, **members: Any) -> dict[str, Any]:
    return {
        "event": kind,
        "sg_event_id": f"hit-{number}",
        "kundresa-message": message_id,
        "timestamp": int((NOW + timedelta(hours=1, seconds=seconds)).timestamp()),
        "useragent": FIREFOX,
    } | members


def test_a_scanner_s_clicks_in_one_batch_are_known_by_their_own_times(
    client: httpx.Client, store: Store, sent: Token, clock: Clock
) -> None:
    """Told hours later, and not in their order."""
    clock.now += timedelta(hours=5)
    scanner = [
        hit(sent.message_id, "click", number, number % 3, url=f"https://shop.example/{number}")
        for number in range(4)
    ]
    person = hit(sent.message_id, "click", 9, 900, url="https://shop.example/0")
    opens = [
        hit(sent.message_id, "open", 10, 901, sg_machine_open=True),
        hit(sent.message_id, "open", 11, 902, sg_machine_open=False),
    ]
    answer = post(client, "sg", SENDGRID.signed([person, *reversed(scanner), *opens], clock()))
    assert answer.json() == {"recorded": 7, "skipped": 0}
    found = sorted((line["kind"], str(line["automation"])) for line in lines(store))
    assert found == [
        ("clicked", "None"),
        *[("clicked", "scanner")] * 4,
        ("opened", "None"),
        ("opened", "prefetch"),
    ]


def test_an_unsubscription_is_a_no(client: httpx.Client, store: Store, sent: Token, clock: Clock) -> None:
    event = hit(sent.message_id, "group_unsubscribe", 1, 0, asm_group_id=10)
    post(client, "sg", SENDGRID.signed([event], clock()))
    [no] = store.opt_outs.rows()
    assert (no["profile_id"], no["channel"], no["source"]) == ("p-anna", "email", "provider")


def test_a_subscription_is_confirmed_and_what_cannot_be_checked_is_told_again(
    settings: Settings, store: Store, sent: Token, clock: Clock
) -> None:
    """SNS takes a 4xx for good. While a certificate is on its way everybody else is answered."""
    sns = Sns(NOW)
    is_asked, may_go, is_up = threading.Event(), threading.Event(), threading.Event()

    def fetch(url: str) -> bytes:
        if not is_up.is_set():
            raise FetchError("TimeoutError")
        is_asked.set()
        assert may_go.wait(30)
        return b"<ConfirmSubscriptionResponse/>" if "Action=" in url else sns.fetch(url)

    made = dataclasses.replace(settings, webhooks=f"aws=ses:{sns.arn}")
    app = build_app(made, open_store(made.store_url), clock=clock, fetch=fetch)
    confirmation = sns.signed(sns.subscription(clock()))
    with serving(app) as address, httpx.Client(base_url=address, timeout=30, trust_env=False) as client:
        answer = post(client, "aws", confirmation)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        is_up.set()
        answers: list[httpx.Response] = []
        waiting = threading.Thread(target=lambda: answers.append(post(client, "aws", confirmation)))
        waiting.start()
        assert is_asked.wait(30)
        started = time.monotonic()
        assert httpx.get(f"{address}/healthy", trust_env=False).status_code == 200
        assert time.monotonic() - started < 10
        assert answers == []
        may_go.set()
        waiting.join(30)
        assert [(each.status_code, each.json()) for each in answers] == [(200, {"recorded": 0, "skipped": 1})]
    assert lines(store) == []
