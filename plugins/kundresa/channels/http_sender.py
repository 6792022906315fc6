"""A sender over HTTP with many requests in flight: what every provider's adapter has in common.

``send`` is an ordinary generator; the requests run on an event loop of the sender's own, which turns while
``send`` waits for the next receipt. What an adapter adds is how a request looks and what an answer means;
see the page *A new provider* in this room.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from itertools import islice
from typing import Protocol

from kundresa.channels.accounts import Account, AccountError
from kundresa.channels.http_peer import (
    AnswerLostError,
    NotSentError,
    Peer,
    Request,
    Response,
    TurnedAwayError,
    tls_context,
)
from kundresa.channels.in_flight import Departure, Groups, InFlight
from kundresa.channels.outage import DOWN_FOR, FAILURES, PAUSES
from kundresa.channels.receipts import clean_detail, deferred, unknown
from kundresa.channels.stopping import UNANSWERED
from kundresa.spec.messages import Message, Receipt

RETRY_AFTER = timedelta(minutes=1)
"""For an outcome that an idempotent receiver can be asked about again."""
ASK_AGAIN = 3
"""Times that one window's message is offered to a server that certainly did not get it."""


class RenewLoginError(Exception):
    """The other side wants a fresh token; the request was certainly not acted upon."""


class Hold(Exception):
    """The other side wants to be left alone until ``until``; the receipts say what became of these."""

    def __init__(self, receipts: Sequence[Receipt], until: datetime) -> None:
        super().__init__(f"until {until}")
        self.receipts = receipts
        self.until = until


class Adapter(Protocol):
    """One provider: how a request looks, and what its answer means."""

    per_request: int
    """Messages in one request."""

    def peer(self) -> Peer:
        """The connection to it. Called on the event loop, once."""
        ...

    def refusal(self, message: Message, /) -> Receipt | None:
        """A receipt for a message that cannot be sent at all: its address is none of this channel's."""
        ...

    def request(self, messages: Sequence[Message], /) -> Request:
        """
        Raises:
            AccountError: no token is to be had.
            NotSentError: not now.
        """
        ...

    def receipts(self, messages: Sequence[Message], response: Response, /) -> Sequence[Receipt]:
        """One for each message.

        Raises:
            AccountError: the account cannot be used; these were certainly not sent.
            RenewLoginError: the request is made again, once, after ``renew``.
            Hold: there are receipts, and nothing more is to be sent for a while.
        """
        ...

    def renew(self) -> None:
        """Forgets the token."""
        ...


