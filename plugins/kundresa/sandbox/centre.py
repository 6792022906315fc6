"""The text message centre, over SMPP 3.4 in clear text.

Takes every text for a likely number and stores it, the segments of one joined; any login will do. Whoever
asks for delivery reports gets them a second later: over the connection, when it is bound to receive, else
they wait for the next one of the same ``system_id`` that is. By the end of the number:

| it ends in | |
|---|---|
| 0000 | no such number: ESME_RINVDSTADR |
| 0001 | taken, and reported as undeliverable |
| 7867 | taken, and answered with STOP |
"""

from __future__ import annotations

import asyncio
import re
import struct
import uuid
from collections import defaultdict, deque
from collections.abc import Callable
from datetime import datetime
from typing import cast

from kundresa.sandbox.store import Arrival, Recorder
from kundresa.sandbox.submission import Submission, SubmissionError, read_submission

REPORT_AFTER = 1.0
"""Seconds."""
AGAIN_AFTER = 5.0
"""Seconds until what was not taken is brought again."""
MAX_PDU = 65_536
NOBODY, UNDELIVERABLE, SAYS_STOP = "0000", "0001", "7867"

_HEADER = struct.Struct(">IIII")
_RESPONSE = 0x80000000
_RECEIVER, _TRANSMITTER, _SUBMIT, _DELIVER, _UNBIND, _TRANSCEIVER, _ENQUIRE = 1, 2, 4, 5, 6, 9, 0x15
_BINDS = (_RECEIVER, _TRANSMITTER, _TRANSCEIVER)
_INVALID_COMMAND, _NOT_BOUND, _NO_SUCH_NUMBER = 0x03, 0x04, 0x0B
_NUMBER = re.compile(r"\+?[1-9]\d{6,14}")
_DATE = "%y%m%d%H%M"


class TextCentre:
    """Serves every connection. ``protocol`` gives one connection's side."""

    def __init__(self, recorder: Recorder, clock: Callable[[], datetime]) -> None:
        self._recorder = recorder
        self._clock = clock
        self._open: set[_Connection] = set()
        self._waiting: defaultdict[str, deque[bytes]] = defaultdict(deque)
        """What is to be brought to whoever is bound to receive, by system_id."""
        self._parts: dict[tuple[str, str, int], dict[int, Submission]] = {}

    def protocol(self) -> asyncio.Protocol:
        return _Connection(self)

    def close(self) -> None:
        """Breaks off every connection."""
        for connection in list(self._open):
            connection.abort()

    async def take(self, system_id: str, submission: Submission) -> tuple[int, str]:
        """Status, and the name of the segment."""
        number = submission.destination
        if not _NUMBER.fullmatch(number) or number.endswith(NOBODY):
            return _NO_SUCH_NUMBER, ""
        name = uuid.uuid4().hex
        parts = self._joined(submission)
        if len(parts) == submission.total:
            text = "".join(parts[each].text for each in sorted(parts))
            await self._recorder.record(self._arrival(submission, text, name))
        if submission.wants_report:
            self._bring_later(system_id, self._report(submission, name))
        if number.endswith(SAYS_STOP) and len(parts) == submission.total:
            self._bring_later(system_id, _deliver(submission, "STOP", 0))
        return 0, name

    def attend(self, connection: _Connection) -> None:
        """A connection is bound."""
        self._open.add(connection)
        self.bring(connection.system_id)

    def leave(self, connection: _Connection) -> None:
        """A connection has ended; what it had not taken waits for another one."""
        self._open.discard(connection)
        self._waiting[connection.system_id].extend(connection.brought.values())
        connection.brought.clear()
        self.bring(connection.system_id)

    def put_back(self, system_id: str, body: bytes) -> None:
        """It was not taken, and is to be brought again."""
        self._bring_later(system_id, body, AGAIN_AFTER)

    def bring(self, system_id: str) -> None:
        receiver = next(
            (each for each in self._open if each.system_id == system_id and each.is_receiving), None
        )
        waiting = self._waiting[system_id]
        while receiver is not None and waiting:
            receiver.bring(waiting.popleft())

    def _bring_later(self, system_id: str, body: bytes, seconds: float = REPORT_AFTER) -> None:
        def bring() -> None:
            self._waiting[system_id].append(body)
            self.bring(system_id)

        asyncio.get_running_loop().call_later(seconds, bring)

    def _joined(self, submission: Submission) -> dict[int, Submission]:
        """The segments that have arrived of its text, itself among them."""
        if submission.total == 1:
            return {1: submission}
        key = (submission.source, submission.destination, submission.reference)
        parts = self._parts.setdefault(key, {})
        parts[submission.number] = submission
        if len(parts) == submission.total:
            del self._parts[key]
        return parts

    def _arrival(self, submission: Submission, text: str, name: str) -> Arrival:
        said = ["SMPP", f"{submission.total} segment{'' if submission.total == 1 else 's'}"]
        said += [f"valid {submission.validity}"] if submission.validity else []
        return Arrival(
            channel="sms",
            run_key="",
            message_id="",
            provider_id=name,
            sender=submission.source,
            recipient=f"+{submission.destination.removeprefix('+')}",
            subject=", ".join(said),
            body=text.encode("utf-8", "replace"),
            received_at=self._clock().isoformat(),
        )

    def _report(self, submission: Submission, name: str) -> bytes:
        """As in appendix B."""
        is_delivered = not submission.destination.endswith(UNDELIVERABLE)
        state, error = ("DELIVRD", "000") if is_delivered else ("UNDELIV", "001")
        day = self._clock().strftime(_DATE)
        return _deliver(
            submission,
            f"id:{name} sub:001 dlvrd:{int(is_delivered):03d} submit date:{day} done date:{day} stat:{state} "
            f"err:{error} text:",
            0x04,
        )


