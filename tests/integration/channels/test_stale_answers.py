"""HTTP/1.1 connections on which something comes that nobody has asked for: it is the answer to no request."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from time import sleep

import pytest

from kundresa.channels import account_from_uri, open_sender
from kundresa.spec.channels import SmsChannel
from kundresa.spec.messages import Message, SmsContent
from kundresa.spec.vocabulary import MessageState

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
SMS = SmsChannel(kind="sms", template="m", account="a", sender="Shop")
BODY = b'{"sid": "SM1"}'
GOOD = b"HTTP/1.1 201 Created\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)
TIMEOUT = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Server:
    """Answers the first request of each connection with some octets at once and others a moment later; what
    comes after it on the same connection it does not answer."""

    def __init__(self, at_once: bytes, later: bytes) -> None:
        self._answers = (at_once, later)
        self.connections = 0
        self.unanswered = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        at_once, later = self._answers
        with connection, contextlib.suppress(OSError):
            self._read(connection)
            connection.sendall(at_once)
            sleep(0.05)
            connection.sendall(later)
            if self._read(connection):
                self.unanswered += 1
                self._read(connection)

    @staticmethod
    def _read(connection: socket.socket) -> bytes:
        request = b""
        while b"Body=" not in request:
            octets = connection.recv(65_536)
            if not octets:
                return b""
            request += octets
        return request

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


@pytest.fixture(
    params=[(GOOD + GOOD, b""), (GOOD, GOOD), (GOOD, TIMEOUT), (GOOD, b"\0garbage")],
    ids=["twice at once", "twice", "408 of an idle connection", "garbage"],
)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    started = Server(*request.param)
    yield started
    started.close()


def test_each_text_has_its_own_answer_or_none(server: Server) -> None:
    account = account_from_uri(f"http://u:p@127.0.0.1:{server.port}/?timeout=1&connections=1", name="texts")
    with contextlib.closing(open_sender(SMS, account, lambda: NOW, run_key="r")) as sender:
        receipts = []
        for number in range(4):
            receipts += sender.send([Message(f"{number:032x}", "+46701234567", SmsContent("x"))])
            sleep(0.1)
    assert [each.state for each in receipts] == [MessageState.ACCEPTED] * 4
    assert server.connections == 4
    assert server.unanswered == 0
