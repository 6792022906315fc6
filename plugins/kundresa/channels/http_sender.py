"""A sender over HTTP with many requests in flight: what every provider's adapter has in common.

``send`` is an ordinary generator; the requests run on an event loop of the sender's own, which turns while
``send`` waits for the next receipt. What an adapter adds is how a request looks and what an answer means;
see the page *A new provider* in this room.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import chain, islice
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
from kundresa.channels.outage import DOWN_FOR, FAILURES, PAUSES
from kundresa.channels.receipts import clean_detail, deferred, unknown
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
        self._in_flight = in_flight
        self._idempotent = account.extra.get("idempotent", "").lower() == "true"
        self._outage = Outage(clock, sleep)
        self._rate = Rate(account, sleep)
        self._held_until: datetime | None = None
        self._loop = asyncio.new_event_loop()
        self._peer: Peer | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._done: deque[Sequence[Receipt] | BaseException] = deque()
        self._woken: asyncio.Future[None] | None = None

    def open(self) -> None:
        """Nothing to do: HTTP has no login apart from its requests."""

    def send(self, window: Sequence[Message]) -> Iterator[Receipt]:
        """One receipt per message, each as soon as it is known.

        Raises:
            AccountError: messages without a receipt were certainly not sent. It is raised when all that
                was under way has its answer.
        """
        source = iter(window)
        refused: AccountError | None = None
        # What happened while nobody looked, such as a connection closed by the other side.
        self._loop.run_until_complete(asyncio.sleep(0))
        while True:
            if refused is None:
                yield from self._start(source)
            if not self._tasks and not self._done:
                break
            for result in self._results():
                if isinstance(result, AccountError):
                    refused = refused or result
                elif isinstance(result, BaseException):
                    raise result
                else:
                    yield from result
        if refused is not None:
            raise refused

    def close(self) -> None:
        if self._loop.is_closed():
            return
        for task in self._tasks:
            task.cancel()
        self._loop.run_until_complete(self._end())
        self._loop.close()

    async def _end(self) -> None:
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._peer is not None:
            await self._peer.close()

    def _start(self, source: Iterator[Message]) -> Iterator[Receipt]:
        """Tasks for as many messages as may be under way."""
        while len(self._tasks) < self._in_flight:
            group = []
            for message in islice(source, self._adapter.per_request):
                receipt = self._adapter.refusal(message)
                if receipt is None:
                    group.append(message)
                else:
                    yield receipt
            if not group:
                following = next(source, None)
                if following is None:
                    return
                source = chain([following], source)
                continue
            task = self._loop.create_task(self._run(group))
            self._tasks.add(task)

    def _results(self) -> Iterator[Sequence[Receipt] | BaseException]:
        """What has come to its end by now; waits for the first."""
        if not self._done:
            self._woken = self._loop.create_future()
            self._loop.run_until_complete(self._woken)
        while self._done:
            yield self._done.popleft()

    async def _run(self, group: Sequence[Message]) -> None:
        result: Sequence[Receipt] | BaseException
        try:
            result = await self._deliver(group)
        # Whatever it is, it is raised where the receipts are read.
        except Exception as error:
            result = error
        self._done.append(result)
        task = asyncio.current_task()
        if task is not None:
            self._tasks.discard(task)
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    async def _deliver(self, group: Sequence[Message]) -> Sequence[Receipt]:
        await self._rate.turn(len(group))
        detail = ""
        tries = 0
        while tries < ASK_AGAIN:
            wait = self._wait()
            if wait is not None:
                return self._deferred(group, wait, "the other side asked to be left alone for a while")
            generation = self._outage.generation
            try:
                response = await self._answered(group)
            except TurnedAwayError:
                # No failure: each such connection has taken another message, so this comes to an end.
                continue
            except NotSentError as error:
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

    async def _answered(self, group: Sequence[Message]) -> Sequence[Receipt]:
        if self._outage.is_down():
            raise NotSentError(self._outage.detail)
        if self._peer is None:
            self._peer = self._adapter.peer()
        try:
            response = await self._peer.request(self._adapter.request(group))
            return self._adapter.receipts(group, response)
        except RenewLoginError:
            self._adapter.renew()
            response = await self._peer.request(self._adapter.request(group))
        except Hold as hold:
            return self._hold(hold)
        try:
            return self._adapter.receipts(group, response)
        except RenewLoginError as error:
            raise AccountError(f"{self._account.place}: a fresh token is refused too: {error}") from None
        except Hold as hold:
            return self._hold(hold)

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
