"""HTTP/2 (RFC 9113): one connection, as many requests at once as the other side permits, over h2."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
from h2.connection import ConnectionInputs, ConnectionState, H2ConnectionStateMachine
from h2.errors import ErrorCodes
from hpack import HeaderTuple, NeverIndexedHeaderTuple

from kundresa.channels.accounts import Account, AccountError
from kundresa.channels.http_peer import (
    MAX_ANSWER,
    AnswerLostError,
    NotSentError,
    Request,
    Response,
    TurnedAwayError,
    authority,
    connect,
    tls_context,
)

WINDOW = 2**24
"""Octets that the other side may send us before it waits. Answers are short; it never should."""
_STATUS = re.compile(r"[1-9][0-9]{2}")
_MAX_STREAM_ID = 2**31 - 1
_OPEN = ConnectionState.CLIENT_OPEN
_READ_ON = {
    **H2ConnectionStateMachine._transitions,
    (_OPEN, ConnectionInputs.RECV_GOAWAY): (None, _OPEN),
}
"""h2 counts a connection as closed after GOAWAY and takes the answers that are still to come for a breach of
the protocol; RFC 9113 6.8 has them come. We open no new streams then."""
_NOT_PROCESSED = frozenset({ErrorCodes.REFUSED_STREAM, ErrorCodes.HTTP_1_1_REQUIRED})
"""RFC 9113 8.7: the request was not acted upon."""


class Http2Peer:
    """One host. A new connection replaces one that is lost or told to go away. For one event loop."""

    def __init__(self, account: Account, headers: Mapping[str, str]) -> None:
        """
        Raises:
            AccountError: when the certificate file cannot be read.
        """
        self._account = account
        self._context = tls_context(account, "h2")
        scheme = "https" if account.security == "tls" else "http"
        self._fixed = [
            HeaderTuple(":method", "POST"),
            HeaderTuple(":scheme", scheme),
            HeaderTuple(":authority", authority(account)),
        ]
        self._own = [HeaderTuple(name, value) for name, value in headers.items()]
        self._connection: _Connection | None = None
        self._leaving: list[_Connection] = []
        self._connecting = asyncio.Lock()

    async def request(self, request: Request) -> Response:
        connection = await self._connected()
        # A path that names a device is said once and never again: kept out of the other side's table,
        # as Apple advises for it; what is the same in every request stands there and costs an octet.
        kind = NeverIndexedHeaderTuple if len(request.path) > 64 else HeaderTuple
        headers = [
            *self._fixed,
            kind(":path", request.path),
            *self._own,
            *(HeaderTuple(name, value) for name, value in request.headers.items()),
        ]
        return await connection.exchange(headers, request, self._account.timeout)

    async def close(self) -> None:
        for connection in self._leaving + ([self._connection] if self._connection else []):
            connection.drop()
        await asyncio.sleep(0)

    async def _connected(self) -> _Connection:
        if self._connection is not None and self._connection.is_usable:
            return self._connection
        async with self._connecting:
            if self._connection is None or not self._connection.is_usable:
                connection = await connect(self._account, _Connection, self._context)
                if self._context is not None and not connection.speaks_h2:
                    connection.drop()
                    raise AccountError(f"{self._account.place} does not speak HTTP/2")
                await connection.ready(min(self._account.timeout, 10.0))
                # One that was told to go away may still have answers to come.
                self._leaving = [each for each in self._leaving if not each.is_over]
                if self._connection is not None:
                    self._leaving.append(self._connection)
                self._connection = connection
            return self._connection


@dataclass(slots=True)
class _Stream:
    answer: asyncio.Future[Response]
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)


class _H2(h2.connection.H2Connection):
    """h2 walks all streams at each new one, to count them and to forget those that are closed: with 200 in
    flight a fifth of a request's cost. We count ourselves (``_has_room``); it forgets at each 64th."""

    _asked = 0

    @property
    def open_outbound_streams(self) -> int:
        self._asked += 1
        return super().open_outbound_streams if self._asked % 64 == 0 else 0


