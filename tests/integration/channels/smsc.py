"""A text message centre for tests: SMPP 3.4 by smpplib's decoder, which is none of ours."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from smpplib import consts, smpp
from smpplib.client import Client
from tests.on_thread import OnThread

Answer = Callable[[int, Any], int | str]
"""Of the number of a submit_sm (from 1) and itself: a status, ``drop`` or ``stall``."""


@dataclass(frozen=True)
class Reply:
    """What a person sends to our number: octets as they are, with the coding that is said of them."""

    sender: str
    octets: bytes
    coding: int = 0
    kind: int = 1
    """The type of the sender's number: 0 unknown, 1 international, 2 national."""
    esm_class: int = 0
    options: bytes = b""

    def body(self) -> bytes:
        head = b"\0" + bytes([self.kind, 1]) + self.sender.encode() + b"\0\1\00172500\0"
        numbers = bytes([self.esm_class, 0, 0, 0, 0, 0, 0, self.coding, 0, len(self.octets)])
        return head + numbers + self.octets + self.options


@dataclass
class Centre(OnThread):
    """Runs on a thread; ``submitted`` has what it decoded."""

    answer: Answer = lambda _number, _pdu: 0
    password: str = "secret"
    reports: bool = False
    keep: bool = True
    delay: float = 0.0
    """Seconds until a submit_sm is answered."""
    submitted: list[Any] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    binds: list[int] = field(default_factory=list)
    name_of: Callable[[int], str] = lambda number: f"id{number}"
    """What it calls the message of a submit_sm, by number."""
    reported_name_of: Callable[[int], str] = lambda number: f"id{number}"
    """What it calls the same message in its report."""
    waiting: list[tuple[str, ...]] = field(default_factory=list)
    """Reports for who binds as a receiver: the message's id and its state, and the telephone."""
    silent_to: frozenset[str] = frozenset()
    """Commands that it does not answer."""
    replies: list[Reply] = field(default_factory=list)
    """What people have written, for who binds as a receiver."""
    report_answers: list[int] = field(default_factory=list)
    count: int = 0
    _most: int = 0

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = Client("127.0.0.1", 1, allow_unknown_opt_params=True)
        try:
            while True:
                head = await reader.readexactly(16)
                length, command, status, sequence = struct.unpack(">IIII", head)
                octets = head + await reader.readexactly(length - 16)
                if not await self._react(client, writer, octets, command, status, sequence):
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _react(
        self,
        client: Client,
        writer: asyncio.StreamWriter,
        octets: bytes,
        command: int,
        status: int,
        sequence: int,
    ) -> bool:
        def reply(status: int = 0, body: bytes = b"") -> None:
            writer.write(struct.pack(">IIII", 16 + len(body), command | 0x80000000, status, sequence) + body)

        if command == 0x80000005:
            self.report_answers.append(status)
            return True
        if command == 0x1:
            # A receiver gets what waits for one, when it is bound.
            self._loop.call_soon(lambda: [self._tell(writer, *each) for each in self.waiting])
            self._loop.call_soon(lambda: [self._bring(writer, each) for each in self.replies])
        name = {0x1: "bind", 0x2: "bind", 0x9: "bind", 0x4: "submit", 0x15: "enquire", 0x6: "unbind"}.get(
            command, hex(command)
        )
        if name != "submit" or self.keep:
            self.commands.append(name)
        if name in self.silent_to:
            return True
        if name == "bind":
            self.binds.append(command)
            unit = smpp.parse_pdu(octets, client=client, allow_unknown_opt_params=True)
            good = unit.password == self.password.encode() if isinstance(unit.password, bytes) else True
            reply(0 if good else consts.SMPP_ESME_RINVPASWD, b"centre\0")
        elif name == "submit":
            return self._submit(client, writer, octets, reply)
        else:
            reply()
        return name != "unbind"

    def _submit(self, client: Client, writer: Any, octets: bytes, reply: Callable[..., None]) -> bool:
        self.count += 1
        number = self.count
        unit = smpp.parse_pdu(octets, client=client, allow_unknown_opt_params=True) if self.keep else None
        verdict = self.answer(number, unit)
        if verdict == "drop":
            writer.transport.abort()
            return False
        if verdict == "stall":
            return True
        if self.keep and verdict == 0:
            self.submitted.append(unit)
        body = self.name_of(number).encode() + b"\0" if verdict == 0 else b""
        if self.delay:
            self._loop.call_later(self.delay, reply, verdict, body)
        else:
            reply(verdict, body)
        if self.reports and verdict == 0 and unit.registered_delivery:
            self._tell(writer, self.reported_name_of(number), "DELIVRD", unit.destination_addr.decode())
        return True

    @staticmethod
    def _bring(writer: Any, reply: Reply) -> None:
        body = reply.body()
        writer.write(struct.pack(">IIII", 16 + len(body), 0x5, 0, 2000 + len(body)) + body)

    @staticmethod
    def _tell(writer: Any, provider_id: str, state: str, number: str = "4670") -> None:
        """A delivery report as in appendix B of the specification."""
        dates = "submit date:2611230900 done date:2611230901"
        text = f"id:{provider_id} sub:001 dlvrd:001 {dates} stat:{state} err:000 text:x"
        source = b"\0\1\1" + number.encode() + b"\0"
        body = source + b"\5\0Shop\0" + b"\x04\0\0\0\0\0\0\0\0" + bytes([len(text)]) + text.encode()
        writer.write(struct.pack(">IIII", 16 + len(body), 0x5, 0, 1000 + len(text)) + body)
