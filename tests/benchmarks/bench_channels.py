"""Messages a second by channel, against a peer in a process of its own on the same cores.

Each figure stands beside the way that a user would write: one request, its answer, the next, with the usual
client (httpx, smpplib). Rendering and the ledger are not in it; ``bench_main_path`` has them.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from report import at_least

from kundresa.channels import account_from_uri, open_sender
from kundresa.sandbox import Sandbox
from kundresa.spec.channels import PushChannel, SmsChannel, WebhookChannel
from kundresa.spec.messages import Content, Message, PushContent, SmsContent, WebhookContent
from kundresa.spec.vocabulary import MessageState

WINDOW = 500
"""Messages that delivery hands over at once; its default is 100, its maximum 1,000."""
SMPP_WINDOW = 100
NAIVE = 10
"""The one-at-a-time way is measured on a tenth of the messages."""
SMS = SmsChannel(kind="sms", template="m", account="a", sender="Shop")
PUSH = PushChannel(kind="push", template="m", account="a")
HOOK = WebhookChannel(kind="webhook", template="m", account="a")
SECRET = "a secret that is long enough"


def clock() -> datetime:
    return datetime.now(UTC)


def messages(count: int, address: Callable[[int], str], content: Content) -> list[Message]:
    return [Message(f"{number:032x}", address(number), content) for number in range(count)]


def sent(sender: Any, every: Sequence[Message], window: int = WINDOW) -> float:
    """Messages a second; every one must be accepted."""
    start = time.perf_counter()
    accepted = 0
    for at in range(0, len(every), window):
        receipts = sender.send(every[at : at + window])
        accepted += sum(receipt.state is MessageState.ACCEPTED for receipt in receipts)
    seconds = time.perf_counter() - start
    sender.close()
    assert accepted == len(every), f"{accepted} of {len(every)} were accepted"
    return len(every) / seconds


def one_by_one(client: httpx.Client, requests: Sequence[dict[str, Any]]) -> float:
    start = time.perf_counter()
    for request in requests:
        assert client.post(**request).status_code < 300
    seconds = time.perf_counter() - start
    client.close()
    return len(requests) / seconds


def pem(key: Any) -> str:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def measure(report: Any, people: int | None = None) -> None:
    count = people or 20_000
    with tempfile.TemporaryDirectory(prefix="kundresa-bench-") as folder, Sandbox(Path(folder)) as sandbox:
        _sms(report, sandbox, count)
        _fcm(report, sandbox, count)
        _apns(report, sandbox, count)
        _webhook(report, sandbox, count)
    _smpp(report, count)


def _sms(report: Any, sandbox: Sandbox, count: int) -> None:
    texts = messages(count, lambda each: f"+4670{each:07d}", SmsContent("Hello from the shop"))
    forms = [
        {
            "url": sandbox.ports.sms_uri,
            "data": {"To": each.address, "From": "Shop", "Body": "Hello from the shop"},
        }
        for each in texts[: count // NAIVE]
    ]
    report.add("sms_http/one_by_one_httpx", one_by_one(httpx.Client(), forms), "messages/s")
    sender = open_sender(SMS, account_from_uri(sandbox.ports.sms_uri), clock, run_key="bench")
    rate = sent(sender, texts)
    report.add("sms_http", rate, "messages/s", ratio_to="sms_http/one_by_one_httpx", aims=[at_least(2_000)])


def _fcm(report: Any, sandbox: Sandbox, count: int) -> None:
    key = Path(sandbox.home) / "key.pem"
    key.write_text(pem(rsa.generate_private_key(public_exponent=65_537, key_size=2_048)))
    pushes = messages(count, lambda each: f"app{each:020d}:APA91b-x_y", PushContent("Hello", "From the shop"))
    url = f"http://127.0.0.1:{sandbox.push_port}/v1/projects/sandbox/messages:send"
    requests = [
        {
            "url": url,
            "json": {"message": {"token": each.address, "notification": {"title": "Hello", "body": "x"}}},
            "headers": {"authorization": "Bearer x"},
        }
        for each in pushes[: count // NAIVE]
    ]
    client = httpx.Client(http1=False, http2=True)
    report.add("push_fcm/one_by_one_httpx_h2", one_by_one(client, requests), "messages/s")
    sender = open_sender(PUSH, account_from_uri(sandbox.ports.fcm_uri(key)), clock, run_key="bench")
    rate, naive = sent(sender, pushes), "push_fcm/one_by_one_httpx_h2"
    report.add("push_fcm", rate, "messages/s", ratio_to=naive, aims=[at_least(3_000)])


def _apns(report: Any, sandbox: Sandbox, count: int) -> None:
    key = quote(pem(ec.generate_private_key(ec.SECP256R1())), safe="")
    query = "security=none&team_id=TEAM&topic=shop"
    uri = f"apns://KEY:{key}@127.0.0.1:{sandbox.push_port}/?{query}"
    pushes = messages(count, lambda each: f"{each:064x}", PushContent("Hello", "From the shop"))
    sender = open_sender(PUSH, account_from_uri(uri), clock, run_key="bench")
    rate, naive = sent(sender, pushes), "push_fcm/one_by_one_httpx_h2"
    report.add("push_apns", rate, "messages/s", ratio_to=naive, aims=[at_least(3_000)])


def _webhook(report: Any, sandbox: Sandbox, count: int) -> None:
    calls = messages(count, lambda each: f"p{each}", WebhookContent('{"segment":"vip","spend":12.5}'))
    account = account_from_uri(sandbox.ports.hook_uri(SECRET))
    sender = open_sender(HOOK, account, clock, run_key="bench", allowed_hosts=["127.0.0.1"])
    report.add("webhook", sent(sender, calls), "messages/s", per_request=HOOK.per_request)


def _centre(ready: Any, ended: Any) -> None:
    import sys

    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from tests.integration.channels.smsc import Centre

    centre = Centre(keep=False).start()
    ready.send(centre.port)
    ended.wait()
    centre.stop()


@contextmanager
def _smsc() -> Iterator[int]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    ended = context.Event()
    process = context.Process(target=_centre, args=(theirs, ended))
    process.start()
    try:
        yield ours.recv()
    finally:
        ended.set()
        process.join(10)


def _smpp(report: Any, count: int) -> None:
    from smpplib.client import Client

    texts = messages(count, lambda each: f"+4670{each:07d}", SmsContent("Hello from the shop"))
    with _smsc() as port:
        client = Client("127.0.0.1", port)
        client.set_message_sent_handler(lambda **_: None)  # its own prints a line for each
        client.connect()
        client.bind_transceiver(system_id="shop", password="secret")
        start = time.perf_counter()
        for each in texts[: count // NAIVE]:
            client.send_message(
                source_addr="Shop",
                source_addr_ton=5,
                destination_addr=each.address[1:],
                dest_addr_ton=1,
                short_message=b"Hello from the shop",
            )
            client.read_once()
        rate = count // NAIVE / (time.perf_counter() - start)
        client.unbind()
        client.disconnect()
        report.add("sms_smpp/one_by_one_smpplib", rate, "messages/s")
        account = account_from_uri(f"smpp://shop:secret@127.0.0.1:{port}/?window={SMPP_WINDOW}")
        sender = open_sender(SMS, account, clock, run_key="bench")
        report.add(
            "sms_smpp",
            sent(sender, texts),
            "messages/s",
            ratio_to="sms_smpp/one_by_one_smpplib",
            aims=[at_least(2_000)],
            window=SMPP_WINDOW,
        )
