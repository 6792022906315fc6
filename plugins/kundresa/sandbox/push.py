"""The push side, over HTTP/2 in clear text (RFC 9113 3.3): FCM's HTTP v1 and Apple's service.

Takes every notification whose token is a likely one and stores it. A token that holds ``unregistered`` (or,
at Apple's, begins with ``dead``) is answered as one whose app was removed, one that holds ``invalid``
(``bad``) as one that never was.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

from kundresa.sandbox.faults import Faults
from kundresa.sandbox.store import Arrival, Recorder

MAX_STREAMS = 1_000
"""Requests at once, as Apple permits."""
MAX_BODY = 16_384
MAX_PAYLOAD = 4_096
_FCM_PATH = re.compile(r"/v1/projects/[^/]+/messages:send\Z")
_APNS_PATH = re.compile(r"/3/device/(\S+)\Z")
_HEX = re.compile(r"[0-9a-f]{64,200}\Z")

Answer = tuple[int, dict[str, str], dict[str, Any] | None]


class PushServices:
    """Both services. ``protocol`` gives one connection's side of them."""

    def __init__(self, recorder: Recorder, clock: Callable[[], datetime], faults: Faults) -> None:
        self._recorder = recorder
        self._clock = clock
        self._faults = faults
        self._requests = itertools.count(1)
        self._open: set[_Connection] = set()

    def protocol(self) -> asyncio.Protocol:
        connection = _Connection(self, self._open.discard)
        self._open.add(connection)
        return connection

    def close(self) -> None:
        """Breaks off every connection."""
        for connection in list(self._open):
            connection.abort()

    def is_faulty(self) -> bool:
        every = self._faults.push_every
        return every > 0 and next(self._requests) % every == 0

    @property
    def faults(self) -> Faults:
        return self._faults

    async def answer(self, headers: dict[str, str], body: bytes) -> Answer:
        """What the service says: status, headers, JSON or nothing."""
        path = headers.get(":path", "")
        if _FCM_PATH.match(path):
            return await self._fcm(headers, body)
        apple = _APNS_PATH.match(path)
        if apple is not None:
            return await self._apns(apple[1], headers, body)
        return 404, {}, {"reason": "BadPath"}

    async def _fcm(self, headers: dict[str, str], body: bytes) -> Answer:
        if not headers.get("authorization", "").startswith("Bearer "):
            return _fcm_error(401, "UNAUTHENTICATED", None, "Request is missing a credential.")
        message = _message(body)
        if message is None or not isinstance(message.get("token"), str):
            return _fcm_error(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "Invalid JSON payload received.")
        token = message["token"]
        if "unregistered" in token:
            return _fcm_error(404, "NOT_FOUND", "UNREGISTERED", "Requested entity was not found.")
        if "invalid" in token:
            said = "The registration token is not a valid FCM registration token"
            return _fcm_error(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", said)
        name = f"projects/sandbox/messages/{uuid.uuid4().hex}"
        notification, data = message.get("notification") or {}, message.get("data") or {}
        await self._record(
            headers,
            body,
            provider_id=name.rpartition("/")[2],
            title=str(notification.get("title", "")),
            message_id=str(data.get("message_id", "")),
            token=token,
            sender="fcm",
        )
        return 200, {}, {"name": name}

    async def _apns(self, token: str, headers: dict[str, str], body: bytes) -> Answer:
        identity = {"apns-id": headers.get("apns-id") or str(uuid.uuid4())}
        if not headers.get("authorization", "").startswith("bearer "):
            return 403, identity, {"reason": "MissingProviderToken"}
        if len(body) > MAX_PAYLOAD:
            return 413, identity, {"reason": "PayloadTooLarge"}
        if token.startswith("dead"):
            return 410, identity, {"reason": "Unregistered", "timestamp": 1_700_000_000_000}
        if token.startswith("bad") or not _HEX.match(token):
            return 400, identity, {"reason": "BadDeviceToken"}
        try:
            payload = json.loads(body)
            title = str(payload["aps"]["alert"]["title"])
        except (ValueError, KeyError, TypeError):
            return 400, identity, {"reason": "PayloadEmpty"}
        await self._record(
            headers,
            body,
            provider_id=identity["apns-id"],
            title=title,
            message_id=str(payload.get("message_id", "")),
            token=token,
            sender=headers.get("apns-topic", ""),
        )
        return 200, identity, None

    async def _record(
        self,
        headers: dict[str, str],
        body: bytes,
        *,
        provider_id: str,
        title: str,
        message_id: str,
        token: str,
        sender: str,
    ) -> None:
        await self._recorder.record(
            Arrival(
                channel="push",
                run_key=headers.get("x-kundresa-run", ""),
                message_id=message_id,
                provider_id=provider_id,
                sender=sender,
                recipient=token,
                subject=title,
                body=body,
                received_at=self._clock().isoformat(),
            )
        )


def _message(body: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(body)["message"]
    except (ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, dict) else None


def _fcm_error(status: int, word: str, code: str | None, said: str) -> Answer:
    error: dict[str, Any] = {"code": status, "message": said, "status": word}
    if code:
        kind = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
        error["details"] = [{"@type": kind, "errorCode": code}]
    return status, {}, {"error": error}


@dataclass(slots=True)
class _Stream:
    headers: dict[str, str]
    body: bytearray = field(default_factory=bytearray)


class _H2(h2.connection.H2Connection):
    """h2 counts all streams anew at each; we hold nobody to the limit that we announce."""

    _asked = 0

    @property
    def open_inbound_streams(self) -> int:
        self._asked += 1
        return super().open_inbound_streams if self._asked % 64 == 0 else 0


class _Connection(asyncio.Protocol):
    """One connection."""

    def __init__(self, services: PushServices, gone: Callable[[_Connection], None]) -> None:
        config = h2.config.H2Configuration(
            client_side=False,
            header_encoding="utf-8",
            validate_inbound_headers=False,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self._h2 = _H2(config)
        self._services = services
        self._gone = gone
        self._transport: asyncio.Transport | None = None
        self._streams: dict[int, _Stream] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_flush_planned = False
        self._is_leaving = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._h2.local_settings = h2.settings.Settings(
            client=False, initial_values={h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: MAX_STREAMS}
        )
        self._h2.initiate_connection()
        self._flush()

    def data_received(self, data: bytes) -> None:
        try:
            events = self._h2.receive_data(data)
        except (h2.exceptions.ProtocolError, UnicodeDecodeError):
            self._flush()
            self.abort()
            return
        for event in events:
            self._handle(event)
        self._flush_soon()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        for task in self._tasks:
            task.cancel()
        self._gone(self)

    def _handle(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            headers = {str(name): str(value) for name, value in event.headers or ()}
            self._streams[event.stream_id or 0] = _Stream(headers)
        elif isinstance(event, h2.events.DataReceived):
            number = event.stream_id or 0
            self._h2.acknowledge_received_data(event.flow_controlled_length or 0, number)
            stream = self._streams.get(number)
            if stream is not None and len(stream.body) <= MAX_BODY:
                stream.body += event.data or b""
        elif isinstance(event, h2.events.StreamEnded):
            self._complete(event.stream_id or 0)
        elif isinstance(event, h2.events.StreamReset):
            self._streams.pop(event.stream_id or 0, None)

    def _complete(self, number: int) -> None:
        stream = self._streams.pop(number, None)
        if stream is None or self._is_leaving:
            return
        if self._services.is_faulty():
            self._misbehave(number)
            return
        task = asyncio.get_running_loop().create_task(self._respond(number, stream))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _respond(self, number: int, stream: _Stream) -> None:
        status, headers, body = await self._services.answer(stream.headers, bytes(stream.body))
        self._send(number, status, headers, body)

    def _send(self, number: int, status: int, headers: dict[str, str], body: dict[str, Any] | None) -> None:
        lines = [(":status", str(status)), *headers.items()]
        try:
            if body is None:
                self._h2.send_headers(number, lines, end_stream=True)
            else:
                self._h2.send_headers(number, [*lines, ("content-type", "application/json")])
                self._h2.send_data(number, json.dumps(body).encode(), end_stream=True)
        except h2.exceptions.ProtocolError:
            return  # the other side has broken it off
        self._flush_soon()

    def _misbehave(self, number: int) -> None:
        faults = self._services.faults
        if faults.push_fault == "drop":
            self.abort()
        elif faults.push_fault == "refuse":
            self._h2.reset_stream(number, 7)
        elif faults.push_fault == "go_away":
            # This request and all after it were not looked at; those before it are still answered.
            self._is_leaving = True
            self._h2.close_connection(0, b'{"reason": "Shutdown"}', last_stream_id=number - 2)
            # h2 counts the connection as closed now, and would not let the others be answered.
            self._h2.state_machine.state = h2.connection.ConnectionState.SERVER_OPEN
        else:
            headers = {"retry-after": faults.push_retry_after} if faults.push_retry_after else {}
            self._send(number, faults.push_status, headers, json.loads(faults.push_body))

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _flush_soon(self) -> None:
        if not self._is_flush_planned:
            self._is_flush_planned = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flush_planned = False
        octets = self._h2.data_to_send()
        if octets and self._transport is not None and not self._transport.is_closing():
            self._transport.write(octets)
