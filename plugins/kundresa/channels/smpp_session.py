"""One SMPP connection: questions and answers by number, signs of life, delivery reports and replies."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from ssl import SSLContext
from typing import cast

from kundresa.channels import smpp_pdu as pdu
from kundresa.channels.accounts import Account, AccountError
from kundresa.channels.http_peer import AnswerLostError, NotSentError, connect
from kundresa.channels.smpp_deliver import Arrival, read_deliver
from kundresa.channels.smpp_pdu import Pdu

log = logging.getLogger(__name__)

ENQUIRE = 30.0
"""Seconds of silence after which the other side is asked whether it is there, as is usual."""
_LOGIN = frozenset({0x0D, 0x0E, 0x0F})
_AGAIN = 0x64
"""ESME_RX_T_APPN."""
_REFUSED = 0x65
"""ESME_RX_P_APPN."""

OnReports = Callable[[Sequence[Arrival]], Collection[Arrival]]
"""Gets the delivery reports and people's replies that arrived together, on the thread that reads; returns
those that the centre is to send again. What it raises makes the centre send all of them again."""


class SmppSession(asyncio.Protocol):
    """One connection."""

    def __init__(self, on_reports: OnReports | None, enquire: float) -> None:
        self._on_reports = on_reports
        self._enquire_every = enquire
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._sequence = 0
        self._waiting: dict[int, tuple[int, asyncio.Future[Pdu]]] = {}
        """What was asked, and for its answer, by number."""
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
        self._waiting[number] = (command, answer)
        self._write(pdu.pack(command, 0, number, body))
        alarm = self._loop.call_later(timeout, self._fail, answer, "no answer in time")
        try:
            found = await answer
        finally:
            alarm.cancel()
            self._waiting.pop(number, None)
            self._leave_when_done()
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
            # What came whole before garbage counts.
            while units := pdu.unpack(self._buffer):
                for unit in units:
                    self._handle(unit)
                self._report([unit for unit in units if unit.command == pdu.DELIVER_SM])
        except pdu.PduError:
            self.drop()

    def connection_lost(self, error: Exception | None) -> None:
        self._is_over = True
        if self._tick is not None:
            self._tick.cancel()
        detail = "the connection was closed" if error is None else f"lost: {type(error).__name__}"
        for _, answer in list(self._waiting.values()):
            self._fail(answer, detail)

    def _handle(self, unit: Pdu) -> None:
        if unit.command & pdu.RESPONSE:
            asked, answer = self._waiting.get(unit.sequence, (0, None))
            # The answer to something else that has its number is none.
            is_answer = unit.command in (asked | pdu.RESPONSE, pdu.GENERIC_NACK)
            if answer is not None and is_answer and not answer.done():
                answer.set_result(unit)
        elif unit.command == pdu.DELIVER_SM:
            pass  # those that arrived together are reported together
        elif unit.command == pdu.ENQUIRE_LINK:
            self._write(pdu.pack(pdu.ENQUIRE_LINK | pdu.RESPONSE, 0, unit.sequence))
        elif unit.command == pdu.UNBIND:
            # Answers to what is under way may still come; nothing new goes over this connection.
            self._write(pdu.pack(pdu.UNBIND | pdu.RESPONSE, 0, unit.sequence))
            self._is_over = True
            self._loop.call_soon(self._leave_when_done)
        else:
            self._write(pdu.pack(pdu.GENERIC_NACK, 0x03, unit.sequence))

    def _leave_when_done(self) -> None:
        """Close a connection that the other side has ended, once nothing is asked over it any more."""
        if self._is_over and not self._waiting and self._transport is not None:
            self._transport.close()

    def _report(self, units: Sequence[Pdu]) -> None:
        """The answers go out once the hook has the reports: what it could not keep comes again. A unit that
        cannot be read would be none the next time either."""
        if not units:
            return
        statuses = [0] * len(units)
        reports: dict[int, Arrival] = {}
        for at, unit in enumerate(units):
            try:
                report = read_deliver(unit.body)
            except pdu.PduError as error:
                log.warning("%s was refused", error)
                statuses[at] = _REFUSED
            else:
                if report is not None:
                    reports[at] = report
        for at in self._again(reports):
            statuses[at] = _AGAIN
        for unit, status in zip(units, statuses, strict=True):
            self._write(pdu.pack(pdu.DELIVER_SM | pdu.RESPONSE, status, unit.sequence, b"\0"))

    def _again(self, reports: Mapping[int, Arrival]) -> Sequence[int]:
        """Which of these the centre is to send again."""
        if not reports or self._on_reports is None:
            return ()
        try:
            again = self._on_reports(list(reports.values()))
        # The hook writes to a store, which may be away; whatever it is, the centre shall try again.
        except Exception as error:
            log.warning("delivery reports and replies are asked for again: %s", type(error).__name__)
            return list(reports)
        return [at for at, report in reports.items() if report in again]

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


async def bind(
    account: Account,
    command: int,
    context: SSLContext | None,
    on_reports: OnReports | None,
    *,
    enquire: float,
) -> SmppSession:
    """A connection that is logged in, as a transmitter, receiver or transceiver.

    Raises:
        NotSentError: the centre is not there, or does not want anybody now.
        AccountError: it refuses the login.
    """
    session = await connect(account, lambda: SmppSession(on_reports, enquire), context)
    try:
        body = pdu.bind_body(account.user, account.password, account.extra.get("system_type", ""))
        status, _ = await session.ask(command, body, min(account.timeout, 10.0))
    except (AnswerLostError, NotSentError):
        session.drop()
        raise NotSentError(f"{account.place} does not answer the login") from None
    except UnicodeEncodeError:
        session.drop()
        raise AccountError(f"{account.place}: user and password must be ASCII for SMPP") from None
    if status:
        session.drop()
        said = f"{account.place} refused the login: {pdu.status_name(status)}"
        raise AccountError(said) if status in _LOGIN else NotSentError(said)
    session.keep_alive(account.timeout)
    return session


def extra_number(account: Account, key: str, usual: float, low: float, high: float) -> float:
    """One of the account's extras as a number.

    Raises:
        AccountError: when it is none, or out of its bounds.
    """
    text = account.extra.get(key)
    try:
        value = usual if text is None else float(text)
    except ValueError:
        value = -1
    if not low <= value <= high:
        raise AccountError(f"account {account.name}: {key} takes {low:g} to {high:g}")
    return value
