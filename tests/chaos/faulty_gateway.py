"""A gateway over HTTP/1.1 that does something wrong at any step."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any, ClassVar
from urllib.parse import parse_qs

from tests.chaos.faulty import DEEP, NASTY, Streams, http_answer


class Gateway(Streams):
    """HTTP/1.1: text messages in Twilio's shape, and webhooks of several messages each."""

    steps: ClassVar = {
        "connect": ("drop", "half close", "garbage"),
        "head": ("drop", "answer before the body", "half close", "stall"),
        "body": (
            "drop",
            "drop, not taken",
            "half close",
            "stall",
            "garbage",
            "nothing but a status line",
            "half a head",
            "half a body",
            "broken chunks",
            "chunks",
            "pieces",
            "early hints",
            "deep",
            "html",
            "empty object",
            "too long",
            "endless head",
            "twice",
            "then 408",
            "then close in silence",
            "400",
            "400 nasty",
            "400 number",
            "401",
            "408",
            "409",
            "429",
            "500",
            "500, not taken",
            "502 html, not taken",
            "503",
            "503 with a date",
            "302",
            "some of them",
        ),
    }

    async def dialogue(  # noqa: C901  one for each fault
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        fault = self.fault("connect")
        if fault == "drop":
            return
        if fault == "half close":
            writer.write_eof()
        if fault == "garbage":
            writer.write(b"\x16\x03\x01 no http at all\r\n\r\n")
        is_mute = fault in ("half close", "garbage")
        is_last = False
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
            fault = "" if is_mute else self.fault("head")
            if fault == "drop":
                return
            if fault == "answer before the body":
                writer.write(http_answer(503, {}, close=True))
                await writer.drain()
                return
            if fault == "stall":
                await self.until_closed(reader)
                return
            if fault == "half close":
                writer.write_eof()
                is_mute = True
            body = await reader.readexactly(int(fields["content-length"]))
            ids = _ids(fields, body)
            if is_last:
                return  # what follows on a spoilt connection gets no answer
            if is_mute:
                self.take(ids, told=False)
                continue
            goes_on, is_last = await self._respond(reader, writer, ids, self.fault("body"))
            if not goes_on:
                return

    async def _respond(  # noqa: C901  one for each fault
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ids: Sequence[str], fault: str
    ) -> tuple[bool, bool]:
        """Whether the connection goes on, and whether its next request is not to be answered."""
        good = _good(ids)
        good_answer = http_answer(201, good)
        number = fault[:3]
        if number.isdigit():
            is_taken = fault == "500"
            if is_taken:
                self.take(ids, told=False)
            writer.write(_refusal(fault, good))
            await writer.drain()
            return True, False
        if fault == "drop, not taken":
            return False, False
        if fault == "some of them":
            half = ids[: len(ids) // 2]
            self.take(half, told=True)
            told = [{"message_id": each, "status": "accepted"} for each in half]
            told += [{"message_id": each, "status": "retry"} for each in ids[len(half) :]]
            answer = {"results": told, "sid": "SM1"} if half else {"code": 20_000}
            writer.write(http_answer(200 if half else 400, answer))
            await writer.drain()
            return True, False
        untold = {"drop", "half close", "stall", "garbage", "nothing but a status line", "half a head"}
        untold |= {"half a body", "broken chunks", "deep", "html", "empty object", "too long", "endless head"}
        self.take(ids, told=fault not in untold)
        if fault == "drop":
            return False, False
        if fault == "half close":
            writer.write_eof()
            return True, True
        if fault == "stall":
            await self.until_closed(reader)
            return False, False
        cut = {
            "garbage": b"\0\xff\r\n\r\n",
            "nothing but a status line": b"HTTP/1.1 200 OK\r\n",
            "half a head": good_answer[:30],
            "half a body": good_answer[:-3],
            "endless head": b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000,
            "broken chunks": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
            "too long": b"HTTP/1.1 200 OK\r\ncontent-length: 2000000\r\n\r\n" + b"x" * 1_500_000,
        }
        if fault in cut:
            writer.write(cut[fault])
            await writer.drain()
            writer.close()
            await self.until_closed(reader)
            return False, False
        bodies = {"deep": DEEP, "html": b"<html>busy</html>", "empty object": b"{}"}
        answer = http_answer(200, bodies[fault]) if fault in bodies else good_answer
        if fault == "chunks":
            octets = json.dumps(good).encode()
            chunks = b"".join(
                b"%x\r\n%b\r\n" % (len(part), part) for part in (octets[:5], octets[5:]) if part
            )
            answer = b"HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
        if fault == "early hints":
            answer = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + answer
        if fault == "pieces":
            for at in range(0, len(answer), 17):
                writer.write(answer[at : at + 17])
                await asyncio.sleep(0)
            return True, False
        if fault == "twice":
            answer += answer
        writer.write(answer)
        await writer.drain()
        if fault == "then 408":
            # As servers do that have waited long enough for the next request.
            await asyncio.sleep(0.002)
            writer.write(http_answer(408, {}, close=True))
        is_spoilt = fault in ("twice", "then 408")
        return fault != "then close in silence", is_spoilt


def _ids(fields: dict[str, str], body: bytes) -> list[str]:
    if "idempotency-key" in fields:
        assert parse_qs(body.decode())["Body"]
        return [fields["idempotency-key"]]
    return [each["message_id"] for each in json.loads(body)["messages"]]


def _good(ids: Sequence[str]) -> dict[str, Any]:
    results = [{"message_id": each, "status": "accepted", "id": each} for each in ids]
    return {"sid": f"SM{ids[0]}", "status": "queued", "results": results}


def _refusal(fault: str, good: dict[str, Any]) -> bytes:
    status = int(fault[:3])
    more = {
        "429": "retry-after: 30\r\n",
        "503": "retry-after: soon\r\n",
        "503 with a date": "retry-after: Mon, 01 Jan 2035 00:00:00 +99999999999999\r\n",
        "302": "location: /elsewhere\r\n",
    }
    bodies: dict[str, dict[str, Any] | bytes] = {
        "400 nasty": NASTY,
        "400 number": {"code": 21_211, "message": "no such number +46701234567"},
        "502 html, not taken": b"<html>bad gateway</html>",
        # What it says beside a status of failure is not believed.
        "500": good,
        "408": DEEP,
    }
    return http_answer(status, bodies.get(fault, {"code": 20_000, "message": "no"}), more=more.get(fault, ""))
