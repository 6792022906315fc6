"""What NEW-PROVIDER.md shows works as it stands there."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from kundresa import channels
from kundresa.channels import account_from_uri
from kundresa.channels.http_sender import HttpSender
from kundresa.spec.channels import SmsChannel
from kundresa.spec.messages import Message, SmsContent
from kundresa.spec.vocabulary import DeliveryReason, MessageState

PAGE = Path(channels.__file__).with_name("NEW-PROVIDER.md").read_text(encoding="utf-8")
NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
ANSWERS = {
    "+46701": (201, {"id": "ex-1"}),
    "+46702": (400, {"error": "unknown_number", "message": "nobody has +46702"}),
    "+46703": (503, {"message": "later"}),
}


class Gateway(BaseHTTPRequestHandler):
    asked: list[tuple[str, str | None, str | None, Any]] = []  # noqa: RUF012  of this one test

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        named = self.headers.get("authorization"), self.headers.get("idempotency-key")
        self.asked.append((self.path, *named, body))
        status, told = ANSWERS[body["to"]]
        answer = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield int(server.server_address[1])
    server.shutdown()
    thread.join(5)
    server.server_close()


def test_the_adapter_of_the_page_sends_and_understands_its_answers(port: int) -> None:
    [shown] = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    known: dict[str, Any] = {}
    exec(compile(shown, "NEW-PROVIDER.md", "exec", dont_inherit=True), known)
    account = account_from_uri(f"http://user:secret@127.0.0.1:{port}/?security=none", name="example")
    channel = SmsChannel(kind="sms", template="m", account="example", sender="Shop")
    adapter = known["ExampleAdapter"](channel, account, run_key="winback--1", clock=lambda: NOW)
    texts = [
        Message(f"{number:032x}", address, SmsContent("hi")) for number, address in enumerate(ANSWERS, 1)
    ]
    sender = HttpSender(adapter, account, clock=lambda: NOW, in_flight=4)
    try:
        receipts = {each.message_id: each for each in sender.send(texts)}
    finally:
        sender.close()
    taken, refused, later = (receipts[each.message_id] for each in texts)
    assert (taken.state, taken.provider_id) == (MessageState.ACCEPTED, "ex-1")
    assert (refused.state, refused.reason) == (MessageState.FAILED, DeliveryReason.ADDRESS_REFUSED)
    assert "+46702" not in str(refused.detail)
    assert later.state is MessageState.DEFERRED
    first = next(each for each in Gateway.asked if each[3]["to"] == "+46701")
    said = {"to": "+46701", "from": "Shop", "text": "hi"}
    assert first == ("/v1/messages", "Bearer secret", texts[0].message_id, said)