def _deliver(submission: Submission, text: str, kind: int) -> bytes:
    """The body of a ``deliver_sm`` (4.6.1) from the telephone to whoever has texted it."""
    octets = text.encode("ascii")
    ends = b"\1\1" + submission.destination.encode() + b"\0\5\0" + submission.source.encode() + b"\0"
    return b"\0" + ends + bytes([kind, 0, 0, 0, 0, 0, 0, 0, 0, len(octets)]) + octets


class _Connection(asyncio.Protocol):
    """One connection."""

    def __init__(self, centre: TextCentre) -> None:
        self.system_id = ""
        self.is_receiving = False
        self.brought: dict[int, bytes] = {}
        """What it has not said yet that it has taken, by sequence number."""
        self._is_sending = False
        self._centre = centre
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._sequence = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        for task in self._tasks:
            task.cancel()
        if self.system_id:
            self._centre.leave(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= _HEADER.size:
            length, command, status, sequence = _HEADER.unpack_from(self._buffer)
            if not _HEADER.size <= length <= MAX_PDU:
                self.abort()
                return
            if len(self._buffer) < length:
                return
            body = bytes(self._buffer[_HEADER.size : length])
            del self._buffer[:length]
            self._handle(command, status, sequence, body)

    def bring(self, body: bytes) -> None:
        self._sequence += 1
        self.brought[self._sequence] = body
        self._write(_DELIVER, 0, self._sequence, body)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _handle(self, command: int, status: int, sequence: int, body: bytes) -> None:
        if command in _BINDS:
            self._bind(command, sequence, body)
        elif command == _SUBMIT:
            self._submit(sequence, body)
        elif command == _ENQUIRE:
            self._write(command | _RESPONSE, 0, sequence)
        elif command == _UNBIND:
            self._write(command | _RESPONSE, 0, sequence)
            if self._transport is not None:
                self._transport.close()
        elif command == _DELIVER | _RESPONSE:
            taken = self.brought.pop(sequence, None)
            if taken is not None and status:
                self._centre.put_back(self.system_id, taken)
        elif not command & _RESPONSE:
            self._write(_RESPONSE, _INVALID_COMMAND, sequence)

    def _bind(self, command: int, sequence: int, body: bytes) -> None:
        self.system_id = body.partition(b"\0")[0].decode("ascii", "replace") or "nobody"
        self.is_receiving = command != _TRANSMITTER
        self._is_sending = command != _RECEIVER
        self._write(command | _RESPONSE, 0, sequence, b"sandbox\0")
        self._centre.attend(self)

    def _submit(self, sequence: int, body: bytes) -> None:
        if not self._is_sending:
            self._write(_SUBMIT | _RESPONSE, _NOT_BOUND, sequence)
            return
        try:
            submission = read_submission(body)
        except SubmissionError as error:
            self._write(_SUBMIT | _RESPONSE, error.status, sequence)
            return
        task = asyncio.get_running_loop().create_task(self._take(sequence, submission))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take(self, sequence: int, submission: Submission) -> None:
        status, name = await self._centre.take(self.system_id, submission)
        self._write(_SUBMIT | _RESPONSE, status, sequence, b"" if status else name.encode() + b"\0")

    def _write(self, command: int, status: int, sequence: int, body: bytes = b"") -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(_HEADER.pack(_HEADER.size + len(body), command, status, sequence) + body)
