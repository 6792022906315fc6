"""Webhooks against the sandbox: batched, signed, allow-listed, and never to a private address unasked."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from kundresa.channels import AccountError, CallSender, account_from_uri, open_sender
from kundresa.channels.audience_share import ShareBatch, ShareUnavailableError, WebhookShare
from kundresa.channels.http_peer import connect, require_public
from kundresa.channels.http_sender import HttpSender
from kundresa.channels.webhook import WebhookAdapter
from kundresa.sandbox import received
from kundresa.sandbox.ports import Ports
from kundresa.spec.audience_share import ShareChange
from kundresa.spec.channels import WebhookChannel
from kundresa.spec.messages import Message, WebhookContent
from kundresa.spec.vocabulary import DeliveryReason, MessageState

from .conftest import NOW, RUN_KEY, Time

ACCEPTED, DEFERRED, FAILED, UNKNOWN = (
    MessageState.ACCEPTED,
    MessageState.DEFERRED,
    MessageState.FAILED,
    MessageState.UNKNOWN,
)
SECRET = "a secret that is long enough to sign"
Open = Callable[..., HttpSender]


def hook(per_request: int = 10) -> WebhookChannel:
    return WebhookChannel(kind="webhook", template="m", account="a", per_request=per_request)


def calls(count: int) -> list[Message]:
    return [
        Message(f"{number:032x}", f"p{number}", WebhookContent(f'{{"name":"Åsa \\"{number}\\""}}'))
        for number in range(count)
    ]


@pytest.fixture
def hook_sender(time: Time) -> Iterator[Open]:
    with contextlib.ExitStack() as stack:

        def build(port: int, query: str = "", per_request: int = 10, path: str = "/hooks/crm") -> HttpSender:
            uri = f"http://:{SECRET.replace(' ', '%20')}@127.0.0.1:{port}{path}?private=allowed{query}"
            account = account_from_uri(uri, name="crm")
            adapter = WebhookAdapter(
                hook(per_request), account, run_key=RUN_KEY, clock=time.clock, allowed_hosts=["127.0.0.1"]
            )
            built = HttpSender(adapter, account, clock=time.clock, in_flight=2)
            stack.callback(built.close)
            return built

        yield build


@pytest.fixture
def receiver() -> Iterator[Callable[[Any], tuple[int, list[tuple[dict[str, str], bytes]]]]]:
    """A server that keeps what it gets and answers ``(status, headers, value)``."""
    with contextlib.ExitStack() as stack:

        def start(answer: Any) -> tuple[int, list[tuple[dict[str, str], bytes]]]:
            got: list[tuple[dict[str, str], bytes]] = []

            class Handler(BaseHTTPRequestHandler):
                def do_POST(self) -> None:
                    body = self.rfile.read(int(self.headers["content-length"]))
                    got.append(({key.lower(): value for key, value in self.headers.items()}, body))
                    status, headers, value = answer
                    octets = json.dumps(value).encode()
                    self.send_response(status)
                    for name, text in headers.items():
                        self.send_header(name, text)
                    self.send_header("content-length", str(len(octets)))
                    self.end_headers()
                    self.wfile.write(octets)

                def log_message(self, *_: object) -> None: ...

            server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            stack.callback(server.server_close)
            stack.callback(thread.join, 5)
            stack.callback(server.shutdown)
            return server.server_address[1], got

        yield start


def test_each_person_is_one_message_and_has_one_receipt(
    sandbox: Callable[..., tuple[Ports, Path]], hook_sender: Open
) -> None:
    ports, folder = sandbox()
    receipts = list(hook_sender(ports.http).send(calls(95)))
    assert {each.state for each in receipts} == {ACCEPTED}
    rows = received(folder, channel="webhook")
    assert {each.message_id: each.provider_id for each in receipts} == {
        row.message_id: row.provider_id for row in rows
    }
    assert len({row.sender for row in rows}) == 10  # requests, by webhook-id
    by_id = {row.message_id: row for row in rows}
    assert json.loads(by_id[f"{7:032x}"].body) == {"name": 'Åsa "7"'}
    assert by_id[f"{7:032x}"].recipient == "p7"


def test_a_receiver_can_check_the_signature(receiver: Any, hook_sender: Open) -> None:
    port, got = receiver((200, {}, {}))
    assert [each.state for each in hook_sender(port).send(calls(3))] == [ACCEPTED] * 3
    [(headers, body)] = got
    signed = f"{headers['webhook-id']}.{int(NOW.timestamp())}.".encode() + body
    expected = base64.b64encode(hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert "authorization" not in headers
    content = json.loads(body)
    assert content["run_key"] == RUN_KEY
    assert [each["profile_id"] for each in content["messages"]] == ["p0", "p1", "p2"]


def test_a_repeated_request_has_the_same_id(receiver: Any, hook_sender: Open) -> None:
    port, got = receiver((503, {}, {}))
    sender = hook_sender(port)
    assert {each.state for each in [*sender.send(calls(3)), *sender.send(calls(3))]} == {DEFERRED}
    list(sender.send(calls(2)))
    ids = [headers["webhook-id"] for headers, _ in got]
    assert ids[0] == ids[1] != ids[2]


def test_a_receiver_may_answer_person_by_person(receiver: Any, hook_sender: Open) -> None:
    results = [
        {"message_id": f"{0:032x}", "status": "accepted", "id": "x0"},
        {"message_id": f"{1:032x}", "status": "failed", "detail": "no such person p1"},
        {"message_id": f"{2:032x}", "status": "retry"},
        {"message_id": f"{3:032x}", "status": "perhaps"},
    ]
    port, _ = receiver((207, {}, {"results": results}))
    receipts = {int(each.message_id, 16): each for each in hook_sender(port).send(calls(5))}
    assert [receipts[number].state for number in range(5)] == [ACCEPTED, FAILED, DEFERRED, UNKNOWN, UNKNOWN]
    assert receipts[0].provider_id == "x0"
    assert receipts[1].reason is DeliveryReason.MESSAGE_REFUSED
    port, _ = receiver((200, {}, {"results": []}))
    assert {each.state for each in hook_sender(port, "&idempotent=true").send(calls(2))} == {DEFERRED}


@pytest.mark.parametrize(
    ("status", "headers", "state"),
    [
        (500, {}, UNKNOWN),
        (503, {}, DEFERRED),
        (429, {"retry-after": "60"}, DEFERRED),
        (502, {}, UNKNOWN),
        (422, {}, FAILED),
    ],
)
def test_an_answer_holds_for_all_of_its_request(
    receiver: Any, hook_sender: Open, status: int, headers: dict[str, str], state: MessageState
) -> None:
    port, _ = receiver((status, headers, {}))
    receipts = list(hook_sender(port).send(calls(4)))
    assert {each.state for each in receipts} == {state}
    if "retry-after" in headers:
        assert {each.retry_at for each in receipts} == {NOW + timedelta(seconds=60)}


def test_a_redirect_is_not_followed(receiver: Any, hook_sender: Open) -> None:
    port, got = receiver((302, {"location": "http://127.0.0.1:1/"}, {}))
    with pytest.raises(AccountError, match="answered HTTP 302"):
        list(hook_sender(port).send(calls(1)))
    assert len(got) == 1


def adapter(uri: str, hosts: tuple[str, ...] = ("hooks.example", "127.0.0.1", "10.1.2.3")) -> WebhookAdapter:
    account = account_from_uri(uri, name="crm")
    return WebhookAdapter(hook(), account, run_key=RUN_KEY, clock=lambda: NOW, allowed_hosts=hosts)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        (f"https://:{'s' * 24}@other.example/x", "other.example is not among webhook_hosts"),
        (f"https://:{'s' * 24}@127.0.0.1/x", "127.0.0.1 leads to 127.0.0.1, which is not a public address"),
        (f"https://:{'s' * 24}@10.1.2.3/x", "not a public address"),
        ("http://hooks.example/x", "not encrypted; a webhook takes https"),
        ("https://:short@hooks.example/x", "needs a secret of at least 24 characters"),
        ("https://:whsec_no-base64-here-at-all@hooks.example/x", "after whsec_ comes Base64"),
        (f"https://:{'s' * 24}@hooks.example/x?proxy=http://p:1", "behind a proxy"),
        ("smtp://hooks.example", "a webhook takes https"),
    ],
)
def test_what_may_not_be_called(uri: str, message: str) -> None:
    with pytest.raises(AccountError, match=message):
        adapter(uri)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
        "224.0.0.1", "::1", "fe80::1%eth0", "fc00::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::",
    ],
)  # fmt: skip
def test_an_address_that_is_not_public(address: str) -> None:
    account = account_from_uri("https://hooks.example", name="crm")
    with pytest.raises(AccountError, match="not a public address"):
        require_public(account, ["93.184.216.34", address])


def test_public_addresses_pass() -> None:
    account = account_from_uri("https://hooks.example", name="crm")
    addresses = ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"]
    assert require_public(account, addresses) == addresses[0]


def test_a_name_that_leads_home_is_refused_before_anything_is_connected() -> None:
    """As a rebinding name would: it is permitted by name, and resolves to this machine."""
    account = account_from_uri("https://localhost:1/", name="crm")
    with pytest.raises(AccountError, match="localhost leads to"):
        asyncio.run(connect(account, asyncio.Protocol, None, public_only=True))


@pytest.fixture
def at_home() -> Iterator[tuple[str, Callable[[], bool]]]:
    """The address of an account whose permitted name leads to this machine, and whether anybody came."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)

        def came() -> bool:
            try:
                listener.accept()[0].close()
            except BlockingIOError:
                return False
            return True

        yield f"https://:{'s' * 24}@localhost:{listener.getsockname()[1]}/?timeout=2", came


