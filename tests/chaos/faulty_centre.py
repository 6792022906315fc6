"""A text message centre over SMPP 3.4 that does something wrong at any step."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import ClassVar

from tests.chaos.faulty import Streams


class Centre(Streams):
    """SMPP 3.4. A text ends with its message's first eight digits."""

    steps: ClassVar = {
        "connect": ("drop", "half close", "garbage"),
        "bind": ("drop", "stall", "garbage", "half close", "busy", "another answer, then drop"),
        "submit": (
            "drop",
            "drop, not taken",
            "stall",
            "half close",
            "garbage",
            "answer and garbage",
            "another's answer, then drop, not taken",
            "answer of an unknown number",
            "twice",
            "pieces",
            "no name",
            "nack, not taken",
            "throttled",
            "full",
            "system error",
            "number",
            "status of its own",
            "unbind",
            "unbind first, not taken",
            "enquire",
            "garbage report",
            "unknown command",
        ),
    }
    STATUSES: ClassVar = {
        "throttled": 0x58,
        "full": 0x14,
        "system error": 0x08,
        "number": 0x0B,
        "status of its own": 0x0400,
    }

    async def dialogue(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fault = self.fault("connect")
        if fault == "drop":
            return
        if fault == "garbage":
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        if fault == "half close":
            writer.write_eof()
        is_mute = bool(fault)
        while True:
            length, command, _, sequence = struct.unpack(">IIII", await reader.readexactly(16))
            body = await reader.readexactly(length - 16)
            if command & 0x80000000:
                continue
            if command in (1, 2, 9):
                goes_on = not is_mute and await self._bind(reader, writer, command, sequence)
            elif command == 4:
                goes_on, is_mute = await self._submit(writer, sequence, body, is_mute=is_mute)
            else:
                _unit(writer, command | 0x80000000, 0, sequence)
                goes_on = command != 6
            if not goes_on:
                await writer.drain()
                return

    async def _bind(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, command: int, sequence: int
    ) -> bool:
        fault = self.fault("bind")
        if fault == "stall":
            await self.until_closed(reader)
        elif fault == "garbage":
            writer.write(b"\0\0\0\3" * 8)
        elif fault == "half close":
            writer.write_eof()
        elif fault == "busy":
            _unit(writer, command | 0x80000000, 0x64, sequence)
        elif fault.startswith("another"):
            _unit(writer, 0x80000015, 0, sequence)
        elif not fault:
            _unit(writer, command | 0x80000000, 0, sequence, b"centre\0")
        return not fault

    async def _submit(  # noqa: C901  one for each fault
        self,
        writer: asyncio.StreamWriter,
        sequence: int,
        body: bytes,
        *,
        is_mute: bool,
    ) -> tuple[bool, bool]:
        """Whether the connection goes on, and whether it says nothing any more."""
        ids = [body[-8:].decode()]
        if is_mute:
            self.take(ids, told=False)
            return True, True
        fault = self.fault("submit")
        answer, name = 0x80000004, f"id{sequence}".encode() + b"\0"
        if fault in self.STATUSES:
            _unit(writer, answer, self.STATUSES[fault], sequence)
            return True, False
        if fault == "nack, not taken":
            _unit(writer, 0x80000000, 0x03, sequence)
            return True, False
        if fault.endswith("not taken"):
            if fault.startswith("another"):
                _unit(writer, 0x80000015, 0, sequence)
            if fault.startswith("unbind"):
                _unit(writer, 6, 0, 1)
            return False, False
        self.take(ids, told=fault not in ("drop", "stall", "half close", "garbage"))
        if fault == "drop":
            return False, False
        if fault == "stall":
            return True, False
        if fault == "half close":
            writer.write_eof()
            return True, True
        if fault == "garbage":
            writer.write(b"\xff" * 40)
            return True, True
        if fault == "pieces":
            octets = struct.pack(">IIII", 16 + len(name), answer, 0, sequence) + name
            for at in range(0, len(octets), 5):
                writer.write(octets[at : at + 5])
                await asyncio.sleep(0.001)
            return True, False
        before: dict[str, Callable[[], None]] = {
            "answer of an unknown number": lambda: _unit(writer, answer, 0x0B, sequence + 5_000, name),
            "enquire": lambda: _unit(writer, 0x15, 0, 77),
            "garbage report": lambda: _unit(writer, 5, 0, 78, b"\x04\0" * 9),
            "unknown command": lambda: _unit(writer, 0x0103, 0, 79, b"?"),
        }
        if fault in before:
            before[fault]()
        _unit(writer, answer, 0, sequence, b"" if fault == "no name" else name)
        if fault == "twice":
            _unit(writer, answer, 0x0B, sequence)
        if fault == "answer and garbage":
            writer.write(b"\0\0\0\1" * 9)
            return True, True
        if fault == "unbind":
            # What it has by then is answered; it says goodbye, and waits for the other side's.
            _unit(writer, 6, 0, 80)
            return True, True
        return True, False


def _unit(writer: asyncio.StreamWriter, command: int, status: int, sequence: int, body: bytes = b"") -> None:
    writer.write(struct.pack(">IIII", 16 + len(body), command, status, sequence) + body)
