"""FCM's and Apple's service over HTTP/2, doing something wrong at any step."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, ClassVar

import h2.config
import h2.connection
import h2.events
import h2.exceptions
from tests.chaos.faulty import DEEP, NASTY, Server, http_answer


class PushService(Server):
    """HTTP/2: FCM's and Apple's."""

    steps: ClassVar = {
        "connect": ("drop", "garbage", "http/1.1", "silence: stall", "half close"),
        "headers": ("drop", "refuse", "internal error"),
        "data": (
            "drop",
            "drop, not taken",
            "stall",
            "half close",
            "garbage",
            "refuse, not taken",
            "http/1.1 required, not taken",
            "cancel",
            "internal error",
            "go away",
            "go away after this",
            "go away at once, not taken",
            "go away and lie",
            "headers and no more: stall",
            "headers and reset",
            "half a body and drop",
            "no status",
            "deep",
            "empty",
            "one at a time",
            "400",
            "400 nasty",
            "400 token",
            "403",
            "410",
            "429",
            "500",
            "503",
        ),
    }

    async def _listen(self) -> asyncio.Server:
        return await self._loop.create_server(lambda: _PushConnection(self), "127.0.0.1", 0)

    def attach(self, transport: asyncio.Transport) -> None:
        self._writers.add(transport)

    def detach(self, transport: asyncio.Transport) -> None:
        self._writers.discard(transport)


class _PushConnection(asyncio.Protocol):
    """One connection."""

    def __init__(self, service: PushService) -> None:
        config = h2.config.H2Configuration(
            client_side=False,
            header_encoding="utf-8",
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self._h2 = h2.connection.H2Connection(config)
        self._service = service
        self._bodies: dict[int, bytearray] = {}
        self._is_apple: dict[int, bool] = {}
        self._is_deaf = False
        """It reads and does nothing."""
        self._is_mute = False
        """It takes and says nothing."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._service.attach(transport)
        fault = self._service.fault("connect")
        if fault == "drop":
            transport.abort()
        elif fault == "garbage":
            transport.write(b"\0" * 100)
            self._is_deaf = True
        elif fault == "http/1.1":
            transport.write(http_answer(400, {}, close=True))
            self._is_deaf = True
            transport.close()
        elif fault == "half close":
            transport.write_eof()
            self._is_deaf = True
        elif fault:
            self._is_deaf = True
        else:
            self._h2.initiate_connection()
            self._flush()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._service.detach(self._transport)

    def eof_received(self) -> bool:
        return False

    def data_received(self, data: bytes) -> None:
        if self._is_deaf:
            return
        try:
            for event in self._h2.receive_data(data):
                self._handle(event)
        except h2.exceptions.ProtocolError:
            self._transport.abort()
            return
        self._flush()

    def _handle(self, event: h2.events.Event) -> None:
        number = int(getattr(event, "stream_id", 0) or 0)
        if self._is_deaf:
            return
        if isinstance(event, h2.events.RequestReceived):
            headers = dict(event.headers or ())
            self._bodies[number] = bytearray()
            self._is_apple[number] = str(headers[":path"]).startswith("/3/device/")
            fault = "" if self._is_mute else self._service.fault("headers")
            if fault == "drop":
                self._drop()
            elif fault:
                del self._bodies[number]
                # Before the body: it was refused, or something broke; the request was not whole.
                self._h2.reset_stream(number, 7 if fault == "refuse" else 2)
        elif isinstance(event, h2.events.DataReceived):
            self._h2.acknowledge_received_data(event.flow_controlled_length or 0, number)
            if number in self._bodies:
                self._bodies[number] += event.data or b""
        elif isinstance(event, h2.events.StreamEnded):
            if number in self._bodies:
                self._ended(number, bytes(self._bodies.pop(number)))
        elif isinstance(event, h2.events.StreamReset):
            self._bodies.pop(number, None)

    def _ended(self, number: int, body: bytes) -> None:
        ids = [_message_of(body)]
        if self._is_mute:
            self._service.take(ids, told=False)
            return
        fault = self._service.fault("data")
        if fault[:3].isdigit():
            # APNs names the token, FCM says it of what it does not know.
            self._send(number, int(fault[:3]), _push_refusal(fault, is_apple=self._is_apple[number]))
        elif fault.endswith("not taken"):
            self._untaken(number, fault)
        elif fault == "go away":
            # This one and all that follow were not looked at; those before are still answered.
            self._go_away(0, number - 2)
            self._is_deaf = True
        else:
            untold = fault not in ("", "go away after this", "one at a time") and not (
                fault == "empty" and self._is_apple[number]
            )
            self._service.take(ids, told=not untold)
            self._taken(number, ids[0], fault)

    def _untaken(self, number: int, fault: str) -> None:
        if fault.startswith("drop"):
            self._drop()
        elif fault.startswith("refuse"):
            self._h2.reset_stream(number, 7)
        elif fault.startswith("http/1.1"):
            self._h2.reset_stream(number, 13)
        else:
            self._go_away(11, number - 2)
            self._flush()
            self._drop()

    def _taken(self, number: int, message_id: str, fault: str) -> None:
        answers: dict[str, Callable[[], None]] = {
            "drop": self._drop,
            "stall": lambda: None,
            "half close": self._half_close,
            "garbage": self._garbage,
            "cancel": lambda: self._h2.reset_stream(number, 8),
            "internal error": lambda: self._h2.reset_stream(number, 2),
            "headers and no more: stall": lambda: self._h2.send_headers(number, [(":status", "200")]),
            "headers and reset": lambda: self._cut(number, b""),
            "half a body and drop": lambda: self._cut(number, b'{"na'),
            "no status": lambda: self._h2.send_headers(number, [(":status", "fine")], end_stream=True),
            "deep": lambda: self._send(number, 500 if self._is_apple[number] else 200, DEEP[:10_000]),
            "empty": lambda: self._send(number, 200, None),
        }
        if fault in answers:
            answers[fault]()
            return
        if fault == "go away and lie":
            self._go_away(0, number)
            self._flush()
            self._drop()
            return
        if fault == "one at a time":
            self._h2.update_settings({3: 1})
        name = None if self._is_apple[number] else {"name": f"projects/x/messages/{message_id}"}
        if fault == "go away after this":
            self._go_away(0, number)
            self._is_deaf = True
        self._send(number, 200, name)

    def _send(self, number: int, status: int, body: dict[str, Any] | bytes | None) -> None:
        headers = [(":status", str(status))]
        if body is None:
            self._h2.send_headers(number, headers, end_stream=True)
            return
        octets = body if isinstance(body, bytes) else json.dumps(body).encode()
        self._h2.send_headers(number, headers)
        for at in range(0, len(octets), 10_000):
            self._h2.send_data(number, octets[at : at + 10_000], end_stream=at + 10_000 >= len(octets))

    def _cut(self, number: int, octets: bytes) -> None:
        self._h2.send_headers(number, [(":status", "200")])
        if octets:
            self._h2.send_data(number, octets)
            self._flush()
            self._drop()
        else:
            self._h2.reset_stream(number, 2)

    def _go_away(self, code: int, last: int) -> None:
        self._h2.close_connection(code, b'{"reason": "Shutdown"}', last_stream_id=max(last, 0))
        # h2 counts the connection as closed now, and would not let the others be answered.
        self._h2.state_machine.state = h2.connection.ConnectionState.SERVER_OPEN

    def _half_close(self) -> None:
        self._flush()
        self._transport.write_eof()
        self._is_mute = True

    def _garbage(self) -> None:
        self._flush()
        self._transport.write(b"\xff" * 200)
        self._is_deaf = True

    def _drop(self) -> None:
        # What was answered before leaves first.
        self._flush()
        self._is_deaf = True
        self._transport.close()

    def _flush(self) -> None:
        octets = self._h2.data_to_send()
        if octets and not self._transport.is_closing() and not self._is_mute:
            self._transport.write(octets)


def _message_of(body: bytes) -> str:
    found = json.loads(body)
    message_id: str = found["message"]["data"]["message_id"] if "message" in found else found["message_id"]
    return message_id


def _push_refusal(fault: str, *, is_apple: bool) -> dict[str, Any] | bytes:
    if fault == "400 nasty":
        return {"reason": NASTY["reason"], "error": {**NASTY, "details": [{"fieldViolations": 5}, 7]}}
    if is_apple:
        reasons = {"400 token": "BadDeviceToken", "403": "InvalidProviderToken", "410": "\0\ud800"}
        return {"reason": reasons.get(fault, "InternalServerError" if fault == "500" else "TooManyRequests")}
    words = {
        "400 token": "UNREGISTERED",
        "403": "SENDER_ID_MISMATCH",
        "429": "QUOTA_EXCEEDED",
        "503": "UNAVAILABLE",
    }
    return {"error": {"status": words.get(fault, "INVALID_ARGUMENT"), "message": "no\0"}}
