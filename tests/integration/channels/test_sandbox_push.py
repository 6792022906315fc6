"""FCM and APNs over HTTP/2 against the sandbox, with real keys and real misbehaviour."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from h2.config import H2Configuration
from h2.connection import H2Connection

from kundresa.channels import AccountError, account_from_uri, http2, open_sender
from kundresa.channels.apns import ApnsAdapter
from kundresa.channels.fcm import FcmAdapter
from kundresa.channels.http_peer import NotSentError, Request, TurnedAwayError
from kundresa.channels.http_sender import HttpSender
from kundresa.channels.outage import DOWN_FOR
from kundresa.sandbox import received
from kundresa.sandbox.faults import Faults
from kundresa.sandbox.ports import Ports
from kundresa.spec.channels import PushChannel
from kundresa.spec.messages import Message, PushContent, Receipt
from kundresa.spec.push_payload import Lifetime, fcm_message
from kundresa.spec.vocabulary import DeliveryReason, MessageState

from .conftest import NOW, RUN_KEY, Time

ACCEPTED, DEFERRED, FAILED, UNKNOWN = (
    MessageState.ACCEPTED,
    MessageState.DEFERRED,
    MessageState.FAILED,
    MessageState.UNKNOWN,
)
CONTENT = PushContent("Hej Åsa 👋", "Rea på allt", link="https://shop.example/sale", data={"offer": "a"})

Start = Callable[..., tuple[Ports, Path]]
Open = Callable[..., HttpSender]


def pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


APPLE = ec.generate_private_key(ec.SECP256R1())
GOOGLE = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)


@pytest.fixture
def push_sender(time: Time) -> Iterator[Open]:
    with contextlib.ExitStack() as stack:

        async def sleep(seconds: float) -> None:
            time.sleep(seconds)

        def build(kind: str, ports: Ports, query: str = "", in_flight: int = 50) -> HttpSender:
            token_uri = quote(f"http://127.0.0.1:{ports.http}/token", safe="")
            login, extra = {
                "fcm": (
                    f"a%40p.iam:{quote(pem(GOOGLE), safe='')}",
                    f"project=p&token_uri={token_uri}",
                ),
                "apns": (f"KEY1234567:{quote(pem(APPLE), safe='')}", "team_id=TEAM123456&topic=example.shop"),
            }[kind]
            uri = f"{kind}://{login}@127.0.0.1:{ports.push}/?security=none&{extra}{query}"
            account = account_from_uri(uri, name="app")
            adapter = {"fcm": FcmAdapter, "apns": ApnsAdapter}[kind]
            built = HttpSender(
                adapter(account, run_key=RUN_KEY, clock=time.clock),
                account,
                clock=time.clock,
                in_flight=in_flight,
                sleep=sleep,
            )
            stack.callback(built.close)
            return built

        yield build


def pushes(count: int, kind: str = "fcm", first: int = 0) -> list[Message]:
    def token(number: int) -> str:
        return f"{number:064x}" if kind == "apns" else f"app{number:020d}:APA91b-x_y"

    return [Message(f"{each:032x}", token(each), CONTENT) for each in range(first, first + count)]


def states(receipts: Sequence[Receipt]) -> Counter[MessageState]:
    return Counter(receipt.state for receipt in receipts)


@pytest.mark.parametrize("kind", ["fcm", "apns"])
def test_every_accepted_notification_is_stored(sandbox: Start, push_sender: Open, kind: str) -> None:
    ports, folder = sandbox()
    sender, messages = push_sender(kind, ports), pushes(300, kind)
    receipts = [*sender.send(messages[:200]), *sender.send(messages[200:])]
    assert states(receipts) == {ACCEPTED: 300}
    rows = {row.message_id: row for row in received(folder, channel="push")}
    assert {each.message_id: each.provider_id for each in receipts} == {
        row.message_id: row.provider_id for row in rows.values()
    }
    assert [rows[each.message_id].recipient for each in messages] == [each.address for each in messages]
    body = json.loads(rows[messages[0].message_id].body)
    if kind == "apns":
        assert body["aps"]["alert"] == {"title": "Hej Åsa 👋", "body": "Rea på allt"}
        assert (body["link"], body["offer"]) == ("https://shop.example/sale", "a")
    else:
        assert body["message"]["notification"] == {"title": "Hej Åsa 👋", "body": "Rea på allt"}
        assert body["message"]["data"]["link"] == "https://shop.example/sale"


@pytest.mark.parametrize(
    ("kind", "token", "suppress"),
    [
        ("fcm", "unregistered-0000000000", "fcm unregistered"),
        ("fcm", "invalid-000000000000000", "fcm invalid_argument"),
        ("apns", "dead" + "0" * 60, "apns unregistered"),
        ("apns", "bad" + "0" * 61, "apns baddevicetoken"),
    ],
)
def test_a_dead_token_is_to_be_suppressed(
    sandbox: Start, push_sender: Open, kind: str, token: str, suppress: str
) -> None:
    ports, _ = sandbox()
    sender = push_sender(kind, ports)
    assert states(list(sender.send(pushes(1, kind)))) == {ACCEPTED: 1}
    [receipt] = sender.send([Message("f" * 32, token, CONTENT)])
    assert (receipt.state, receipt.reason) == (FAILED, DeliveryReason.ADDRESS_REFUSED)
    assert receipt.suppress == suppress


@pytest.mark.parametrize(
    ("validity", "seconds"),
    [(timedelta(hours=84), 302_400), (timedelta(days=90), 28 * 86_400), (timedelta(0), 1)],
)
def test_a_service_keeps_it_no_longer_than_it_is_valid(time: Time, validity: timedelta, seconds: int) -> None:
    until = str(int(NOW.timestamp()) + seconds)
    uri = f"apns://KEY1234567:{quote(pem(APPLE), safe='')}@h/?team_id=T&topic=t"
    apple = ApnsAdapter(account_from_uri(uri), run_key=RUN_KEY, clock=time.clock, valid_until=NOW + validity)
    assert apple.request(pushes(1, "apns")).headers["apns-expiration"] == until
    lifetime = Lifetime.between(NOW, NOW + validity)
    made = fcm_message("m", "t", CONTENT, lifetime=lifetime)
    assert made["android"]["ttl"] == f"{seconds}s"
    assert made["webpush"]["headers"] == {"TTL": str(seconds)}
    assert made["apns"]["headers"] == {"apns-collapse-id": "m", "apns-expiration": until}
    assert made["android"]["notification"] == {"tag": "m"}


def test_the_validity_reaches_googles_service(sandbox: Start, time: Time) -> None:
    ports, folder = sandbox()
    token_uri = quote(f"http://127.0.0.1:{ports.http}/token", safe="")
    login = f"a%40p.iam:{quote(pem(GOOGLE), safe='')}"
    uri = f"fcm://{login}@127.0.0.1:{ports.push}/?security=none&project=p&token_uri={token_uri}"
    channel = PushChannel(kind="push", template="m", account="app")
    account = account_from_uri(uri, name="app")
    until = NOW + timedelta(hours=84)
    sender = open_sender(channel, account, time.clock, run_key=RUN_KEY, valid_until=until)
    with contextlib.closing(sender):
        assert states(list(sender.send(pushes(1)))) == {ACCEPTED: 1}
    [row] = received(folder)
    assert json.loads(row.body)["message"]["android"]["ttl"] == "302400s"


def test_bad_tokens_suppress_nothing_while_the_account_may_be_the_wrong_one(
    sandbox: Start, push_sender: Open
) -> None:
    ports, _ = sandbox()
    receipts = list(push_sender("apns", ports).send([Message("f" * 32, "bad" + "0" * 61, CONTENT)]))
    assert [(each.state, each.suppress) for each in receipts] == [(FAILED, None)]


@pytest.mark.parametrize(("kind", "token"), [("fcm", "x"), ("apns", "app0001:APA91b-x_y-not-apples")])
def test_what_is_no_token_is_not_sent(sandbox: Start, push_sender: Open, kind: str, token: str) -> None:
    ports, folder = sandbox()
    [receipt] = push_sender(kind, ports).send([Message("f" * 32, token, CONTENT)])
    assert (receipt.state, receipt.reason) == (FAILED, DeliveryReason.ADDRESS_REFUSED)
    assert received(folder) == []


@pytest.mark.parametrize("every", [3, 40])
def test_a_connection_closed_in_order_loses_nothing(
    sandbox: Start, push_sender: Open, time: Time, every: int
) -> None:
    """Requests above the GOAWAY's last stream were not looked at, and go over another connection, at once and
    as often as it happens; those below it are still answered. Nobody gets it twice."""
    ports, folder = sandbox(Faults(push_every=every, push_fault="go_away"))
    messages = pushes(150)
    receipts = list(push_sender("fcm", ports).send(messages))
    assert states(receipts) == {ACCEPTED: 150}
    assert time.slept == []
    assert Counter(row.message_id for row in received(folder)) == Counter(
        each.message_id for each in messages
    )


@pytest.mark.parametrize("last", [2**31 - 1, 0])
def test_a_connection_that_is_closed_before_it_took_anything_is_a_failure(last: int) -> None:
    """As by a proxy that is drained: GOAWAY is all that a new connection hears. Nobody asks it for ever."""

    class Transport(asyncio.Transport):
        def __init__(self) -> None:
            super().__init__()
            self.sent = b""

        def write(self, data: bytes | bytearray | memoryview) -> None:
            self.sent += bytes(data)

        def is_closing(self) -> bool:
            return False

        def abort(self) -> None:
            return

    async def exchanged() -> None:
        connection, transport = http2._Connection(), Transport()
        connection.connection_made(transport)
        server = H2Connection(H2Configuration(client_side=False))
        server.initiate_connection()
        server.receive_data(transport.sent)
        server.close_connection(last_stream_id=last)
        connection.data_received(server.data_to_send())
        await connection.exchange([], Request("/", b"", {}), 1.0)

    with pytest.raises(NotSentError) as raised:
        asyncio.run(exchanged())
    assert not isinstance(raised.value, TurnedAwayError)


def test_a_refused_stream_is_offered_again(sandbox: Start, push_sender: Open) -> None:
    ports, folder = sandbox(Faults(push_every=10, push_fault="refuse"))
    receipts = list(push_sender("fcm", ports).send(pushes(45)))
    assert states(receipts) == {ACCEPTED: 45}
    assert len(received(folder)) == 45


def test_a_connection_that_breaks_leaves_unknown_only_what_was_written(
    sandbox: Start, push_sender: Open
) -> None:
    ports, folder = sandbox(Faults(push_every=25, push_fault="drop"))
    receipts = list(push_sender("fcm", ports, in_flight=5).send(pushes(60)))
    found = states(receipts)
    assert found[UNKNOWN] + found[ACCEPTED] == 60
    assert 1 <= found[UNKNOWN] <= 2 * 5
    stored = {row.message_id for row in received(folder)}
    assert {each.message_id for each in receipts if each.state is ACCEPTED} <= stored


def test_a_service_that_asks_for_time_is_left_alone(sandbox: Start, push_sender: Open) -> None:
    body = json.dumps(
        {
            "error": {
                "code": 429,
                "status": "RESOURCE_EXHAUSTED",
                "details": [
                    {
                        "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError",
                        "errorCode": "QUOTA_EXCEEDED",
                    }
                ],
            }
        }
    )
    faults = Faults(push_every=3, push_status=429, push_body=body, push_retry_after="120")
    ports, folder = sandbox(faults)
    receipts = list(push_sender("fcm", ports, in_flight=1).send(pushes(10)))
    assert states(receipts) == {ACCEPTED: 2, DEFERRED: 8}
    assert {each.retry_at for each in receipts if each.state is DEFERRED} == {NOW + timedelta(seconds=120)}
    assert len(received(folder)) == 2


def test_one_busy_device_does_not_hold_the_others(sandbox: Start, push_sender: Open) -> None:
    faults = Faults(push_every=3, push_status=429, push_body='{"reason": "TooManyRequests"}')
    ports, _ = sandbox(faults)
    receipts = list(push_sender("apns", ports, in_flight=1).send(pushes(9, "apns")))
    assert states(receipts) == {ACCEPTED: 6, DEFERRED: 3}


@pytest.mark.parametrize(
    ("kind", "body", "state"),
    [
        ("apns", '{"reason": "InternalServerError"}', DEFERRED),
        ("apns", "<html>", UNKNOWN),
        ("fcm", '{"error": {"status": "INTERNAL"}}', DEFERRED),
        ("fcm", "<html>", UNKNOWN),
    ],
)
def test_a_service_that_breaks_is_tried_again_where_it_says_so(
    sandbox: Start, push_sender: Open, kind: str, body: str, state: MessageState
) -> None:
    ports, _ = sandbox(Faults(push_every=3, push_status=500, push_body=body))
    receipts = list(push_sender(kind, ports, in_flight=1).send(pushes(9, kind)))
    assert states(receipts) == {ACCEPTED: 6, state: 3}


def test_an_expired_token_is_renewed_once(sandbox: Start, push_sender: Open) -> None:
    faults = Faults(push_every=4, push_status=403, push_body='{"reason": "ExpiredProviderToken"}')
    ports, _ = sandbox(faults)
    assert states(list(push_sender("apns", ports, in_flight=1).send(pushes(10, "apns")))) == {ACCEPTED: 10}
    always = Faults(push_every=1, push_status=403, push_body='{"reason": "ExpiredProviderToken"}')
    ports, _ = sandbox(always)
    with pytest.raises(AccountError, match="a fresh token is refused too"):
        list(push_sender("apns", ports).send(pushes(3, "apns")))


@pytest.mark.parametrize(
    ("kind", "status", "body", "message"),
    [
        ("apns", 403, '{"reason": "InvalidProviderToken"}', "answered HTTP 403 InvalidProviderToken"),
        ("apns", 400, '{"reason": "TopicDisallowed"}', "topic example.shop: HTTP 400 TopicDisallowed"),
        ("fcm", 403, '{"error": {"status": "PERMISSION_DENIED"}}', "answered HTTP 403 PERMISSION_DENIED"),
        ("fcm", 404, '{"error": {"status": "NOT_FOUND"}}', "answered HTTP 404 NOT_FOUND"),
        (
            "fcm",
            401,
            '{"error": {"details": [{"@type": "x/FcmError", "errorCode": "THIRD_PARTY_AUTH_ERROR"}]}}',
            "the project's keys for APNs or web push",
        ),
    ],
)
def test_an_account_that_does_not_work(
    sandbox: Start, push_sender: Open, kind: str, status: int, body: str, message: str
) -> None:
    ports, _ = sandbox(Faults(push_every=1, push_status=status, push_body=body))
    with pytest.raises(AccountError, match=message):
        list(push_sender(kind, ports).send(pushes(5, kind)))


def test_no_service_at_all(sandbox: Start, push_sender: Open, time: Time) -> None:
    sender = push_sender("apns", Ports(smtp=0, http=0, pid=0, push=1))
    receipts = list(sender.send(pushes(20, "apns")))
    assert states(receipts) == {DEFERRED: 20}
    assert {each.retry_at for each in receipts} == {NOW + DOWN_FOR}
    assert time.slept == [0.2, 1.0]


def test_apples_token_says_team_and_key_and_is_kept_for_forty_minutes(time: Time) -> None:
    from kundresa.channels.push_keys import ApnsToken

    uri = f"apns://KEY1234567:{quote(pem(APPLE), safe='')}@127.0.0.1/?security=none&team_id=TEAM123456"
    token = ApnsToken(account_from_uri(uri), time.clock)
    first = token.get()
    claims = jwt.decode(first, APPLE.public_key(), algorithms=["ES256"], options={"verify_iat": False})
    assert claims == {"iss": "TEAM123456", "iat": int(NOW.timestamp())}
    assert jwt.get_unverified_header(first)["kid"] == "KEY1234567"
    time.now = NOW + timedelta(minutes=39)
    assert token.get() == first
    time.now = NOW + timedelta(minutes=40)
    assert token.get() != first


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("apns://KEY@api.push.apple.com?topic=t&team_id=T", "needs a private key"),
        ("apns://KEY:x@api.push.apple.com?topic=t", "needs team_id"),
        ("apns://KEY:x@api.push.apple.com?team_id=T", "needs topic"),
        ("fcm://a%40b:x@?token_uri=u", "needs project"),
        ("fcm://?key_file=/nowhere.json", "key_file cannot be read: FileNotFoundError"),
    ],
)
def test_what_an_account_lacks_is_named(uri: str, message: str, time: Time) -> None:
    account = account_from_uri(uri, name="app")
    adapter = ApnsAdapter if account.kind == "apns" else FcmAdapter
    with pytest.raises(AccountError, match=message):
        adapter(account, run_key=RUN_KEY, clock=time.clock)
