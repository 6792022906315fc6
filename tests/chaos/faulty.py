"""Gateways, push services and a text message centre that do something wrong at any step of their protocols,
and count what they have taken.

Each runs on a thread of its own, and at about one step in so many does one of the faults in its ``steps``. A
message counts as taken when it has come whole and is not refused, whatever becomes of the answer.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar

from tests.on_thread import OnThread

STALLS = 4
"""Of one server: each costs the sender's whole patience."""
DEEP = b"[" * 100_000
"""JSON that no parser follows to its end."""
NASTY = {"code": [], "status": "\ud800\0", "message": {"a": ["\0"]}, "reason": "\0\ud800", "error_code": {}}
"""Of types and with characters that nobody expects."""


class Server(OnThread):
    """One server."""

    steps: ClassVar[dict[str, tuple[str, ...]]]
    """By step, what may go wrong at it."""

    def __init__(self, seed: int, *, one_in: int) -> None:
        self._random = random.Random(seed)
        self._one_in = one_in
        self.taken: Counter[str] = Counter()
        """Message id → how often it was taken."""
        self.unanswered: Counter[str] = Counter()
        """How often it was taken without its sender being told so."""
        self.faults: Counter[str] = Counter()
        self._writers: set[asyncio.Transport] = set()

    def _hang_up(self) -> None:
        for transport in list(self._writers):
            transport.abort()

    def fault(self, step: str) -> str:
        """What goes wrong at this step; nothing mostly."""
        if self._random.random() * self._one_in > 1:
            return ""
        chosen = self._random.choice(self.steps[step])
        if "stall" in chosen:
            if self.faults["stalls"] >= STALLS:
                return ""
            self.faults["stalls"] += 1
        self.faults[f"{step} {chosen}"] += 1
        return chosen

    def take(self, ids: Sequence[str], *, told: bool) -> None:
        self.taken.update(ids)
        if not told:
            self.unanswered.update(ids)


class Streams(Server):
    """One task for each connection."""

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer.transport)
        try:
            await self.dialogue(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer.transport)
            writer.transport.abort()

    async def dialogue(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise NotImplementedError

    @staticmethod
    async def until_closed(reader: asyncio.StreamReader) -> None:
        """Answers nothing until the other side gives up."""
        while await reader.read(65_536):
            pass


def http_answer(status: int, body: dict[str, Any] | bytes, *, close: bool = False, more: str = "") -> bytes:
    octets = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"HTTP/1.1 {status} X\r\ncontent-length: {len(octets)}\r\n{more}"
    return f"{head}{'connection: close' + chr(13) + chr(10) if close else ''}\r\n".encode() + octets
