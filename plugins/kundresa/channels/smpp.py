"""Text messages over SMPP 3.4: one transceiver, a window of messages without an answer.

The account: ``smpps://system_id:password@smsc.example`` or ``smpp://…?clear_text=allowed`` (over a VPN), with
``window`` (messages without an answer, default 100), ``rate`` (segments a second), ``system_type``,
``enquire`` (seconds between signs of life, default 30), ``validity`` and ``validity_hours``: see below.

What an answer means:

| what happened | receipt |
|---|---|
| 0 to every segment | accepted, with the centre's id of the last |
| ESME_RTHROTTLED, ESME_RMSGQFUL | the sender pauses and tries again, thrice; then deferred |
| ESME_RSYSERR, ESME_RX_T_APPN, ESME_RUNKNOWNERR, ESME_RX_R_APPN | deferred |
| ESME_RINVDSTADR | failed, address_refused; suppressed once this sender has had a text accepted (*) |
| ESME_RINVDSTTON, ESME_RINVDSTNPI | failed, address_refused |
| ESME_RINVSRCADR, ESME_RINVSRCTON, ESME_RINVSRCNPI; the login refused | AccountError |
| ESME_RINVEXPIRY, where a validity was said | sent again without one, as all texts after it, with a warning |
| any other | failed, message_refused |
| lost or stalled before a segment was written | tried again over a new connection, then deferred |
| lost or stalled after it | unknown |

(*) A centre that wants numbers in another form finds every one invalid; that must not suppress them all.

Who takes reports asks for that of the last segment of each text, whose id is the message's: a centre delivers
the segments of a text in their order to one telephone. Who takes none is bound as a transmitter: a centre
keeps its reports for those that take them (``smpp_receiver``).

A text that cannot be delivered until the campaign's validity ends is not to be delivered later: each carries
its ``validity_period``, as what is left of it (``validity=relative``, the default), as its end in UTC
(``absolute``), or not (``none``: the centre's own). Where a centre keeps texts for so many hours at most,
``validity_hours`` says so. At the very end it is some minutes (``LEAST_VALIDITY``): a centre may refuse a
period that is over before it has looked, and a text that may still leave is to arrive.

A text is cut with an 8-bit reference in the user data header. When one segment of several was taken and
another was not, the message is never tried again as a whole: it has failed, or is unknown, with that said.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from kundresa.channels import smpp_pdu as pdu
from kundresa.channels.accounts import Account, AccountError
from kundresa.channels.addresses import AddressError, phone_number
from kundresa.channels.http_peer import AnswerLostError, NotSentError, tls_context
from kundresa.channels.http_sender import Outage, Rate
from kundresa.channels.in_flight import Departure, InFlight
from kundresa.channels.receipts import accepted, clean_provider_id, deferred, failed, unknown
from kundresa.channels.smpp_pdu import Envelope
from kundresa.channels.smpp_session import ENQUIRE, OnReports, SmppSession, bind, extra_number
from kundresa.channels.stopping import UNANSWERED
from kundresa.spec.bounces import HARD_BOUNCE
from kundresa.spec.channels import SmsChannel
from kundresa.spec.fields import MAX_VALIDITY
from kundresa.spec.messages import Message, Receipt, SmsContent
from kundresa.spec.sms_text import segments
from kundresa.spec.vocabulary import DeliveryReason

log = logging.getLogger(__name__)

WINDOW = 100
PAUSES = (0.5, 1.0, 2.0)
"""Seconds that everything waits after the first, second and third refusal for speed in a row."""
RETRY_AFTER = timedelta(minutes=1)
LEAST_VALIDITY = timedelta(minutes=5)
_THROTTLED = frozenset({0x58, 0x14})
_TEMPORARY = frozenset({0x08, 0x64, 0x66, 0xFF})
_INVALID_NUMBER = 0x0B
_ADDRESS = frozenset({_INVALID_NUMBER, 0x50, 0x51})
_SENDER = frozenset({0x0A, 0x48, 0x49})
_INVALID_EXPIRY = 0x62
_TRIES = 3
_MOST_HOURS = MAX_VALIDITY / timedelta(hours=1)


class SmppSender:
    """Sends text messages on one account. For one thread; the connection is kept between windows."""

    def __init__(
        self,
        channel: SmsChannel,
        account: Account,
        *,
        clock: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        on_reports: OnReports | None = None,
        valid_until: datetime | None = None,
    ) -> None:
        """
        Args:
            on_reports: gets every delivery report that arrives while the sender works. None asks for none.
            valid_until: after it no text is to be delivered any more; None leaves it to the centre.

        Raises:
            AccountError: when the account is not for SMPP, or one of its extras cannot be.
        """
        if account.kind != "smpp":
            raise AccountError(f"{account.place} is of kind {account.kind}; expected smpp")
        self._account = account
        self._context = tls_context(account)
        self._envelope = Envelope.of(channel.sender)
        self._enquire = extra_number(account, "enquire", ENQUIRE, 1, 600)
        self._rate = Rate(account, sleep)
        self._validity = _Validity(account, clock, valid_until)
        self._clock = clock
        self._sleep = sleep
        self._on_reports = on_reports
        self._outage = Outage(clock, sleep)
        self._throttle = _Throttle(sleep)
        self._flight = InFlight(int(extra_number(account, "window", WINDOW, 1, 1_000)), self._deliver, clock)
        self._session: SmppSession | None = None
        self._connecting = asyncio.Lock()
        self._has_accepted = False

    def open(self) -> None:
        """Connects and logs in now, so that a wrong password shows before any message is claimed. A centre
        that cannot be reached is no error here: messages will be deferred.

        Raises:
            AccountError: the login is refused.
        """
        try:
            self._flight.loop.run_until_complete(self._bound())
        except NotSentError:
            return
        except AccountError:
            self.close()
            raise

    def send(self, window: Sequence[Message]) -> Iterator[Receipt]:
        """One receipt per message, each as soon as it is known.

        When it has to stop early, by whatever is raised in it, it waits for the answers to what has left, at
        most ``WIND_UP`` seconds.

        Raises:
            AccountError: messages without a receipt were certainly not sent.
        """
        return self._flight.send((((message,), ()) for message in window), self._look)

    def wait_within(self, waiting: Callable[[], AbstractContextManager[object]]) -> None:
        """``waiting()`` is opened around each wait for the centre, and nowhere else."""
        self._flight.wait_within(waiting)

    def close(self) -> None:
        self._flight.close(self._goodbye)

    async def _goodbye(self) -> None:
        if self._session is not None:
            await self._session.unbind()

    async def _look(self) -> None:
        """What happened while nobody looked; and whether the other side is there after a longer time."""
        await asyncio.sleep(0)
        session = self._session
        if session is not None and session.is_usable and session.idle_for() >= self._enquire:
            await session.enquire(min(self._account.timeout, 10.0))

    async def _deliver(self, departure: Departure) -> Sequence[Receipt]:
        [message] = departure.messages
        return (await self._sent(message, departure),)

    async def _sent(self, message: Message, departure: Departure) -> Receipt:  # noqa: PLR0911  one each
        content = message.content
        if not isinstance(content, SmsContent):
            raise TypeError(f"a text message sender got {type(content).__name__}")
        try:
            number = phone_number(message.address)
        except AddressError as error:
            return failed(message.message_id, DeliveryReason.ADDRESS_REFUSED, None, str(error))
        coding, cut = segments(content.text)
        reference = zlib.crc32(message.message_id.encode())
        parts = pdu.with_header(cut, reference)
        taken: list[str] = []
        for part in parts:
            body = partial(
                self._envelope.submit_body,
                number,
                coding,
                part,
                has_header=len(parts) > 1,
                wants_receipt=self._on_reports is not None and part is parts[-1],
            )
            try:
                status, provider_id = await self._submit_valid(body, departure)
            except NotSentError as error:
                return self._not_sent(message, str(error), taken, len(parts))
            except asyncio.CancelledError:
                if not departure.has_left:
                    raise
                return unknown(message.message_id, None, _partly(UNANSWERED, taken, len(parts)))
            except AnswerLostError as error:
                detail = _partly(str(error), taken, len(parts))
                return unknown(message.message_id, None, detail)
            if status:
                return self._refused(message, status, taken, len(parts))
            taken.append(provider_id)
        self._has_accepted = True
        receipt = accepted(message.message_id, clean_provider_id(taken[-1], message.address), "SMPP 0")
        if len(taken) == 1:
            return receipt
        return replace(receipt, detail=f"segments {clean_provider_id(','.join(taken), message.address)}")

    async def _submit_valid(self, body: Callable[..., bytes], departure: Departure) -> tuple[int, str]:
        """As :meth:`_submit`, with the validity; without one when the centre refuses it.

        Args:
            body: gives the segment with the ``validity`` that it is called with.
        """
        has_left = departure.has_left
        validity = self._validity.period()
        status, provider_id = await self._submit(body(validity=validity), departure)
        if status == _INVALID_EXPIRY and validity:
            self._validity.drop()
            departure.has_left = has_left
            status, provider_id = await self._submit(body(validity=""), departure)
        return status, provider_id

    async def _submit(self, body: bytes, departure: Departure) -> tuple[int, str]:
        """Status and the centre's id, once it is neither throttled nor out of reach."""
        detail = ""
        has_left = departure.has_left
        for _ in range(_TRIES):
            generation = self._outage.generation
            try:
                session = await self._bound()
                status, answer = await self._paced(session, body, departure)
            except NotSentError as error:
                departure.has_left = has_left
                detail = str(error)
                await self._outage.failed(generation, detail)
                if self._outage.is_down():
                    break
                continue
            self._outage.over()
            return status, pdu.message_id_of(answer)
        raise NotSentError(self._outage.detail or detail)

    async def _paced(self, session: SmppSession, body: bytes, departure: Departure) -> tuple[int, bytes]:
        status, answer = 0x58, b""
        has_left = departure.has_left
        for _ in PAUSES:
            await self._throttle.passed()
            await self._rate.turn(1)
            departure.leave()
            status, answer = await session.ask(pdu.SUBMIT_SM, body, self._account.timeout)
            if status not in _THROTTLED:
                self._throttle.over()
                return status, answer
            departure.has_left = has_left
            self._throttle.hit()
        return status, answer

    async def _bound(self) -> SmppSession:
        if self._session is not None and self._session.is_usable:
            return self._session
        async with self._connecting:
            if self._session is not None and self._session.is_usable:
                return self._session
            if self._outage.is_down():
                raise NotSentError(self._outage.detail)
            command = pdu.BIND_TRANSMITTER if self._on_reports is None else pdu.BIND_TRANSCEIVER
            self._session = await bind(
                self._account, command, self._context, self._on_reports, enquire=self._enquire
            )
            return self._session

    def _not_sent(self, message: Message, detail: str, taken: list[str], count: int) -> Receipt:
        if taken:
            return unknown(message.message_id, None, _partly(detail, taken, count))
        return deferred(message.message_id, None, detail, self._outage.retry_at())

    def _refused(self, message: Message, status: int, taken: list[str], count: int) -> Receipt:
        code = f"SMPP {pdu.status_name(status)}"
        detail = _partly(pdu.status_name(status), taken, count)
        if status in _SENDER and not taken:
            raise AccountError(f"{self._account.place} refuses the sender: {pdu.status_name(status)}")
        if status in _ADDRESS:
            is_dead = status == _INVALID_NUMBER and self._has_accepted and not taken
            suppress = HARD_BOUNCE if is_dead else None
            return failed(message.message_id, DeliveryReason.ADDRESS_REFUSED, code, detail, suppress=suppress)
        if (status in _THROTTLED or status in _TEMPORARY) and not taken:
            return deferred(message.message_id, code, detail, self._clock() + RETRY_AFTER)
        return failed(message.message_id, DeliveryReason.MESSAGE_REFUSED, code, detail)


