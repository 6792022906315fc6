"""Text messages over HTTP against the sandbox's gateway, and against one that misbehaves."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from kundresa.channels import AccountError, account_from_uri, open_sender
from kundresa.channels.http_sender import HttpSender
from kundresa.channels.outage import DOWN_FOR
from kundresa.channels.sms import TwilioAdapter
from kundresa.sandbox import counts, received
from kundresa.sandbox.faults import Faults
from kundresa.sandbox.ports import Ports
from kundresa.spec.channels import SmsChannel
from kundresa.spec.messages import Message, Receipt, SmsContent
from kundresa.spec.vocabulary import DeliveryReason, MessageState

from .conftest import NOW, RUN_KEY, Time

SMS = SmsChannel(kind="sms", template="m", account="a", sender="Shop")
ACCEPTED, DEFERRED, FAILED, UNKNOWN = (
    MessageState.ACCEPTED,
    MessageState.DEFERRED,
    MessageState.FAILED,
    MessageState.UNKNOWN,
)

Start = Callable[..., tuple[Ports, Path]]
Open = Callable[..., HttpSender]


def texts(count: int, text: str = "Hello") -> list[Message]:
    return [Message(f"{number:032x}", f"+4670{number:07d}", SmsContent(text)) for number in range(count)]


@pytest.fixture
def sms_sender(time: Time) -> Iterator[Open]:
    with contextlib.ExitStack() as stack:

        async def sleep(seconds: float) -> None:
            time.sleep(seconds)

        def build(port: int, query: str = "", login: str = "", in_flight: int = 1) -> HttpSender:
            account = account_from_uri(f"http://{login}127.0.0.1:{port}/{query}", name="texts")
            adapter = TwilioAdapter(SMS, account, run_key=RUN_KEY, clock=time.clock)
            built = HttpSender(adapter, account, clock=time.clock, in_flight=in_flight, sleep=sleep)
            stack.callback(built.close)
            return built

        yield build


@pytest.fixture
def gateway() -> Iterator[Callable[[bytes], int]]:
    """Starts a server that reads each request and answers with the same octets; its port."""
    with contextlib.ExitStack() as stack:

        def start(answer: bytes) -> int:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

            def run() -> None:
                with contextlib.suppress(OSError):
                    while True:
                        connection, _ = listener.accept()
                        with connection:
                            request = b""
                            while b"Body=" not in request:
                                request += connection.recv(65_536)
                            connection.sendall(answer)

            thread = threading.Thread(target=run, daemon=True)
            thread.start()
            stack.callback(thread.join, 5)
            stack.callback(lambda: listener.shutdown(socket.SHUT_RDWR))
            return int(listener.getsockname()[1])

        yield start


def answered(status: str, body: str = "{}", header: str = "") -> bytes:
    lines = [
        f"HTTP/1.1 {status}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    return "\r\n".join([*lines, *([header] if header else []), "", body]).encode()


def test_every_accepted_text_is_stored_with_its_key(sandbox: Start, sms_sender: Open) -> None:
    ports, folder = sandbox()
    receipts = list(sms_sender(ports.http, login="shop:secret@").send(texts(25, "Hej Åsa 👋 & co + 100 %")))
    assert {(receipt.state, receipt.code) for receipt in receipts} == {(ACCEPTED, "HTTP 201")}
    rows = received(folder, channel="sms")
    assert [row.message_id for row in rows] == [receipt.message_id for receipt in receipts]
    assert [row.provider_id for row in rows] == [receipt.provider_id for receipt in receipts]
    assert [row.recipient for row in rows] == [f"+4670{number:07d}" for number in range(25)]
    assert {(row.run_key, row.sender, row.body.decode()) for row in rows} == {
        (RUN_KEY, "Shop", "Hej Åsa 👋 & co + 100 %")
    }
    assert counts(folder)[0].messages == 25


def test_an_address_that_is_no_number_is_not_sent(sandbox: Start, sms_sender: Open) -> None:
    ports, folder = sandbox()
    first, second = texts(2)
    receipts = list(
        sms_sender(ports.http).send([Message(first.message_id, "070-123", first.content), second])
    )
    assert (receipts[0].state, receipts[0].reason) == (FAILED, DeliveryReason.ADDRESS_REFUSED)
    assert receipts[1].state is ACCEPTED
    assert len(received(folder)) == 1


def test_a_gateway_that_refuses_some(sandbox: Start, sms_sender: Open) -> None:
    ports, folder = sandbox(Faults(http_every=4, http_status=429, http_retry_after="90"))
    receipts = list(sms_sender(ports.http).send(texts(8)))
    deferred = [receipt for receipt in receipts if receipt.state is DEFERRED]
    # The gateway said when it wants to hear from this account again: the rest of the window waits too.
    assert [receipt.retry_at for receipt in deferred] == [NOW + timedelta(seconds=90)] * 5
    assert [receipt.code for receipt in deferred] == ["HTTP 429 20000", None, None, None, None]
    assert len(received(folder)) == 3


def test_a_gateway_that_names_no_time_is_asked_on(sandbox: Start, sms_sender: Open) -> None:
    ports, folder = sandbox(Faults(http_every=4, http_status=429))
    receipts = list(sms_sender(ports.http).send(texts(8)))
    assert [receipt.state for receipt in receipts].count(DEFERRED) == 2
    assert len(received(folder)) == 6


def test_many_at_once_give_one_receipt_each(sandbox: Start, sms_sender: Open) -> None:
    ports, folder = sandbox(Faults(http_every=7, http_status=503))
    messages = texts(200)
    sender = sms_sender(ports.http, in_flight=32)
    receipts = [*sender.send(messages[:90]), *sender.send(messages[90:])]
    assert sorted(receipt.message_id for receipt in receipts) == [each.message_id for each in messages]
    taken = {receipt.message_id: receipt.provider_id for receipt in receipts if receipt.state is ACCEPTED}
    assert taken == {row.message_id: row.provider_id for row in received(folder)}
    assert len(taken) == 200 - 200 // 7


def test_an_account_that_stops_working_leaves_the_receipts_of_what_was_under_way(
    sandbox: Start, sms_sender: Open
) -> None:
    ports, folder = sandbox(Faults(http_every=30, http_status=401))
    receipts: list[Receipt] = []
    with pytest.raises(AccountError, match="answered HTTP 401"):
        receipts.extend(sms_sender(ports.http, in_flight=16).send(texts(100)))
    assert {receipt.state for receipt in receipts} == {ACCEPTED}
    assert {receipt.message_id for receipt in receipts} == {row.message_id for row in received(folder)}
    assert 29 <= len(receipts) < 30 + 16


@pytest.mark.parametrize(
    ("answer", "state", "reason"),
    [
        (answered("200 OK", '{"sid": "SM1"}'), ACCEPTED, None),
        (answered("200 OK", '{"sid": "SM1", "status": "failed"}'), FAILED, DeliveryReason.MESSAGE_REFUSED),
        (answered("200 OK"), UNKNOWN, DeliveryReason.OUTCOME_UNKNOWN),
        (answered("200 OK", "<html>"), UNKNOWN, DeliveryReason.OUTCOME_UNKNOWN),
        (answered("200 OK", "[1]"), UNKNOWN, DeliveryReason.OUTCOME_UNKNOWN),
        (answered("400 Bad Request", '{"code": 21211}'), FAILED, DeliveryReason.ADDRESS_REFUSED),
        (answered("403 Forbidden", '{"code": 21610}'), FAILED, DeliveryReason.ADDRESS_REFUSED),
        (answered("400 Bad Request", '{"code": 21602}'), FAILED, DeliveryReason.MESSAGE_REFUSED),
        (answered("422 Unprocessable Content"), FAILED, DeliveryReason.MESSAGE_REFUSED),
        (answered("408 Request Timeout"), DEFERRED, DeliveryReason.TEMPORARY_FAILURE),
        (answered("429 Too Many Requests"), DEFERRED, DeliveryReason.TEMPORARY_FAILURE),
        (answered("425 Too Early"), DEFERRED, DeliveryReason.TEMPORARY_FAILURE),
        (
            answered("500 Internal Server Error", '{"code": 20500}'),
            UNKNOWN,
            DeliveryReason.OUTCOME_UNKNOWN,
        ),
        (answered("501 Not Implemented"), UNKNOWN, DeliveryReason.OUTCOME_UNKNOWN),
        (answered("520 Web Server Returned an Unknown Error"), UNKNOWN, DeliveryReason.OUTCOME_UNKNOWN),
        (answered("503 Service Unavailable"), DEFERRED, DeliveryReason.TEMPORARY_FAILURE),
        (answered("409 Conflict"), UNKNOWN, DeliveryReason.OUTCOME_UNKNOWN),
        (answered("502 Bad Gateway"), UNKNOWN, DeliveryReason.OUTCOME_UNKNOWN),
        (answered("504 Gateway Timeout"), UNKNOWN, DeliveryReason.OUTCOME_UNKNOWN),
        (b"", UNKNOWN, DeliveryReason.OUTCOME_UNKNOWN),
        (b"HTTP/1.1 201 Created\r\nContent-Length: 50\r\n\r\n{", UNKNOWN, DeliveryReason.OUTCOME_UNKNOWN),
        (b"no http at all\r\n\r\n", UNKNOWN, DeliveryReason.OUTCOME_UNKNOWN),
    ],
)
def test_an_answer_is_classified(
    gateway: Callable[[bytes], int],
    sms_sender: Open,
    answer: bytes,
    state: MessageState,
    reason: DeliveryReason | None,
) -> None:
    [receipt] = sms_sender(gateway(answer)).send(texts(1))
    assert (receipt.state, receipt.reason) == (state, reason)
    assert (receipt.retry_at is not None) == (state is DEFERRED)


@pytest.mark.parametrize(
    ("answer", "reason", "suppress"),
    [
        (answered("400 Bad Request", '{"code": 21211}'), DeliveryReason.ADDRESS_REFUSED, "hard_bounce"),
        (answered("400 Bad Request", '{"code": 21614}'), DeliveryReason.ADDRESS_REFUSED, "hard_bounce"),
        # Unreachable from this sender; has said STOP to it.
        (answered("400 Bad Request", '{"code": 21612}'), DeliveryReason.ADDRESS_REFUSED, None),
        (answered("400 Bad Request", '{"code": 21610}'), DeliveryReason.ADDRESS_REFUSED, None),
        (
            answered("201 Created", '{"sid": "SM1", "status": "undelivered", "error_code": 30005}'),
            DeliveryReason.ADDRESS_REFUSED,
            "hard_bounce",
        ),
        (
            answered("201 Created", '{"sid": "SM1", "status": "undelivered", "error_code": 30007}'),
            DeliveryReason.MESSAGE_REFUSED,
            None,
        ),
    ],
)
def test_a_number_that_no_text_reaches_is_suppressed(
    gateway: Callable[[bytes], int],
    sms_sender: Open,
    answer: bytes,
    reason: DeliveryReason,
    suppress: str | None,
) -> None:
    [receipt] = sms_sender(gateway(answer)).send(texts(1))
    assert (receipt.state, receipt.reason, receipt.suppress) == (FAILED, reason, suppress)


@pytest.mark.parametrize(
    "answer",
    [b"", answered("500 Internal Server Error"), answered("502 Bad Gateway"), answered("200 OK")],
)
def test_an_idempotent_gateway_is_asked_again(
    gateway: Callable[[bytes], int], sms_sender: Open, answer: bytes
) -> None:
    [receipt] = sms_sender(gateway(answer), "?idempotent=true").send(texts(1))
    assert receipt.state is DEFERRED


def test_a_gateway_that_stalls_is_unknown(sms_sender: Open) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        [receipt] = sms_sender(silent.getsockname()[1], "?timeout=0.3").send(texts(1))
    assert receipt.state is UNKNOWN


@pytest.mark.parametrize(
    "status", ["401 Unauthorized", "402 Payment Required", "403 Forbidden", "404 Not Found", "301 Moved"]
)
def test_an_account_that_does_not_work_ends_it(
    gateway: Callable[[bytes], int], sms_sender: Open, status: str
) -> None:
    port = gateway(answered(status, '{"message": "no: hunter2"}'))
    with pytest.raises(AccountError) as caught:
        list(sms_sender(port, login="shop:hunter2@").send(texts(3)))
    assert f"account texts (127.0.0.1:{port} as shop) answered HTTP {status[:3]}" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_no_gateway_at_all(sms_sender: Open, time: Time) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    receipts = list(sms_sender(port).send(texts(10)))
    assert {receipt.state for receipt in receipts} == {DEFERRED}
    assert {receipt.retry_at for receipt in receipts} == {NOW + DOWN_FOR}
    assert time.slept == [0.2, 1.0]


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("7", timedelta(seconds=7)),
        ("0", timedelta(seconds=1)),
        ("9999999", timedelta(hours=12)),
        ("Mon, 23 Nov 2026 09:02:00 GMT", timedelta(minutes=2)),
        ("Mon, 23 Nov 2020 09:02:00 GMT", timedelta(seconds=1)),
        ("soon", timedelta(minutes=1)),
        ("-5", timedelta(minutes=1)),
    ],
)
def test_retry_after(gateway: Callable[[bytes], int], sms_sender: Open, value: str, wait: timedelta) -> None:
    [receipt] = sms_sender(gateway(answered("503 Busy", header=f"Retry-After: {value}"))).send(texts(1))
    assert receipt.retry_at == NOW + wait


def test_the_number_is_not_in_the_detail(gateway: Callable[[bytes], int], sms_sender: Open) -> None:
    body = '{"code": 21211, "message": "The number +46700000000 (46 70 000 00 00) is not valid."}'
    [receipt] = sms_sender(gateway(answered("400 Bad Request", body))).send(texts(1))
    assert receipt.detail
    assert "0000" not in receipt.detail.replace(" ", "")


def test_an_accounts_rate_spaces_its_messages(sandbox: Start, sms_sender: Open, time: Time) -> None:
    ports, _ = sandbox()
    receipts = list(sms_sender(ports.http, "?rate=0.01").send(texts(4)))
    assert {receipt.state for receipt in receipts} == {ACCEPTED}
    # The sleeps are counted and not slept, so that each turn is 100 seconds after the one before.
    assert [round(seconds / 100) for seconds in time.slept] == [1, 2, 3]


@pytest.mark.parametrize("query", ["?rate=fast", "?rate=-1", "?connections=0", "?connections=many"])
def test_a_number_that_is_none_is_an_account_error(query: str, time: Time) -> None:
    account = account_from_uri(f"http://127.0.0.1:1/{query}", name="texts")
    with pytest.raises(AccountError, match=r"account texts: (rate|connections) takes"):
        open_sender(SMS, account, time.clock, run_key=RUN_KEY)
