"""Many messages under way at once on an event loop of one sender's own, which turns while it waits.

What ends the sending early is raised where the loop waits for the other side, and nowhere else: every task
then stands at a place where it is known whether its messages may have left. Those that have are waited for,
at most ``WIND_UP`` seconds; the others are taken back.
"""

from __future__ import annotations

import asyncio
import selectors
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import Any

from kundresa.channels.accounts import AccountError
from kundresa.channels.stopping import WIND_UP, not_sent
from kundresa.spec.messages import Message, Receipt


class Departure:
    """Messages that one task hands over together."""

    __slots__ = ("has_left", "messages")

    def __init__(self, messages: Sequence[Message]) -> None:
        self.messages = messages
        self.has_left = False
        """Whether the other side may have something of them."""

    def leave(self) -> None:
        """From here on it may."""
        self.has_left = True


Groups = Iterator[tuple[Sequence[Message], Sequence[Receipt]]]
"""Messages that leave together (or none), and receipts for those beside them that cannot be sent at all."""
Deliver = Callable[[Departure], Coroutine[Any, Any, Sequence[Receipt]]]
"""One receipt for each message of a departure. When it is cancelled, it raises that on only if nothing has
left; else it gives the receipts for that."""


class InFlight:
    """The tasks of one sender. For one thread."""

    def __init__(self, at_once: int, deliver: Deliver, clock: Callable[[], datetime]) -> None:
        """
        Args:
            at_once: departures under way, at most.
        """
        self._at_once = at_once
        self._deliver = deliver
        self._clock = clock
        self._selector = _Selector()
        self.loop = asyncio.SelectorEventLoop(self._selector)
        self._tasks: dict[asyncio.Task[None], Departure] = {}
        self._known: deque[Receipt] = deque()
        self._refused: AccountError | None = None
        self._unsent: list[Message] = []
        """Of departures that ended with an AccountError."""
        self._error: BaseException | None = None
        self._woken: asyncio.Future[None] | None = None

    def wait_within(self, waiting: Callable[[], AbstractContextManager[object]]) -> None:
        """``waiting()`` is opened around each wait for the other side, and nowhere else."""
        self._selector.waiting = waiting

    def send(self, groups: Groups, look: Callable[[], Coroutine[Any, Any, None]]) -> Iterator[Receipt]:
        """One receipt per message, each as soon as it is known.

        When it has to stop early, by whatever is raised in it, it gives what is known within ``WIND_UP``
        seconds; what may have left and is not answered is given as ``deliver`` says of a cancelled departure.

        Args:
            look: sees to what happened while nobody looked; before anything leaves.

        Raises:
            AccountError: messages without a receipt were certainly not sent. It is raised when all that
                was under way has its answer.
        """
        try:
            self.loop.run_until_complete(look())
            while True:
                self._begin(groups)
                yield from self._take()
                if not self._tasks:
                    break
                self._wait()
        except GeneratorExit:
            self._break_off()
            raise
        except BaseException:
            self._wind_up()
            yield from self._take()
            raise
        refused, self._refused = self._refused, None
        self._unsent.clear()
        if refused is not None:
            raise refused

    def close(self, goodbye: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """End what is under way, then ``goodbye``."""
        if self.loop.is_closed():
            return
        self._selector.waiting = nullcontext
        self.loop.run_until_complete(self._end(goodbye))
        self.loop.close()

    async def _end(self, goodbye: Callable[[], Coroutine[Any, Any, None]]) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await goodbye()

    def _begin(self, groups: Groups) -> None:
        """Tasks for as many messages as may be under way."""
        while self._refused is None and len(self._tasks) < self._at_once:
            following = next(groups, None)
            if following is None:
                return
            messages, receipts = following
            self._known.extend(receipts)
            if messages:
                departure = Departure(messages)
                self._tasks[self.loop.create_task(self._run(departure))] = departure

    def _take(self) -> Iterator[Receipt]:
        while self._known:
            yield self._known.popleft()
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _wait(self) -> None:
        """Until one more has come to its end."""
        self._woken = self.loop.create_future()
        self.loop.run_until_complete(self._woken)

    async def _run(self, departure: Departure) -> None:
        receipts: Sequence[Receipt] = ()
        failure: BaseException | None = None
        try:
            receipts = await self._deliver(departure)
        # Whatever it is, it is raised where the receipts are read.
        except (Exception, asyncio.CancelledError) as error:
            failure = error
        task = asyncio.current_task()
        if task is None or self._tasks.pop(task, None) is None:
            return  # nobody wants to know any more
        if isinstance(failure, AccountError | asyncio.CancelledError):
            self._unsent.extend(departure.messages)
        if isinstance(failure, AccountError):
            self._refused = self._refused or failure
        elif failure is not None and not isinstance(failure, asyncio.CancelledError):
            self._error = self._error or failure
        self._known.extend(receipts)
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    def _wind_up(self) -> None:
        """Stop: hear what is said to what has left, and know the rest as not sent."""
        self._selector.waiting = nullcontext
        for task, departure in self._tasks.items():
            if not departure.has_left:
                task.cancel()
        if self._tasks:
            self.loop.run_until_complete(asyncio.wait([*self._tasks], timeout=WIND_UP))
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            self.loop.run_until_complete(asyncio.wait([*self._tasks]))
        # Cancelled before their first step.
        for departure in self._tasks.values():
            self._unsent.extend(departure.messages)
        self._tasks.clear()
        now = self._clock()
        self._known.extend(not_sent(message.message_id, now) for message in self._unsent)
        self._unsent.clear()
        # The first reason to stop is the one that is told.
        self._refused, self._error = None, None

    def _break_off(self) -> None:
        """Nobody wants the receipts any more."""
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()
        self._known.clear()
        self._unsent.clear()
        self._refused, self._error = None, None


class _Selector(selectors.DefaultSelector):
    """What the loop waits in. An interruption here loses nothing: what was ready is so the next time."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: Callable[[], AbstractContextManager[object]] = nullcontext

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        with self.waiting():
            return super().select(timeout)