class _Validity:
    """Until when the centre is to try to deliver a text."""

    def __init__(self, account: Account, clock: Callable[[], datetime], valid_until: datetime | None) -> None:
        self._form = account.extra.get("validity", "relative")
        if self._form not in ("relative", "absolute", "none"):
            raise AccountError(f"account {account.name}: validity takes relative, absolute or none")
        self._most = timedelta(hours=extra_number(account, "validity_hours", _MOST_HOURS, 0.1, _MOST_HOURS))
        self._place = account.place
        self._clock = clock
        self._until = valid_until

    def drop(self) -> None:
        """The centre takes none as it is said: nothing is said any more. Without one a text may arrive later
        than it should; by an account that stops none would arrive."""
        if self._form != "none":
            log.warning(
                "%s refuses the validity period (ESME_RINVEXPIRY): texts leave without one; set "
                "validity=absolute, validity_hours=48 or validity=none",
                self._place,
            )
        self._form = "none"

    def period(self) -> str:
        """As it is sent now; empty where nothing is said."""
        if self._until is None or self._form == "none":
            return ""
        now = self._clock()
        # A time that is nearly over would be refused; delivery withholds what is.
        left = min(max(self._until - now, LEAST_VALIDITY), self._most)
        if self._form == "absolute":
            return pdu.absolute_time(now + left)
        return pdu.relative_time(int(left.total_seconds()))


class _Throttle:
    """Everything waits while the centre says that it is too fast."""

    def __init__(self, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._sleep = sleep
        self._hits = 0
        self._until = 0.0

    def hit(self) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._until:
            # Those that were under way at the same time are told the same; they count once.
            self._until = now + PAUSES[min(self._hits, len(PAUSES) - 1)]
            self._hits += 1

    def over(self) -> None:
        if asyncio.get_running_loop().time() >= self._until:
            self._hits = 0

    async def passed(self) -> None:
        wait = self._until - asyncio.get_running_loop().time()
        if wait > 0:
            await self._sleep(wait)


def _partly(detail: str, taken: list[str], count: int) -> str:
    return f"{len(taken)} of {count} segments were taken; then {detail}" if taken else detail
