"""Receivers that take a message and answer 500: counted at the receiver, over whole deliveries."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from kundresa.channels import account_from_uri, open_sender
from kundresa.delivery import Batch, deliver_batch
from kundresa.spec.channels import SmsChannel, WebhookChannel
from kundresa.spec.messages import SmsContent, WebhookContent
from kundresa.spec.vocabulary import DeliveryPolicy, MessageState, Trigger
from kundresa.store import NewRun, Store, open_store

from .conftest import NOW

RUN = "winback--1"
CHANNELS: dict[str, tuple[Any, str, Any]] = {
    "sms": (
        SmsChannel(kind="sms", template="m", account="a", sender="Shop"),
        "http://u:p@127.0.0.1:{port}/messages?security=none",
        SmsContent("hi"),
    ),
    "webhook": (
        WebhookChannel(kind="webhook", template="m", account="a"),
        "http://:" + "s" * 30 + "@127.0.0.1:{port}/hook?security=none&private=allowed",
        WebhookContent('{"a":1}'),
    ),
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/store.sqlite") as opened:
        yield opened


class Receiver:
    """Takes what it gets, and answers the first ``broken`` requests with 500."""

    def __init__(self, broken: int) -> None:
        self.arrived: Counter[str] = Counter()
        self.left = broken
        outer, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                key = self.headers.get("idempotency-key")
                ids = [key] if key else [each["message_id"] for each in json.loads(body)["messages"]]
                with lock:
                    outer.arrived.update(ids)
                    outer.left -= 1
                    status = 500 if outer.left >= 0 else 200
                answer = b'{"sid": "SM1"}'
                self.send_response(status)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join(5)
        self.server.server_close()


@pytest.fixture
def receiver(request: pytest.FixtureRequest) -> Iterator[Receiver]:
    made = Receiver(request.param)
    yield made
    made.close()


class Clock:
    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now


def deliver(
    store: Store, port: int, kind: str, policy: DeliveryPolicy, extra: str
) -> dict[str, MessageState]:
    """Until nothing is to be tried any more."""
    channel, uri, content = CHANNELS[kind]
    clock = Clock()
    valid_until = NOW + timedelta(hours=84)
    store.runs.open(NewRun(RUN, "winback", NOW, Trigger.MANUAL, "{}", "0" * 64, NOW, valid_until))
    store.runs.mark_decided([RUN], at=NOW)
    store.runs.mark_checked(RUN)
    store.batches.register(RUN, kind, 1, 3)
    rows = [
        {
            "message_id": f"{number:032x}",
            "profile_id": f"p{number}",
            "channel": kind,
            "address": f"+4670123456{number}",
            "variant": None,
        }
        for number in range(3)
    ]
    account = account_from_uri(uri.format(port=port) + extra, name="a")

    class Writer:
        def render(self, _row: object, /) -> Any:
            return content

    batch = Batch(
        run_key=RUN,
        channel=kind,
        number=1,
        topic="news",
        policy=policy,
        window=10,
        decided_at=NOW,
        not_before=NOW,
        valid_until=valid_until,
        is_idempotent=account.is_idempotent,
    )
    for _ in range(100):
        result = deliver_batch(
            store,
            batch,
            rows=lambda: rows,
            renderer=Writer(),
            open_sender=lambda: open_sender(
                channel, account, clock, run_key=RUN, allowed_hosts=["127.0.0.1"]
            ),
            owner="anna",
            lease=timedelta(seconds=60),
            clock=clock,
        )
        if result.retry_at is None:
            break
        clock.now = max(result.retry_at, clock.now) + timedelta(seconds=1)
    lines = store.ledger.lines([str(row["message_id"]) for row in rows])
    return {key: line.state for key, line in lines.items()}


@pytest.mark.parametrize("kind", ["sms", "webhook"])
@pytest.mark.parametrize("receiver", [1_000], indirect=True)
def test_at_most_once_it_arrives_once_and_is_unknown(store: Store, receiver: Receiver, kind: str) -> None:
    states = deliver(store, receiver.port, kind, DeliveryPolicy.AT_MOST_ONCE, "")
    assert set(states.values()) == {MessageState.UNKNOWN}
    assert receiver.arrived == dict.fromkeys(states, 1)


@pytest.mark.parametrize("kind", ["sms", "webhook"])
@pytest.mark.parametrize("receiver", [3], indirect=True)
@pytest.mark.parametrize(
    ("policy", "extra"),
    [(DeliveryPolicy.AT_LEAST_ONCE, ""), (DeliveryPolicy.AT_MOST_ONCE, "&idempotent=true")],
)
def test_it_is_tried_again_where_that_is_wanted_or_harmless(
    store: Store, receiver: Receiver, kind: str, policy: DeliveryPolicy, extra: str
) -> None:
    states = deliver(store, receiver.port, kind, policy, extra)
    assert set(states.values()) == {MessageState.ACCEPTED}
    assert set(receiver.arrived) == set(states)
    assert max(receiver.arrived.values()) > 1