LEADS_HOME = r"account crm: localhost leads to .*, which is not a public address"
HOME = ["localhost"]


def test_a_webhook_never_connects_to_a_private_address(at_home: tuple[str, Callable[[], bool]]) -> None:
    uri, came = at_home
    account = account_from_uri(uri, name="crm")
    sender = open_sender(hook(), account, lambda: NOW, run_key=RUN_KEY, allowed_hosts=HOME)
    with contextlib.closing(sender), pytest.raises(AccountError, match=LEADS_HOME):
        list(sender.send(calls(3)))
    assert not came()


def test_a_call_never_connects_to_a_private_address(at_home: tuple[str, Callable[[], bool]]) -> None:
    uri, came = at_home
    account = account_from_uri(uri, name="crm")
    sender = CallSender(hook(), account, lambda: NOW, run_key=RUN_KEY, allowed_hosts=HOME)
    with contextlib.closing(sender), pytest.raises(AccountError, match=LEADS_HOME):
        list(sender.calls(calls(1)))
    assert not came()


def test_a_share_never_connects_to_a_private_address(at_home: tuple[str, Callable[[], bool]]) -> None:
    uri, came = at_home
    share = WebhookShare(account_from_uri(uri, name="crm"), lambda: NOW, HOME)
    batch = ShareBatch("web", "b1", 1, "full", 1, 1, [ShareChange("anna", ("vip",))])
    with contextlib.closing(share), pytest.raises(AccountError, match=LEADS_HOME):
        share.put(batch)
    assert not came()


def test_a_private_address_that_the_account_allows_is_connected_to(
    at_home: tuple[str, Callable[[], bool]],
) -> None:
    """Else the tests above would not have looked."""
    uri, came = at_home
    account = account_from_uri(f"{uri}&private=allowed".replace("timeout=2", "timeout=0.2"), name="crm")
    share = WebhookShare(account, lambda: NOW, HOME)
    with contextlib.closing(share), pytest.raises(ShareUnavailableError):
        share.put(ShareBatch("web", "b1", 1, "full", 1, 1, []))
    assert came()
