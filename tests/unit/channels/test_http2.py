"""A connection over HTTP/2 that falls silent takes no further request."""

from __future__ import annotations

import asyncio
from typing import cast

import h2.config
import h2.connection
import pytest
from hpack import HeaderTuple

from kundresa.channels.http2 import _Connection
from kundresa.channels.http_peer import AnswerLostError, Request

HEADERS = [
    HeaderTuple(name, value)
    for name, value in {
        ":method": "POST",
        ":scheme": "https",
        ":authority": "push.example",
        ":path": "/",
    }.items()
]


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.is_aborted = False

    def write(self, octets: bytes) -> None:
        self.written += octets

    def abort(self) -> None:
        self.is_aborted = True

    def is_closing(self) -> bool:
        return self.is_aborted


@pytest.mark.parametrize(
    ("first", "later", "is_usable"),
    [("", "", False), ("garbage", "", False), ("ping", "ping", True)],
    ids=["nothing", "garbage", "pings"],
)
def test_what_is_heard_after_a_request_decides(first: str, later: str, is_usable: bool) -> None:
    """200 octets of 0xff are to h2 the beginning of a long frame: the second request hears nothing."""

    async def talk() -> bool:
        server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        server.initiate_connection()
        wire, connection = Wire(), _Connection()
        connection.connection_made(cast(asyncio.Transport, wire))
        server.receive_data(wire.written)
        connection.data_received(server.data_to_send())
        for said in (first, later):
            sending = asyncio.create_task(connection.exchange(HEADERS, Request("/", b"{}", {}), 0.05))
            await asyncio.sleep(0.01)
            if said == "ping":
                server.ping(b"12345678")
            octets = b"\xff" * 200 if said == "garbage" else server.data_to_send()
            if octets:
                connection.data_received(octets)
            with pytest.raises(AnswerLostError):
                await sending
            if not connection.is_usable:
                break
        return connection.is_usable

    assert asyncio.run(talk()) is is_usable
