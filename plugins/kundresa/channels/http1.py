"""HTTP/1.1: several connections, one request at a time on each (RFC 9112), over h11."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import cast

import h11

from kundresa.channels.accounts import Account
from kundresa.channels.http_peer import (
    MAX_ANSWER,
    AnswerLostError,
    NotSentError,
    Request,
    Response,
    authority,
    connect,
    tls_context,
)

KEEP_ALIVE = 2.0
"""Seconds an unused connection is kept. Below the 5 s after which common servers close one: a request
sent into a closing connection would be unknown."""


class Http1Peer:
    """A pool of connections to one host. For one event loop."""

    def __init__(
        self,
        account: Account,
        headers: Mapping[str, str],
        *,
        connections: int,
        public_only: bool = False,
    ) -> None:
        """
        Args:
            headers: sent with every request, names in lower case.
            connections: the most at once; a request beyond waits for one.

        Raises:
            AccountError: when the certificate file cannot be read.
        """
        self._account = account
        self._context = tls_context(account, "http/1.1")
        self._public_only = public_only
        self._fixed = [
            (b"host", authority(account).encode()),
            *((name.encode(), value.encode("latin-1")) for name, value in headers.items()),
        ]
        self._slots = asyncio.Semaphore(connections)
        self._idle: deque[tuple[float, _Connection]] = deque()
        self._open: set[_Connection] = set()

    async def request(self, request: Request) -> Response:
        async with self._slots:
            connection = self._usable() or await self._opened()
            try:
                response = await connection.exchange(request, self._fixed, self._account.timeout)
            except BaseException:
                self._drop(connection)
                raise
            if connection.is_reusable:
                self._idle.append((asyncio.get_running_loop().time(), connection))
            else:
                self._drop(connection)
            return response

    async def close(self) -> None:
        for connection in list(self._open):
            self._drop(connection)
        self._idle.clear()
        await asyncio.sleep(0)  # lets the transports say goodbye

    def _usable(self) -> _Connection | None:
        now = asyncio.get_running_loop().time()
        while self._idle:
            since, connection = self._idle.pop()
            if now - since < KEEP_ALIVE and connection.is_reusable:
                return connection
            self._drop(connection)
        return None

    async def _opened(self) -> _Connection:
        connection = await connect(self._account, _Connection, self._context, public_only=self._public_only)
        self._open.add(connection)
        return connection

    def _drop(self, connection: _Connection) -> None:
        self._open.discard(connection)
        connection.drop()


class _Connection(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=65_536)
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Response] | None = None
        self._head: h11.Response | None = None
        self._body = bytearray()
        self._is_lost = False
        self._is_spoilt = False
        """Something came that nobody has asked for: it would pass for the answer to the next request."""

    @property
    def is_reusable(self) -> bool:
        is_whole = not (self._is_lost or self._is_spoilt or self._http.trailing_data[0])
        return is_whole and self._http.our_state is h11.IDLE and self._answer is None

    async def exchange(self, request: Request, fixed: list[tuple[bytes, bytes]], timeout: float) -> Response:
        transport = self._transport
        if transport is None or not self.is_reusable or transport.is_closing():
            raise NotSentError("the connection was closed before the request")
        headers = [
            *fixed,
            *((name.encode(), value.encode("latin-1")) for name, value in request.headers.items()),
            (b"content-length", str(len(request.body)).encode()),
        ]
        head = h11.Request(method=b"POST", target=request.path.encode(), headers=headers)
        octets = self._http.send(head) or b""
        octets += self._http.send(h11.Data(data=request.body)) or b""
        octets += self._http.send(h11.EndOfMessage()) or b""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Response] = loop.create_future()
        self._answer = answer
        request.leaving()
        transport.write(octets)
        alarm = loop.call_later(timeout, self._fail, "no answer in time")
        try:
            return await answer
        finally:
            alarm.cancel()
            self._answer = None

    def drop(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            self._is_spoilt = True
            return
        try:
            self._http.receive_data(data)
            self._read()
        except h11.RemoteProtocolError:
            self._fail("the answer is no HTTP")

    def eof_received(self) -> bool:
        try:
            self._http.receive_data(b"")
            self._read()
        except h11.RemoteProtocolError:
            pass  # told by connection_lost, in the same way as a connection that broke
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._is_lost = True
        self._fail("the connection was closed" if error is None else f"lost: {type(error).__name__}")

    def _read(self) -> None:
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA or event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                return
            if isinstance(event, h11.Response):
                self._head = event
                self._body.clear()
            elif isinstance(event, h11.Data):
                self._body += event.data
                if len(self._body) > MAX_ANSWER:
                    self._fail("the answer is too long")
                    return
            elif isinstance(event, h11.EndOfMessage):
                self._end()
                return

    def _end(self) -> None:
        head = self._head
        if head is None or self._answer is None or self._answer.done():
            return
        headers = {name.decode(): value.decode("latin-1") for name, value in head.headers}
        response = Response(head.status_code, headers, bytes(self._body))
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        self._answer.set_result(response)

    def _fail(self, detail: str) -> None:
        """Whatever breaks after the request was written leaves open whether it arrived."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(AnswerLostError(f"no answer: {detail}"))