class HttpSender:
    """Sends on one account. For one thread; connections are kept between windows."""

    def __init__(
        self,
        adapter: Adapter,
        account: Account,
        *,
        clock: Callable[[], datetime],
        in_flight: int,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """
        Args:
            in_flight: requests at once, at most.
            sleep: waits between tries to connect, and for the account's ``rate``.

        Raises:
            AccountError: when the account's ``rate`` is no number, or its certificate file cannot be read.
        """
        tls_context(account)
        self._adapter = adapter
        self._account = account
        self._clock = clock
        self._idempotent = account.is_idempotent
        self._outage = Outage(clock, sleep)
        self._rate = Rate(account, sleep)
        self._held_until: datetime | None = None
        self._flight = InFlight(in_flight, self._deliver, clock)
        self._peer: Peer | None = None

    def open(self) -> None:
        """Nothing to do: HTTP has no login apart from its requests."""

    def send(self, window: Sequence[Message]) -> Iterator[Receipt]:
        """One receipt per message, each as soon as it is known.

        When it has to stop early, by whatever is raised in it, it waits for the answers to what has left, at
        most ``WIND_UP`` seconds.

        Raises:
            AccountError: messages without a receipt were certainly not sent. It is raised when all that
                was under way has its answer.
        """
        return self._flight.send(self._groups(window), self._look)

    def wait_within(self, waiting: Callable[[], AbstractContextManager[object]]) -> None:
        """``waiting()`` is opened around each wait for the other side, and nowhere else."""
        self._flight.wait_within(waiting)

    def close(self) -> None:
        self._flight.close(self._goodbye)

    async def _goodbye(self) -> None:
        if self._peer is not None:
            await self._peer.close()

    async def _look(self) -> None:
        """What happened while nobody looked, such as a connection closed by the other side."""
        await asyncio.sleep(0)

    def _groups(self, window: Sequence[Message]) -> Groups:
        source = iter(window)
        while taken := list(islice(source, self._adapter.per_request)):
            refusals = [self._adapter.refusal(message) for message in taken]
            group = [message for message, refusal in zip(taken, refusals, strict=True) if refusal is None]
            yield group, [refusal for refusal in refusals if refusal is not None]

    async def _deliver(self, departure: Departure) -> Sequence[Receipt]:
        try:
            return await self._tried(departure)
        except asyncio.CancelledError:
            if not departure.has_left:
                raise
            return self._ambiguous(departure.messages, UNANSWERED)

    async def _tried(self, departure: Departure) -> Sequence[Receipt]:
        group = departure.messages
        await self._rate.turn(len(group))
        detail = ""
        tries = 0
        while tries < ASK_AGAIN:
            wait = self._wait()
            if wait is not None:
                return self._deferred(group, wait, "the other side asked to be left alone for a while")
            generation = self._outage.generation
            try:
                response = await self._answered(departure)
            except TurnedAwayError:
                # No failure: each such connection has taken another message, so this comes to an end.
                departure.has_left = False
                continue
            except NotSentError as error:
                departure.has_left = False
                tries += 1
                detail = str(error)
                await self._outage.failed(generation, detail)
                if self._outage.is_down():
                    break
                continue
            except AnswerLostError as error:
                return self._ambiguous(group, str(error))
            self._outage.over()
            return response
        return self._deferred(group, self._outage.retry_at(), self._outage.detail or detail)

    async def _answered(self, departure: Departure) -> Sequence[Receipt]:
        if self._outage.is_down():
            raise NotSentError(self._outage.detail)
        group = departure.messages
        try:
            return self._adapter.receipts(group, await self._asked(departure))
        except RenewLoginError:
            departure.has_left = False
            self._adapter.renew()
            response = await self._asked(departure)
        except Hold as hold:
            return self._hold(hold)
        try:
            return self._adapter.receipts(group, response)
        except RenewLoginError as error:
            raise AccountError(f"{self._account.place}: a fresh token is refused too: {error}") from None
        except Hold as hold:
            return self._hold(hold)

    async def _asked(self, departure: Departure) -> Response:
        if self._peer is None:
            self._peer = self._adapter.peer()
        request = self._adapter.request(departure.messages)
        request.leaving = departure.leave
        return await self._peer.request(request)

    def _hold(self, hold: Hold) -> Sequence[Receipt]:
        self._held_until = max(hold.until, self._held_until or hold.until)
        return hold.receipts

    def _wait(self) -> datetime | None:
        if self._held_until is not None and self._clock() >= self._held_until:
            self._held_until = None
        return self._held_until

    def _ambiguous(self, group: Sequence[Message], detail: str) -> list[Receipt]:
        said = clean_detail(detail, self._account.password)
        if self._idempotent:
            return self._deferred(group, self._clock() + RETRY_AFTER, said)
        return [unknown(message.message_id, None, said) for message in group]

    @staticmethod
    def _deferred(group: Sequence[Message], until: datetime, detail: str) -> list[Receipt]:
        return [deferred(message.message_id, None, detail, until) for message in group]


class Rate:
    """The account's ``rate``: messages a second over this one connection, evenly spaced."""

    def __init__(self, account: Account, sleep: Callable[[float], Awaitable[None]]) -> None:
        text = account.extra.get("rate", "0")
        try:
            self._per_second = float(text)
        except ValueError:
            self._per_second = -1
        if not 0 <= self._per_second < 1e9:
            raise AccountError(f"account {account.name}: rate takes messages per second")
        self._sleep = sleep
        self._next = 0.0

    async def turn(self, messages: int) -> None:
        """Returns when so many may leave."""
        if not self._per_second:
            return
        now = asyncio.get_running_loop().time()
        mine = max(self._next, now)
        self._next = mine + messages / self._per_second
        if mine > now:
            await self._sleep(mine - now)


class Outage:
    """As ``outage.Outage``, for many requests that find the server gone at the same moment: together they
    count as one failure, and wait once."""

    def __init__(self, clock: Callable[[], datetime], sleep: Callable[[float], Awaitable[None]]) -> None:
        self._clock = clock
        self._sleep = sleep
        self._failures = 0
        self._down_until: datetime | None = None
        self._pause = asyncio.Lock()
        self.generation = 0
        self.detail = ""

    async def failed(self, generation: int, detail: str) -> None:
        """A try of this generation has failed. Returns when the next may be, or the server is down."""
        async with self._pause:
            if generation != self.generation:
                return
            self.detail = detail
            self.generation += 1
            self._failures += 1
            if self._failures >= FAILURES:
                self._down_until = self._clock() + DOWN_FOR
            else:
                await self._sleep(PAUSES[self._failures - 1])

    def over(self) -> None:
        """The server has answered."""
        self._failures = 0
        self._down_until = None

    def is_down(self) -> bool:
        """Whether to leave it alone. After ``DOWN_FOR`` one failure is enough to find it still down."""
        if self._down_until is not None and self._clock() >= self._down_until:
            self._down_until = None
            self._failures = FAILURES - 1
        return self._down_until is not None

    def retry_at(self) -> datetime:
        return self._down_until or self._clock() + DOWN_FOR
