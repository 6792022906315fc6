"""One SMPP connection: questions and answers by sequence number, signs of life, delivery reports."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import cast

from kundresa.channels import smpp_pdu as pdu
from kundresa.channels.http_peer import AnswerLostError, NotSentError
from kundresa.channels.smpp_pdu import DeliveryReport, Pdu


class SmppSession(asyncio.Protocol):
    """One connection."""

    def __init__(self, on_report: Callable[[DeliveryReport], None] | None, enquire: float) -> None:
        self._on_report = on_report
        self._enquire_every = enquire
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._sequence = 0
        self._waiting: dict[int, asyncio.Future[Pdu]] = {}
        self._heard_at = self._loop.time()
        self._is_over = False
        self._tick: asyncio.TimerHandle | None = None
        self._out: list[bytes] = []

    @property
    def is_usable(self) -> bool:
        return not self._is_over and self._transport is not None and not self._transport.is_closing()

    def idle_for(self) -> float:
        return self._loop.time() - self._heard_at

    async def ask(self, command: int, body: bytes, timeout: float) -> tuple[int, bytes]:
        """Status and body of the answer.

        Raises:
            NotSentError: the connection was closed before.
            AnswerLostError: it was written, and no answer came.
        """
        if not self.is_usable:
            raise NotSentError("the connection was closed before the message")
        # 3.2: 1 to 0x7FFFFFFF.
        self._sequence = self._sequence % 0x7FFFFFFF + 1
        number = self._sequence
        answer: asyncio.Future[Pdu] = self._loop.create_future()
        self._waiting[number] = answer
        self._write(pdu.pack(command, 0, number, body))
        alarm = self._loop.call_later(timeout, self._fail, answer, "no answer in time")
        try:
            found = await answer
        finally:
            alarm.cancel()
            self._waiting.pop(number, None)
        return found.status, found.body

    async def enquire(self, timeout: float) -> None:
        """Whether the other side is there; drops the connection when it is not."""
        try:
            await self.ask(pdu.ENQUIRE_LINK, b"", timeout)
        except (AnswerLostError, NotSentError):
            self.drop()

    def keep_alive(self, timeout: float) -> None:
        """Asks from time to time whether the other side is there, while the loop turns."""

        def tick() -> None:
            if self.is_usable and self.idle_for() >= self._enquire_every:
                task = self._loop.create_task(self.enquire(min(timeout, 10.0)))
                task.add_done_callback(lambda _: None)
            self._tick = self._loop.call_later(self._enquire_every, tick)

        self._tick = self._loop.call_later(self._enquire_every, tick)

    async def unbind(self) -> None:
        if self.is_usable:
            # Whether it still listens does not matter by now.
            with contextlib.suppress(AnswerLostError, NotSentError):
                await self.ask(pdu.UNBIND, b"", 2.0)
        self.drop()
        await asyncio.sleep(0)

    def drop(self) -> None:
        self._is_over = True
        if self._tick is not None:
            self._tick.cancel()
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._heard_at = self._loop.time()
        self._buffer += data
        try:
            units = pdu.unpack(self._buffer)
        except pdu.PduError:
            self.drop()
            return
        for unit in units:
            self._handle(unit)

    def connection_lost(self, error: Exception | None) -> None:
        self._is_over = True
        if self._tick is not None:
            self._tick.cancel()
        detail = "the connection was closed" if error is None else f"lost: {type(error).__name__}"
        for answer in list(self._waiting.values()):
            self._fail(answer, detail)

    def _handle(self, unit: Pdu) -> None:
        if unit.command & pdu.RESPONSE:
            answer = self._waiting.get(unit.sequence)
            if answer is not None and not answer.done():
                answer.set_result(unit)
        elif unit.command == pdu.DELIVER_SM:
            self._report(unit)
        elif unit.command == pdu.ENQUIRE_LINK:
            self._write(pdu.pack(pdu.ENQUIRE_LINK | pdu.RESPONSE, 0, unit.sequence))
        elif unit.command == pdu.UNBIND:
            # Answers to what is under way may still come; nothing new goes over this connection.
            self._write(pdu.pack(pdu.UNBIND | pdu.RESPONSE, 0, unit.sequence))
            self._is_over = True
        else:
            self._write(pdu.pack(pdu.GENERIC_NACK, 0x03, unit.sequence))

    def _report(self, unit: Pdu) -> None:
        """The answer goes out once the hook has the report: what it could not keep comes again."""
        status = 0
        try:
            report = pdu.read_report(unit.body)
            if report is not None and self._on_report is not None:
                self._on_report(report)
        # The hook writes to a store, which may be away; whatever it is, the centre shall try again.
        except Exception:
            status = 0x64
        self._write(pdu.pack(pdu.DELIVER_SM | pdu.RESPONSE, status, unit.sequence, b"\0"))

    def _write(self, octets: bytes) -> None:
        """One write for all that is asked for in one turn of the loop."""
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(octets)

    def _flush(self) -> None:
        octets = b"".join(self._out)
        self._out.clear()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(octets)

    @staticmethod
    def _fail(answer: asyncio.Future[Pdu], detail: str) -> None:
        if not answer.done():
            answer.set_exception(AnswerLostError(f"no answer: {detail}"))