class _Connection(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        # Headers are written here in the form that the RFC asks for; h2's check of each costs as much
        # as all the rest of a request.
        config = h2.config.H2Configuration(
            client_side=True,
            header_encoding="utf-8",
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self._h2 = _H2(config)
        self._h2.state_machine._transitions = _READ_ON
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._streams: dict[int, _Stream] = {}
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._settled: asyncio.Future[None] = self._loop.create_future()
        self._is_closing = False
        self._why = "the connection was closed"
        self._refusal: type[NotSentError] = NotSentError
        self._has_answered = False
        self._heard_at = 0.0
        """When the other side said anything last, by the loop's clock."""
        self._is_flush_planned = False
        self._handlers: Mapping[type[h2.events.Event], Callable[[Any], None]] = {
            h2.events.ResponseReceived: self._answered,
            h2.events.DataReceived: self._received,
            h2.events.StreamEnded: self._ended,
            h2.events.StreamReset: self._reset,
            h2.events.RemoteSettingsChanged: self._configured,
            h2.events.WindowUpdated: self._widened,
            h2.events.ConnectionTerminated: self._go_away,
        }

    @property
    def is_usable(self) -> bool:
        transport = self._transport
        return not self._is_closing and transport is not None and not transport.is_closing()

    @property
    def is_over(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    @property
    def speaks_h2(self) -> bool:
        assert self._transport is not None  # noqa: S101 - it is connected
        found = self._transport.get_extra_info("ssl_object")
        return found is not None and found.selected_alpn_protocol() == "h2"

    async def ready(self, timeout: float) -> None:
        """Waits for the other side's first settings: how many requests it takes at once.

        Raises:
            NotSentError: when they do not come.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._settled
        except TimeoutError:
            self.drop()
            raise NotSentError("the other side does not speak HTTP/2") from None

    async def exchange(self, headers: list[HeaderTuple], request: Request, timeout: float) -> Response:
        body = request.body
        while not self._has_room(len(body)):
            if not self.is_usable:
                raise self._refusal(self._why)
            turn: asyncio.Future[None] = self._loop.create_future()
            self._waiting.append(turn)
            try:
                async with asyncio.timeout(timeout):
                    await turn
            except TimeoutError:
                raise NotSentError("the other side takes no further request") from None
        if not self.is_usable:
            raise self._refusal(self._why)
        number = self._h2.get_next_available_stream_id()
        if number > _MAX_STREAM_ID - 4:
            self._is_closing = True
        stream = _Stream(self._loop.create_future())
        request.leaving()
        self._h2.send_headers(number, headers)
        self._h2.send_data(number, body, end_stream=True)
        self._streams[number] = stream
        self._flush_soon()
        alarm = self._loop.call_later(timeout, self._give_up, number, self._loop.time())
        try:
            return await stream.answer
        finally:
            alarm.cancel()
            self._streams.pop(number, None)
            self._wake()
            if self._is_closing and not self._streams:
                self.drop()

    def drop(self) -> None:
        self._is_closing = True
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._h2.initiate_connection()
        self._h2.update_settings(
            {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: WINDOW, h2.settings.SettingCodes.ENABLE_PUSH: 0}
        )
        self._h2.increment_flow_control_window(WINDOW)
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._heard_at = self._loop.time()
        try:
            events = self._h2.receive_data(data)
        except (h2.exceptions.ProtocolError, UnicodeDecodeError) as error:
            self._end(f"the answer is no HTTP/2: {type(error).__name__}")
            self.drop()
            return
        for event in events:
            handler = self._handlers.get(type(event))
            if handler is not None:
                handler(event)
        self._flush_soon()

    def connection_lost(self, error: Exception | None) -> None:
        if self._why == "the connection was closed" and error is not None:
            self._why = f"the connection was lost: {type(error).__name__}"
        self._end(self._why)

    def _has_room(self, octets: int) -> bool:
        # The peer's limit before its settings arrive is none; ready() has waited for them.
        limit = self._h2.remote_settings.max_concurrent_streams
        return len(self._streams) < limit and self._h2.outbound_flow_control_window >= octets

    def _answered(self, event: h2.events.ResponseReceived) -> None:
        stream = self._streams.get(event.stream_id or 0)
        if stream is not None:
            stream.headers = {str(name): str(value) for name, value in event.headers or ()}
            status = stream.headers.get(":status", "")
            if not _STATUS.fullmatch(status):
                self._lose(event.stream_id or 0, "the answer has no status")
                return
            stream.status = int(status)

    def _received(self, event: h2.events.DataReceived) -> None:
        number = event.stream_id or 0
        self._h2.acknowledge_received_data(event.flow_controlled_length or 0, number)
        stream = self._streams.get(number)
        if stream is not None:
            stream.body += event.data or b""
            if len(stream.body) > MAX_ANSWER:
                self._lose(number, "the answer is too long")

    def _ended(self, event: h2.events.StreamEnded) -> None:
        stream = self._streams.get(event.stream_id or 0)
        self._has_answered = True
        if stream is not None and not stream.answer.done():
            stream.answer.set_result(Response(stream.status, stream.headers, bytes(stream.body)))

    def _configured(self, _: h2.events.RemoteSettingsChanged) -> None:
        if not self._settled.done():
            self._settled.set_result(None)
        self._wake()

    def _widened(self, _: h2.events.WindowUpdated) -> None:
        self._wake()

    def _reset(self, event: h2.events.StreamReset) -> None:
        number, code = event.stream_id or 0, event.error_code
        if code in _NOT_PROCESSED:
            self._fail(number, NotSentError(f"the other side refused the request: {code!r}"))
        else:
            self._lose(number, f"the other side broke the request off: {code!r}")

    def _go_away(self, event: h2.events.ConnectionTerminated) -> None:
        """RFC 9113 6.8: requests above the last stream named were not acted upon; the others are still
        answered, and only new ones need another connection."""
        self._is_closing = True
        said = (event.additional_data or b"")[:200].decode("utf-8", "replace")
        self._why = f"the other side closes the connection: {event.error_code!r} {said}".strip()
        last = event.last_stream_id or 0
        # Of a connection that has taken nothing of ours, whatever number it names, this is a failure:
        # one after the other of them would come to no end.
        has_taken = self._has_answered or any(each <= last for each in self._streams)
        is_in_order = event.error_code == ErrorCodes.NO_ERROR and has_taken
        self._refusal = TurnedAwayError if is_in_order else NotSentError
        for number in [each for each in self._streams if each > last]:
            self._fail(number, self._refusal(self._why))
        self._wake()
        if not self._streams:
            self.drop()

    def _give_up(self, number: int, sent_at: float) -> None:
        if number in self._streams:
            if self._heard_at < sent_at:  # nothing at all: what else is given to it would be unknown too
                self._is_closing, self._why = True, "no answer in time"
            self._lose(number, "no answer in time")
            self._h2.reset_stream(number, ErrorCodes.CANCEL)
            self._flush_soon()

    def _lose(self, number: int, detail: str) -> None:
        self._fail(number, AnswerLostError(f"no answer: {detail}"))

    def _fail(self, number: int, error: Exception) -> None:
        stream = self._streams.get(number)
        if stream is not None and not stream.answer.done():
            stream.answer.set_exception(error)

    def _end(self, detail: str) -> None:
        self._is_closing = True
        for number in list(self._streams):
            self._lose(number, detail)
        if not self._settled.done():
            self._settled.set_exception(NotSentError(f"the other side does not speak HTTP/2: {detail}"))
            self._settled.exception()  # nobody may be waiting for it
        self._wake()

    def _wake(self) -> None:
        """Lets those who wait for room look again: one for each place, all when there will be none."""
        free = len(self._waiting)
        if not self._is_closing:
            free = min(free, max(0, self._h2.remote_settings.max_concurrent_streams - len(self._streams)))
        while free and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
            free -= 1

    def _flush_soon(self) -> None:
        """One write for all that is asked for in one turn of the loop."""
        if not self._is_flush_planned:
            self._is_flush_planned = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flush_planned = False
        octets = self._h2.data_to_send()
        if octets and self._transport is not None and not self._transport.is_closing():
            self._transport.write(octets)
